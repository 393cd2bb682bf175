# SPDX-License-Identifier: Apache-2.0
"""What a wait logs of its job, and whose tasks are fetched for it. Pure: the time is given."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta

from airflow_provider_nebula_explorer.explorer.models import Job, JobStatus, Task, one_line
from airflow_provider_nebula_explorer.explorer.waiting.outcome import (
    MOST_SHOWN,
    LogLine,
    describe,
    describe_task,
)

TASKS_SECONDS = 600.0
"""The least time between two requests for a job's tasks, which lists do not show."""

_SPACING_SECONDS = 1.0
"""The least time between two such requests for all jobs, on average."""

_MOST_AT_ONCE = 60
"""How many such requests follow each other at most, however long ago the last one was."""

_STUCK_SECONDS = 600.0
"""How long a job may be Preparing before the log says that nothing runs it."""


class JobProgress:
    """Turns what polls show of a job into log lines: one for each change, none for each poll.

    All times are seconds of one monotonic clock.

    :param status: the job's status, where another process has logged it already.
    """

    __slots__ = ("_has_warned", "_since", "_tasks", "status")

    def __init__(self, status: JobStatus | None = None) -> None:
        self.status = status
        self._since: float | None = None
        self._tasks: dict[str, JobStatus] | None = None
        self._has_warned = False

    def lines(self, job: Job, now: float, begun: float) -> Iterator[LogLine]:
        """Yield what is new about a job, and how all of it ended.

        :param begun: when the job was created, or the wait for it began.
        """
        changes = list(self.changes(job.status, describe(job), now, begun))
        yield from changes
        if not job.status.is_final:
            yield from self.task_changes(job, now, begun)
        elif changes:
            yield from _ending(job)

    def changes(self, status: JobStatus, subject: str, now: float, begun: float) -> Iterator[LogLine]:
        """Yield what is new about a job's status.

        :param subject: the job in words.
        :param begun: when the job was created, or the wait for it began.
        """
        if status != self.status:
            yield from self._change(status, subject, now)
        if not self._has_warned and is_stuck(status, now, begun):
            self._has_warned = True
            text = (
                f"{subject} has been {status.name} for {_roughly(now - begun)}: nothing runs it. Check that "
                "Explorer's Dag Controller works; the wait continues."
            )
            yield logging.WARNING, text

    def _change(self, status: JobStatus, subject: str, now: float) -> Iterator[LogLine]:
        before, since = self.status, self._since
        self.status, self._since = status, now
        after = ""
        # How long a job ran in the end, its details say.
        if before is not None and since is not None and not status.is_final:
            after = f", after {_seconds(now - since)} of {before.name}"
        yield logging.INFO, f"{subject} is {status.name}{after}."
        if not status.is_known:
            yield logging.WARNING, f"Status {status.value} is unknown to this version; the wait continues."

    def task_changes(self, job: Job, now: float, begun: float) -> Iterator[LogLine]:
        """Yield the tasks of a job that have changed; at first, those that are running.

        :param begun: when the job was created, or the wait for it began.
        """
        before, self._tasks = self._tasks, {task.id: task.status for task in job.tasks}
        tasks = {task.id: task for task in job.tasks}.values()  # if Explorer repeats an id, one of them
        changed = [task for task in tasks if _has_changed(task, before)]
        done = sum(task.status.is_final for task in tasks)
        state = f"{done} of {len(tasks)} done, after {_roughly(now - begun)}"
        for task in changed[:MOST_SHOWN]:
            name = one_line(task.name or task.id)
            yield logging.INFO, f"Job {job.id}, task {name}: {task.status.name}; {state}"
        if len(changed) > MOST_SHOWN:
            yield logging.INFO, f"  and {len(changed) - MOST_SHOWN} more tasks"


def is_stuck(status: JobStatus, now: float, begun: float) -> bool:
    """Say whether a job has been Preparing for so long that nothing seems to run it.

    :param begun: when the job was created, or the wait for it began, on the clock of ``now``.
    """
    return status is JobStatus.PREPARING and now - begun >= _STUCK_SECONDS


class TaskTurns:
    """Says whose tasks to fetch for the log: each job's at most every ten minutes, about one job a second.

    All times are seconds of one monotonic clock.
    """

    def __init__(self) -> None:
        self._fetched: dict[int, float] = {}  # by job, the longest ago first
        self._next_turn = 0.0

    def fetched(self, job_id: int, now: float) -> None:
        """Take note of a job whose details were fetched, or whose wait begins."""
        self.forget(job_id)
        self._fetched[job_id] = now

    def forget(self, job_id: int) -> None:
        """Give a job no more turns."""
        self._fetched.pop(job_id, None)

    def take(self, now: float) -> list[int]:
        """Return the jobs whose tasks to fetch now; each counts as fetched."""
        due: list[int] = []
        self._next_turn = max(self._next_turn, now - (_MOST_AT_ONCE - 1) * _SPACING_SECONDS)
        while self._next_turn <= now and (job_id := self._oldest(now)) is not None:
            due.append(job_id)
            self.fetched(job_id, now)
            self._next_turn += _SPACING_SECONDS
        return due

    def _oldest(self, now: float) -> int | None:
        job_id, fetched = next(iter(self._fetched.items()), (None, now))
        return job_id if now - fetched >= TASKS_SECONDS else None


def _has_changed(task: Task, before: dict[str, JobStatus] | None) -> bool:
    if before is None:
        return task.status is JobStatus.RUNNING
    return task.status != before.get(task.id, JobStatus.PREPARING)


def _ending(job: Job) -> Iterator[LogLine]:
    if job.duration:
        yield logging.INFO, f"It ran for {_seconds(job.duration.total_seconds())}."
    for task in job.tasks[:MOST_SHOWN]:
        ran = f", {_seconds(task.duration.total_seconds())}" if task.duration else ""
        yield logging.INFO, f"  task {describe_task(task)}: {task.status.name}{ran}"
    if len(job.tasks) > MOST_SHOWN:
        yield logging.INFO, f"  and {len(job.tasks) - MOST_SHOWN} more tasks"


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 60 else str(timedelta(seconds=round(seconds)))


def _roughly(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 60 else f"{seconds // 60:.0f} min"
