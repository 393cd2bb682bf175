# SPDX-License-Identifier: Apache-2.0
"""Waits for successes of a workflow, no matter who started the jobs: for the first one, or for each."""

from __future__ import annotations

import asyncio
import heapq
import logging
import math
import time
from collections.abc import Callable
from datetime import datetime

from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerError,
    NebulaExplorerLoginError,
    NebulaExplorerNotFoundError,
    NebulaExplorerTimeoutError,
)
from airflow_provider_nebula_explorer.explorer.client import api
from airflow_provider_nebula_explorer.explorer.client.api import JobSummary
from airflow_provider_nebula_explorer.explorer.client.lists import Search, decisive_job
from airflow_provider_nebula_explorer.explorer.client.protocol import T
from airflow_provider_nebula_explorer.explorer.interval import Interval
from airflow_provider_nebula_explorer.explorer.metrics import increment
from airflow_provider_nebula_explorer.explorer.models import Job, JobStatus
from airflow_provider_nebula_explorer.explorer.successes.bookmark import OVERLAP_MS, Bookmark
from airflow_provider_nebula_explorer.explorer.successes.limits import MOST_OPEN, MOST_WAITS
from airflow_provider_nebula_explorer.explorer.successes.new_jobs import NewJobs, latest
from airflow_provider_nebula_explorer.explorer.waiting.outcome import FailedPolls
from airflow_provider_nebula_explorer.explorer.waiting.schedule import spread
from airflow_provider_nebula_explorer.explorer.waiting.watcher import Watcher

log = logging.getLogger(__name__)

_FIRST_LIST_MS = 3_600_000
"""How far the first list goes back for jobs in an unknown status, as there is no list of those alone."""

_BATCH_SECONDS = 0.2
"""Jobs that end within this time come in one batch."""

_REFUSED_SECONDS = 60.0
"""How long after a refusal the details of a job are requested again."""


async def first_success(
    watcher: Watcher,
    workflow_id: int,
    *,
    name: str | None,
    created_after: datetime | str | None,
    created_before: datetime | str | None = None,
    fail_on_failed_job: bool = False,
    interval: Interval,
    waited: float = 0.0,
    deadline: float = math.inf,
    failed_polls: int = 0,
) -> Job:
    """Wait until a job of a workflow has succeeded, and return its details.

    :param created_after: jobs created before it do not count.
    :param created_before: jobs created after it do not count; ``None``: whenever they are created.
    :param fail_on_failed_job: whether the newest job that ended otherwise is returned if none has succeeded.
    :param interval: the time between two polls.
    :param waited: for how many seconds the wait has lasted already.
    :param deadline: when to give up, after a last poll, on :func:`time.monotonic`'s clock.
    :param failed_polls: how many polls in a row failed before.
    :raises NebulaExplorerTimeoutError: at the deadline.
    :raises NebulaExplorerError: if Explorer refuses, or too many polls in a row failed.
    """
    window = api.job_filter(name=name, created_after=created_after, created_before=created_before)
    failed = FailedPolls(f"workflow {workflow_id}", watcher.max_failures, failed_polls)
    begun = time.monotonic() - waited
    while True:
        increment("polls")
        try:
            steps = decisive_job(workflow_id, window, fail_on_failed_job=fail_on_failed_job)
            if found := await _search(watcher, steps):
                return await watcher.run(api.get_job(found.id))  # as a list's jobs come without their tasks
            failed.succeeded()
        except NebulaExplorerError as error:
            line = failed.failed(error)
            log.log(logging.WARNING if failed.failures == 1 else logging.DEBUG, "%s", line)
        left = deadline - time.monotonic()
        if left <= 0:
            raise NebulaExplorerTimeoutError(f"No job of workflow {workflow_id} succeeded in time.")
        pause = interval.longest if failed.failures else interval.after(time.monotonic() - begun)
        await asyncio.sleep(min(left, spread(pause)))


async def _search(watcher: Watcher, steps: Search[T]) -> T:
    """Make the calls of a search, and return what it finds."""
    try:
        call = next(steps)
        while True:
            call = steps.send(await watcher.run(call))
    except StopIteration as done:
        value: T = done.value
        return value


class SuccessStream:
    """Returns each job of a workflow that succeeds: an asynchronous context, open while it observes.

    A list, which all streams share, shows the new jobs. The watcher waits for those that have not ended,
    together with all other jobs that somebody waits for.

    :param bookmark: where to resume; it is kept up to date. A new one begins with the jobs that have not
        succeeded yet.
    :param name: the jobs' name, as Explorer's own search understands it; ``None`` for any.
    :param not_before: jobs created before it do not count, in epoch milliseconds.
    :param interval: seconds between two polls.
    :param clock: the one of ``new_jobs``.
    """

    def __init__(
        self,
        watcher: Watcher,
        new_jobs: NewJobs,
        bookmark: Bookmark,
        workflow_id: int,
        *,
        name: str | None = None,
        not_before: int = 0,
        interval: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._watcher = watcher
        self._new_jobs = new_jobs
        self._bookmark = bookmark
        self._workflow_id = workflow_id
        self._name = name
        self._not_before = not_before
        self._interval = interval
        self._clock = clock
        self._next_poll = -math.inf
        self._summaries: dict[int, JobSummary] = {}
        self._waits: dict[int, asyncio.Task[Job]] = {}
        self._refused_until: dict[int, float] = {}
        self._has_warned = False

    async def __aenter__(self) -> SuccessStream:  # noqa: PYI034 - typing.Self needs Python 3.11
        return self

    async def __aexit__(self, *error: object) -> None:
        for wait in self._waits.values():
            wait.cancel()
        await asyncio.gather(*self._waits.values(), return_exceptions=True)

    async def next_batch(self) -> list[Job]:
        """Wait until jobs have succeeded, or until the next poll, and return those jobs' details.

        Each job is returned once, but stays in the bookmark until :meth:`Bookmark.acknowledge` takes it out.

        :raises NebulaExplorerError: if Explorer cannot be observed; nothing is lost by that.
        """
        if self._clock() >= self._next_poll:
            is_first = self._bookmark.since is None
            await self._poll()
            self._next_poll = self._new_jobs.next_poll(self._interval)
            if is_first:
                return []  # at once, so that the bookmark is saved: another process would begin later
        await self._begin_waits()
        await self._sleep_until_some_end()
        return self._take_ended()

    async def _poll(self) -> None:
        # The time before the list, as the list shows all jobs that were created until then.
        clock, now = await self._new_jobs.server_time(self._workflow_id), int(time.time() * 1000)
        newest = self._new_jobs.newest
        if self._bookmark.since is None:
            await self._poll_first(clock, now, await self._newest() if newest is None else newest)
            return
        jobs = await self._list(since=max(self._bookmark.list_from(clock, now), self._not_before))
        new = self._bookmark.learn(jobs, _explorers_own(clock, latest(jobs, newest)), now)
        self._summaries = {job.id: job for job in new}

    async def _poll_first(self, clock: int | None, now: int, newest: int | None) -> None:
        jobs = await self._list(since=_first_list_from(clock, newest))
        unfinished = await self._list_unfinished()
        self._bookmark.begin(jobs, unfinished, _explorers_own(clock, latest(jobs, newest)), now)

    async def _newest(self) -> int | None:
        """Return when the workflow's newest job was created, in epoch milliseconds; ``None``: it has none."""
        page = await self._watcher.run(
            api.list_jobs(self._workflow_id, api.job_filter(name=self._name), page=1, page_size=1)
        )
        return latest((api.summary_of(job.data) for job in page.items), None)

    async def _list(self, *, since: int, status: JobStatus | None = None) -> list[JobSummary]:
        return await self._new_jobs.jobs(self._workflow_id, since=since, name=self._name, status=status)

    async def _list_unfinished(self) -> list[JobSummary]:
        jobs: list[JobSummary] = []
        # One after the other, in the order of a job's life, so that no job moves from list to list unseen.
        for status in (JobStatus.PREPARING, JobStatus.RUNNING, JobStatus.STOPPING):
            jobs.extend(await self._list(since=0, status=status))
        return jobs

    async def _begin_waits(self) -> None:
        wanted = self._bookmark.unreported
        if len(wanted) > MOST_WAITS:
            self._warn_of(len(wanted))
            wanted = set(heapq.nlargest(MOST_WAITS, wanted))
            # Jobs that never end must not keep newer ones from being waited for.
            for job_id in [it for it, wait in self._waits.items() if it not in wanted and not wait.done()]:
                self._waits.pop(job_id).cancel()
        for number, job_id in enumerate(wanted.difference(self._waits)):
            if number % 100 == 99:
                await asyncio.sleep(0)  # many may begin at once: let others run in between
            if self._refused_until.get(job_id, -math.inf) <= self._clock():
                self._waits[job_id] = asyncio.create_task(
                    self._end_of(job_id), name=f"nebula_explorer job {job_id}"
                )

    def _warn_of(self, count: int) -> None:
        if not self._has_warned:
            self._has_warned = True
            log.warning(
                "Workflow %s has %d jobs without an event. The newest %d are waited for first; "
                "beyond the newest %d, none will have an event.",
                self._workflow_id,
                count,
                MOST_WAITS,
                MOST_OPEN,
            )

    async def _end_of(self, job_id: int) -> Job:
        seen = self._summaries.pop(job_id, None)
        if seen and seen.status.is_final:
            job = await self._watcher.run(api.get_job(job_id))
            if job.status.is_final:
                return job  # else its details lag behind the list
        return await self._watcher.job(job_id, interval=self._interval, seen=seen)

    async def _sleep_until_some_end(self) -> None:
        left = max(0.0, self._next_poll - self._clock())
        if not self._waits:
            await asyncio.sleep(left)
            return
        waits = self._waits.values()
        done, _ = await asyncio.wait(waits, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        if done:
            await asyncio.wait(waits, timeout=_BATCH_SECONDS)

    def _take_ended(self) -> list[Job]:
        jobs: list[Job] = []
        trouble: NebulaExplorerError | None = None
        for job_id in [job_id for job_id, wait in self._waits.items() if wait.done()]:
            try:
                job = self._waits.pop(job_id).result()
            except NebulaExplorerError as error:
                trouble = self._failed(job_id, error) or trouble
                continue
            self._refused_until.pop(job_id, None)
            if job.status.is_success:
                self._bookmark.send(job_id)
                jobs.append(job)
            else:
                self._bookmark.acknowledge(job_id)
        if trouble and not jobs:
            raise trouble
        return jobs

    def _failed(self, job_id: int, error: NebulaExplorerError) -> NebulaExplorerError | None:
        """Take note that a wait for a job failed, and return the error if other jobs would meet it, too."""
        if error.is_transient or isinstance(error, NebulaExplorerLoginError):
            return error  # the job is still in the bookmark, so another wait for it begins
        if isinstance(error, NebulaExplorerNotFoundError):
            log.warning("Job %s is skipped, as it is gone: %s", job_id, error)
            self._bookmark.acknowledge(job_id)
            return None
        if job_id not in self._refused_until:
            log.warning("The details of job %s cannot be read, will try again: %s", job_id, error)
        self._refused_until[job_id] = self._clock() + _REFUSED_SECONDS
        return None


def _first_list_from(clock: int | None, newest: int | None) -> int:
    if clock is None:
        return 0
    return clock - _FIRST_LIST_MS if newest is None else min(clock - _FIRST_LIST_MS, newest - OVERLAP_MS)


def _explorers_own(clock: int | None, newest: int | None) -> int | None:
    """Return a time that Explorer's own clock has passed.

    :param clock: the one in a response: it may be a gateway's, and ahead of Explorer's.
    :param newest: when the newest job that was shown was created; ``None`` if no job was.
    """
    return newest if clock is None or newest is None else min(clock, newest)
