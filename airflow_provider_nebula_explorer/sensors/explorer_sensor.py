# SPDX-License-Identifier: Apache-2.0
"""The base of the sensors: how a wait goes on and ends in each of Airflow's modes."""

from __future__ import annotations

import inspect
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    BaseSensorOperator,
    Context,
    PokeReturnValue,
)

from airflow_provider_nebula_explorer.exceptions import NebulaExplorerJobError
from airflow_provider_nebula_explorer.explorer.interval import SHORTEST_INTERVAL_SECONDS, Interval
from airflow_provider_nebula_explorer.explorer.models import Job, JobStatus, JsonObject
from airflow_provider_nebula_explorer.explorer.waiting.events import limits_in, timed_out
from airflow_provider_nebula_explorer.explorer.waiting.outcome import has_reached
from airflow_provider_nebula_explorer.explorer.waiting.pollers import Poller, job_of_event
from airflow_provider_nebula_explorer.final_errors import NebulaExplorerFinalJobError
from airflow_provider_nebula_explorer.hooks.clients import measure
from airflow_provider_nebula_explorer.hooks.nebula_explorer import NebulaExplorerHook
from airflow_provider_nebula_explorer.hooks.of_task import HasHook
from airflow_provider_nebula_explorer.lineage import HasJob
from airflow_provider_nebula_explorer.triggers.limits import TimeLimits, execution_timed_out
from airflow_provider_nebula_explorer.triggers.resumption import ATTEMPT, attempt_number, has_to_begin_anew

if TYPE_CHECKING:
    from airflow.triggers.base import BaseTrigger

_TIMED_OUT = "Sensor has timed out"
"""How Airflow's own error begins."""

_EXECUTE = inspect.unwrap(BaseSensorOperator.execute)
"""The ``execute`` of all sensors; unwrapped, as Airflow 2 warns if one ``execute`` calls another."""


class ExplorerSensor(HasHook, HasJob, BaseSensorOperator):
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
        arguments = dict(next_kwargs or {})
        attempt = arguments.pop(ATTEMPT, None)
        try:
            if next_method == self.execute_complete.__name__:
                return self.execute_complete(context, **arguments)
            return super().resume_execution(next_method, arguments, context)
        except (Exception, AirflowTaskTimeout):
            if not has_to_begin_anew(attempt, context):
                raise
        return self.execute(context)

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
                kwargs={ATTEMPT: attempt_number(context.get("ti"))},
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
