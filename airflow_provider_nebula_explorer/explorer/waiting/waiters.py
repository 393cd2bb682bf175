"""The waits for jobs on an event loop, and how they react to what a watcher reports."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import math
import time
from collections.abc import Collection

from airflow_provider_nebula_explorer.exceptions import NebulaExplorerError, NebulaExplorerTimeoutError
from airflow_provider_nebula_explorer.explorer.models import Job, JobStatus
from airflow_provider_nebula_explorer.explorer.waiting.outcome import FailedPolls, JobProgress, is_over

log = logging.getLogger(__name__)


class Wait:
    """One who waits for a job.

    :param targets: statuses that end the wait before the job is final.
    :param interval: seconds between two looks.
    :param deadline: when to give up, on :func:`time.monotonic`'s clock.
    :param status: what was told of the job before.
    """

    __slots__ = ("_context", "_progress", "deadline", "future", "interval", "job_id", "looks", "targets")

    def __init__(
        self,
        job_id: int,
        targets: Collection[JobStatus],
        interval: float,
        deadline: float,
        status: JobStatus | None = None,
    ) -> None:
        self.job_id = job_id
        self.targets = targets
        self.interval = interval
        self.deadline = deadline
        self.looks: FailedPolls | None = None  # from the first that fails on
        self.future: asyncio.Future[Job] = asyncio.get_running_loop().create_future()
        self._progress = JobProgress(status)
        self._context = contextvars.copy_context()  # where its log lines belong

    def observe(self, job: Job) -> None:
        """Take note of a job's details; they end the wait where it is over."""
        self.observe_status(job.status)
        if is_over(job.status, self.targets) and not self.future.done():
            self.future.set_result(job)

    def observe_status(self, status: JobStatus) -> None:
        """Take note of a status; where the wait is over, its end takes the job's details."""
        self.looks = None
        if is_over(status, self.targets):
            return  # whoever is told of the end logs it
        for level, line in self._progress.changes(status, f"Job {self.job_id}", time.monotonic()):
            self._context.run(log.log, level, "%s", line)
        self._give_up_where_late()

    def failed(self, error: NebulaExplorerError, limit: int) -> None:
        """Take note of a failed look; ``limit`` of them in a row end the wait."""
        self.looks = self.looks or FailedPolls(f"job {self.job_id}", limit)
        try:
            line = self.looks.failed(error)
        except NebulaExplorerError as last:
            self.end(last)
            return
        if self.looks.failures == 1:
            self._context.run(log.warning, "%s", line)
        self._give_up_where_late()

    def end(self, error: Exception) -> None:
        """End the wait in an error."""
        if not self.future.done():
            self.future.set_exception(error)

    def _give_up_where_late(self) -> None:
        if time.monotonic() >= self.deadline:
            self.time_out()

    def time_out(self) -> None:
        """End the wait as its time is over."""
        self.end(NebulaExplorerTimeoutError(f"Job {self.job_id} was not final in time. It continues."))


class Watched:
    """A job that somebody waits for.

    ``status`` is what all who wait were last told; ``None`` where one of them has to be told anew.
    """

    __slots__ = ("deadline", "interval", "is_being_fetched", "status", "waits")

    def __init__(self) -> None:
        self.waits: list[Wait] = []
        self.interval = self.deadline = math.inf
        self.is_being_fetched = False
        self.status: JobStatus | None = None

    def add(self, wait: Wait) -> None:
        """Let another wait for the job."""
        self.waits.append(wait)
        self._waits_changed()

    def remove(self, wait: Wait) -> None:
        """Let one wait no more."""
        self.waits.remove(wait)
        self._waits_changed()

    def _waits_changed(self) -> None:
        self.interval = min((wait.interval for wait in self.waits), default=math.inf)
        self.deadline = min((wait.deadline for wait in self.waits), default=math.inf)
        self.status = None

    def wants_details(self, status: JobStatus) -> bool:
        """Say whether a status ends the wait of somebody."""
        return any(is_over(status, wait.targets) for wait in self.waits)

    def observe(self, job: Job) -> None:
        """Tell all who wait the job's details."""
        self.status = job.status
        for wait in self.waits:
            wait.observe(job)

    def observe_status(self, status: JobStatus) -> None:
        """Tell all who wait the job's status."""
        self.status = status
        for wait in self.waits:
            wait.observe_status(status)

    def failed(self, error: NebulaExplorerError, limit: int) -> None:
        """Tell all who wait of a failed look; ``limit`` of them in a row end a wait."""
        self.status = None
        for wait in self.waits:
            wait.failed(error, limit)
