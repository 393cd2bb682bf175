"""The workflows and jobs of the emulated Explorer, and its responses about them. No clock, no HTTP."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, TypeGuard

from airflow_provider_nebula_explorer.emulator.jobs import EmulatedJob, local_time
from airflow_provider_nebula_explorer.emulator.plans import JobPlan
from airflow_provider_nebula_explorer.emulator.refusals import (
    BAD_REQUEST,
    NOT_FOUND,
    WRONG_PARAMETER,
    RefusedError,
    wrong_parameter,
)
from airflow_provider_nebula_explorer.explorer.models import JobStatus, JsonObject

_FIRST_JOB = 101


class ExplorerState:
    """All that the emulated Explorer knows but its sessions.

    :param workflows: the workflows that exist, each with a plan or with its name and a plan; ``None`` where
        every id exists.
    :param max_page_size: the cap on a list's page.
    """

    note: Callable[..., None] = staticmethod(lambda *_, **__: None)
    """Is told of each change: its name, and the arguments that make it again."""

    def __init__(
        self,
        workflows: Mapping[int | str, JobPlan | tuple[str, JobPlan]] | None = None,
        *,
        max_page_size: int = 100,
    ) -> None:
        if max_page_size < 1:
            raise ValueError(f"max_page_size is {max_page_size}; allowed: 1 or more")
        self._any_workflow = workflows is None
        self._max_page_size = max_page_size
        self._workflows: dict[str, tuple[str, JobPlan]] = {}
        self._jobs: dict[int, EmulatedJob] = {}
        self.clock_ahead = 0.0
        """By how many seconds the clock that times are told by is ahead of the time that passes."""
        for workflow_id, planned in (workflows or {}).items():
            name, plan = (None, planned) if isinstance(planned, JobPlan) else planned
            self.plan(workflow_id, plan, name)

    @property
    def jobs(self) -> list[EmulatedJob]:
        """Every job, oldest id first."""
        return list(self._jobs.values())

    def plan(self, workflow_id: int | str, plan: JobPlan, name: str | None = None) -> None:
        """Settle what the next jobs of a workflow do; jobs that are there already keep to their plan."""
        key = _digits(workflow_id)
        known = self._workflows.get(key)
        self._workflows[key] = (name or (known[0] if known else _workflow_name(key)), plan)
        self.note("plan", workflow_id=key, plan=plan, name=name)

    def add(
        self,
        workflow_id: int | str,
        input: JsonObject,
        created: float,
        *,
        plan: JobPlan | None = None,
        name: str | None = None,
    ) -> EmulatedJob:
        """Add a job to a workflow, by the workflow's plan unless another is given."""
        key = _digits(workflow_id)
        workflow_name, workflow_plan = self._workflow(key)
        told = local_time(created + self.clock_ahead)
        job_name = str(name or f"{workflow_name}_{told:%Y%m%d%H%M%S}")
        number = _FIRST_JOB + len(self._jobs)
        planned = plan or workflow_plan
        job = EmulatedJob(number, job_name, key, workflow_name, planned, created, input)
        job.clock_ahead = self.clock_ahead
        self._jobs[number] = job
        self.note("add", workflow_id=key, input=input, created=created, plan=job.plan, name=job_name)
        return job

    def set_clock(self, seconds: float) -> None:
        """Put the clock that times are told by forward, or back with a negative number."""
        self.clock_ahead += seconds
        self.note("set_clock", seconds=seconds)

    def list_jobs(
        self, wanted: JsonObject, *, page: int, page_size: int, now: float, workflow_id: str | None = None
    ) -> JsonObject:
        """Return one page of the jobs that a filter shows."""
        if workflow_id is not None:
            self._workflow(workflow_id)
        mine = [
            job for job in self.jobs if workflow_id in (None, job.workflow_id) and _shows(wanted, job, now)
        ]
        mine.sort(key=lambda job: (job.create_time, job.id), reverse=wanted.get("orderByCreateTime") != "asc")
        size = min(page_size, self._max_page_size)
        items = [job.item(now) for job in mine[(page - 1) * size : page * size]]
        return {"items": items, "total": len(mine), "Page": page, "PageSize": size}

    def job(self, job_id: int) -> EmulatedJob:
        """Return a job."""
        if job_id not in self._jobs:
            raise RefusedError(NOT_FOUND, f"job {job_id} does not exist")
        return self._jobs[job_id]

    def cancel(self, job_id: int, now: float) -> None:
        """Cancel a job that is not final; one that is stopping goes on stopping."""
        job = self.job(job_id)
        status = job.status(now)
        if status.is_final:
            raise RefusedError(BAD_REQUEST, f"job {job_id} has ended already")
        if status is not JobStatus.STOPPING:
            job.cancelled = now
            self.note("cancel", job_id=job_id, now=now)

    def rows(self, job_id: int, task_id: str, now: float) -> list[list[str]]:
        """Return the rows of a task's result."""
        rows = self.job(job_id).rows(task_id, now)
        if rows is None:
            raise RefusedError(NOT_FOUND, f"job {job_id} has no task {task_id}")
        return rows

    def _workflow(self, key: str) -> tuple[str, JobPlan]:
        if key not in self._workflows and not self._any_workflow:
            raise RefusedError(NOT_FOUND, f"workflow {key} does not exist")
        return self._workflows.get(key) or (_workflow_name(key), JobPlan())


def check_input(value: object) -> JsonObject:
    """Return a job's input: parameters by task, each a text or a number."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise wrong_parameter("input", "an object")
    for task, parameters in value.items():
        if not isinstance(parameters, dict):
            raise wrong_parameter(f"input.{task}", "an object")
        for name, parameter in parameters.items():
            if isinstance(parameter, bool) or not isinstance(parameter, (str, int, float)):
                raise wrong_parameter(f"input.{task}.{name}", "a string or a number")
    return value


def check_filter(value: object) -> JsonObject:
    """Return the filter of a list, in the API's own words."""
    if not isinstance(value, dict):
        raise wrong_parameter("filter", "a JSON object")
    for key, wanted in value.items():
        if key not in _FILTERS:
            raise RefusedError(WRONG_PARAMETER, f"filter has no {key!r}")
        is_right, allowed, _ = _FILTERS[key]
        if not is_right(wanted):
            raise wrong_parameter(f"filter.{key}", allowed)
    return value


def _shows(wanted: JsonObject, job: EmulatedJob, now: float) -> bool:
    return all(_FILTERS[key][2](job, value, now) for key, value in wanted.items())


def is_whole(value: object) -> TypeGuard[int]:
    """Whether a JSON value is a number without a fraction."""
    return isinstance(value, int) and not isinstance(value, bool)


_FILTERS: dict[str, tuple[Callable[[Any], bool], str, Callable[[EmulatedJob, Any, float], bool]]] = {
    "name": (lambda value: isinstance(value, str), "a string", lambda job, part, _: part in job.name),
    "status": (is_whole, "a number", lambda job, status, now: status == job.status(now)),
    "fromCreateTime": (is_whole, "a number", lambda job, earliest, _: earliest <= job.create_time),
    "toCreateTime": (is_whole, "a number", lambda job, latest, _: job.create_time <= latest),
    "orderByCreateTime": (lambda value: value in ("asc", "desc"), "asc or desc", lambda *_: True),
}
"""What a filter may hold: the value's check, what is allowed, and whether it shows a job at a moment."""


def _digits(workflow_id: int | str) -> str:
    text = str(workflow_id)
    if isinstance(workflow_id, bool) or not (text.isascii() and text.isdigit()):
        raise ValueError(f"workflow id is {workflow_id!r}; allowed: digits")
    return str(int(text))


def _workflow_name(key: str) -> str:
    """Return a name like those that Explorer gives to a workflow that nobody named."""
    digest = hashlib.sha256(key.encode()).digest()
    return "workflow_" + "".join(chr(ord("a") + byte % 26) for byte in digest[:5])
