# SPDX-License-Identifier: Apache-2.0
"""What the run operator does in one process: it gets its job, waits for it, and ends it when it is killed."""

from __future__ import annotations

import logging
import time
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerAmbiguousSubmitError,
    NebulaExplorerError,
)
from airflow_provider_nebula_explorer.explorer.arguments import WorkflowInput, parse_id, parse_input
from airflow_provider_nebula_explorer.explorer.models import Job, JobStatus
from airflow_provider_nebula_explorer.explorer.starting.attempts import RunSpec, WorkflowRun
from airflow_provider_nebula_explorer.explorer.starting.submit import Submitter
from airflow_provider_nebula_explorer.explorer.waiting.outcome import describe, has_reached
from airflow_provider_nebula_explorer.final_errors import NebulaExplorerFinalAmbiguousSubmitError
from airflow_provider_nebula_explorer.hooks.clients import measure
from airflow_provider_nebula_explorer.hooks.nebula_explorer import NebulaExplorerHook
from airflow_provider_nebula_explorer.operators.task_job import HasKillableJob, TaskJob
from airflow_provider_nebula_explorer.operators.task_runs import OWN_RUN, runs_of
from airflow_provider_nebula_explorer.operators.task_state import (
    NO_ATTEMPT,
    FolderMemory,
    TaskClaims,
    TaskMemory,
    attempt_of,
    call_airflow,
    memory_of,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import DAG, Context

log = logging.getLogger(__name__)


class RunsWorkflow(HasKillableJob, Protocol):
    """What is used of the run operator here."""

    input: WorkflowInput | str | None
    wait_for_completion: bool
    durable: bool
    do_xcom_push: bool
    on_ambiguous_submit: str

    def get_dag(self) -> DAG | None:
        """Return the task's DAG."""

    def report_job(
        self, context: Context, job_id: int, workflow_id: int | str, page: str | None = None
    ) -> None:
        """Show which job the task has."""

    def wait_for_job(
        self, context: Context, hook: NebulaExplorerHook, job_id: int, seen: Job | None = None
    ) -> Job:
        """Return the final job, or defer the task."""


class TaskRun:
    """One attempt of a run operator, or the part of it after a deferral.

    :param task: the operator.
    :param hook: makes the calls.
    """

    def __init__(self, task: RunsWorkflow, context: Context, hook: NebulaExplorerHook) -> None:
        self._task = task
        self._context = context
        self._hook = hook
        self._name = OWN_RUN
        self._job = TaskJob(task, hook)

    def begin(self) -> int:
        """Get the job, wait for it if requested, and return its id.

        :raises NebulaExplorerAmbiguousSubmitError: see :meth:`final`.
        """
        self._name = runs_of(self._context).name(self._task, self._spec)
        found = self._workflow_run.resume_or_intend()
        if isinstance(found, Job):
            job_id, seen = found.id, found
        else:
            job_id, seen = self._workflow_run.start(found), None
        self._announce(job_id)
        return self._wait(job_id, seen)

    def resume(self, job: Job) -> int:
        """Continue with a job that is final now, and return the id of the job that counts."""
        self._job.track(job.id)
        self._task.report_job(self._context, job.id, self._task.workflow_id)
        return self._wait(job.id, job)

    def kill(self) -> None:
        """Note that the task was killed, and cancel the job if a kill does."""
        self._job.kill()

    def final(self, error: NebulaExplorerAmbiguousSubmitError) -> NebulaExplorerAmbiguousSubmitError:
        """Return the error for Airflow: one that it retries only if the next attempt can find out more."""
        is_for_a_person = bool(error.candidates) or self._task.on_ambiguous_submit == "fail"
        if self._memory and self._memory.reaches_every_attempt and not is_for_a_person:
            return error
        return NebulaExplorerFinalAmbiguousSubmitError(
            f"{error} Airflow does not retry the task. Clear it to request a new job, or mark it as success "
            "to continue without one.",
            error.candidates,
        )

    @cached_property
    def _memory(self) -> TaskMemory | FolderMemory | None:
        return memory_of(self._context, self._name) if self._task.durable else None

    @cached_property
    def _spec(self) -> RunSpec:
        workflow_id = parse_id("workflow_id", self._task.workflow_id)
        return RunSpec(self._hook.settings.base_url, workflow_id, parse_input(self._task.input))

    @cached_property
    def _claims(self) -> TaskClaims:
        dag = self._task.get_dag() or self._context.get("dag")  # an operator within a @task has none
        return TaskClaims(dag, self._context, self._hook.settings.base_url, self._name)

    @cached_property
    def _workflow_run(self) -> WorkflowRun:
        task, hook = self._task, self._hook
        return WorkflowRun(
            self._spec,
            attempt_of(self._context) if self._memory else NO_ATTEMPT,
            submitter=Submitter(
                hook.get_conn(),
                reconciles=task.on_ambiguous_submit == "reconcile",
                max_failures=hook.settings.max_consecutive_failures,
                claims=self._claims,
                sleep=time.sleep,
                clock=time.time,
            ),
            job=self._job,
            memory=self._memory,
            cancels_abandoned=task.cancel_on_kill and task.wait_for_completion,
        )

    def _wait(self, job_id: int, seen: Job | None) -> int:
        while self._task.wait_for_completion:
            job = self._task.wait_for_job(self._context, self._hook, job_id, seen)
            self._job.raise_if_killed()
            if job.status is not JobStatus.INTERRUPTED or not self._workflow_run.is_of_earlier(job.id):
                self._push("job", job.data)
                if job.status is not JobStatus.SUCCESS:
                    measure("jobs.failed")
                has_reached(job, {JobStatus.SUCCESS}, self._page_of(job.id))  # raises if it ended otherwise
                return job.id
            log.warning(
                "%s was interrupted, perhaps by the end of the attempt that started it: starting a new one.",
                describe(job),
            )
            job_id, seen = self._workflow_run.start(self._workflow_run.intend()), None
            self._announce(job_id)
        return job_id

    def _push(self, key: str, value: object) -> None:
        if self._task.do_xcom_push:
            self._context["ti"].xcom_push(key=key, value=value)

    def _page_of(self, job_id: int) -> str:
        return self._hook.settings.job_link(job_id, self._task.workflow_id)

    def _announce(self, job_id: int) -> None:
        """Show users and other tasks which job is this task's, unless the task was killed meanwhile."""
        task = self._task
        task.report_job(self._context, job_id, task.workflow_id)
        self._job.end_if_killed()
        page = self._page_of(job_id)
        try:
            call_airflow("XComs", lambda: self._push("job_id", job_id))
            call_airflow("XComs", lambda: task.report_job(self._context, job_id, task.workflow_id, page))
            self._claims.claim(job_id)
        except NebulaExplorerError as error:  # the job is this task's all the same
            log.warning("%s", error)
