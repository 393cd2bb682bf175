# SPDX-License-Identifier: Apache-2.0
"""Polls jobs for their waiters: makes the requests that the planner plans, and reports what they show."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerApiError,
    NebulaExplorerError,
    NebulaExplorerLoginError,
)
from airflow_provider_nebula_explorer.explorer.client import api
from airflow_provider_nebula_explorer.explorer.client.api import JobSummary
from airflow_provider_nebula_explorer.explorer.interval import age
from airflow_provider_nebula_explorer.explorer.models import Job, JobStatus
from airflow_provider_nebula_explorer.explorer.waiting.fetch_queue import FetchQueue, StartTask
from airflow_provider_nebula_explorer.explorer.waiting.outcome import unexpected
from airflow_provider_nebula_explorer.explorer.waiting.planner import PageRequest, PollPlanner
from airflow_provider_nebula_explorer.explorer.waiting.progress import TaskTurns
from airflow_provider_nebula_explorer.explorer.waiting.schedule import Schedule
from airflow_provider_nebula_explorer.explorer.waiting.waiters import Waiter, WatchedJob

if TYPE_CHECKING:
    from airflow_provider_nebula_explorer.explorer.client.async_client import AsyncClient

log = logging.getLogger(__name__)


class SharedPoll:
    """All jobs that somebody waits for, and the polls that their waiters share.

    One failed poll ends no wait. A refused login ends all waits; the refusal of a job ends its own.

    :param client: returns the client.
    :param start: starts a background task.
    :param schedule: says when to poll; what polls show moves its times.
    :param clock: a monotonic clock, in seconds.
    """

    def __init__(
        self,
        client: Callable[[], Awaitable[AsyncClient]],
        start: StartTask,
        schedule: Schedule,
        clock: Callable[[], float],
    ) -> None:
        self._client = client
        self._schedule = schedule
        self._clock = clock
        self._planner = PollPlanner()
        self._jobs: dict[int, WatchedJob] = {}
        self._queue = FetchQueue(self._fetch_from_queue, start)
        self._task_turns = TaskTurns()
        self._task_queue = FetchQueue(self._fetch_tasks, start, at_once=1)  # as others must not wait for it

    def add(self, waiter: Waiter, seen: JobSummary | None) -> WatchedJob:
        """Report to a waiter from now on, and return its job.

        :param seen: what a poll just before showed of the job.
        """
        job = self._jobs.get(waiter.job_id)
        if job is None:
            job = self._jobs[waiter.job_id] = WatchedJob(self._clock())
            self._planner.watch(waiter.job_id)
            self._task_turns.fetched(waiter.job_id, self._clock())
            if seen is not None:
                self._planner.learn(seen)
        job.add(waiter)
        return job

    def remove(self, waiter: Waiter) -> WatchedJob:
        """Report to a waiter no more, and return its job."""
        job = self._jobs[waiter.job_id]
        job.remove(waiter)
        if not job.waiters:
            del self._jobs[waiter.job_id]
            self._planner.forget(waiter.job_id)
            self._task_turns.forget(waiter.job_id)
        return job

    async def poll(self, due: Iterable[int]) -> None:
        """Poll these jobs, except those whose fetch is under way.

        :raises NebulaExplorerLoginError: if the login is refused for good.
        """
        unseen = {job_id for job_id in due if job_id not in self._queue}
        try:
            await self._poll_all(unseen)
        except NebulaExplorerLoginError:
            raise
        except Exception as error:  # noqa: BLE001 - a defect, or a response that nobody thought of
            await self._poll_failed(unseen, unexpected(error))
        turns = self._task_turns.take(self._clock())
        self._task_queue.add(it for it in turns if self._jobs[it].status is not JobStatus.PREPARING)

    async def end_all(self, error: Exception) -> None:
        """End all waits in an error."""
        self._queue.clear()
        self._task_queue.clear()
        await self._for_each(list(self._jobs), lambda job: job.end(error))

    async def _poll_all(self, unseen: set[int]) -> None:
        """Poll until each job was seen or queued, or its poll has failed; take it from ``unseen`` then."""
        while unseen:
            # To find jobs that nobody waits for any more one by one would hold the event loop for seconds.
            unseen.intersection_update(self._jobs)
            plan = self._planner.plan(unseen)
            self._queue.add(plan.singles)
            unseen.difference_update(plan.singles)
            if plan.probe is not None:
                unseen.discard(plan.probe)
                await self._probe(plan.probe, unseen)
            for request in plan.requests:
                # An earlier page may have shown its jobs already, as they changed meanwhile.
                if not unseen.isdisjoint(request.job_ids) and not await self._list(request, unseen):
                    break

    async def _probe(self, job_id: int, unseen: set[int]) -> None:
        """Fetch the job that says where lists begin. If two jobs cannot be fetched, the poll has failed."""
        if not await self._fetch(job_id):
            return
        self._planner.set_aside(job_id)
        unseen.intersection_update(self._jobs)
        if unseen and (error := await self._fetch(unseen.pop())):
            await self._poll_failed(unseen, error)
            unseen.clear()

    async def _list(self, request: PageRequest, unseen: set[int]) -> bool:
        """Fetch a page, and say whether it accounts for all jobs that it should show."""
        try:
            client = await self._client()
            page = await client.run(
                api.list_summaries(
                    request.job_list.workflow_id,
                    status=request.job_list.status,
                    created_from=request.created_from,
                    created_to=request.created_to,
                    page_size=self._planner.page_size,
                    known=self._planner.known,
                )
            )
        except NebulaExplorerError as error:
            _raise_if_login_is_refused(error)
            await self._list_failed(request, unseen, error)
            return False
        contents = self._planner.read(request, page)
        self._observe(contents.seen, client.server_time)
        self._queue.add(contents.missing)
        unseen.difference_update(contents.missing, contents.seen)
        return unseen.isdisjoint(request.job_ids)

    async def _list_failed(self, request: PageRequest, unseen: set[int], error: NebulaExplorerError) -> None:
        if not error.is_transient:
            self._planner.refused(request, may_be_too_large=error.may_be_too_large)
            return  # and the poll goes on, by another plan
        unseen.intersection_update(self._jobs)  # one that nobody waits for any more would not be fetched
        if _is_asked_to_wait(error) or (unseen and await self._fetch(unseen.pop())):
            await self._poll_failed(unseen, error)
        else:
            self._queue.add(unseen)  # as jobs can be fetched, only the lists are broken
        unseen.clear()

    def _observe(self, seen: Mapping[int, JobSummary], server_time: float | None) -> None:
        now = self._clock()
        self._observe_ages({job_id: _age(it, server_time) for job_id, it in seen.items()}, now)
        for job_id, summary in seen.items():
            job = self._jobs[job_id]
            if not job.is_news(summary.status, now):
                continue
            if job.is_over(summary.status):
                self._queue.add([job_id])
            else:
                job.observe_status(summary.status, now)

    def _observe_ages(self, ages: Mapping[int, float], now: float) -> None:
        self._schedule.observed(ages, now)
        for job_id, seconds in ages.items():
            self._jobs[job_id].observe_age(seconds, now)

    async def _fetch_from_queue(self, job_id: int) -> None:
        try:
            await self._fetch(job_id)
        except NebulaExplorerLoginError as error:
            await self.end_all(error)
        except Exception as error:  # noqa: BLE001 - a defect, or a response that nobody thought of
            await self._poll_failed([job_id], unexpected(error))

    async def _fetch(self, job_id: int) -> NebulaExplorerError | None:
        """Fetch a job, and return the error that may be Explorer's trouble and not the job's own.

        :raises NebulaExplorerLoginError: if the login is refused for good, as that concerns all jobs.
        """
        if job_id not in self._jobs:
            return None
        try:
            client = await self._client()
            details = await client.run(api.get_job(job_id))
        except NebulaExplorerError as error:
            _raise_if_login_is_refused(error)
            await self._poll_failed([job_id], error)
            return error if error.is_transient else None
        self._observe_details(job_id, details, client.server_time)
        return None

    def _observe_details(self, job_id: int, details: Job, server_time: float | None) -> None:
        if job := self._jobs.get(job_id):
            summary, now = api.summary_of(details.data), self._clock()
            self._planner.learn(summary)
            self._task_turns.fetched(job_id, now)
            self._observe_ages({job_id: _age(summary, server_time)}, now)
            job.observe(details, now)

    async def _fetch_tasks(self, job_id: int) -> None:
        """Fetch a job to log its tasks. If that fails, the wait is none the worse."""
        if job_id not in self._jobs or job_id in self._queue:
            return
        try:
            client = await self._client()
            self._observe_details(job_id, await client.run(api.get_job(job_id)), client.server_time)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next poll meets it, too
            log.debug("The tasks of job %s cannot be fetched: %s", job_id, error)

    async def _poll_failed(self, job_ids: Collection[int], error: NebulaExplorerError) -> None:
        self._schedule.failed(job_ids, self._clock())
        await self._for_each(job_ids, lambda job: job.poll_failed(error, self._clock()))

    async def _for_each(self, job_ids: Iterable[int], act: Callable[[WatchedJob], None]) -> None:
        for number, job_id in enumerate(job_ids):
            if number % 100 == 99:
                await asyncio.sleep(0)  # each waiter has work to do now: let others run in between
            if job := self._jobs.get(job_id):
                act(job)


def _age(summary: JobSummary, server_time: float | None) -> float:
    return age(summary.created and summary.created / 1000, server_time)


def _is_asked_to_wait(error: NebulaExplorerError) -> bool:
    return isinstance(error, NebulaExplorerApiError) and error.http_status == 429


def _raise_if_login_is_refused(error: NebulaExplorerError) -> None:
    """Raise a permanent refusal of the login. A transient one counts as a failed poll."""
    if isinstance(error, NebulaExplorerLoginError) and not error.is_transient:
        raise error
