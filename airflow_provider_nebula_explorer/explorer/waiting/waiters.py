# SPDX-License-Identifier: Apache-2.0
"""Who waits for a job on an event loop, and how a wait reacts to what polls show."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from functools import reduce
from operator import and_

from airflow_provider_nebula_explorer.exceptions import NebulaExplorerError, NebulaExplorerTimeoutError
from airflow_provider_nebula_explorer.explorer.interval import Interval
from airflow_provider_nebula_explorer.explorer.models import Job, JobStatus
from airflow_provider_nebula_explorer.explorer.waiting.outcome import FailedPolls, LogLine, is_over
from airflow_provider_nebula_explorer.explorer.waiting.progress import JobProgress, is_stuck

log = logging.getLogger(__name__)


_NO_INTERVAL = Interval(math.inf, math.inf)


def _new_future() -> asyncio.Future[Job]:
    return asyncio.get_running_loop().create_future()


@dataclass(eq=False, slots=True, kw_only=True)
class Waiter:
    """One wait for a job. Its times, ``now`` among them, are seconds of one monotonic clock.

    :param targets: statuses that end the wait before the job is final.
    :param interval: the time between two polls.
    :param deadline: when to give up.
    :param failed_polls: counts the job's failed polls for this wait alone.
    :param progress: says what to log.
    :param future: the wait's end.
    :param context: where its log lines belong.
    """

    job_id: int
    targets: Collection[JobStatus]
    interval: Interval
    deadline: float
    failed_polls: FailedPolls
    progress: JobProgress
    future: asyncio.Future[Job] = field(default_factory=_new_future)
    context: contextvars.Context = field(default_factory=contextvars.copy_context)

    def observe(self, job: Job, now: float, begun: float) -> None:
        """Take note of a job's details; they end the wait where it is over.

        :param begun: when the job was created, or the first wait for it began.
        """
        self.observe_status(job.status, now, begun)
        if not is_over(job.status, self.targets):
            self._log(self.progress.task_changes(job, now, begun))
        elif not self.future.done():
            self.future.set_result(job)

    def observe_status(self, status: JobStatus, now: float, begun: float) -> None:
        """Take note of a status. Where the wait is over, only the job's details end it."""
        self.failed_polls.succeeded()
        if is_over(status, self.targets):
            return  # whoever gets the details logs the end
        self._log(self.progress.changes(status, f"Job {self.job_id}", now, begun))
        self._give_up_if_late(now)

    def _log(self, lines: Iterable[LogLine]) -> None:
        for level, line in lines:
            self.context.run(log.log, level, "%s", line)

    def poll_failed(self, error: NebulaExplorerError, now: float) -> None:
        """Take note of a failed poll; too many of them in a row end the wait."""
        try:
            line = self.failed_polls.failed(error)
        except NebulaExplorerError as last:
            self.end(last)
            return
        if self.failed_polls.failures == 1:
            self.context.run(log.warning, "%s", line)
        self._give_up_if_late(now)

    def _give_up_if_late(self, now: float) -> None:
        if now >= self.deadline:
            self.time_out()

    def time_out(self) -> None:
        """End the wait as its time is over."""
        self.end(NebulaExplorerTimeoutError(f"Job {self.job_id} was not final in time. It continues."))

    def end(self, error: Exception) -> None:
        """End the wait in an error."""
        if not self.future.done():
            self.future.set_exception(error)


@dataclass(eq=False, slots=True)
class WatchedJob:
    """A job and those who wait for it: what a poll shows is for all of them.

    :param begun: when the job was created, or the first wait for it began.
    :param interval: at each age, the shortest of theirs.
    :param deadline: the earliest of theirs.
    :param status: the one that all of them know; ``None`` if one of them does not, or if a poll failed since.
    :param is_stuck: whether all of them know that nothing seems to run it.
    """

    begun: float
    waiters: list[Waiter] = field(default_factory=list)
    interval: Interval = _NO_INTERVAL
    deadline: float = math.inf
    status: JobStatus | None = None
    is_stuck: bool = False

    def add(self, waiter: Waiter) -> None:
        """Add one who waits."""
        self.waiters.append(waiter)
        self._waiters_changed()

    def remove(self, waiter: Waiter) -> None:
        """Remove one who waits."""
        self.waiters.remove(waiter)
        self._waiters_changed()

    def _waiters_changed(self) -> None:
        self.interval = reduce(and_, (waiter.interval for waiter in self.waiters), _NO_INTERVAL)
        self.deadline = min((waiter.deadline for waiter in self.waiters), default=math.inf)
        self.status = None

    def is_over(self, status: JobStatus) -> bool:
        """Say whether a status ends a wait, for which the job's details are needed."""
        return any(is_over(status, waiter.targets) for waiter in self.waiters)

    def is_news(self, status: JobStatus, now: float) -> bool:
        """Say whether a status that a poll shows concerns a waiter."""
        is_newly_stuck = not self.is_stuck and is_stuck(status, now, self.begun)
        return self.status is not status or now >= self.deadline or is_newly_stuck

    def observe_age(self, seconds: float, now: float) -> None:
        """Take note of how long ago the job was created; 0 if that is not known."""
        self.begun = min(self.begun, now - seconds)

    def observe(self, job: Job, now: float) -> None:
        """Report the job's details to all."""
        self._know(job.status, now)
        for waiter in self.waiters:
            waiter.observe(job, now, self.begun)

    def observe_status(self, status: JobStatus, now: float) -> None:
        """Report the job's status to all."""
        self._know(status, now)
        for waiter in self.waiters:
            waiter.observe_status(status, now, self.begun)

    def _know(self, status: JobStatus, now: float) -> None:
        self.status = status
        self.is_stuck = is_stuck(status, now, self.begun)

    def poll_failed(self, error: NebulaExplorerError, now: float) -> None:
        """Report a failed poll to all."""
        self.status = None
        for waiter in self.waiters:
            waiter.poll_failed(error, now)

    def end(self, error: Exception) -> None:
        """End all waits in an error."""
        for waiter in self.waiters:
            waiter.end(error)
