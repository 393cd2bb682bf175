# SPDX-License-Identifier: Apache-2.0
"""What an emulated job will do: plain values, written in Python or read from JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from airflow_provider_nebula_explorer.explorer.models import JobStatus

_ENDS = (JobStatus.SUCCESS, JobStatus.FAILED, JobStatus.INTERRUPTED)
_T = TypeVar("_T")


def _end(value: JobStatus | int | str | None) -> JobStatus | None:
    if value is None:
        return None
    named = JobStatus.__members__.get(value.upper()) if isinstance(value, str) else value
    end = next((end for end in _ENDS if end == named), None)
    _require(end is not None, "ends", value, "SUCCESS, FAILED, INTERRUPTED or null")
    return end


def _require(holds: bool, name: str, value: object, allowed: str) -> None:
    if not holds:
        raise ValueError(f"{name!r} is {value!r:.80}; allowed: {allowed}")


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _is_seconds(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < math.inf


def _is_not_final(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and not JobStatus(value).is_final


def _is_table(rows: object) -> bool:
    if not isinstance(rows, (list, tuple)) or not all(isinstance(row, (list, tuple)) for row in rows):
        return False
    cells = [cell for row in rows for cell in row]
    are_cells = all(cell is None or isinstance(cell, str) for cell in cells)
    return are_cells and {len(row) for row in rows} in ({2}, {3}, set())


@dataclass(frozen=True)
class TaskPlan:
    """One component of a workflow.

    :param name: the component's name, such as ``query_1``.
    :param rows: its result: rows of 2 or 3 text columns; ``None`` for a cell that is null.
    :param fails: whether a failing job fails at this task.
    :raises ValueError: if a value is wrong.
    """

    name: str
    rows: tuple[tuple[str | None, ...], ...] = (("player110", "0.150000"), ("player106", "0.120000"))
    fails: bool = False

    def __post_init__(self) -> None:
        _require(_is_name(self.name), "name", self.name, "a text that is not empty")
        _require(_is_table(self.rows), "rows", self.rows, "a list of rows, all of 2 or 3 texts or nulls")
        _require(isinstance(self.fails, bool), "fails", self.fails, "true or false")
        object.__setattr__(self, "rows", tuple(tuple(row) for row in self.rows))


@dataclass(frozen=True)
class JobPlan:
    """What the jobs of a workflow do.

    :param preparing: seconds from a job's creation until it runs.
    :param running: seconds from then until it ends, shared by the tasks that run.
    :param stopping: seconds from its cancellation until it is Interrupted.
    :param ends: how a job ends if nobody cancels it: Success, Failed or Interrupted, as a status, its number
        or its name; with ``None``, it runs until it is cancelled.
    :param runs_as: the job's status code while it runs; an unknown one simulates a newer Explorer.
    :param tasks: its tasks, which run one after the other. A job that ends without success does so at the
        task with ``fails``, else at its last; the tasks after that one are Interrupted.
    :raises ValueError: if a value is wrong.
    """

    preparing: float = 0.0
    running: float = 1.0
    stopping: float = 1.0
    ends: JobStatus | None = JobStatus.SUCCESS
    tasks: tuple[TaskPlan, ...] = (TaskPlan("query_1"), TaskPlan("pagerank_1"))
    runs_as: int = JobStatus.RUNNING

    def __post_init__(self) -> None:
        for name in ("preparing", "running", "stopping"):
            _require(_is_seconds(getattr(self, name)), name, getattr(self, name), "seconds, 0 or more")
        object.__setattr__(self, "ends", _end(self.ends))
        _require(
            _is_not_final(self.runs_as), "runs_as", self.runs_as, "a whole number that is not a final status"
        )
        are_tasks = isinstance(self.tasks, (list, tuple)) and all(isinstance(t, TaskPlan) for t in self.tasks)
        _require(are_tasks, "tasks", self.tasks, "a list of task plans")
        object.__setattr__(self, "tasks", tuple(self.tasks))
        failing = [task.name for task in self.tasks if task.fails]
        allowed = "at most one task that fails, in a job that ends FAILED"
        _require(len(failing) <= (self.ends is JobStatus.FAILED), "tasks", failing, allowed)

    @property
    def last(self) -> int:
        """The index of the last task that runs: the one that decides how the job ends."""
        return next((i for i, task in enumerate(self.tasks) if task.fails), len(self.tasks) - 1)

    @classmethod
    def from_json(cls, data: object) -> JobPlan:
        """Read a job's plan: an object with this class's fields as its keys, as each of its ``tasks`` is.

        :param data: the object.
        :raises ValueError: if a key is not known or a value is wrong.
        """
        if isinstance(data, Mapping) and isinstance(data.get("tasks"), list):
            data = {**data, "tasks": [from_object(TaskPlan, task, "a task's plan") for task in data["tasks"]]}
        return from_object(cls, data, "a job's plan")


def read_workflow(data: object) -> tuple[str | None, tuple[JobPlan, ...]]:
    """Read a workflow: its ``name``, if it has one, and the plan of its jobs, or ``plans`` for its next jobs.

    :raises ValueError: if a key is not known or a value is wrong.
    """
    values = dict(as_object(data, "a workflow"))
    name = values.pop("name", None)
    _require(name is None or _is_name(name), "name", name, "a text that is not empty")
    plans = values["plans"] if set(values) == {"plans"} else [values]
    _require(isinstance(plans, list) and bool(plans), "plans", plans, "a list of plans that is not empty")
    return name, tuple(JobPlan.from_json(plan) for plan in plans)


def from_object(cls: type[_T], data: object, what: str) -> _T:
    """Make a dataclass of a JSON object with its fields as keys.

    :raises ValueError: if it is no object, or its keys are not the class's fields.
    """
    data = as_object(data, what)
    known = [field.name for field in fields(cls)]  # type: ignore[arg-type]
    unknown = [key for key in data if key not in known]
    if unknown:
        raise ValueError(f"{what} has no {unknown[0]!r}; it has {', '.join(known)}")
    try:
        return cls(**data)
    except TypeError as error:
        raise ValueError(f"{what}: {error}") from error


def as_object(data: object, what: str) -> Mapping[str, Any]:
    """Return a JSON object as it is.

    :raises ValueError: if it is none.
    """
    if isinstance(data, Mapping):
        return data
    raise ValueError(f"{what} is a JSON object, not {data!r:.80}")
