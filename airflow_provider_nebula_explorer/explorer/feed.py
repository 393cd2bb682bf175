"""Waits for jobs of a workflow that somebody starts: for the first success, or for each."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator
from datetime import datetime

from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerError,
    NebulaExplorerLoginError,
    NebulaExplorerTimeoutError,
)
from airflow_provider_nebula_explorer.explorer import api
from airflow_provider_nebula_explorer.explorer.api import Glance, Glimpse
from airflow_provider_nebula_explorer.explorer.models import Job, JobStatus
from airflow_provider_nebula_explorer.explorer.protocol import Call
from airflow_provider_nebula_explorer.explorer.survey import LARGEST_PAGE
from airflow_provider_nebula_explorer.explorer.waiting import Looks
from airflow_provider_nebula_explorer.explorer.watcher import Watcher

log = logging.getLogger(__name__)

_NOT_FINAL = (JobStatus.PREPARING, JobStatus.RUNNING, JobStatus.STOPPING)


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


class SuccessFeed:
    """Tells each job of a workflow that succeeds, once.

    Each look lists the jobs that were created since the oldest one that may still succeed.

    :param since: jobs created before it do not count, in epoch milliseconds; ``None`` for all jobs but those
        that have succeeded before the first look.
    """

    def __init__(self, workflow_id: int, *, name: str | None, since: int | None) -> None:
        self._workflow_id = workflow_id
        self._name = name
        self._since = since
        self._told: set[int] = set()

    async def news(self, watcher: Watcher) -> AsyncIterator[Job]:
        """Look once, and yield the details of the jobs that have succeeded since the look before.

        A job counts as told when the next one is asked for.
        """
        if self._since is None:
            self._since = await self._oldest_that_may_succeed(watcher)
            self._told = {job.id for job in await self._list(watcher, self._since) if job.status.is_success}
        jobs = await self._list(watcher, self._since)
        for job in jobs:
            if job.status.is_success and job.id not in self._told:
                if details := await self._details(watcher, job.id):
                    yield details
                self._told.add(job.id)
        open_ones = [job for job in jobs if not job.status.is_final]
        self._since = min((_created(job, self._since) for job in open_ones or jobs[-1:]), default=self._since)
        self._told &= {job.id for job in jobs}

    async def _details(self, watcher: Watcher, job_id: int) -> Job | None:
        try:
            return await watcher.run(api.get_job(job_id))
        except NebulaExplorerError as error:
            if error.is_transient or isinstance(error, NebulaExplorerLoginError):
                raise
            log.warning("Job %s has succeeded, but is left out, as it is not shown: %s", job_id, error)
            return None

    async def _oldest_that_may_succeed(self, watcher: Watcher) -> int:
        times: list[int] = []
        for status in _NOT_FINAL:
            oldest = await watcher.run(self._glance(status=status, created_from=0, page_size=1))
            times.extend(_created(job, 0) for job in oldest.jobs)
        if not times:
            newest = api.list_jobs(self._workflow_id, api.job_filter(name=self._name), 1, 1)
            times = [_created(api.glimpse_of(job.data), 0) for job in (await watcher.run(newest)).jobs]
        return min(times, default=0)

    async def _list(self, watcher: Watcher, since: int) -> list[Glimpse]:
        jobs: dict[int, Glimpse] = {}
        while True:
            page = await watcher.run(self._glance(created_from=since, page_size=LARGEST_PAGE))
            before = len(jobs)
            jobs.update((job.id, job) for job in page.jobs if _created(job, since) >= since)
            if page.is_complete or len(jobs) == before:
                return list(jobs.values())
            since = _created(page.jobs[-1], since)

    def _glance(self, *, status: JobStatus | None = None, created_from: int, page_size: int) -> Call[Glance]:
        return api.glance(
            self._workflow_id,
            status=status,
            created_from=created_from,
            name=self._name,
            page_size=page_size,
        )


def _created(job: Glimpse, otherwise: int) -> int:
    return otherwise if job.created is None else job.created
