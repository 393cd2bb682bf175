# SPDX-License-Identifier: Apache-2.0
"""Runs streams of successes against an emulator."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager
from functools import partial

from watching import INTERVAL, watching

from airflow_provider_nebula_explorer.explorer.successes.bookmark import Bookmark
from airflow_provider_nebula_explorer.explorer.successes.new_jobs import NewJobs
from airflow_provider_nebula_explorer.explorer.successes.stream import SuccessStream


class Consumer:
    """Takes the jobs of a stream, and may be restarted."""

    def __init__(self, workflow_id=5, bookmark=None, *, name=None):
        self.workflow_id = workflow_id
        self.bookmark = bookmark or Bookmark()
        self.name = name
        self.taken = []
        self.polls = 0
        self._changed = asyncio.Condition()

    async def consume(self, open_stream):
        async with open_stream(self.bookmark, self.workflow_id, name=self.name) as stream:
            while True:
                for job in await stream.next_batch():
                    self.taken.append(job.id)
                    self.bookmark.acknowledge(job.id)
                self.polls += 1
                async with self._changed:
                    self._changed.notify_all()

    async def has_taken(self, count):
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.taken) >= count)

    async def has_polled(self, times):
        until = self.polls + times
        async with self._changed:
            await self._changed.wait_for(lambda: self.polls >= until)

    def restarted(self):
        """Return one that knows only what was saved."""
        saved = Bookmark.of(json.loads(json.dumps(self.bookmark.as_json)))
        return Consumer(self.workflow_id, saved, name=self.name)


@asynccontextmanager
async def streaming(explorer, *, clock=time.monotonic, **changes):
    """Give a function that opens streams, which share one watcher."""
    async with watching(explorer, **changes) as watcher:
        new_jobs = NewJobs(watcher.client, clock=clock)
        try:
            yield partial(SuccessStream, watcher, new_jobs, interval=INTERVAL, clock=clock)
        finally:
            await new_jobs.close()


async def during(open_stream, consumers, act):
    """Run consumers while something happens; an error of a consumer fails the test."""
    tasks = [asyncio.ensure_future(consumer.consume(open_stream)) for consumer in consumers]
    acting = asyncio.ensure_future(act)
    await asyncio.wait([acting, *tasks], return_when=asyncio.FIRST_COMPLETED, timeout=30)
    for task in tasks:
        task.cancel()
    assert acting.done(), [task for task in tasks if task.done()]
    await asyncio.gather(*tasks, return_exceptions=True)
    return acting.result()
