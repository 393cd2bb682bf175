# SPDX-License-Identifier: Apache-2.0
"""Sensors that wait for Explorer's jobs."""

from __future__ import annotations

import inspect
import logging
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    Context,
    PokeReturnValue,
)

from airflow_provider_nebula_explorer.connection import DEFAULT_CONNECTION_ID
from airflow_provider_nebula_explorer.exceptions import NebulaExplorerError, NebulaExplorerJobError
from airflow_provider_nebula_explorer.explorer.arguments import parse_id, parse_statuses
from airflow_provider_nebula_explorer.explorer.interval import SHORTEST_INTERVAL_SECONDS, Interval
from airflow_provider_nebula_explorer.explorer.models import Job, JobStatus, JsonObject
from airflow_provider_nebula_explorer.explorer.waiting.events import (
    check_subject,
    limits_in,
    seen_job,
    timed_out,
)
from airflow_provider_nebula_explorer.explorer.waiting.outcome import describe, describe_window, has_reached
from airflow_provider_nebula_explorer.explorer.waiting.pollers import (
    JobPoller,
    Poller,
    WorkflowPoller,
    job_of_event,
)
from airflow_provider_nebula_explorer.final_errors import NebulaExplorerFinalJobError
from airflow_provider_nebula_explorer.hooks.clients import measure
from airflow_provider_nebula_explorer.hooks.nebula_explorer import (
    DEFAULT_DEFERRABLE,
    NebulaExplorerHook,
    parse_job_id,
)
from airflow_provider_nebula_explorer.hooks.of_task import HasHook
from airflow_provider_nebula_explorer.lineage import HasJob
from airflow_provider_nebula_explorer.sensors.start_from_trigger import (
    start_trigger_args,
    why_wait_begins_in_worker,
)
from airflow_provider_nebula_explorer.sensors.window import moment
from airflow_provider_nebula_explorer.triggers.limits import TimeLimits, execution_timed_out
from airflow_provider_nebula_explorer.triggers.resumption import (
    can_end_in_triggerer,
    seconds_before_resumption,
)

if TYPE_CHECKING:
    from airflow.triggers.base import BaseTrigger

log = logging.getLogger(__name__)

__all__ = ["NebulaExplorerFinalJobError", "NebulaExplorerJobSensor", "NebulaExplorerWorkflowSensor"]


_TIMED_OUT = "Sensor has timed out"
"""How Airflow's own error begins."""

_SHOWN_JOBS = 5
"""How many of a workflow's newest jobs a timeout's error names."""

_EXECUTE = inspect.unwrap(BaseSensorOperator.execute)
"""The ``execute`` of all sensors; unwrapped, as Airflow 2 warns if one ``execute`` calls another."""


class _ExplorerSensor(HasHook, HasJob, BaseSensorOperator):
    """What both sensors share: one login and one poller for all polls of a process.

    Every mode decides in :meth:`poke`, so that Airflow's own ``execute`` treats what a poll shows and what a
    trigger's event contains alike.
    """

    def __init__(
        self,
        *,
        deferrable: bool,
        nebula_explorer_conn_id: str,
        hook_params: dict[str, Any] | None = None,
        poke_interval: timedelta | float | None = None,
        **kwargs: Any,
    ) -> None:
        if poke_interval is not None:  # Airflow passes that of default_args, too
            kwargs["poke_interval"] = poke_interval
        super().__init__(**kwargs)
        self._airflows_interval = self.poke_interval if poke_interval is None else None
        self.deferrable = deferrable
        self.nebula_explorer_conn_id = nebula_explorer_conn_id
        self.hook_params = hook_params or {}
        self._poller: Poller | None = None
        self._is_reported = False
        self._event: JsonObject | None = None
        self._limits = TimeLimits()

    @abstractmethod
    def _open_poller(self, context: Context, hook: NebulaExplorerHook) -> Poller: ...

    @abstractmethod
    def _open_trigger(self, context: Context, job: Job | None, failed_polls: int) -> BaseTrigger: ...

    @abstractmethod
    def _check_subject(self, event: JsonObject) -> None:
        """Make sure that an event is about what the sensor waits for."""

    @abstractmethod
    def _is_over(self, job: Job) -> bool: ...

    def execute(self, context: Context) -> Any:
        """Wait, and return the job's object."""
        self._limits = TimeLimits.of(self)
        with self._timeout_explained(context):
            return self._execute(context)

    @contextmanager
    def _timeout_explained(self, context: Context) -> Iterator[None]:
        try:
            yield
        except (AirflowSensorTimeout, AirflowSkipException) as error:
            reason = self._why_timed_out(context) if str(error).startswith(_TIMED_OUT) else ""
            if not reason:
                raise
            raise type(error)(f"{error} {reason}") from None

    def _why_timed_out(self, context: Context) -> str:
        """Return what a timeout's error says beyond Airflow's own text."""
        return ""

    def _execute(self, context: Context) -> Any:
        try:
            return self._execute_while_polls_fail(context)
        finally:
            self._close()

    def execute_complete(self, context: Context, event: JsonObject) -> Any:
        """Resume after a deferral, with the trigger's event; no request is made."""
        self._check_subject(event)
        limit = timed_out(event)
        if limit == "execution_timeout":
            raise execution_timed_out("what it waits for", self.execution_timeout)
        with self._timeout_explained(context):
            return self._resume(context, event, limit == "timeout")

    def _resume(self, context: Context, event: JsonObject, is_timed_out: bool) -> Any:
        if is_timed_out:
            raise self._timeout_error(self.timeout)
        self._event = event
        self._limits = TimeLimits(*limits_in(event))
        return self._execute(context)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume without what Airflow's sensors add: :meth:`execute_complete` runs their ``execute``."""
        if next_method == self.execute_complete.__name__:
            return self.execute_complete(context, **(next_kwargs or {}))
        return super().resume_execution(next_method, next_kwargs, context)

    def _execute_while_polls_fail(self, context: Context) -> Any:
        """Run the base class's ``execute``; in reschedule mode, again and again while polls fail.

        This process counts the failed polls in a row, so it may end only after a poll that succeeded.
        """
        from airflow.exceptions import AirflowRescheduleException

        begun = time.monotonic()
        while True:
            try:
                return _EXECUTE(self, context)
            except AirflowRescheduleException as pause:
                if self._poller is None or not self._poller.failed_polls:
                    raise
                # Until a task was first rescheduled, Airflow measures the timeout from each execute.
                if time.monotonic() - begun > self.timeout:
                    raise self._timeout_error(time.monotonic() - begun) from None
                time.sleep(max(0.0, (pause.reschedule_date - datetime.now(timezone.utc)).total_seconds()))

    def _timeout_error(self, seconds: float) -> AirflowSensorTimeout | AirflowSkipException:
        kind = AirflowSkipException if self.soft_fail else AirflowSensorTimeout
        return kind(
            f"{_TIMED_OUT}; run duration of {seconds} seconds exceeds "
            f"the specified timeout of {self.timeout}."
        )

    def poke(self, context: Context) -> PokeReturnValue:
        """Poll once, or take the trigger's event; if that does not end a deferrable wait, defer."""
        event, self._event = self._event, None
        job = self._poll(context) if event is None else self._job_of(event, context)
        if job is not None and self._is_over(job):
            return PokeReturnValue(is_done=True, xcom_value=job.data)
        if self.deferrable:
            self.defer(
                trigger=self._open_trigger(context, job, self._poller.failed_polls if self._poller else 0),
                method_name=self.execute_complete.__name__,
                timeout=self._limits.of_deferral,
            )
        return PokeReturnValue(is_done=False)

    def _job_of(self, event: JsonObject, context: Context) -> Job:
        job = job_of_event(event)
        self.report_job(context, job.id, job.workflow_id, event.get("link"))
        return job

    def _poll(self, context: Context) -> Job | None:
        if self.deferrable and self._limits.is_timeout_over:
            # Airflow itself measures from the last resumption, which with silent_fail follows each error.
            raise self._timeout_error(self.timeout)
        poller = self._poller = self._poller or self._open_poller(context, self.hook)
        job = poller.poll()
        if job is not None and not self._is_reported:
            page = self.hook.settings.job_link(job.id, job.workflow_id)
            self.report_job(context, job.id, job.workflow_id, page)
            self._is_reported = True
        return job

    def _has_reached(self, job: Job, targets: frozenset[JobStatus]) -> bool:
        try:
            return has_reached(job, targets)
        except NebulaExplorerJobError as error:
            measure("jobs.failed")
            page = self.hook.settings.job_link(job.id, job.workflow_id)
            raise NebulaExplorerFinalJobError(str(error), error.job, page) from None

    @property
    def poll_interval(self) -> float | None:
        """Seconds between two polls; ``None``, if nobody set ``poke_interval``: they adapt to the wait."""
        # One that is set later counts as well, by a policy for example.
        return None if self.poke_interval == self._airflows_interval else self.longest_interval

    @property
    def longest_interval(self) -> float:
        """The most seconds between two polls."""
        return max(float(self.poke_interval), SHORTEST_INTERVAL_SECONDS)

    def _get_next_poke_interval(
        self, started_at: datetime | float, run_duration: Callable[[], float], poke_count: int
    ) -> float:
        is_airflows = self.poll_interval is not None or self.reschedule or self.exponential_backoff
        if is_airflows or self._poller is None:
            return super()._get_next_poke_interval(started_at, run_duration, poke_count)
        return self._poller.pause(Interval.of(None, self.longest_interval))

    def _close(self) -> None:
        self.hook.close()
        # Another execute of this object reports the job anew, as Airflow clears the task's XComs before it.
        self._poller, self._is_reported = None, False


class NebulaExplorerJobSensor(_ExplorerSensor):
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


class NebulaExplorerWorkflowSensor(_ExplorerSensor):
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
        try:
            with self.hook as hook:
                jobs = list(hook.list_jobs(self.workflow_id, name=self.name, limit=_SHOWN_JOBS))
        except NebulaExplorerError as error:
            log.warning("The newest jobs of workflow %s cannot be listed: %s", self.workflow_id, error)
            return wanted
        newest = "; ".join(f"{describe(job)}, created {job.create_time}, {job.status.name}" for job in jobs)
        return f"{wanted} Its newest jobs: {newest or 'none'}."


def _reason_at_run_time(context: Context) -> str:
    return (
        "no scheduler runs it, as in dag.test()" if context["ti"].map_index in (None, -1) else "it is mapped"
    )
