# SPDX-License-Identifier: Apache-2.0
"""Sensors that wait for Explorer's jobs."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import Context

from airflow_provider_nebula_explorer.connection.fields import DEFAULT_CONNECTION_ID
from airflow_provider_nebula_explorer.explorer.arguments import parse_id, parse_statuses
from airflow_provider_nebula_explorer.explorer.models import Job, JobStatus, JsonObject, show_error
from airflow_provider_nebula_explorer.explorer.waiting.events import check_subject, seen_job
from airflow_provider_nebula_explorer.explorer.waiting.outcome import describe, describe_window
from airflow_provider_nebula_explorer.explorer.waiting.pollers import JobPoller, Poller, WorkflowPoller
from airflow_provider_nebula_explorer.final_errors import NebulaExplorerFinalJobError
from airflow_provider_nebula_explorer.hooks.nebula_explorer import (
    DEFAULT_DEFERRABLE,
    NebulaExplorerHook,
    parse_job_id,
)
from airflow_provider_nebula_explorer.sensors.explorer_sensor import ExplorerSensor
from airflow_provider_nebula_explorer.sensors.start_from_trigger import (
    start_trigger_args,
    why_wait_begins_in_worker,
)
from airflow_provider_nebula_explorer.sensors.window import moment
from airflow_provider_nebula_explorer.triggers.resumption import (
    can_end_in_triggerer,
    seconds_before_resumption,
)

if TYPE_CHECKING:
    from airflow.triggers.base import BaseTrigger

log = logging.getLogger(__name__)

__all__ = ["NebulaExplorerFinalJobError", "NebulaExplorerJobSensor", "NebulaExplorerWorkflowSensor"]

_SHOWN_JOBS = 5
"""How many of a workflow's newest jobs a timeout's error names."""


class NebulaExplorerJobSensor(ExplorerSensor):
    """Wait until a job reaches one of the target statuses.

    Also takes all parameters of Airflow's ``BaseSensorOperator``: ``poke_interval``, ``timeout``, ``mode``,
    ``soft_fail`` and so on.

    :param job_id: a number, or text of digits.
    :param target_statuses: each a name in any case, a number, or a ``JobStatus``.
    :param deferrable: whether to wait in the triggerer, where one poll serves all waiting tasks.
    :param start_from_trigger: whether a deferrable wait starts in the triggerer, and ends there if its job
        reaches a target status, so that it needs no worker (Airflow 3.3 and later). If that is not possible,
        the wait starts in a worker, and the log says why.
    :param nebula_explorer_conn_id: the Airflow connection to Explorer.
    :param hook_params: further arguments of the hook, such as ``{"timeout": 120}``.
    :return: in XCom: the job's object as Explorer's API returns it.
    :raises NebulaExplorerFinalJobError: if the job ended in another status; the task is not retried.
    """

    template_fields: Sequence[str] = ("job_id", "target_statuses", "nebula_explorer_conn_id")

    def __init__(
        self,
        *,
        job_id: int | str,
        target_statuses: Sequence[JobStatus | int | str] | str = ("SUCCESS",),
        deferrable: bool = DEFAULT_DEFERRABLE,
        start_from_trigger: bool = False,
        nebula_explorer_conn_id: str = DEFAULT_CONNECTION_ID,
        hook_params: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            deferrable=deferrable,
            nebula_explorer_conn_id=nebula_explorer_conn_id,
            hook_params=hook_params,
            **kwargs,
        )
        self.job_id = job_id
        self.target_statuses = target_statuses
        self._reason_for_worker: str | None = None
        self._should_start_from_trigger = start_from_trigger
        if start_from_trigger:
            self._reason_for_worker = why_wait_begins_in_worker(self)
            if self._reason_for_worker is None:
                self.start_trigger_args = start_trigger_args(self)
                self.start_from_trigger = True

    def _open_poller(self, context: Context, hook: NebulaExplorerHook) -> Poller:
        if self._should_start_from_trigger:
            reason = self._reason_for_worker or _reason_at_run_time(context)
            log.info("start_from_trigger has no effect, as %s.", reason)
        parse_statuses("target_statuses", self.target_statuses)  # a wrong one is refused before any request
        job_id = parse_job_id(self.job_id)
        return JobPoller(hook.get_conn(), job_id, max_failures=hook.settings.max_consecutive_failures)

    def _open_trigger(self, context: Context, job: Job | None, failed_polls: int) -> BaseTrigger:
        from airflow_provider_nebula_explorer.triggers.nebula_explorer import NebulaExplorerJobTrigger

        return NebulaExplorerJobTrigger(
            parse_id("job_id", self.job_id),
            self.nebula_explorer_conn_id,
            self.poll_interval,
            longest_interval=self.longest_interval,
            target_statuses=[int(status) for status in sorted(self._targets)],
            timeout_at=self._limits.timeout_at,
            execution_timeout_at=self._limits.execution_timeout_at,
            failed_polls=failed_polls,
            seen=seen_job(job) if job else None,
            ends_task=can_end_in_triggerer(self),
            resume_not_before=seconds_before_resumption(),
        )

    def _check_subject(self, event: JsonObject) -> None:
        check_subject(event, "job", parse_job_id(self.job_id))

    @property
    def _targets(self) -> frozenset[JobStatus]:
        return parse_statuses("target_statuses", self.target_statuses)

    def _is_over(self, job: Job) -> bool:
        return self._has_reached(job, self._targets)


class NebulaExplorerWorkflowSensor(ExplorerSensor):
    """Wait until a job of a workflow has succeeded, no matter who started it.

    If several have succeeded, the one that was created first counts. Also takes all parameters of Airflow's
    ``BaseSensorOperator``.

    :param workflow_id: a number, or text of digits.
    :param name: the job's name, as Explorer's own search understands it; ``None`` for any.
    :param created_after: jobs created before it do not count: an aware datetime; ISO 8601 text, which
        without an offset, or as a date alone, is in the DAG's time zone; or a ``timedelta`` back from when
        the run was due: its ``run_after``, before Airflow 3 the end of its data interval, else its logical
        date.
    :param created_before: jobs created after it do not count, in the same forms; ``None``: whenever they are
        created, even long after the run was due, as in a backfill.
    :param fail_on_failed_job: whether the newest such job that ended otherwise fails the sensor at once, if
        none has succeeded.
    :param deferrable: whether to wait in the triggerer, where one poll serves all waiting tasks.
    :param nebula_explorer_conn_id: the Airflow connection to Explorer.
    :param hook_params: further arguments of the hook, such as ``{"timeout": 120}``.
    :return: in XCom: the job's object as Explorer's API returns it.
    :raises NebulaExplorerFinalJobError: for a failed job, if ``fail_on_failed_job``; the task is not retried.
    """

    template_fields: Sequence[str] = (
        "workflow_id",
        "name",
        "created_after",
        "created_before",
        "nebula_explorer_conn_id",
    )

    def __init__(
        self,
        *,
        workflow_id: int | str,
        name: str | None = None,
        created_after: datetime | timedelta | str = timedelta(days=1),
        created_before: datetime | timedelta | str | None = None,
        fail_on_failed_job: bool = False,
        deferrable: bool = DEFAULT_DEFERRABLE,
        nebula_explorer_conn_id: str = DEFAULT_CONNECTION_ID,
        hook_params: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            deferrable=deferrable,
            nebula_explorer_conn_id=nebula_explorer_conn_id,
            hook_params=hook_params,
            **kwargs,
        )
        self.workflow_id = workflow_id
        self.name = name
        self.created_after = created_after
        self.created_before = created_before
        self.fail_on_failed_job = fail_on_failed_job

    def _open_poller(self, context: Context, hook: NebulaExplorerHook) -> Poller:
        created_after, created_before = self._window(context)
        if created_before is not None and created_before < datetime.now(timezone.utc):
            log.info("created_before, %s, is past: only jobs that exist already count.", created_before)
        return WorkflowPoller(
            hook.get_conn(),
            self.workflow_id,
            name=self.name,
            created_after=created_after,
            created_before=created_before,
            fail_on_failed_job=self.fail_on_failed_job,
            max_failures=hook.settings.max_consecutive_failures,
        )

    def _open_trigger(self, context: Context, job: Job | None, failed_polls: int) -> BaseTrigger:
        from airflow_provider_nebula_explorer.triggers.workflow_success import WorkflowSuccessTrigger

        created_after, created_before = self._window(context)
        return WorkflowSuccessTrigger(
            parse_id("workflow_id", self.workflow_id),
            self.nebula_explorer_conn_id,
            self.poll_interval,
            longest_interval=self.longest_interval,
            name=self.name,
            created_after=created_after.isoformat(),
            created_before=None if created_before is None else created_before.isoformat(),
            fail_on_failed_job=self.fail_on_failed_job,
            timeout_at=self._limits.timeout_at,
            execution_timeout_at=self._limits.execution_timeout_at,
            failed_polls=failed_polls,
            waiting_since=self._begun_at,
            ends_task=can_end_in_triggerer(self),
            resume_not_before=seconds_before_resumption(),
        )

    def _check_subject(self, event: JsonObject) -> None:
        check_subject(event, "workflow", parse_id("workflow_id", self.workflow_id))

    @property
    def _begun_at(self) -> float | None:
        return None if self._limits.timeout_at is None else self._limits.timeout_at - self.timeout

    def _is_over(self, job: Job) -> bool:
        return self._has_reached(job, frozenset({JobStatus.SUCCESS}))

    def _window(self, context: Context) -> tuple[datetime, datetime | None]:
        before = self.created_before
        return (
            moment("created_after", self.created_after, context),
            None if before is None else moment("created_before", before, context),
        )

    def _why_timed_out(self, context: Context) -> str:
        window = describe_window(*self._window(context))
        wanted = f"No job of workflow {self.workflow_id}, {window}, has succeeded."
        # One try, as an outage must not prolong a task whose time is over.
        once = {**self.hook_params, "max_retries": 0}
        try:
            with NebulaExplorerHook(self.nebula_explorer_conn_id, **once) as hook:
                jobs = list(hook.list_jobs(self.workflow_id, name=self.name, limit=_SHOWN_JOBS))
        except Exception as error:  # noqa: BLE001 - Airflow's, too: it must not take the timeout's place
            log.warning(
                "The newest jobs of workflow %s cannot be listed: %s", self.workflow_id, show_error(error)
            )
            return wanted
        newest = "; ".join(f"{describe(job)}, created {job.create_time}, {job.status.name}" for job in jobs)
        return f"{wanted} Its newest jobs: {newest or 'none'}."


def _reason_at_run_time(context: Context) -> str:
    return (
        "no scheduler runs it, as in dag.test()" if context["ti"].map_index in (None, -1) else "it is mapped"
    )
