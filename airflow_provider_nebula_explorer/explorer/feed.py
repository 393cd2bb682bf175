"""Waits for jobs of a workflow that somebody starts: for the first success, or for each."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain

from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerError,
    NebulaExplorerLoginError,
    NebulaExplorerTimeoutError,
)
from airflow_provider_nebula_explorer.explorer import api
from airflow_provider_nebula_explorer.explorer.api import Glimpse
from airflow_provider_nebula_explorer.explorer.counts import count
from airflow_provider_nebula_explorer.explorer.models import Job, JobStatus, JsonObject, show
from airflow_provider_nebula_explorer.explorer.waiting import Looks
from airflow_provider_nebula_explorer.explorer.watcher import Watcher

log = logging.getLogger(__name__)

_MARGIN_MS = 60_000
"""How far a look goes back behind the one before: a job may come up late, or Explorer's clock be set."""

_KNOWN = 200
"""How many jobs at least are remembered, as a clock that is set back makes them look new."""

_WORTH_SAVING_MS = 600_000
"""By how much a bookmark that says nothing else new may lag behind."""


async def first_success(
    watcher: Watcher,
    workflow_id: int,
    *,
    name: str | None,
    created_after: datetime | str | None,
    interval: float,
    deadline: float = math.inf,
    failed_looks: int = 0,
) -> Job:
    """Wait until a job of a workflow has succeeded, and return its details.

    :param created_after: jobs created before it do not count.
    :param interval: seconds between two looks.
    :param deadline: when to give up, after a last look, on :func:`time.monotonic`'s clock.
    :param failed_looks: how many looks in a row failed before.
    :raises NebulaExplorerTimeoutError: at the deadline.
    :raises NebulaExplorerError: where Explorer refuses, or too many looks in a row failed.
    """
    oldest = api.oldest_success(workflow_id, name=name, created_after=created_after)
    looks = Looks(f"workflow {workflow_id}", watcher.max_failures, failed_looks)
    while True:
        count("polls")
        try:
            for job in (await watcher.run(oldest)).jobs:
                return await watcher.run(api.get_job(job.id))  # as a list's jobs come without their tasks
            looks.succeeded()
        except NebulaExplorerError as error:
            line = looks.failed(error)
            log.log(logging.WARNING if looks.failures == 1 else logging.DEBUG, "%s", line)
        left = deadline - time.monotonic()
        if left <= 0:
            raise NebulaExplorerTimeoutError(f"No job of workflow {workflow_id} succeeded in time.")
        await asyncio.sleep(min(left, watcher.spread(interval)))


@dataclass
class Bookmark:
    """How far the successes of a workflow are told; as JSON, it lets another process go on.

    :param since: jobs created before it are known, in epoch milliseconds; ``None``: nothing is known yet.
    :param known: ids of jobs created since.
    :param open: ids of jobs that may still succeed, or have succeeded and are not told.
    :param handed: ids of those that are being told; another process does not know of it, and tells them.
    """

    since: int | None = None
    known: set[int] = field(default_factory=set)
    open: set[int] = field(default_factory=set)
    handed: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, value: object) -> Bookmark:
        """Read what :attr:`as_json` gave.

        :raises ValueError: where that is something else.
        """
        try:
            since, known, still_open = (value[key] for key in ("since", "known", "open"))  # type: ignore[index]
            return cls(int(since), {int(job_id) for job_id in known}, {int(job_id) for job_id in still_open})
        except (TypeError, KeyError) as error:
            raise ValueError(f"This is no bookmark: {show(value)}") from error

    @property
    def as_json(self) -> JsonObject:
        """The bookmark as a JSON object."""
        return {"since": self.since, "known": sorted(self.known), "open": sorted(self.open)}

    def is_news_to(self, saved: Bookmark) -> bool:
        """Say whether it should replace one that was saved."""
        if self.since is None or saved.since is None:
            return self.since is not saved.since
        lag = abs(self.since - saved.since)
        return (self.known, self.open) != (saved.known, saved.open) or lag >= _WORTH_SAVING_MS

    def told(self, job_id: int) -> None:
        """Take a job out, for good."""
        self.open.discard(job_id)
        self.handed.discard(job_id)

    def copy(self) -> Bookmark:
        """Return one that stays as it is now."""
        return Bookmark(self.since, set(self.known), set(self.open))


class SuccessFeed:
    """Tells each job of a workflow that succeeds: an asynchronous context, open while it observes.

    New jobs are found in a list, which all feeds of a watcher share; those that have not ended yet are
    waited for as all jobs are that somebody waits for.

    :param bookmark: where to go on; it is kept up to date. A new one begins with the jobs that have not
        succeeded yet.
    :param name: the jobs' name, as Explorer's own search takes it; ``None`` for any.
    :param interval: seconds between two looks.
    """

    def __init__(
        self, watcher: Watcher, bookmark: Bookmark, workflow_id: int, *, name: str | None, interval: float
    ) -> None:
        self._watcher = watcher
        self._bookmark = bookmark
        self._workflow_id = workflow_id
        self._name = name
        self._interval = interval
        self._next_look = -math.inf
        self._glimpses: dict[int, Glimpse] = {}
        self._waits: dict[int, asyncio.Task[Job]] = {}

    async def __aenter__(self) -> SuccessFeed:  # noqa: PYI034 - typing.Self needs Python 3.11
        return self

    async def __aexit__(self, *error: object) -> None:
        for wait in self._waits.values():
            wait.cancel()
        await asyncio.gather(*self._waits.values(), return_exceptions=True)

    async def news(self) -> list[Job]:
        """Wait until jobs have succeeded, or until the next look, and return those jobs' details.

        They are handed out once, but stay in the bookmark until :meth:`Bookmark.told` takes them out.

        :raises NebulaExplorerError: where Explorer cannot be observed; nothing is lost by that.
        """
        if time.monotonic() >= self._next_look:
            await self._look()
            self._next_look = self._watcher.scout.next_look(self._interval)
        for job_id in self._bookmark.open.difference(self._waits, self._bookmark.handed):
            self._waits[job_id] = asyncio.ensure_future(self._end_of(job_id))
        await self._sleep_until_one_ends()
        return self._take_ended()

    async def _look(self) -> None:
        # The clock before the list, as the list holds all that was created until then.
        clock = await self._watcher.scout.clock()
        since = None if clock is None else clock - _MARGIN_MS
        bookmark = self._bookmark
        if bookmark.since is None:
            jobs = await self._list(since=since or 0)
            still_open = [*jobs, *await self._list_open()]
            bookmark.open = {job.id for job in still_open if not job.status.is_final}
            bookmark.known = {job.id for job in jobs}
            bookmark.since = since or 0
            return
        jobs = await self._list(since=bookmark.since)
        self._glimpses = {job.id: job for job in jobs if job.id not in bookmark.known and _may_succeed(job)}
        bookmark.open.update(self._glimpses)
        listed = {job.id for job in jobs}
        latest = sorted(bookmark.known - listed, reverse=True)
        bookmark.known = listed.union(latest[: max(0, _KNOWN - len(listed))])
        bookmark.since = bookmark.since if since is None else since

    async def _list(self, *, since: int, status: JobStatus | None = None) -> list[Glimpse]:
        return await self._watcher.scout.jobs(self._workflow_id, since=since, name=self._name, status=status)

    async def _list_open(self) -> list[Glimpse]:
        statuses = [status for status in JobStatus if not status.is_final]
        lists = await asyncio.gather(*(self._list(since=0, status=status) for status in statuses))
        return list(chain.from_iterable(lists))

    async def _end_of(self, job_id: int) -> Job:
        seen = self._glimpses.pop(job_id, None)
        if seen and seen.status.is_final:
            return await self._watcher.run(api.get_job(job_id))
        return await self._watcher.job(job_id, interval=self._interval, seen=seen)

    async def _sleep_until_one_ends(self) -> None:
        left = max(0.0, self._next_look - time.monotonic())
        if self._waits:
            await asyncio.wait(self._waits.values(), timeout=left, return_when=asyncio.FIRST_COMPLETED)
        else:
            await asyncio.sleep(left)

    def _take_ended(self) -> list[Job]:
        jobs: list[Job] = []
        trouble: NebulaExplorerError | None = None
        for job_id in [job_id for job_id, wait in self._waits.items() if wait.done()]:
            try:
                job = self._waits.pop(job_id).result()
            except NebulaExplorerError as error:
                if error.is_transient or isinstance(error, NebulaExplorerLoginError):
                    trouble = error  # the job is still in the bookmark, so is waited for anew
                    continue
                log.warning("Job %s is left out, as Explorer does not show it: %s", job_id, error)
                self._bookmark.told(job_id)
                continue
            if job.status.is_success:
                self._bookmark.handed.add(job_id)
                jobs.append(job)
            else:
                self._bookmark.told(job_id)
        if trouble and not jobs:
            raise trouble
        return jobs


def _may_succeed(job: Glimpse) -> bool:
    return job.status.is_success or not job.status.is_final
