# SPDX-License-Identifier: Apache-2.0
"""Blocking polls, for a wait in a worker: of one job, or for a workflow's first success."""

from __future__ import annotations

import logging
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from airflow_provider_nebula_explorer.exceptions import NebulaExplorerError, NebulaExplorerTimeoutError
from airflow_provider_nebula_explorer.explorer.arguments import parse_id
from airflow_provider_nebula_explorer.explorer.client import api
from airflow_provider_nebula_explorer.explorer.client.lists import decisive_job, search
from airflow_provider_nebula_explorer.explorer.client.protocol import Call, T
from airflow_provider_nebula_explorer.explorer.interval import Interval, age
from airflow_provider_nebula_explorer.explorer.metrics import increment
from airflow_provider_nebula_explorer.explorer.models import Job
from airflow_provider_nebula_explorer.explorer.waiting.events import read_job
from airflow_provider_nebula_explorer.explorer.waiting.outcome import FailedPolls, describe_window
from airflow_provider_nebula_explorer.explorer.waiting.progress import JobProgress

log = logging.getLogger(__name__)

Clock = Callable[[], float]
"""A monotonic clock, in seconds."""

Sleep = Callable[[float], None]
"""Makes a pause of this many seconds."""


class SyncClient(Protocol):
    """What makes blocking calls."""

    def run(self, call: Call[T]) -> T:
        """Make a call."""

    @property
    def server_time(self) -> float | None:
        """Explorer's clock in its last response, in epoch seconds; ``None`` if that had no ``Date``."""


class Poller(ABC):
    """Polls Explorer for one thing, and tolerates failed polls.

    :param client: makes the calls.
    :param subject: what is polled, as ``job 1964``.
    :param max_failures: how many polls may fail in a row; the last of them is an error.
    """

    def __init__(self, client: SyncClient, subject: str, max_failures: int, clock: Clock) -> None:
        self._client = client
        self._failed_polls = FailedPolls(subject, max_failures)
        self._clock = clock
        self._begun = clock()

    @property
    def failed_polls(self) -> int:
        """How many polls in a row failed, including the last one."""
        return self._failed_polls.failures

    def poll(self) -> Job | None:
        """Return the job; ``None`` if there is none yet, or if the poll failed and a later one may not.

        :raises NebulaExplorerError: if the wait has to end.
        """
        increment("polls")
        try:
            job = self._fetch()
        except NebulaExplorerError as error:
            log.warning("%s", self._failed_polls.failed(error))
            return None
        self._failed_polls.succeeded()
        return job

    def pause(self, interval: Interval) -> float:
        """Return the seconds to the next poll; after one that failed, they are the longest."""
        return interval.longest if self.failed_polls else interval.after(self._clock() - self._begun)

    @abstractmethod
    def _fetch(self) -> Job | None: ...


class JobPoller(Poller):
    """Polls one job, and logs what is new about it.

    :param client: makes the calls.
    :param job_id: a number, or text of digits.
    :param max_failures: how many polls may fail in a row; the last of them is an error.
    """

    def __init__(
        self, client: SyncClient, job_id: int | str, *, max_failures: int, clock: Clock = time.monotonic
    ) -> None:
        self._job_id = parse_id("job_id", job_id)
        super().__init__(client, f"job {self._job_id}", max_failures, clock)
        self._progress = JobProgress()

    def _fetch(self) -> Job:
        job = self._client.run(api.get_job(self._job_id))
        # A wait that resumes, in a retry for example, continues with the age of its job.
        created = None if job.create_time is None else job.create_time.timestamp()
        self._begun = min(self._begun, self._clock() - age(created, self._client.server_time))
        _log_progress(self._progress, job, self._clock(), self._begun)
        return job


class WorkflowPoller(Poller):
    """Polls for the first job of a workflow that succeeded.

    :param client: makes the calls.
    :param workflow_id: a number, or text of digits.
    :param name: the job's name, as Explorer's own search understands it; ``None`` for any.
    :param created_after: jobs created before it do not count.
    :param created_before: jobs created after it do not count; ``None``: whenever they are created.
    :param fail_on_failed_job: whether the newest job that ended otherwise is returned if none has succeeded.
    :param max_failures: how many polls may fail in a row; the last of them is an error.
    """

    def __init__(
        self,
        client: SyncClient,
        workflow_id: int | str,
        *,
        name: str | None,
        created_after: datetime | str | None,
        created_before: datetime | str | None = None,
        fail_on_failed_job: bool = False,
        max_failures: int,
        clock: Clock = time.monotonic,
    ) -> None:
        workflow = parse_id("workflow_id", workflow_id)
        super().__init__(client, f"workflow {workflow}", max_failures, clock)
        self._workflow_id = workflow
        self._window = api.job_filter(name=name, created_after=created_after, created_before=created_before)
        self._fail_on_failed_job = fail_on_failed_job
        window = describe_window(created_after, created_before)
        log.info("Waiting for a job of workflow %s, %s, to succeed.", workflow, window)

    def _fetch(self) -> Job | None:
        # A list's jobs come without their tasks.
        steps = decisive_job(self._workflow_id, self._window, fail_on_failed_job=self._fail_on_failed_job)
        found = search(self._client.run, steps)
        return None if found is None else self._client.run(api.get_job(found.id))


def wait_for_job(
    client: SyncClient,
    job_id: int | str,
    *,
    interval: Interval,
    timeout: float | None = None,
    max_failures: int,
    clock: Clock = time.monotonic,
    sleep: Sleep = time.sleep,
) -> Job:
    """Wait until a job is final, and log its changes.

    :param client: makes the calls.
    :param interval: the time between two polls.
    :param timeout: seconds to wait at most; ``None`` to wait forever.
    :param max_failures: how many polls may fail in a row; the last of them is an error.
    :return: the final job, no matter how it ended.
    :raises NebulaExplorerTimeoutError: if it is not final in time; the job continues.
    :raises NebulaExplorerConnectionError: if too many polls in a row failed.
    """
    deadline = clock() + (math.inf if timeout is None else timeout)
    poller = JobPoller(client, job_id, max_failures=max_failures, clock=clock)
    while True:
        job = poller.poll()
        if job is not None and job.status.is_final:
            return job
        left = deadline - clock()
        if left <= 0:
            raise NebulaExplorerTimeoutError(
                f"Job {job_id} was not final after {timeout:g} s. It was not cancelled and continues."
            )
        sleep(min(poller.pause(interval), left))


def poll_until_seen(
    fetch: Callable[[], T], failed_polls: FailedPolls, *, pause: float, sleep: Sleep = time.sleep
) -> T:
    """Return what a poll shows; one that fails is repeated.

    :param fetch: makes the poll.
    :param failed_polls: counts those that fail.
    :param pause: seconds after a failed poll.
    :raises NebulaExplorerError: if too many polls in a row failed, or another one would not help.
    """
    while True:
        try:
            return fetch()
        except NebulaExplorerError as error:
            log.warning("%s", failed_polls.failed(error))
        sleep(pause)


def job_of_event(event: object) -> Job:
    """Return the job that a trigger's event contains, and log how it ended, as a poll would.

    :raises NebulaExplorerError: the error that the event contains.
    """
    job = read_job(event)
    _log_progress(JobProgress(), job, 0.0, 0.0)
    return job


def _log_progress(progress: JobProgress, job: Job, now: float, begun: float) -> None:
    for level, line in progress.lines(job, now, begun):
        log.log(level, "%s", line)
