"""What a wait logs and when it ends. Pure, so that every kind of wait logs and decides the same."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from datetime import timedelta

from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerConnectionError,
    NebulaExplorerError,
    NebulaExplorerJobError,
)
from airflow_provider_nebula_explorer.explorer.models import Job, JobStatus, Task, one_line

TASKS_SHOWN = 50
"""A log or an error shows no more of a job's tasks: a screen full."""

LogLine = tuple[int, str]
"""A level of :mod:`logging`, and a line for the task's log."""


def is_over(status: JobStatus, targets: Collection[JobStatus]) -> bool:
    """Say whether a status ends a wait for one of ``targets``, well or not."""
    return status in targets or status.is_final


def has_reached(job: Job, targets: Collection[JobStatus], url: str | None = None) -> bool:
    """Say whether a wait for one of ``targets`` is over.

    :param url: the address of the job's page, for the error.
    :raises NebulaExplorerJobError: if the job is final in another status, so that it will never reach them.
    """
    if not is_over(job.status, targets):
        return False
    if job.status in targets:
        return True
    names = " or ".join(sorted(status.name for status in targets))
    text = f"{describe(job)} ended {job.status.name}, not {names}.{_failed_tasks(job)}"
    raise NebulaExplorerJobError(text, job, url)


def describe(job: Job) -> str:
    """Return a job's id and, where known, its name: ``Job 1964 (workflow_xkkjf_20220712103332)``."""
    return f"Job {job.id} ({one_line(job.name)})" if job.name else f"Job {job.id}"


def describe_task(task: Task) -> str:
    """Return a task's name and id."""
    return f"{one_line(task.name)} ({one_line(task.id)})"


def _failed_tasks(job: Job) -> str:
    failed = job.failed_tasks
    shown = ", ".join(f"{describe_task(task)}: {task.status.name}" for task in failed[:TASKS_SHOWN])
    return f" Tasks that did not succeed: {shown}{_more(len(failed))}." if failed else ""


def _more(count: int) -> str:
    return f", and {count - TASKS_SHOWN} more" if count > TASKS_SHOWN else ""


class JobProgress:
    """Turns what polls show of a job into log lines: one for each change, none for each poll.

    :param status: the job's status, where another process has logged it already.
    """

    __slots__ = ("_since", "status")

    def __init__(self, status: JobStatus | None = None) -> None:
        self.status = status
        self._since: float | None = None

    def lines(self, job: Job, now: float) -> Iterator[LogLine]:
        """Yield what is new about a job, and how all of it ended.

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
    for task in job.tasks[:TASKS_SHOWN]:
        ran = f", {_seconds(task.duration.total_seconds())}" if task.duration else ""
        yield logging.INFO, f"  task {describe_task(task)}: {task.status.name}{ran}"
    if len(job.tasks) > TASKS_SHOWN:
        yield logging.INFO, f"  and {len(job.tasks) - TASKS_SHOWN} more tasks"


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 60 else str(timedelta(seconds=round(seconds)))


class FailedPolls:
    """Counts failed polls in a row, and ends a wait in which too many of them fail.

    :param subject: what is polled, as ``job 1964``.
    :param limit: how many polls may fail in a row; the last of them ends the wait.
    :param failures: how many failed before, in another process.
    """

    __slots__ = ("_limit", "_subject", "failures")

    def __init__(self, subject: str, limit: int, failures: int = 0) -> None:
        self._subject = subject
        self._limit = limit
        self.failures = failures

    def succeeded(self) -> None:
        """Take note of a poll that got a response."""
        self.failures = 0

    def failed(self, error: NebulaExplorerError) -> str:
        """Take note of a poll that failed.

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
