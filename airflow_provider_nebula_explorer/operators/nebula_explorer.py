# SPDX-License-Identifier: Apache-2.0
"""Operators that run workflows, and get, list and cancel their jobs."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_nebula_explorer.connection.fields import DEFAULT_CONNECTION_ID
from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerAmbiguousSubmitError,
    NebulaExplorerConfigError,
)
from airflow_provider_nebula_explorer.explorer.arguments import (
    WorkflowInput,
    parse_poll_interval,
    parse_word,
)
from airflow_provider_nebula_explorer.explorer.models import Job, JobStatus, JsonObject, one_line
from airflow_provider_nebula_explorer.explorer.waiting.events import check_subject
from airflow_provider_nebula_explorer.explorer.waiting.outcome import describe
from airflow_provider_nebula_explorer.final_errors import NebulaExplorerFinalAmbiguousSubmitError
from airflow_provider_nebula_explorer.hooks.nebula_explorer import (
    DEFAULT_DEFERRABLE,
    NebulaExplorerHook,
    parse_job_id,
)
from airflow_provider_nebula_explorer.hooks.of_task import HasHook
from airflow_provider_nebula_explorer.lineage import HasJob, HasRunFacet
from airflow_provider_nebula_explorer.operators.deferral import WaitsForJob
from airflow_provider_nebula_explorer.operators.task_run import TaskRun

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

log = logging.getLogger(__name__)

__all__ = [
    "NebulaExplorerCancelJobOperator",
    "NebulaExplorerFinalAmbiguousSubmitError",
    "NebulaExplorerGetJobOperator",
    "NebulaExplorerGetTaskResultOperator",
    "NebulaExplorerListJobsOperator",
    "NebulaExplorerRunWorkflowOperator",
]


class NebulaExplorerGetJobOperator(HasHook, HasJob, BaseOperator):
    """Fetch a job's details.

    :param job_id: a number, or text of digits.
    :param nebula_explorer_conn_id: the Airflow connection to Explorer.
    :param hook_params: further arguments of the hook, such as ``{"timeout": 120}``.
    :return: in XCom: the job's object as Explorer's API returns it, keys and values unchanged.
    """

    template_fields: Sequence[str] = ("job_id", "nebula_explorer_conn_id")

    def __init__(
        self,
        *,
        job_id: int | str,
        nebula_explorer_conn_id: str = DEFAULT_CONNECTION_ID,
        hook_params: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.job_id = job_id
        self.nebula_explorer_conn_id = nebula_explorer_conn_id
        self.hook_params = hook_params or {}

    def execute(self, context: Context) -> JsonObject:
        """Fetch the job and return its object."""
        with self.hook as hook:
            job = hook.get_job(self.job_id)
            page = hook.settings.job_link(job.id, job.workflow_id)
            self.report_job(context, job.id, job.workflow_id, page)
        log.info("%s is %s.", describe(job), job.status.name)
        return job.data


class NebulaExplorerListJobsOperator(HasHook, HasRunFacet, BaseOperator):
    """Find jobs, of one workflow or of all.

    :param workflow_id: a number, or text of digits; ``None`` for all workflows.
    :param name: the job's name, as Explorer's own search understands it.
    :param status: a number, a ``JobStatus``, or its name in any case.
    :param created_after: an aware datetime, or ISO 8601 text with an offset.
    :param created_before: an aware datetime, or ISO 8601 text with an offset.
    :param order: by creation, ``desc`` (newest first) or ``asc``.
    :param limit: the maximum number of jobs; ``None`` for all.
    :param nebula_explorer_conn_id: the Airflow connection to Explorer.
    :param hook_params: further arguments of the hook, such as ``{"timeout": 120}``.
    :return: in XCom: a list of the jobs' objects as Explorer's API returns them, without their tasks.
    """

    template_fields: Sequence[str] = (
        "workflow_id",
        "name",
        "status",
        "created_after",
        "created_before",
        "order",
        "limit",
        "nebula_explorer_conn_id",
    )

    def __init__(
        self,
        *,
        workflow_id: int | str | None = None,
        name: str | None = None,
        status: JobStatus | int | str | None = None,
        created_after: datetime | str | None = None,
        created_before: datetime | str | None = None,
        order: str = "desc",
        limit: int | str | None = 100,
        nebula_explorer_conn_id: str = DEFAULT_CONNECTION_ID,
        hook_params: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.workflow_id = workflow_id
        self.name = name
        self.status = status
        self.created_after = created_after
        self.created_before = created_before
        self.order = order
        self.limit = limit
        self.nebula_explorer_conn_id = nebula_explorer_conn_id
        self.hook_params = hook_params or {}

    def execute(self, context: Context) -> list[JsonObject]:
        """Fetch as many pages as the limit needs and return the jobs' objects."""
        with self.hook as hook:
            jobs = hook.list_jobs(
                self.workflow_id,
                name=self.name,
                status=self.status,
                created_after=self.created_after,
                created_before=self.created_before,
                order=self.order,
                limit=self.limit,
            )
            found = list(jobs)
        self.name_jobs([job.id for job in found], self.workflow_id)
        log.info("Found %d jobs.", len(found))
        return [job.data for job in found]


class NebulaExplorerRunWorkflowOperator(HasHook, HasJob, WaitsForJob):
    """Run a workflow, and wait for its job.

    :param workflow_id: a number, or text of digits.
    :param input: parameters by component id, as ``{"query_1": {"limit": 10}}``; their JSON text; or the path
        of a ``.json`` file below the DAG's template search path, which is read and rendered.
    :param wait_for_completion: whether the task ends with the job, or right after starting it.
    :param poll_interval: seconds between two polls of the job; ``None``: a fifth of its age, 1 to 30 s.
    :param deferrable: whether to wait in the triggerer, where one poll serves all waiting tasks.
    :param cancel_on_kill: whether to cancel the job when the task is killed or exceeds its
        ``execution_timeout`` while it waits. (Airflow notifies a deferred task of a kill from 3.3 on.)
    :param durable: whether a retry resumes the job of the previous attempt, if that is running or succeeded
        (before Airflow 3.3, if both use the same ``state_dir``; ``docs/exactly-once.md``). A user's clear
        always requests a new job.
    :param on_ambiguous_submit: what to do if Explorer's response to the start was lost: ``reconcile``, search
        for the job that was started; ``fail``, leave it to a person.
    :param nebula_explorer_conn_id: the Airflow connection to Explorer.
    :param hook_params: further arguments of the hook, such as ``{"timeout": 120}``.
    :return: in XCom: the job's id. Under the keys ``job_id`` and ``job_url``: the id and the address of the
        job's page, as soon as they are known; under ``job``: the finished job's object, if the task waited.
    :raises NebulaExplorerJobError: if the job ended without success; a retry runs a new one.
    :raises NebulaExplorerFinalAmbiguousSubmitError: if a response was lost and a person has to
        decide which job is the task's; the task is not retried.
    """

    template_fields: Sequence[str] = ("workflow_id", "input", "nebula_explorer_conn_id")
    template_ext: Sequence[str] = (".json",)
    template_fields_renderers: ClassVar[dict[str, str]] = {"input": "json"}
    task_result = "job_id"

    def __init__(
        self,
        *,
        workflow_id: int | str,
        input: WorkflowInput | str | None = None,
        wait_for_completion: bool = True,
        poll_interval: float | timedelta | None = None,
        deferrable: bool = DEFAULT_DEFERRABLE,
        cancel_on_kill: bool = True,
        durable: bool = True,
        on_ambiguous_submit: str = "reconcile",
        nebula_explorer_conn_id: str = DEFAULT_CONNECTION_ID,
        hook_params: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.workflow_id = workflow_id
        self.input = input
        self.wait_for_completion = wait_for_completion
        self.poll_interval = parse_poll_interval("poll_interval", poll_interval)
        self.deferrable = deferrable
        self.nebula_explorer_conn_id = nebula_explorer_conn_id
        self.hook_params = hook_params or {}
        self.cancel_on_kill = cancel_on_kill
        self.durable = durable
        self.on_ambiguous_submit = parse_word(
            "on_ambiguous_submit", on_ambiguous_submit, ("reconcile", "fail")
        )
        self._run: TaskRun | None = None
        self._is_killed = False

    def render_template(self, content: Any, *args: Any, **kwargs: Any) -> Any:
        """Render a value. Only ``input`` itself may be a file's path: a text in it is a parameter's value."""
        if isinstance(content, str) or not self.template_ext:
            return super().render_template(content, *args, **kwargs)
        within = copy(self)
        within.template_ext = ()
        return within.render_template(content, *args, **kwargs)

    def execute(self, context: Context) -> int:
        """Run the workflow, wait for the job if requested, and return its id."""
        _warn_if_pointless(self)
        with self._open_run(context) as run:
            return run.begin()

    def execute_complete(self, context: Context, event: JsonObject) -> int:
        """Resume after a deferral, with the trigger's event, and return the job's id."""
        job = self.job_after_wait(event)
        with self._open_run(context) as run:
            return run.resume(job)

    @contextmanager
    def _open_run(self, context: Context) -> Iterator[TaskRun]:
        """Provide the run of this process, so that a kill finds it, even after an error."""
        with self.hook as hook:
            self._run = run = TaskRun(self, context, hook)
            if self._is_killed:  # Airflow 3 continues with a task that was killed before it came here
                run.kill()
            try:
                yield run
            except NebulaExplorerAmbiguousSubmitError as error:
                raise run.final(error) from None  # its text contains the original one
        self._run = None

    def on_kill(self) -> None:
        """Cancel the job that this task waits for; runs in a signal handler, so it uses what is loaded."""
        self._is_killed = True
        if self._run is not None:
            self._run.kill()


class NebulaExplorerCancelJobOperator(HasHook, HasJob, WaitsForJob):
    """Cancel a job. A job that is already final is left as it is.

    :param job_id: a number, or text of digits.
    :param wait_for_completion: whether the task ends when the job has stopped, or right after the request.
    :param poll_interval: seconds between two polls of the job; ``None``: a fifth of its age, 1 to 30 s.
    :param deferrable: whether to wait in the triggerer, where one poll serves all waiting tasks.
    :param nebula_explorer_conn_id: the Airflow connection to Explorer.
    :param hook_params: further arguments of the hook, such as ``{"timeout": 120}``.
    :return: in XCom: the job's object as last seen.
    """

    template_fields: Sequence[str] = ("job_id", "nebula_explorer_conn_id")
    successes = tuple(status for status in JobStatus if status.is_final)

    def __init__(
        self,
        *,
        job_id: int | str,
        wait_for_completion: bool = False,
        poll_interval: float | timedelta | None = None,
        deferrable: bool = DEFAULT_DEFERRABLE,
        nebula_explorer_conn_id: str = DEFAULT_CONNECTION_ID,
        hook_params: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.job_id = job_id
        self.wait_for_completion = wait_for_completion
        self.poll_interval = parse_poll_interval("poll_interval", poll_interval)
        self.deferrable = deferrable
        self.nebula_explorer_conn_id = nebula_explorer_conn_id
        self.hook_params = hook_params or {}

    def execute(self, context: Context) -> JsonObject:
        """Cancel the job, wait for its end if requested, and return its object."""
        _warn_if_pointless(self)
        with self.hook as hook:
            job = self._cancel(hook)
            page = hook.settings.job_link(job.id, job.workflow_id)
            self.report_job(context, job.id, job.workflow_id, page)
            if self.wait_for_completion and not job.status.is_final:
                job = self.wait_for_job(context, hook, job.id, seen=job)
        return job.data

    def execute_complete(self, context: Context, event: JsonObject) -> JsonObject:
        """Resume after a deferral, with the trigger's event, and return the job's object."""
        check_subject(event, "job", parse_job_id(self.job_id))
        job = self.job_after_wait(event)
        self.report_job(context, job.id, job.workflow_id)
        return job.data

    def _cancel(self, hook: NebulaExplorerHook) -> Job:
        hook.cancel_job(self.job_id, ignore_final=True)
        job = hook.get_job(self.job_id)
        log.info("%s is %s.", describe(job), job.status.name)
        return job


class NebulaExplorerGetTaskResultOperator(HasHook, HasRunFacet, BaseOperator):
    """Fetch the first rows of the result of one of a job's tasks.

    :param job_id: a number, or text of digits.
    :param explorer_task_id: the task's id, 32 hex characters.
    :param explorer_task_name: the task's name, if exactly one task of the job has it.
    :param limit: the maximum number of rows.
    :param nebula_explorer_conn_id: the Airflow connection to Explorer.
    :param hook_params: further arguments of the hook, such as ``{"timeout": 120}``.
    :return: in XCom: a list of rows, each 2 or 3 columns of text.
    """

    template_fields: Sequence[str] = (
        "job_id",
        "explorer_task_id",
        "explorer_task_name",
        "limit",
        "nebula_explorer_conn_id",
    )

    def __init__(
        self,
        *,
        job_id: int | str,
        explorer_task_id: str | None = None,
        explorer_task_name: str | None = None,
        limit: int | str = 10,
        nebula_explorer_conn_id: str = DEFAULT_CONNECTION_ID,
        hook_params: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if (explorer_task_id is None) == (explorer_task_name is None):
            raise NebulaExplorerConfigError(
                f"explorer_task_id is {explorer_task_id!r} and explorer_task_name is {explorer_task_name!r}; "
                "allowed: exactly one of the two."
            )
        self.job_id = job_id
        self.explorer_task_id = explorer_task_id
        self.explorer_task_name = explorer_task_name
        self.limit = limit
        self.nebula_explorer_conn_id = nebula_explorer_conn_id
        self.hook_params = hook_params or {}

    def execute(self, context: Context) -> list[list[str]]:
        """Find the task, if it was named, and return its rows."""
        self.name_job(parse_job_id(self.job_id))
        with self.hook as hook:
            rows = hook.get_task_result(
                self.job_id, self.explorer_task_id, self.limit, name=self.explorer_task_name
            )
        task = self.explorer_task_name or str(self.explorer_task_id)  # a template may take it from a job
        log.info("Fetched %d rows of task %s.", len(rows), one_line(task))
        return rows


def _warn_if_pointless(task: NebulaExplorerRunWorkflowOperator | NebulaExplorerCancelJobOperator) -> None:
    # Where Airflow's setting makes all operators deferrable, nobody has asked this one to be.
    if task.deferrable and not task.wait_for_completion and not DEFAULT_DEFERRABLE:
        log.warning("deferrable=True has no effect, as wait_for_completion is False: nothing is waited for.")
