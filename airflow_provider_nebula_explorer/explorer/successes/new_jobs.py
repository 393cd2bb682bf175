# SPDX-License-Identifier: Apache-2.0
"""Lists the new jobs of workflows: one list serves all workflows that are requested at the same time."""

from __future__ import annotations

import asyncio
import contextvars
import math
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerConnectionError,
    NebulaExplorerError,
    NebulaExplorerForbiddenError,
    NebulaExplorerNotFoundError,
)
from airflow_provider_nebula_explorer.explorer.client import api
from airflow_provider_nebula_explorer.explorer.client.api import JobSummary, Page
from airflow_provider_nebula_explorer.explorer.client.limits import LONGEST_UNLIMITED_LIST, STALE_PAGES
from airflow_provider_nebula_explorer.explorer.metrics import increment
from airflow_provider_nebula_explorer.explorer.models import JobStatus, number_in
from airflow_provider_nebula_explorer.explorer.successes.limits import MOST_NEW_JOBS
from airflow_provider_nebula_explorer.explorer.waiting.outcome import unexpected
from airflow_provider_nebula_explorer.explorer.waiting.planner import LARGEST_PAGE, SMALLEST_PAGE

if TYPE_CHECKING:
    from airflow_provider_nebula_explorer.explorer.client.async_client import AsyncClient

_SHARING_SECONDS = 0.2
"""Requests that come within this time share one list."""

_SEPARATE_SECONDS = 600.0
"""For how long each workflow gets its own list after Explorer refused the list of all jobs."""

_SMALL_PAGES_SECONDS = 600.0
"""For how long pages stay smaller after a larger one was refused, or exceeded its bound."""

_SIMILAR_MS = 600_000
"""How far apart the times of creation may lie from which on one list shows the jobs of several workflows.

A workflow that is requested from an earlier time on would make that list long, so it has its own.
"""


class NewJobs:
    """Lists the jobs of workflows, with one list of all jobs if several workflows are requested together.

    :param client: opens the client, or returns the one that is open.
    :param clock: returns seconds, as :func:`time.monotonic` does.
    """

    def __init__(
        self, client: Callable[[], Awaitable[AsyncClient]], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._clock = clock
        self._newest: int | None = None
        self._order = "asc"
        self._page_size = LARGEST_PAGE
        self._small_until = -math.inf
        self._gathering: dict[JobStatus | None, _SharedList] = {}  # those that more callers may join
        self._tasks: set[asyncio.Task[_JobsOrError]] = set()
        self._separate_until = -math.inf
        self._phase = random.random()  # noqa: S311 - it spreads the polls of many processes
        self._has_requested_time = False
        self._requesting_time = asyncio.Lock()

    @property
    def newest(self) -> int | None:
        """When the newest job that a list showed was created, in epoch ms: Explorer's clock has passed it."""
        return self._newest

    def next_poll(self, interval: float) -> float:
        """Return when to poll again, on the clock that was given.

        All polls with the same interval come at the same moment, so that one list serves them.
        """
        return interval * (math.floor(self._clock() / interval - self._phase) + 1 + self._phase)

    async def server_time(self, workflow_id: int) -> int | None:
        """Return the time in Explorer's last response, in epoch ms; ``None`` if it sends none.

        :param workflow_id: whose list is requested if there was no response yet.
        """
        client = await self._client()
        async with self._requesting_time:
            if client.server_time is None and not self._has_requested_time:
                await client.run(api.list_jobs(workflow_id, api.job_filter(), 1, 1))
                self._has_requested_time = True
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
        shared = self._gathering.get(status) or self._share_list(status)
        shared.add(workflow_id, since)
        # Shielded, as a caller that is cancelled must not take the list away from the others.
        found = (await asyncio.shield(shared.task))[workflow_id]
        if isinstance(found, BaseException):
            raise found
        return list(_created_from(since, found))

    async def close(self) -> None:
        """Cancel all requests."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _share_list(self, status: JobStatus | None) -> _SharedList:
        shared = self._gathering[status] = _SharedList()
        # In a context of its own, as otherwise the first caller's log would get all log lines.
        fetching = self._fetch(shared, status)
        shared.task = contextvars.Context().run(
            asyncio.create_task, fetching, name="nebula_explorer new jobs"
        )
        self._tasks.add(shared.task)
        shared.task.add_done_callback(self._tasks.discard)
        return shared

    async def _fetch(self, shared: _SharedList, status: JobStatus | None) -> _JobsOrError:
        await asyncio.sleep(_SHARING_SECONDS)
        del self._gathering[status]
        increment("polls")
        try:
            found = await self._list_together(shared.recent, status)
        except NebulaExplorerError as error:
            return dict.fromkeys(shared.since, error)
        others = [workflow_id for workflow_id in shared.since if workflow_id not in found]
        lists = (self._list(workflow_id, shared.since[workflow_id], status) for workflow_id in others)
        return found | dict(zip(others, await asyncio.gather(*lists, return_exceptions=True), strict=True))

    async def _list_together(self, since: dict[int, int], status: JobStatus | None) -> _JobsOrError:
        """Return the jobs of these workflows; nothing if each workflow needs its own list."""
        if self._clock() < self._separate_until or len(since) < 2:
            return {}
        try:
            jobs = await self._list(None, min(since.values()), status)
        except NebulaExplorerError as error:
            refused = isinstance(error, (NebulaExplorerForbiddenError, NebulaExplorerNotFoundError))
            if not refused and not error.may_be_too_large:
                raise
            # The account may be allowed to list its workflows' jobs all the same, and those may be fewer.
            self._separate_until = self._clock() + _SEPARATE_SECONDS
            return {}
        found: dict[int, list[JobSummary]] = {workflow_id: [] for workflow_id in since}
        for job in jobs:
            workflow_id = number_in(job.workflow_id)
            if workflow_id is not None and workflow_id in found:
                found[workflow_id].append(job)
        return {**found}

    async def _list(
        self, workflow_id: int | None, since: int, status: JobStatus | None, name: str | None = None
    ) -> list[JobSummary]:
        try:
            return await self._walk(workflow_id, since, status, name)
        except NebulaExplorerError:
            raise
        except Exception as error:  # a defect, or a response that nobody thought of
            raise unexpected(error) from error

    async def _walk(
        self, workflow_id: int | None, since: int, status: JobStatus | None, name: str | None
    ) -> list[JobSummary]:
        if self._clock() >= self._small_until:
            self._page_size = LARGEST_PAGE
        walk = _Walk(_Position(since, self._page_size, self._order))
        while position := walk.position:
            page = await self._page(workflow_id, status, position, name)
            if page is None:
                walk.begin_with(self._page_size)
                continue
            walk.read(page)
            self._newest = latest(page.items, self._newest)
            self._order = position.order
        own = (job for job in walk.jobs.values() if _is_of(job, workflow_id, status))
        return sorted(own, key=lambda job: _created(job, since))

    async def _page(
        self, workflow_id: int | None, status: JobStatus | None, position: _Position, name: str | None
    ) -> Page[JobSummary] | None:
        """Fetch a page; ``None`` if a smaller one has to be requested."""
        client = await self._client()
        try:
            return await client.run(
                api.list_summaries(
                    workflow_id,
                    status=status,
                    created_from=position.since,
                    name=name,
                    order=position.order,
                    page_size=position.size,
                    page=position.number,
                )
            )
        except NebulaExplorerError as error:
            if not error.may_be_too_large or position.size == SMALLEST_PAGE:
                raise
        self._page_size = max(SMALLEST_PAGE, position.size // 10)
        self._small_until = self._clock() + _SMALL_PAGES_SECONDS
        return None


_JobsOrError = dict[int, "list[JobSummary] | BaseException"]
"""A workflow's jobs, or why Explorer did not list them, by the workflow's id."""


@dataclass
class _SharedList:
    """A list for all callers that come within some time.

    ``since`` holds, by workflow, the time of creation from which on its jobs are requested.
    """

    since: dict[int, int] = field(default_factory=dict)
    task: asyncio.Task[_JobsOrError] = field(init=False)

    def add(self, workflow_id: int, since: int) -> None:
        self.since[workflow_id] = min(since, self.since.get(workflow_id, since))

    @property
    def recent(self) -> dict[int, int]:
        """The part of ``since`` whose times are so close that one list shows the jobs of all."""
        earliest = max(self.since.values()) - _SIMILAR_MS
        return {workflow_id: since for workflow_id, since in self.since.items() if since >= earliest}


@dataclass(frozen=True)
class _Position:
    """Where the next page begins: at a time of creation, so that a list that changes meanwhile loses no job.

    If all jobs of a page were created in one millisecond, the page with the next number follows instead.
    So it does if Explorer obeys neither the time nor the order: then from the newest job on, until pages show
    older jobs than requested.

    :param since: the time of creation, in epoch milliseconds.
    :param size: how many jobs a page has.
    :param order: ``asc``, or ``desc`` where that is not obeyed.
    :param number: the page's number, from 1.
    :param shown: ids of the jobs on the pages with lower numbers.
    """

    since: int
    size: int
    order: str = "asc"
    number: int = 1
    shown: frozenset[int] = frozenset()

    def after(self, page: Page[JobSummary]) -> _Position | None:
        """Return where the page after this one begins; ``None`` if there is none."""
        ids = {job.id for job in page.items}
        if page.is_last or self.shown.issuperset(ids):
            return None
        times = [_created(job, self.since) for job in page.items]
        if self.order == "asc":
            if times != sorted(times) or times[0] < self.since - 1:
                return _Position(self.since, self.size, "desc")
            if times[-1] > self.since:
                return _Position(times[-1], self.size)
        elif times[0] > times[-1] and times[-1] < self.since and times == sorted(times, reverse=True):
            return None
        return replace(self, number=self.number + 1, shown=self.shown | ids)


class _Walk:
    """The way through one list, whatever Explorer says of its length.

    :ivar position: where the next page begins; ``None`` at the end.
    :ivar jobs: those that were requested, by id.
    """

    def __init__(self, begin: _Position) -> None:
        self.position: _Position | None = begin
        self.jobs: dict[int, JobSummary] = {}
        self._since = begin.since
        self._seen: set[int] = set()
        self._stale = 0

    def read(self, page: Page[JobSummary]) -> None:
        """Take the jobs of the next page.

        :raises NebulaExplorerConnectionError: if the list has too many.
        """
        assert self.position is not None  # noqa: S101 - its caller has fetched a page
        ids = {job.id for job in page.items}
        self._stale = self._stale + 1 if ids <= self._seen else 0
        self._seen |= ids
        self.jobs.update((job.id, job) for job in _created_from(self._since, page.items))
        if len(self.jobs) > MOST_NEW_JOBS or len(self._seen) > LONGEST_UNLIMITED_LIST:
            raise NebulaExplorerConnectionError(
                f"Explorer lists more than {MOST_NEW_JOBS} new jobs, or {LONGEST_UNLIMITED_LIST} in all. "
                "Set a later created_after.",
                transient=False,
                too_large=True,
            )
        following = self.position.after(page)
        if following and following.order != self.position.order:
            self._begin_at(following)
        else:
            self.position = None if self._stale >= STALE_PAGES else following

    def begin_with(self, page_size: int) -> None:
        """Begin again, where pages were first numbered, with pages of another size."""
        assert self.position is not None  # noqa: S101 - its caller has requested a page
        self._begin_at(replace(self.position, size=page_size, number=1, shown=frozenset()))

    def _begin_at(self, position: _Position) -> None:
        self.position = position
        self._seen.clear()
        self._stale = 0


def latest(jobs: Iterable[JobSummary], otherwise: int | None) -> int | None:
    """Return when the newest of some jobs was created, unless ``otherwise`` is later."""
    times = [otherwise, *(job.created for job in jobs)]
    return max((time for time in times if time is not None), default=None)


def _is_of(job: JobSummary, workflow_id: int | None, status: JobStatus | None) -> bool:
    """Return whether a job is of a workflow and in a status, as Explorer may show others, too."""
    return (workflow_id is None or job.workflow_id in ("", str(workflow_id))) and status in (None, job.status)


def _created_from(since: int, jobs: Iterable[JobSummary]) -> Iterator[JobSummary]:
    return (job for job in jobs if _created(job, since) >= since)


def _created(job: JobSummary, otherwise: int) -> int:
    return otherwise if job.created is None else job.created
