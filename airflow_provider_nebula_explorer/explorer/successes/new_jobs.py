"""Lists jobs for those who watch for new ones: one list serves all who ask at the same time."""

from __future__ import annotations

import asyncio
import contextvars
import math
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerError,
    NebulaExplorerForbiddenError,
    NebulaExplorerNotFoundError,
)
from airflow_provider_nebula_explorer.explorer.client import api
from airflow_provider_nebula_explorer.explorer.client.api import JobSummary
from airflow_provider_nebula_explorer.explorer.metrics import increment
from airflow_provider_nebula_explorer.explorer.models import JobStatus
from airflow_provider_nebula_explorer.explorer.waiting.planner import LARGEST_PAGE
from airflow_provider_nebula_explorer.explorer.waiting.watcher import Watcher

if TYPE_CHECKING:
    from airflow_provider_nebula_explorer.explorer.client.async_client import AsyncClient

_GATHER_SECONDS = 0.2
"""Who asks within this time is served by one list."""

_APART_SECONDS = 600.0
"""For how long the list of all jobs is left alone where it was refused."""

_TOGETHER_MS = 600_000
"""Who wants much older jobs is not served with the others, as those would read a long list, too."""


class NewJobs:
    """Lists the jobs of workflows: with one list of all jobs where several are asked for at once.

    :param opened: gives the client.
    """

    newest: int | None = None
    """When the newest job that a list showed was created, in ms of the epoch: Explorer's clock is past it."""

    def __init__(self, opened: Callable[[], Awaitable[AsyncClient]]) -> None:
        self._opened = opened
        self._rounds: dict[JobStatus | None, _Round] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._apart_until = -math.inf
        self._phase = random.random()  # noqa: S311 - it spreads the looks of many processes
        self._has_logged_in = False
        self._asking_for_time = asyncio.Lock()

    def next_poll(self, interval: float) -> float:
        """Return when to look again, on :func:`time.monotonic`'s clock.

        It is the same moment for all with one interval, so that one list serves them.
        """
        return interval * (math.floor(time.monotonic() / interval - self._phase) + 1 + self._phase)

    async def clock(self) -> int | None:
        """Return Explorer's clock at its last answer, in epoch milliseconds; ``None`` if it tells none."""
        client = await self._opened()
        async with self._asking_for_time:
            if client.server_time is None and not self._has_logged_in:
                await client.login()  # which costs nothing, as it has to be made anyway
                self._has_logged_in = True
        return None if client.server_time is None else int(client.server_time * 1000)

    async def jobs(
        self, workflow_id: int, *, since: int, name: str | None = None, status: JobStatus | None = None
    ) -> list[JobSummary]:
        """Return a workflow's jobs that were created from a time on, oldest first.

        :param since: epoch milliseconds.
        :param name: as Explorer's own search takes it; ``None`` for any.
        :param status: ``None`` for any.
        """
        if name is not None:
            return await self._list(workflow_id, since, status, name)
        asked = self._rounds.get(status) or self._begin(status)
        asked.since[workflow_id] = min(since, asked.since.get(workflow_id, since))
        # Shielded, as one who is cancelled must not take it from the others.
        found = (await asyncio.shield(asked.task))[workflow_id]
        if isinstance(found, BaseException):
            raise found
        return [job for job in found if _created(job, since) >= since]

    async def close(self) -> None:
        """End all that is asked for."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _begin(self, status: JobStatus | None) -> _Round:
        asked = self._rounds[status] = _Round()
        # In a context of its own, or its log lines would go to the log of whoever asked first.
        asked.task = contextvars.Context().run(asyncio.ensure_future, self._answer(asked, status))
        self._tasks.add(asked.task)
        asked.task.add_done_callback(self._forget)
        return asked

    def _forget(self, done: asyncio.Task[Any]) -> None:
        self._tasks.discard(done)
        if not done.cancelled():
            done.exception()  # told to whoever waits for it; there may be nobody any more

    async def _answer(self, asked: _Round, status: JobStatus | None) -> _Found:
        await asyncio.sleep(_GATHER_SECONDS)
        del self._rounds[status]
        increment("polls")
        found = await self._list_together(asked.since, status)
        others = [workflow_id for workflow_id in asked.since if workflow_id not in found]
        lists = (self._list(workflow_id, asked.since[workflow_id], status) for workflow_id in others)
        return found | dict(zip(others, await asyncio.gather(*lists, return_exceptions=True), strict=True))

    async def _list_together(self, since: dict[int, int], status: JobStatus | None) -> _Found:
        recent = max(since.values()) - _TOGETHER_MS
        together = {workflow_id for workflow_id, wanted in since.items() if wanted >= recent}
        if time.monotonic() < self._apart_until or len(together) < 2:
            return {}
        try:
            jobs = await self._list(None, min(since[workflow_id] for workflow_id in together), status)
        except NebulaExplorerError as error:
            if not isinstance(error, (NebulaExplorerForbiddenError, NebulaExplorerNotFoundError)):
                raise
            # The account may see its workflows' lists all the same.
            self._apart_until = time.monotonic() + _APART_SECONDS
            return {}
        found: dict[int, list[JobSummary]] = {workflow_id: [] for workflow_id in together}
        for job in jobs:
            if job.workflow_id.isdigit() and int(job.workflow_id) in found:
                found[int(job.workflow_id)].append(job)
        return {**found}

    async def _list(
        self, workflow_id: int | None, since: int, status: JobStatus | None, name: str | None = None
    ) -> list[JobSummary]:
        client = await self._opened()
        jobs: dict[int, JobSummary] = {}
        shown: set[int] = set()  # by the pages from that time on
        number = 1
        while True:
            page = await client.run(
                api.list_summaries(
                    workflow_id,
                    status=status,
                    created_from=since,
                    name=name,
                    page_size=LARGEST_PAGE,
                    page=number,
                )
            )
            jobs.update((job.id, job) for job in page.items if _created(job, since) >= since)
            self.newest = latest(page.items, self.newest)
            if page.is_last or shown.issuperset(job.id for job in page.items):
                return list(jobs.values())
            # By time, so that nothing is missed where the list changes between two pages; by page number only
            # where all of a page were created in one millisecond.
            last = _created(page.items[-1], since)
            if last > since:
                since, number, shown = last, 1, set()
            else:
                number += 1
                shown.update(job.id for job in page.items)


_OF_WATCHERS: WeakKeyDictionary[Watcher, NewJobs] = WeakKeyDictionary()


def new_jobs_of(watcher: Watcher) -> NewJobs:
    """Return what lists new jobs with a watcher's client."""
    if watcher not in _OF_WATCHERS:
        _OF_WATCHERS[watcher] = NewJobs(watcher.client)
    return _OF_WATCHERS[watcher]


_Found = dict[int, "list[JobSummary] | BaseException"]


@dataclass
class _Round:
    since: dict[int, int] = field(default_factory=dict)
    task: asyncio.Task[_Found] = field(init=False)


def latest(jobs: Iterable[JobSummary], otherwise: int | None) -> int | None:
    """Return when the newest of some jobs was created, unless ``otherwise`` is later."""
    times = [otherwise, *(job.created for job in jobs)]
    return max((time for time in times if time is not None), default=None)


def _created(job: JobSummary, otherwise: int) -> int:
    return otherwise if job.created is None else job.created
