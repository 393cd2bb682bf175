# SPDX-License-Identifier: Apache-2.0
"""Waits for any number of jobs of one Explorer on one event loop: one login, one client, one poll for all."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import math
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine
from typing import TYPE_CHECKING, Any

from airflow_provider_nebula_explorer.explorer.client.api import JobSummary
from airflow_provider_nebula_explorer.explorer.client.protocol import Call, T
from airflow_provider_nebula_explorer.explorer.interval import ADAPTIVE_LONGEST_SECONDS, Interval
from airflow_provider_nebula_explorer.explorer.metrics import increment
from airflow_provider_nebula_explorer.explorer.models import Job, JobStatus
from airflow_provider_nebula_explorer.explorer.waiting.outcome import FailedPolls
from airflow_provider_nebula_explorer.explorer.waiting.progress import JobProgress
from airflow_provider_nebula_explorer.explorer.waiting.schedule import Schedule
from airflow_provider_nebula_explorer.explorer.waiting.shared_poll import SharedPoll
from airflow_provider_nebula_explorer.explorer.waiting.waiters import Waiter

if TYPE_CHECKING:
    from airflow_provider_nebula_explorer.explorer.client.async_client import AsyncClient

_LAST_POLL_SECONDS = 10.0
"""A wait whose deadline has passed waits so long for its last poll's response, as Explorer may hang."""


class Watcher:
    """Waits for jobs on behalf of any number of callers; begins to poll with the first wait.

    :param open_client: opens the client; awaited once, and again if it failed.
    :param max_failures: how many polls of a job may fail in a row; the last of them ends its wait.
    :param clock: a monotonic clock, in seconds.
    """

    def __init__(
        self,
        open_client: Callable[[], Awaitable[AsyncClient]],
        *,
        max_failures: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_client = open_client
        self.max_failures = max_failures
        self._clock = clock
        self._client: AsyncClient | None = None
        self._opening = asyncio.Lock()
        self._schedule = Schedule()
        self._shared_poll = SharedPoll(self.client, self._start, self._schedule, clock)
        self._joined = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def job(
        self,
        job_id: int,
        *,
        targets: Collection[JobStatus] = (),
        interval: float | None = None,
        longest_interval: float = ADAPTIVE_LONGEST_SECONDS,
        deadline: float = math.inf,
        failed_polls: int = 0,
        seen: JobSummary | None = None,
    ) -> Job:
        """Wait until a job is final, or has reached one of ``targets``, and return its details.

        :param job_id: the job's id, above 0.
        :param targets: statuses that end the wait before the job is final.
        :param interval: seconds between two polls, at least :data:`.interval.SHORTEST_INTERVAL_SECONDS`;
            ``None``: a share of the time since the job was created.
        :param longest_interval: what that share is at most.
        :param deadline: when to give up, after a last poll, on the watcher's clock.
        :param failed_polls: how many polls in a row failed before.
        :param seen: what a poll just before showed; it saves polling at once.
        :raises NebulaExplorerTimeoutError: at the deadline.
        :raises NebulaExplorerError: if Explorer refuses, or too many polls in a row failed.
        """
        increment("waits.started")
        waiter = Waiter(
            job_id=job_id,
            targets=targets,
            interval=Interval.of(interval, longest_interval),
            deadline=deadline,
            failed_polls=FailedPolls(f"job {job_id}", self.max_failures, failed_polls),
            progress=JobProgress(seen.status if seen else None),
        )
        self._begin(waiter, seen)
        left = max(0.0, deadline - self._clock())  # infinite without a deadline, which event loops accept
        timer = asyncio.get_running_loop().call_later(left + _LAST_POLL_SECONDS, waiter.time_out)
        try:
            return await waiter.future
        finally:
            timer.cancel()
            self._end(waiter)
            increment("waits.ended")

    async def client(self) -> AsyncClient:
        """Return the client that all waits share; it is opened at first use."""
        async with self._opening:
            if self._client is None:
                self._client = await self._open_client()
        return self._client

    async def run(self, call: Call[T]) -> T:
        """Make a call with the client that all waits share.

        :param call: what to send and how to read the response, from ``explorer.client.api``.
        :return: the data of the response, of the type that the call names.
        :raises NebulaExplorerError: the most specific class for what came back instead of the data.
        """
        return await (await self.client()).run(call)

    async def close(self) -> None:
        """End all polling, and close the client."""
        tasks = set(self._tasks)
        while tasks:
            for task in tasks:
                task.cancel()
            # Before Python 3.12, asyncio.wait_for loses a cancellation that comes together with its result.
            _, tasks = await asyncio.wait(tasks, timeout=0.1)
        if self._client is not None:
            await self._client.close()

    def _begin(self, waiter: Waiter, seen: JobSummary | None) -> None:
        if not self._tasks:
            self._start(self._poll_for_ever(), "polls")
        job, now = self._shared_poll.add(waiter, seen), self._clock()
        self._schedule.put(waiter.job_id, interval=job.interval, deadline=job.deadline, now=now)
        if seen is None and job.waiters == [waiter]:
            self._schedule.poll_soon(waiter.job_id, now)
        self._joined.set()

    def _end(self, waiter: Waiter) -> None:
        job = self._shared_poll.remove(waiter)
        if job.waiters:
            now = self._clock()
            self._schedule.put(waiter.job_id, interval=job.interval, deadline=job.deadline, now=now)
        else:
            self._schedule.remove(waiter.job_id)

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        # In a context of its own, or its log lines would go to the log of the first waiter's task.
        name = f"nebula_explorer watcher: {name}"
        task = contextvars.Context().run(asyncio.create_task, work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _poll_for_ever(self) -> None:
        while True:
            try:
                await self.client()
                await self._pause_until_due()
                if due := self._schedule.take_due(self._clock()):
                    increment("polls")
                    await self._shared_poll.poll(due)
            except Exception as error:  # noqa: BLE001 - no client, or a refused login: all who wait have it
                self._joined.clear()
                await self._shared_poll.end_all(error)
                await self._joined.wait()

    async def _pause_until_due(self) -> None:
        while (left := self._schedule.next_poll - self._clock()) > 0:
            self._joined.clear()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._joined.wait(), None if left == math.inf else left)
