"""How a wait reacts to what it sees: pure, so that every kind of wait logs and decides the same."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from datetime import timedelta

from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerBadRequestError,
    NebulaExplorerConnectionError,
    NebulaExplorerError,
    NebulaExplorerJobError,
    NebulaExplorerNotFoundError,
)
from airflow_provider_nebula_explorer.explorer.models import Job, JobStatus, Task

LogLine = tuple[int, str]
"""A level of :mod:`logging`, and a line for the task's log."""


def is_over(status: JobStatus, targets: Collection[JobStatus]) -> bool:
    """Say whether a wait for one of ``targets`` ends here, well or not."""
    return status in targets or status.is_final


def has_reached(job: Job, targets: Collection[JobStatus]) -> bool:
    """Say whether a wait for one of ``targets`` is over.

    :raises NebulaExplorerJobError: where the job is final, so will never reach one of them.
    """
    if not is_over(job.status, targets):
        return False
    if job.status in targets:
        return True
    wanted = " or ".join(sorted(status.name for status in targets))
    raise NebulaExplorerJobError(f"{describe(job)} ended {job.status.name}, not {wanted}.{_blame(job)}", job)


def describe(job: Job) -> str:
    """Return a job's id and, where known, its name: ``Job 1964 (workflow_xkkjf_20220712103332)``."""
    return f"Job {job.id} ({job.name})" if job.name else f"Job {job.id}"


def _blame(job: Job) -> str:
    failed = ", ".join(f"{task.name} ({task.id}): {task.status.name}" for task in job.failed_tasks)
    return f" Tasks that did not succeed: {failed}." if failed else ""


def cancel_log_line(job_id: int | str, link: str, reason: str, error: Exception | None) -> LogLine:
    """Return what to say of the cancelling of a job that nobody waits for any more.

    :param link: the address of its page.
    :param reason: why nobody does.
    :param error: what came of the cancelling; ``None`` where it was accepted.
    """
    if error is None:
        return logging.INFO, f"Job {job_id} was cancelled, as {reason}."
    if isinstance(error, (NebulaExplorerBadRequestError, NebulaExplorerNotFoundError)):
        return logging.INFO, f"Job {job_id} was already final, stopping or gone when {reason}."
    where = f"cancel it in Explorer, {link}"
    return (
        logging.ERROR,
        f"Job {job_id} was not cancelled and may keep running, though {reason}: {where}. {error}",
    )


class JobProgress:
    """Turns looks at one job into the lines that a person wants in a log: changes, not polls.

    :param status: what another process has told already.
    """

    __slots__ = ("_since", "status")

    def __init__(self, status: JobStatus | None = None) -> None:
        self.status = status
        self._since: float | None = None

    def lines(self, job: Job, now: float) -> Iterator[LogLine]:
        """Yield what is new about a job, and the whole of its ending.

        :param now: seconds of a monotonic clock.
        """
        changes = list(self.changes(job.status, describe(job), now))
        yield from changes
        if changes and job.status.is_final:
            yield from _ending(job)

    def changes(self, status: JobStatus, subject: str, now: float) -> Iterator[LogLine]:
        """Yield what is new about a job's status.

        :param subject: the job in words.
        :param now: seconds of a monotonic clock.
        """
        before, since = self.status, self._since
        if status == before:
            return
        self.status, self._since = status, now
        after = "" if before is None or since is None else f", after {_seconds(now - since)} of {before.name}"
        yield logging.INFO, f"{subject} is {status.name}{after}."
        if not status.is_known:
            yield logging.WARNING, f"Status {status.value} is unknown to this version; the wait continues."


def _ending(job: Job) -> Iterator[LogLine]:
    if job.duration:
        yield logging.INFO, f"It ran for {_seconds(job.duration.total_seconds())}."
    for task in job.tasks:
        yield logging.INFO, f"  task {_describe_task(task)}"


def _describe_task(task: Task) -> str:
    ran = f", {_seconds(task.duration.total_seconds())}" if task.duration else ""
    return f"{task.name} ({task.id}): {task.status.name}{ran}"


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 60 else str(timedelta(seconds=round(seconds)))


class FailedPolls:
    """Counts failed looks in a row, and ends a wait that sees nothing for too long.

    :param subject: what is looked at, as ``job 1964``.
    :param limit: how many looks may fail in a row; the last of them ends the wait.
    :param failures: how many of them failed before, in another process.
    """

    __slots__ = ("_limit", "_subject", "failures")

    def __init__(self, subject: str, limit: int, failures: int = 0) -> None:
        self._subject = subject
        self._limit = limit
        self.failures = failures

    def succeeded(self) -> None:
        """Take note of a look that saw something."""
        self.failures = 0

    def failed(self, error: NebulaExplorerError) -> str:
        """Take note of a look that saw nothing.

        :return: a line for the log.
        :raises NebulaExplorerError: ``error`` itself where waiting would not help, else
            ``NebulaExplorerConnectionError`` at the limit.
        """
        if not error.is_transient:
            raise error
        self.failures += 1
        if self.failures >= self._limit:
            raise NebulaExplorerConnectionError(
                f"Cannot observe {self._subject}: {self.failures} polls in a row failed. It may still be "
                f"running; this error says nothing about its status. The last error: {error}"
            ) from error
        return f"Poll {self.failures} of {self._limit} for {self._subject} failed, will poll again: {error}"
