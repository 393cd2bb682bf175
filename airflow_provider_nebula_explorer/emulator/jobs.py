# SPDX-License-Identifier: Apache-2.0
"""A job: its state at a given moment, from its plan, its creation and its cancellation."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from airflow_provider_nebula_explorer.emulator.plans import JobPlan
from airflow_provider_nebula_explorer.explorer.models import JobStatus, JsonObject

_ZONE = timezone(timedelta(hours=8))
ZERO_JOB: JsonObject = {
    "id": 0,
    "name": "",
    "workflowId": "",
    "workflowName": "",
    "status": 0,
    "runBeginTime": 0,
    "runEndTime": 0,
    "createTime": 0,
    "tasks": None,
}
"""The details of a job as Go writes them if it has no job."""


@dataclass
class EmulatedJob:
    """One run of a workflow; nothing but a cancellation ever changes it.

    :param input: what the caller gave the job's tasks.
    :param created: when, in epoch seconds.
    :param cancelled: when, in epoch seconds; ``None`` while nobody cancelled it.
    :param clock_ahead: by how many seconds Explorer's clock, which all its times come from, was ahead.
    """

    id: int
    name: str
    workflow_id: str
    workflow_name: str
    plan: JobPlan
    created: float
    input: JsonObject = field(default_factory=dict)
    cancelled: float | None = None
    clock_ahead: float = 0.0

    @property
    def create_time(self) -> int:
        """When it was created, in epoch milliseconds."""
        return self._milliseconds(self.created)

    def status(self, now: float) -> JobStatus:
        """Return the job's status at a moment in epoch seconds."""
        if now >= self._end:
            return self._outcome
        if self.cancelled is not None:
            return JobStatus.STOPPING
        return JobStatus.PREPARING if now < self._begin else JobStatus(self.plan.runs_as)

    def item(self, now: float) -> JsonObject:
        """Return the job as a list of jobs shows it."""
        return {
            "id": self.id,
            "name": self.name,
            "workflowId": self.workflow_id,
            "workflowName": self.workflow_name,
            "status": int(self.status(now)),
            "runBeginTime": self._milliseconds(self._begin) if self._begin <= self._until(now) else 0,
            "runEndTime": self._milliseconds(self._end) if self._end <= now else 0,
            "createTime": self.create_time,
        }

    def details(self, now: float) -> JsonObject:
        """Return the job as its details show it: with its tasks."""
        return {**self.item(now), "tasks": [self._task(index, now) for index in range(len(self.plan.tasks))]}

    def rows(self, task_id: str, now: float) -> list[list[str | None]] | None:
        """Return a task's rows, none before it succeeded; ``None`` if the job has no such task."""
        for index, task in enumerate(self.plan.tasks):
            if self._task_id(index) == task_id:
                succeeded = self._task(index, now)["status"] == JobStatus.SUCCESS
                return [list(row) for row in task.rows] if succeeded else []
        return None

    @property
    def _begin(self) -> float:
        return self.created + self.plan.preparing

    @property
    def _planned_end(self) -> float:
        return math.inf if self.plan.ends is None else self._begin + self.plan.running

    @property
    def _end(self) -> float:
        return self._planned_end if self.cancelled is None else self.cancelled + self.plan.stopping

    @property
    def _outcome(self) -> JobStatus:
        planned = JobStatus.INTERRUPTED if self.plan.ends is None else self.plan.ends
        return planned if self.cancelled is None else JobStatus.INTERRUPTED

    def _until(self, now: float) -> float:
        """Return the moment up to which the plan was followed: now, or the cancellation."""
        return now if self.cancelled is None else min(now, self.cancelled)

    def _task_id(self, index: int) -> str:
        return hashlib.md5(f"{self.id}/{index}/{self.created}".encode(), usedforsecurity=False).hexdigest()

    def _task(self, index: int, now: float) -> JsonObject:
        begin, end = self._span(index)
        until = self._until(now)
        begun, done = begin <= until, end <= until
        closed = end if done else self._end
        return {
            "id": self._task_id(index),
            "name": self.plan.tasks[index].name,
            "runBeginTime": self._iso(begin) if begun else "",
            "runEndTime": self._iso(closed) if begun and closed <= now else "",
            "status": int(self._task_status(index, begun, done, now)),
        }

    def _span(self, index: int) -> tuple[float, float]:
        """Return when a task begins and ends if nobody cancels; never, for a task after the failing one."""
        if index > self.plan.last:
            return math.inf, math.inf
        share = self.plan.running / (self.plan.last + 1)
        begin = self._begin + index * share
        return begin, self._planned_end if index == self.plan.last else begin + share

    def _task_status(self, index: int, begun: bool, done: bool, now: float) -> JobStatus:
        if done:
            return self._outcome if index == self.plan.last else JobStatus.SUCCESS
        if now >= self._end:
            return JobStatus.INTERRUPTED
        if not begun:
            return JobStatus.PREPARING
        return JobStatus.RUNNING if self.cancelled is None else JobStatus.STOPPING

    def _iso(self, moment: float) -> str:
        return local_time(moment + self.clock_ahead).isoformat(timespec="seconds")

    def _milliseconds(self, moment: float) -> int:
        return round((moment + self.clock_ahead) * 1000)


def local_time(moment: float) -> datetime:
    """Return a moment in epoch seconds on the clock of Explorer's machine, eight hours ahead of UTC."""
    return datetime.fromtimestamp(moment, _ZONE)
