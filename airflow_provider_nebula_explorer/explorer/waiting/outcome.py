# SPDX-License-Identifier: Apache-2.0
"""When a wait ends, and in which words. Pure, so that every kind of wait decides the same."""

from __future__ import annotations

from collections.abc import Collection

from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerConnectionError,
    NebulaExplorerError,
    NebulaExplorerJobError,
)
from airflow_provider_nebula_explorer.explorer.models import Job, JobStatus, Task, one_line, show_error

MOST_SHOWN = 50
"""A log or an error shows no more tasks or jobs: a screen full."""

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


def describe_window(created_after: object, created_before: object) -> str:
    """Return which jobs count, as ``created at … or later``.

    :param created_before: ``None``, where nothing limits it.
    """
    until = "" if created_before is None else f" and at {created_before} or before"
    return f"created at {created_after} or later{until}"


def describe_task(task: Task) -> str:
    """Return a task's name and id."""
    return f"{one_line(task.name)} ({one_line(task.id)})"


def _failed_tasks(job: Job) -> str:
    failed = job.failed_tasks
    shown = ", ".join(f"{describe_task(task)}: {task.status.name}" for task in failed[:MOST_SHOWN])
    return f" Tasks that did not succeed: {shown}{more(len(failed))}." if failed else ""


def more(count: int) -> str:
    """Return how many tasks or jobs follow those that are shown; nothing if all are."""
    return f", and {count - MOST_SHOWN} more" if count > MOST_SHOWN else ""


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


def unexpected(error: Exception) -> NebulaExplorerError:
    """Return an error of no known kind as a failed poll: it must not end all waits of an account."""
    failed = NebulaExplorerConnectionError(f"The poll failed unexpectedly: {show_error(error)}")
    failed.__cause__ = error
    return failed
