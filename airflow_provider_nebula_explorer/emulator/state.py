# SPDX-License-Identifier: Apache-2.0
"""The workflows and jobs of the emulated Explorer. No clock, no HTTP."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

from airflow_provider_nebula_explorer.emulator.deviations import Deviations
from airflow_provider_nebula_explorer.emulator.filters import JobFilter
from airflow_provider_nebula_explorer.emulator.jobs import EmulatedJob, local_time
from airflow_provider_nebula_explorer.emulator.plans import JobPlan
from airflow_provider_nebula_explorer.emulator.refusals import (
    BAD_REQUEST,
    MissingError,
    RefusedError,
    wrong_parameter,
)
from airflow_provider_nebula_explorer.explorer.models import JobStatus, JsonObject

_FIRST_JOB = 101
_SCATTER = 2654435761
"""An odd factor: multiplied by it modulo 2**32, different numbers stay different, but not in their order."""


class ExplorerState:
    """All that the emulated Explorer knows except its sessions.

    :param workflows: the workflows that exist, each with a plan or with its name and a plan; with ``None``,
        every id exists.
    :param max_page_size: the cap on a list's page.
    :param deviations: how its lists and ids deviate from the documentation.
    """

    on_change: Callable[..., None] = staticmethod(lambda *_, **__: None)
    """Called after each change, with its name and the arguments that repeat it."""

    def __init__(
        self,
        workflows: Mapping[int | str, JobPlan | tuple[str, JobPlan]] | None = None,
        *,
        max_page_size: int = 100,
        deviations: Deviations | None = None,
    ) -> None:
        if max_page_size < 1:
            raise ValueError(f"max_page_size is {max_page_size}; allowed: 1 or more")
        self._any_workflow = workflows is None
        self._max_page_size = max_page_size
        self._deviations = deviations or Deviations()
        self._workflows: dict[str, tuple[str, tuple[JobPlan, ...]]] = {}
        self._jobs: dict[int, EmulatedJob] = {}
        self.clock_ahead = self._deviations.clock_difference
        """By how many seconds Explorer's clock is ahead of the time that passes."""
        for workflow_id, planned in (workflows or {}).items():
            name, plan = (None, planned) if isinstance(planned, JobPlan) else planned
            self.plan(workflow_id, [plan], name)

    @property
    def jobs(self) -> list[EmulatedJob]:
        """Every job, in the order in which they were added."""
        return list(self._jobs.values())

    def plan(self, workflow_id: int | str, plans: Sequence[JobPlan], name: str | None = None) -> None:
        """Set what the next jobs of a workflow do; the jobs that exist keep their plan.

        :param plans: a plan for each next job; the last one is also for all jobs after these.
        """
        if not plans:
            raise ValueError("a workflow has no plan; allowed: 1 or more")
        key = _digits(workflow_id)
        known = self._workflows.get(key)
        self._workflows[key] = (name or (known[0] if known else _workflow_name(key)), tuple(plans))
        self.on_change("plan", workflow_id=key, plans=plans, name=name)

    def add(
        self,
        workflow_id: int | str,
        input: JsonObject,
        created: float,
        *,
        plan: JobPlan | None = None,
        name: str | None = None,
    ) -> EmulatedJob:
        """Add a job to a workflow, with the workflow's next plan unless another is given."""
        key = _digits(workflow_id)
        workflow_name, plans = self._workflow(key)
        local = local_time(created + self.clock_ahead)
        job_name = str(name or f"{workflow_name}_{local:%Y%m%d%H%M%S}")
        number = self._next_id()
        job = EmulatedJob(number, job_name, key, workflow_name, plan or plans[0], created, input)
        job.clock_ahead = self.clock_ahead
        self._jobs[number] = job
        self.on_change("add", workflow_id=key, input=input, created=created, plan=job.plan, name=job_name)
        if plan is None and len(plans) > 1:
            self.plan(key, plans[1:])
        return job

    def set_clock(self, seconds: float) -> None:
        """Set Explorer's clock forward, or back with a negative number."""
        self.clock_ahead += seconds
        self.on_change("set_clock", seconds=seconds)

    def list_jobs(
        self, criteria: JobFilter, *, page: int, page_size: int, now: float, workflow_id: str | None = None
    ) -> JsonObject:
        """Return one page of the jobs that a filter shows."""
        if workflow_id is not None:
            self._workflow(workflow_id)
        obeyed = criteria.without(self._deviations.ignored_filters)
        jobs = [job for job in self.jobs if workflow_id in (None, job.workflow_id) and obeyed.shows(job, now)]
        newest_first = obeyed.newest_first and self._deviations.order
        jobs.sort(key=lambda job: (job.create_time, job.id), reverse=newest_first)
        size = min(page_size, self._max_page_size)
        items = [job.item(now) for job in jobs[(page - 1) * size : page * size]]
        return {"items": items, **self._total(len(jobs)), "Page": page, "PageSize": size}

    def job(self, job_id: int) -> EmulatedJob:
        """Return a job."""
        if job_id not in self._jobs:
            raise MissingError(f"job {job_id}")
        return self._jobs[job_id]

    def cancel(self, job_id: int, now: float) -> None:
        """Cancel a job that is not final; a job that is stopping continues to stop."""
        job = self.job(job_id)
        status = job.status(now)
        if status.is_final:
            raise RefusedError(BAD_REQUEST, f"job {job_id} has ended already")
        if status is not JobStatus.STOPPING:
            job.cancelled = now
            self.on_change("cancel", job_id=job_id, now=now)

    def rows(self, job_id: int, task_id: str, now: float) -> list[list[str | None]]:
        """Return the rows of a task's result."""
        rows = self.job(job_id).rows(task_id, now)
        if rows is None:
            raise MissingError(f"task {task_id} of job {job_id}")
        return rows

    def _next_id(self) -> int:
        count = _FIRST_JOB + len(self._jobs)
        return count if self._deviations.ids_grow else count * _SCATTER % 2**32

    def _total(self, right: int) -> JsonObject:
        total = self._deviations.total
        return {} if total == "absent" else {"total": right if total == "right" else total}

    def _workflow(self, key: str) -> tuple[str, tuple[JobPlan, ...]]:
        if key not in self._workflows and not self._any_workflow:
            raise MissingError(f"workflow {key}")
        return self._workflows.get(key) or (_workflow_name(key), (JobPlan(),))


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


def _digits(workflow_id: int | str) -> str:
    text = str(workflow_id)
    if isinstance(workflow_id, bool) or not (text.isascii() and text.isdigit()):
        raise ValueError(f"workflow id is {workflow_id!r}; allowed: digits")
    return str(int(text))


def _workflow_name(key: str) -> str:
    """Return a name like those that Explorer gives to a workflow that nobody named."""
    digest = hashlib.sha256(key.encode()).digest()
    return "workflow_" + "".join(chr(ord("a") + byte % 26) for byte in digest[:5])
