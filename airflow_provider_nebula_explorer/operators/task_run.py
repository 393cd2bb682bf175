"""What the run operator does in one process: it gets its job, waits for it, and ends it when it is killed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerAmbiguousSubmitError,
    NebulaExplorerError,
)
from airflow_provider_nebula_explorer.explorer.arguments import parse_id, parse_input
from airflow_provider_nebula_explorer.explorer.models import Job, JobStatus
from airflow_provider_nebula_explorer.explorer.starting.attempts import RunSpec, WorkflowRun
from airflow_provider_nebula_explorer.explorer.starting.submit import Submitter
from airflow_provider_nebula_explorer.explorer.waiting.outcome import describe, has_reached
from airflow_provider_nebula_explorer.operators.deferral import poll_until_seen, wait_for_job
from airflow_provider_nebula_explorer.operators.task_job import JobOfTask
from airflow_provider_nebula_explorer.operators.task_state import (
    NO_ATTEMPT,
    TaskClaims,
    ask,
    attempt_of,
    memory_of,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_nebula_explorer.hooks.nebula_explorer import NebulaExplorerHook
    from airflow_provider_nebula_explorer.operators.nebula_explorer import NebulaExplorerRunWorkflowOperator

log = logging.getLogger(__name__)


class NebulaExplorerFinalAmbiguousSubmitError(NebulaExplorerAmbiguousSubmitError, AirflowFailException):
    """A task may have started a job: Airflow must not retry it, as that could start another."""


class TaskRun:
    """One attempt of a run operator, or the part of it after a deferral.

    :param task: the operator.
    :param hook: makes the calls.
    """

    def __init__(
        self, task: NebulaExplorerRunWorkflowOperator, context: Context, hook: NebulaExplorerHook
    ) -> None:
        self._task = task
        self._context = context
        self._hook = hook
        self._memory = memory_of(context) if task.durable else None
        self._job = JobOfTask(hook, task.workflow_id)

    def begin(self) -> int:
        """Get the job, wait for it where asked to, and return its id."""
        if self._task.durable and self._task.retries and self._memory is None:
            log.info("durable has no effect, as Airflow before 3.3 stores no notes: a retry runs a new job.")
        return self._see_to(*self._get(self._run.begin))

    def resume(self, job: Job) -> int:
        """Go on with a job that is final now, and return the id of the job that counts."""
        self._job.hold(job.id)
        self._task.report_job(self._context, job.id, self._task.workflow_id)
        return self._see_to(job.id, job)

    @cached_property
    def _claims(self) -> TaskClaims:
        return TaskClaims(self._task, self._context, self._hook.settings.base_url)

    def kill(self) -> None:
        """End the job, where asked to: the task was killed."""
        self._job.end(cancelling=self._task.cancel_on_kill)

    @cached_property
    def _run(self) -> WorkflowRun:
        task, hook = self._task, self._hook
        workflow_id = parse_id("workflow_id", task.workflow_id)
        return WorkflowRun(
            RunSpec(hook.settings.base_url, workflow_id, parse_input(task.input)),
            attempt_of(self._context) if self._memory else NO_ATTEMPT,
            submitter=Submitter(
                hook.get_conn(),
                start=self._job.start,
                reconciles=task.on_ambiguous_submit == "reconcile",
                max_failures=hook.settings.max_consecutive_failures,
                claims=self._claims,
            ),
            look=lambda job_id: poll_until_seen(task, hook, job_id),
            hold=self._job.hold,
            memory=self._memory,
            cancel=self._job.cancel if task.cancel_on_kill and task.wait_for_completion else None,
        )

    def _see_to(self, job_id: int, seen: Job | None) -> int:
        while self._task.wait_for_completion:
            job = wait_for_job(self._task, self._hook, job_id, seen)
            self._job.go_on_unless_killed()
            if job.status is not JobStatus.INTERRUPTED or not self._run.is_of_earlier(job.id):
                return self._finish(job)
            log.warning(
                "%s was interrupted, perhaps by the end of the attempt that started it: starting a new one.",
                describe(job),
            )
            job_id, seen = self._get(lambda: (self._run.start(), None))
        return job_id

    def _finish(self, job: Job) -> int:
        self._context["ti"].xcom_push(key="job", value=job.data)
        has_reached(job, {JobStatus.SUCCESS})
        return job.id

    def _get(self, begin: Callable[[], tuple[int, Job | None]]) -> tuple[int, Job | None]:
        try:
            job_id, seen = begin()
        except NebulaExplorerAmbiguousSubmitError as error:
            raise self._final(error) from None  # whose text has all of it
        self._job.hold(job_id)
        self._task.report_job(self._context, job_id, self._task.workflow_id)
        if self._job.is_killed:  # while it was not known yet which job it is
            self.kill()
            self._job.go_on_unless_killed()
        self._show(job_id)
        return job_id, seen

    def _show(self, job_id: int) -> None:
        """Tell users and other tasks which job it is; where that fails, the job is no less this task's."""
        workflow_id = self._task.workflow_id
        page = self._hook.settings.job_link(job_id, workflow_id)
        try:
            ask("XComs", lambda: self._task.report_job(self._context, job_id, workflow_id, page))
            self._claims.claim(job_id)
        except NebulaExplorerError as error:
            log.warning("%s", error)

    def _final(self, error: NebulaExplorerAmbiguousSubmitError) -> NebulaExplorerAmbiguousSubmitError:
        """Return the error for Airflow: one that it retries only where the next attempt can find out more."""
        is_for_a_person = bool(error.candidates) or self._task.on_ambiguous_submit == "fail"
        if self._memory and not is_for_a_person:
            return error
        return NebulaExplorerFinalAmbiguousSubmitError(
            f"{error} Airflow does not retry the task. Clear it to request a new job, or mark it as success "
            "to continue without one.",
            error.candidates,
        )
