"""Sensors that wait for Explorer's jobs."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
)

from airflow_provider_nebula_explorer.connection import DEFAULT_CONNECTION_ID
from airflow_provider_nebula_explorer.exceptions import NebulaExplorerJobError
from airflow_provider_nebula_explorer.explorer.arguments import parse_statuses
from airflow_provider_nebula_explorer.explorer.waiting import has_reached
from airflow_provider_nebula_explorer.hooks.nebula_explorer import (
    DEFAULT_DEFERRABLE,
    JobWatch,
    NebulaExplorerHook,
    WorkflowWatch,
    refuse_deferrable,
)
from airflow_provider_nebula_explorer.links.nebula_explorer import NebulaExplorerJobLink, show_job

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_nebula_explorer.explorer.models import Job, JobStatus
    from airflow_provider_nebula_explorer.hooks.nebula_explorer import Watch


class NebulaExplorerFinalJobError(NebulaExplorerJobError, AirflowFailException):
    """A job that a sensor waits for ended other than wanted, for good: a retry would see the same."""


class _ExplorerSensor(BaseSensorOperator):
    """What both sensors share: one login and one watch for all looks of a process."""

    operator_extra_links = (NebulaExplorerJobLink(),)

    def __init__(self, *, deferrable: bool, nebula_explorer_conn_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        refuse_deferrable(deferrable)
        self.deferrable = deferrable
        self.nebula_explorer_conn_id = nebula_explorer_conn_id
        self._hook: NebulaExplorerHook | None = None
        self._watch: Watch | None = None
        self._is_shown = False

    @abstractmethod
    def _open_watch(self, hook: NebulaExplorerHook, context: Context) -> Watch: ...

    @abstractmethod
    def _is_over(self, job: Job) -> bool: ...

    def execute(self, context: Context) -> Any:
        """Wait, and return the job's object."""
        try:
            return self._execute_while_looks_fail(super().execute, context)
        finally:
            self._close()

    def _execute_while_looks_fail(self, execute: Callable[[Context], Any], context: Context) -> Any:
        """Run the base class's ``execute``; in reschedule mode again and again while looks fail.

        Failed looks in a row are counted in this process, so it may end only after a look that saw something.
        """
        from airflow.exceptions import AirflowRescheduleException

        begun = time.monotonic()
        while True:
            try:
                return execute(context)
            except AirflowRescheduleException as pause:
                if self._watch is None or not self._watch.last_look_failed:
                    raise
                # Before its first rescheduling Airflow measures the timeout from each execute.
                if time.monotonic() - begun > self.timeout:
                    raise self._timeout_error(time.monotonic() - begun) from None
                time.sleep(max(0.0, (pause.reschedule_date - datetime.now(timezone.utc)).total_seconds()))

    def _timeout_error(self, seconds: float) -> AirflowException:
        kind = AirflowSkipException if self.soft_fail else AirflowSensorTimeout
        return kind(f"Sensor has timed out; {seconds:.0f} seconds exceed the timeout of {self.timeout}.")

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once."""
        if self._hook is None or self._watch is None:
            self._hook = NebulaExplorerHook(self.nebula_explorer_conn_id)
            self._watch = self._open_watch(self._hook, context)
        job = self._watch.look()
        if job is None:
            return PokeReturnValue(is_done=False)
        if not self._is_shown:
            show_job(context, self._hook, job.id, job.workflow_id)
            self._is_shown = True
        return PokeReturnValue(is_done=self._is_over(job), xcom_value=job.data)

    def _close(self) -> None:
        if self._hook is not None:
            self._hook.close()
        # What the next execute of this object finds is as at the first: its XComs are cleared, too.
        self._hook, self._watch, self._is_shown = None, None, False


class NebulaExplorerJobSensor(_ExplorerSensor):
    """Wait until a job reaches one of the wanted statuses.

    Takes all parameters of Airflow's ``BaseSensorOperator`` too: ``poke_interval``, ``timeout``, ``mode``,
    ``soft_fail`` and so on.

    :param job_id: a number, or text of digits.
    :param target_statuses: each a name in any case, a number, or a ``JobStatus``.
    :param deferrable: not supported yet; must be ``False``.
    :param nebula_explorer_conn_id: the Airflow connection to Explorer.
    :return: in XCom: the job's object as Explorer's API gives it.
    :raises NebulaExplorerFinalJobError: where the job ended in another status; retries are not used up.
    """

    template_fields: Sequence[str] = ("job_id", "target_statuses", "nebula_explorer_conn_id")

    def __init__(
        self,
        *,
        job_id: int | str,
        target_statuses: Sequence[JobStatus | int | str] | str = ("SUCCESS",),
        deferrable: bool = DEFAULT_DEFERRABLE,
        nebula_explorer_conn_id: str = DEFAULT_CONNECTION_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(deferrable=deferrable, nebula_explorer_conn_id=nebula_explorer_conn_id, **kwargs)
        self.job_id = job_id
        self.target_statuses = target_statuses
        self._targets: frozenset[JobStatus] = frozenset()

    def _open_watch(self, hook: NebulaExplorerHook, context: Context) -> Watch:
        self._targets = parse_statuses("target_statuses", self.target_statuses)
        return JobWatch(hook, self.job_id)

    def _is_over(self, job: Job) -> bool:
        try:
            return has_reached(job, self._targets)
        except NebulaExplorerJobError as error:
            raise NebulaExplorerFinalJobError(str(error), error.job) from None


class NebulaExplorerWorkflowSensor(_ExplorerSensor):
    """Wait until a job of a workflow has succeeded, whoever started it.

    Where several did, the one that was created first counts. Takes all parameters of Airflow's
    ``BaseSensorOperator`` too.

    :param workflow_id: a number, or text of digits.
    :param name: the job's name, as Explorer's own search takes it; ``None`` for any.
    :param created_after: jobs created before it do not count: an aware datetime, or ISO 8601 text with an
        offset. Default: the start of the run's data interval, else its logical date, else its start.
    :param deferrable: not supported yet; must be ``False``.
    :param nebula_explorer_conn_id: the Airflow connection to Explorer.
    :return: in XCom: the job's object as Explorer's API gives it.
    """

    template_fields: Sequence[str] = (
        "workflow_id",
        "name",
        "created_after",
        "nebula_explorer_conn_id",
    )

    def __init__(
        self,
        *,
        workflow_id: int | str,
        name: str | None = None,
        created_after: datetime | str | None = None,
        deferrable: bool = DEFAULT_DEFERRABLE,
        nebula_explorer_conn_id: str = DEFAULT_CONNECTION_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(deferrable=deferrable, nebula_explorer_conn_id=nebula_explorer_conn_id, **kwargs)
        self.workflow_id = workflow_id
        self.name = name
        self.created_after = created_after

    def _open_watch(self, hook: NebulaExplorerHook, context: Context) -> Watch:
        since = self.created_after or _start_of_run(context)
        return WorkflowWatch(hook, self.workflow_id, name=self.name, created_after=since)

    def _is_over(self, job: Job) -> bool:
        return True


def _start_of_run(context: Context) -> datetime | None:
    # A run without a logical date, as an asset event starts one, has no data interval either.
    return context.get("data_interval_start") or context.get("logical_date") or context["dag_run"].start_date
