"""How a task waits for the job that it runs or cancels: in its worker, or deferred."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, NoReturn, TypeAlias

from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_nebula_explorer.exceptions import NebulaExplorerError
from airflow_provider_nebula_explorer.explorer.waiting.events import seen_job, timed_out
from airflow_provider_nebula_explorer.explorer.waiting.outcome import FailedPolls
from airflow_provider_nebula_explorer.explorer.waiting.pollers import JobPoller, job_of_event
from airflow_provider_nebula_explorer.triggers.limits import TimeLimits, execution_timed_out

if TYPE_CHECKING:
    from airflow_provider_nebula_explorer.explorer.models import Job, JsonObject
    from airflow_provider_nebula_explorer.hooks.nebula_explorer import NebulaExplorerHook
    from airflow_provider_nebula_explorer.operators.nebula_explorer import (
        NebulaExplorerCancelJobOperator,
        NebulaExplorerRunWorkflowOperator,
    )

    _Waiting: TypeAlias = NebulaExplorerRunWorkflowOperator | NebulaExplorerCancelJobOperator

log = logging.getLogger(__name__)


def wait_for_job(task: _Waiting, hook: NebulaExplorerHook, job_id: int, seen: Job | None = None) -> Job:
    """Return a task's final job, here or, after a first look, by deferring the task.

    :param seen: the job, where it was looked at just now.
    """
    if seen is not None and seen.status.is_final:
        return seen
    if not task.deferrable:
        return hook.wait_for_job(job_id, poll_interval=task.poll_interval)
    watch = JobPoller(hook.get_conn(), job_id, max_failures=hook.settings.max_consecutive_failures)
    seen = seen or watch.poll()
    if seen is None or not seen.status.is_final:
        _defer(task, job_id, seen, watch.failed_polls)
    return seen


def job_after_wait(task: _Waiting, event: JsonObject) -> Job:
    """Return the job that a deferred task waited for, from its trigger's event.

    :raises AirflowTaskTimeout: where the task's ``execution_timeout`` was over first.
    :raises NebulaExplorerError: the error that the event tells of.
    """
    if timed_out(event):
        raise execution_timed_out(f"job {event.get('job_id')}", task.execution_timeout)
    return job_of_event(event)


def poll_until_seen(task: _Waiting, hook: NebulaExplorerHook, job_id: int) -> Job:
    """Return a job as it is now; looks that fail are repeated, as those of a wait are."""
    looks = FailedPolls(f"job {job_id}", hook.settings.max_consecutive_failures)
    while True:
        try:
            return hook.get_job(job_id)
        except NebulaExplorerError as error:
            log.warning("%s", looks.failed(error))
        time.sleep(task.poll_interval)


def _defer(task: _Waiting, job_id: int, seen: Job | None, failed_polls: int) -> NoReturn:
    from airflow_provider_nebula_explorer.triggers.nebula_explorer import NebulaExplorerJobTrigger

    limits = TimeLimits.of(task)
    trigger = NebulaExplorerJobTrigger(
        job_id,
        task.nebula_explorer_conn_id,
        task.poll_interval,
        execution_timeout_at=limits.execution_timeout_at,
        failed_polls=failed_polls,
        seen=seen_job(seen) if seen else None,
        cancel_on_kill=getattr(task, "cancel_on_kill", False),
    )
    raise TaskDeferred(
        trigger=trigger, method_name=task.execute_complete.__name__, timeout=limits.of_deferral
    )
