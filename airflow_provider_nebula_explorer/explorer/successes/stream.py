"""Waits for jobs of a workflow, no matter who starts them: for the first success, or for each."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from datetime import datetime

from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerError,
    NebulaExplorerLoginError,
    NebulaExplorerNotFoundError,
    NebulaExplorerTimeoutError,
)
from airflow_provider_nebula_explorer.explorer.client import api
from airflow_provider_nebula_explorer.explorer.client.api import JobSummary
from airflow_provider_nebula_explorer.explorer.metrics import increment
from airflow_provider_nebula_explorer.explorer.models import Job, JobStatus
from airflow_provider_nebula_explorer.explorer.successes.bookmark import MARGIN_MS, Bookmark
from airflow_provider_nebula_explorer.explorer.successes.new_jobs import latest, new_jobs_of
from airflow_provider_nebula_explorer.explorer.waiting.outcome import FailedPolls
from airflow_provider_nebula_explorer.explorer.waiting.schedule import spread
from airflow_provider_nebula_explorer.explorer.waiting.watcher import Watcher

log = logging.getLogger(__name__)

_FIRST_MS = 3_600_000
"""How far the first look goes back for jobs in a status that is not known: no list can be asked for those."""

_GATHER_SECONDS = 0.2
"""Jobs that end within this time are told together."""

_REFUSED_SECONDS = 60.0
"""After which a job that alone was refused is looked at again."""


async def first_success(
    watcher: Watcher,
    workflow_id: int,
    *,
    name: str | None,
    created_after: datetime | str | None,
    interval: float,
    deadline: float = math.inf,
    failed_polls: int = 0,
) -> Job:
    """Wait until a job of a workflow has succeeded, and return its details.

    :param created_after: jobs created before it do not count.
    :param interval: seconds between two polls.
    :param deadline: when to give up, after a last poll, on :func:`time.monotonic`'s clock.
    :param failed_polls: how many polls in a row failed before.
    :raises NebulaExplorerTimeoutError: at the deadline.
    :raises NebulaExplorerError: if Explorer refuses, or too many polls in a row failed.
    """
    oldest = api.oldest_success(workflow_id, name=name, created_after=created_after)
    looks = FailedPolls(f"workflow {workflow_id}", watcher.max_failures, failed_polls)
    while True:
        increment("polls")
        try:
            for job in (await watcher.run(oldest)).items:
                return await watcher.run(api.get_job(job.id))  # as a list's jobs come without their tasks
            looks.succeeded()
        except NebulaExplorerError as error:
            line = looks.failed(error)
            log.log(logging.WARNING if looks.failures == 1 else logging.DEBUG, "%s", line)
        left = deadline - time.monotonic()
        if left <= 0:
            raise NebulaExplorerTimeoutError(f"No job of workflow {workflow_id} succeeded in time.")
        await asyncio.sleep(min(left, spread(interval)))


class SuccessStream:
    """Tells each job of a workflow that succeeds: an asynchronous context, open while it observes.

    New jobs are found in a list, which all feeds of a watcher share; those that have not ended yet are
    waited for as all jobs are that somebody waits for.

    :param bookmark: where to go on; it is kept up to date. A new one begins with the jobs that have not
        succeeded yet.
    :param name: the jobs' name, as Explorer's own search understands it; ``None`` for any.
    :param not_before: jobs created before it do not count, in epoch milliseconds.
    :param interval: seconds between two polls.
    """

    def __init__(
        self,
        watcher: Watcher,
        bookmark: Bookmark,
        workflow_id: int,
        *,
        name: str | None = None,
        not_before: int = 0,
        interval: float,
    ) -> None:
        self._watcher = watcher
        self._bookmark = bookmark
        self._workflow_id = workflow_id
        self._name = name
        self._not_before = not_before
        self._interval = interval
        self._next_look = -math.inf
        self._summaries: dict[int, JobSummary] = {}
        self._waits: dict[int, asyncio.Task[Job]] = {}
        self._refused: dict[int, float] = {}  # and when to look again

    async def __aenter__(self) -> SuccessStream:  # noqa: PYI034 - typing.Self needs Python 3.11
        return self

    async def __aexit__(self, *error: object) -> None:
        for wait in self._waits.values():
            wait.cancel()
        await asyncio.gather(*self._waits.values(), return_exceptions=True)

    async def next_batch(self) -> list[Job]:
        """Wait until jobs have succeeded, or until the next look, and return those jobs' details.

        They are handed out once, but stay in the bookmark until :meth:`Bookmark.acknowledge` takes them out.

        :raises NebulaExplorerError: if Explorer cannot be observed; nothing is lost by that.
        """
        if time.monotonic() >= self._next_look:
            is_new = self._bookmark.since is None
            await self._look()
            self._next_look = new_jobs_of(self._watcher).next_poll(self._interval)
            if is_new:
                return []  # so that it is kept now: without it, another process would begin later
        for job_id in self._bookmark.open.difference(self._waits, self._bookmark.in_flight):
            if self._refused.get(job_id, -math.inf) <= time.monotonic():
                self._waits[job_id] = asyncio.ensure_future(self._end_of(job_id))
        await self._sleep_until_some_end()
        return self._take_ended()

    async def _look(self) -> None:
        # The clock before the list, as the list holds all that was created until then.
        clock, now = await new_jobs_of(self._watcher).clock(), int(time.time() * 1000)
        newest, bookmark = new_jobs_of(self._watcher).newest, self._bookmark
        if bookmark.since is None:
            newest = await self._newest() if newest is None else newest
            jobs = await self._list(since=_first_list_from(clock, newest))
            still_open = [*jobs, *await self._list_open()]
            bookmark.learn(jobs, _explorers_own(clock, latest(jobs, newest)), now)
            bookmark.open = {job.id for job in still_open if not job.status.is_final}
            return
        jobs = await self._list(since=max(bookmark.list_from(clock, now), self._not_before))
        clock = _explorers_own(clock, latest(jobs, newest))
        self._summaries = {job.id: job for job in bookmark.learn(jobs, clock, now)}

    async def _newest(self) -> int | None:
        """Return when the workflow's newest job was created, in epoch milliseconds; ``None``: it has none."""
        wanted = api.job_filter(name=self._name)
        page = await self._watcher.run(api.list_jobs(self._workflow_id, wanted, 1, 1))
        return latest((api.summary_of(job.data) for job in page.items), None)

    async def _list(self, *, since: int, status: JobStatus | None = None) -> list[JobSummary]:
        return await new_jobs_of(self._watcher).jobs(
            self._workflow_id, since=since, name=self._name, status=status
        )

    async def _list_open(self) -> list[JobSummary]:
        jobs: list[JobSummary] = []
        # One after the other, in the order of a job's life, so that none changes from list to list unseen.
        for status in (JobStatus.PREPARING, JobStatus.RUNNING, JobStatus.STOPPING):
            jobs.extend(await self._list(since=0, status=status))
        return jobs

    async def _end_of(self, job_id: int) -> Job:
        seen = self._summaries.pop(job_id, None)
        if seen and seen.status.is_final:
            job = await self._watcher.run(api.get_job(job_id))
            if job.status.is_final:
                return job  # else its details lag behind the list
        return await self._watcher.job(job_id, interval=self._interval, seen=seen)

    async def _sleep_until_some_end(self) -> None:
        left = max(0.0, self._next_look - time.monotonic())
        if not self._waits:
            await asyncio.sleep(left)
            return
        waits = self._waits.values()
        done, _ = await asyncio.wait(waits, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        if done:
            await asyncio.wait(waits, timeout=_GATHER_SECONDS)

    def _take_ended(self) -> list[Job]:
        jobs: list[Job] = []
        trouble: NebulaExplorerError | None = None
        for job_id in [job_id for job_id, wait in self._waits.items() if wait.done()]:
            try:
                job = self._waits.pop(job_id).result()
            except NebulaExplorerError as error:
                trouble = self._failed(job_id, error) or trouble
                continue
            self._refused.pop(job_id, None)
            if job.status.is_success:
                self._bookmark.in_flight.add(job_id)
                jobs.append(job)
            else:
                self._bookmark.acknowledge(job_id)
        if trouble and not jobs:
            raise trouble
        return jobs

    def _failed(self, job_id: int, error: NebulaExplorerError) -> NebulaExplorerError | None:
        """Take note of a job that cannot be looked at, and return what is not about this job alone."""
        if error.is_transient or isinstance(error, NebulaExplorerLoginError):
            return error  # the job is still in the bookmark, so is waited for anew
        if isinstance(error, NebulaExplorerNotFoundError):
            log.warning("Job %s is skipped, as it is gone: %s", job_id, error)
            self._bookmark.acknowledge(job_id)
            return None
        if job_id not in self._refused:
            log.warning("The details of job %s cannot be read, will try again: %s", job_id, error)
        self._refused[job_id] = time.monotonic() + _REFUSED_SECONDS
        return None


def _first_list_from(clock: int | None, newest: int | None) -> int:
    if clock is None:
        return 0
    return clock - _FIRST_MS if newest is None else min(clock - _FIRST_MS, newest - MARGIN_MS)


def _explorers_own(clock: int | None, newest: int | None) -> int | None:
    """Return what Explorer's own clock is past: the one that answers tell may be a gateway's, and ahead.

    :param newest: when the newest job that was shown was created; ``None`` where none was.
    """
    return newest if clock is None or newest is None else min(clock, newest)
