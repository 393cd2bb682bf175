# SPDX-License-Identifier: Apache-2.0
"""How a task waits for the job that it runs or cancels: in its worker, or deferred."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from airflow.providers.common.compat.sdk import AirflowTaskTimeout, BaseOperator, Context

from airflow_provider_nebula_explorer.explorer.models import Job, JobStatus, JsonObject
from airflow_provider_nebula_explorer.explorer.waiting.events import check_subject, seen_job, timed_out
from airflow_provider_nebula_explorer.explorer.waiting.pollers import JobPoller, job_of_event
from airflow_provider_nebula_explorer.hooks.nebula_explorer import NebulaExplorerHook
from airflow_provider_nebula_explorer.triggers.limits import TimeLimits, execution_timed_out
from airflow_provider_nebula_explorer.triggers.resumption import (
    ATTEMPT,
    attempt_number,
    can_end_in_triggerer,
    has_to_begin_anew,
    seconds_before_resumption,
)
from airflow_provider_nebula_explorer.triggers.task_end import TaskResult

_JOB_ID = "nebula_explorer_job_id"
"""The key under which a deferral stores which job it is for; a subclass that defers has keys of its own."""


# HasJob is a base of the operators, not of this class: if the first base has another __init__ than Airflow's,
# Airflow wraps what is inherited once more, and a mapped operator loses its inlets.
class WaitsForJob(BaseOperator):
    """An operator that waits for a job, and resumes in ``execute_complete`` if it deferred.

    :param poll_interval: seconds between two polls of the job; ``None``: a fifth of its age, 1 to 30 s.
    :param deferrable: whether to wait in the triggerer.
    :param nebula_explorer_conn_id: the Airflow connection to Explorer.
    :param cancel_on_kill: whether to cancel the job if the task ends before it.
    """

    poll_interval: float | None
    deferrable: bool
    nebula_explorer_conn_id: str
    cancel_on_kill = False

    task_result: TaskResult = "job"
    """What the task returns, if it ends in the triggerer."""

    successes: Sequence[JobStatus] = (JobStatus.SUCCESS,)
    """The final statuses with which the task succeeds."""

    _deferred_job_id: int | None = None
    """The job that the task deferred for; ``None`` if Airflow does not say, as in ``dag.test()``."""

    def wait_for_job(
        self, context: Context, hook: NebulaExplorerHook, job_id: int, seen: Job | None = None
    ) -> Job:
        """Return the final job, here or, after a first poll, by deferring the task.

        :param seen: the job, if it was polled just now.
        """
        if seen is not None and seen.status.is_final:
            return seen
        if not self.deferrable:
            return hook.wait_for_job(job_id, poll_interval=self.poll_interval)
        poller = JobPoller(hook.get_conn(), job_id, max_failures=hook.settings.max_consecutive_failures)
        seen = seen or poller.poll()
        if seen is None or not seen.status.is_final:
            self._defer(context, job_id, seen, poller.failed_polls)
        return seen

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after a deferral, and remember for which job that was."""
        arguments = dict(next_kwargs or {})
        # No arguments of execute_complete, as a subclass may have its own.
        self._deferred_job_id = arguments.pop(_JOB_ID, None)
        attempt = arguments.pop(ATTEMPT, None)
        try:
            return super().resume_execution(next_method, arguments, context)
        except (Exception, AirflowTaskTimeout):
            if not has_to_begin_anew(attempt, context):
                raise
        return self.execute(context)

    def job_after_wait(self, event: JsonObject) -> Job:
        """Return the job that the task waited for, from its trigger's event.

        :raises AirflowTaskTimeout: if the task's ``execution_timeout`` expired first.
        :raises NebulaExplorerError: the error that the event contains; or one that says why the event is not
            believed.
        """
        if self._deferred_job_id is not None:
            check_subject(event, "job", self._deferred_job_id)
        if timed_out(event):
            raise execution_timed_out(f"job {event.get('job_id')}", self.execution_timeout)
        return job_of_event(event)

    def _defer(self, context: Context, job_id: int, seen: Job | None, failed_polls: int) -> NoReturn:
        from airflow_provider_nebula_explorer.triggers.nebula_explorer import NebulaExplorerJobTrigger

        limits = TimeLimits.of(self)
        trigger = NebulaExplorerJobTrigger(
            job_id,
            self.nebula_explorer_conn_id,
            self.poll_interval,
            execution_timeout_at=limits.execution_timeout_at,
            failed_polls=failed_polls,
            seen=seen_job(seen) if seen else None,
            cancel_on_kill=self.cancel_on_kill,
            target_statuses=[int(status) for status in self.successes],
            ends_task=can_end_in_triggerer(self),
            task_result=self.task_result,
            resume_not_before=seconds_before_resumption(),
        )
        self.defer(
            trigger=trigger,
            method_name="execute_complete",
            kwargs={_JOB_ID: job_id, ATTEMPT: attempt_number(context.get("ti"))},
            timeout=limits.of_deferral,
        )
