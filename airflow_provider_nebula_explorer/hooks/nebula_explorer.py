# SPDX-License-Identifier: Apache-2.0
"""Makes calls to Explorer's API with an Airflow connection."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook, conf

from airflow_provider_nebula_explorer.connection.fields import (
    CONNECTION_TYPE,
    DEFAULT_CONNECTION_ID,
    EXTRA_FIELDS,
    HOOK_NAME,
    STANDARD_FORM,
)
from airflow_provider_nebula_explorer.connection.reading import (
    is_common,
    read_connection,
    read_fields,
    unknown_extras,
)
from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerBadRequestError,
    NebulaExplorerConfigError,
    NebulaExplorerError,
    NebulaExplorerNotFoundError,
)
from airflow_provider_nebula_explorer.explorer.arguments import (
    in_seconds,
    parse_count,
    parse_id,
    parse_poll_interval,
    parse_seconds,
    parse_text,
)
from airflow_provider_nebula_explorer.explorer.client import api
from airflow_provider_nebula_explorer.explorer.client.lists import walk_list
from airflow_provider_nebula_explorer.explorer.interval import Interval
from airflow_provider_nebula_explorer.explorer.models import Job, JobStatus, show
from airflow_provider_nebula_explorer.explorer.starting.submit import Submitter
from airflow_provider_nebula_explorer.explorer.waiting.outcome import (
    MOST_SHOWN,
    describe,
    describe_task,
    more,
)
from airflow_provider_nebula_explorer.explorer.waiting.pollers import wait_for_job
from airflow_provider_nebula_explorer.hooks.clients import open_client
from airflow_provider_nebula_explorer.hooks.state_dir import state_dir

if TYPE_CHECKING:
    from typing_extensions import Self

    from airflow_provider_nebula_explorer.connection.fields import ExtraField
    from airflow_provider_nebula_explorer.explorer.arguments import WorkflowInput
    from airflow_provider_nebula_explorer.explorer.client.sync_client import Client
    from airflow_provider_nebula_explorer.explorer.settings import Settings

log = logging.getLogger(__name__)

DEFAULT_DEFERRABLE: bool = conf.getboolean("operators", "default_deferrable", fallback=False)


def parse_job_id(job_id: object) -> int:
    """Return a job's id, or say where a task that failed left it.

    :param job_id: a number, or text of digits as templates give it.
    """
    if job_id in (None, "None", ""):
        raise NebulaExplorerConfigError(
            f"job_id is {job_id!r}; allowed: a number, or text of digits. A task that did not succeed "
            "returns no id. The run operator's XCom 'job_id' has it as soon as the job is started, however "
            "the task ends: job_id=run.output['job_id']."
        )
    return parse_id("job_id", job_id)


class NebulaExplorerHook(BaseHook):
    """Calls the workflow API of NebulaGraph Explorer.

    The account comes from an Airflow connection, which is looked up at the first call. One login and one
    HTTP connection serve all calls of a hook; ``with`` or :meth:`close` closes the HTTP connection.

    :param nebula_explorer_conn_id: the Airflow connection; see ``docs/connection.md`` for its fields.
    :param timeout: seconds for one request, in the place of the connection's.
    :param max_retries: further tries of a request that is safe to repeat, in the place of the connection's.
    :param max_consecutive_failures: failed polls in a row that end a wait, in the place of the connection's.
    """

    conn_name_attr = "nebula_explorer_conn_id"
    default_conn_name = DEFAULT_CONNECTION_ID
    conn_type = CONNECTION_TYPE
    hook_name = HOOK_NAME

    def __init__(
        self,
        nebula_explorer_conn_id: str = DEFAULT_CONNECTION_ID,
        *,
        timeout: float | timedelta | None = None,
        max_retries: int | None = None,
        max_consecutive_failures: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.nebula_explorer_conn_id = nebula_explorer_conn_id
        self._own_values = {
            "timeout": in_seconds(timeout),
            "max_retries": max_retries,
            "max_consecutive_failures": max_consecutive_failures,
        }
        self._known_settings: Settings | None = None
        self._client: Client | None = None

    @property
    def settings(self) -> Settings:
        """The connection's fields, read and checked once.

        :raises NebulaExplorerConfigError: names the field that is wrong.
        """
        if self._known_settings is None:
            self._known_settings = self._read_settings()
        return self._known_settings

    def _read_settings(self) -> Settings:
        connection = self.get_connection(self.nebula_explorer_conn_id)
        settings = replace(
            read_connection(connection), **read_fields(self._own_values), state_dir=state_dir()
        )
        for key in unknown_extras(connection):
            log.warning(
                "Connection %r: extra %r is unknown and is ignored; known are %s.",
                self.nebula_explorer_conn_id,
                key,
                ", ".join(field.name for field in EXTRA_FIELDS),
            )
        return settings

    def get_conn(self) -> Client:
        """Return the client that makes the calls; it is created at first use."""
        if self._client is None:
            self._client = open_client(self.settings)
        return self._client

    def close(self) -> None:
        """Close the HTTP connection. The hook stays usable, under the same login."""
        if self._client is not None:
            self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def get_job(self, job_id: int | str) -> Job:
        """Fetch a job with its tasks.

        Airflow stores a job that a task returns, but does not read it for the next task: return its ``data``,
        its ``status``, or what else is needed of it. ``docs/reference/hook.md`` says what can be returned.

        :param job_id: a number, or text of digits.
        :raises NebulaExplorerNotFoundError: if there is no such job.
        """
        return self.get_conn().run(api.get_job(parse_job_id(job_id)))

    def get_job_status(self, job_id: int | str) -> JobStatus:
        """Fetch a job's status.

        :param job_id: a number, or text of digits.
        :raises NebulaExplorerNotFoundError: if there is no such job.
        """
        return self.get_job(job_id).status

    def list_jobs(
        self,
        workflow_id: int | str | None = None,
        *,
        name: str | None = None,
        status: JobStatus | int | str | None = None,
        created_after: datetime | str | None = None,
        created_before: datetime | str | None = None,
        order: str = "desc",
        limit: int | str | None = None,
    ) -> Iterator[Job]:
        """Find jobs. Pages are fetched as they are needed; the jobs come without their tasks.

        :param workflow_id: a number, or text of digits; ``None`` for the jobs of all workflows.
        :param name: the job's name, as Explorer's own search understands it.
        :param status: a number, a ``JobStatus``, or its name in any case.
        :param created_after: an aware datetime, or ISO 8601 text with an offset; inclusive.
        :param created_before: an aware datetime, or ISO 8601 text with an offset; inclusive.
        :param order: by creation, ``desc`` (newest first) or ``asc``.
        :param limit: the maximum number of jobs; ``None`` for all.
        :raises NebulaExplorerConfigError: at once, for a wrong argument.
        :raises NebulaExplorerConnectionError: if there is no limit and there are more than 100,000 jobs.
        """
        job_filter = api.job_filter(
            name=name, status=status, created_after=created_after, created_before=created_before, order=order
        )
        workflow = None if workflow_id is None else parse_id("workflow_id", workflow_id)
        most = None if limit is None else parse_count("limit", limit)
        page_size = api.PAGE_SIZE if most is None else min(most, api.PAGE_SIZE)
        # Not get_conn().run, as the client is opened with the first page.
        return walk_list(lambda call: self.get_conn().run(call), workflow, job_filter, page_size, limit=most)

    def run_workflow(self, workflow_id: int | str, input: WorkflowInput | str | None = None) -> int:
        """Run a workflow. If Explorer's response is lost, the job that was started is searched for.

        :param workflow_id: a number, or text of digits.
        :param input: parameters by component id, as ``{"query_1": {"limit": 10}}``, or their JSON text.
        :return: the new job's id.
        :raises NebulaExplorerAmbiguousSubmitError: if the response was lost and several jobs may be the one;
            see ``docs/exactly-once.md``.
        """
        call = api.add_job(workflow_id, input)
        submitter = Submitter(
            self.get_conn(), max_failures=self.settings.max_consecutive_failures, sleep=time.sleep
        )
        return submitter.submit(call, submitter.intend(parse_id("workflow_id", workflow_id)))

    def cancel_job(self, job_id: int | str, *, ignore_final: bool = False) -> None:
        """Ask Explorer to stop a job. It becomes Stopping and soon Interrupted; nothing is returned.

        :param job_id: a number, or text of digits.
        :param ignore_final: whether a job that is already final is left as it is, without an error.
        :raises NebulaExplorerBadRequestError: if the job is already final.
        :raises NebulaExplorerNotFoundError: if there is no such job.
        """
        try:
            self.get_conn().run(api.cancel_job(parse_job_id(job_id)))
            self._check_existence(job_id)
        except NebulaExplorerBadRequestError:
            status = self.get_job_status(job_id)
            # Explorer may have accepted an earlier try whose response was lost; then the job is stopping.
            if status is not JobStatus.STOPPING and not (ignore_final and status.is_final):
                raise
            log.info("Job %s was already %s.", job_id, status.name)

    def get_task_result(
        self,
        job_id: int | str,
        task_id: str | None = None,
        limit: int | str = 10,
        *,
        name: str | None = None,
    ) -> list[list[str]]:
        """Fetch the first rows of the result of a job's task; either its id or its name says which.

        :param job_id: a number, or text of digits.
        :param task_id: 32 hex characters, from the job's details.
        :param limit: the maximum number of rows.
        :param name: the task's name, if exactly one task of the job has it.
        :return: rows of 2 or 3 columns of text.
        :raises NebulaExplorerNotFoundError: if there is no such job, or it has no such task.
        :raises NebulaExplorerConfigError: if the name is that of no task, or of several; it lists them all.
        """
        if (task_id is None) == (name is None):
            raise NebulaExplorerConfigError(
                f"task_id is {show(task_id)} and name is {show(name)}; allowed: exactly one of the two."
            )
        most = parse_count("limit", limit)
        task_id = self._task_named(job_id, name) if task_id is None else task_id
        rows = self.get_conn().run(api.get_task_result(parse_job_id(job_id), task_id, most))
        if not rows:
            self._check_existence(job_id, task_id)
        if len(rows) >= most:
            log.warning(
                "The limit of %d rows was reached: the result of task %s may have more.", most, task_id
            )
        return rows

    def _check_existence(self, job_id: int | str, task_id: str | None = None) -> None:
        """Raise an error if Explorer reported success about a job or a task that does not exist."""
        try:
            job = self.get_job(job_id)
        except NebulaExplorerNotFoundError:
            raise
        except NebulaExplorerError as error:
            log.debug("Whether job %s exists cannot be checked: %s", job_id, error)
            return
        if task_id is not None and task_id.lower() not in {task.id.lower() for task in job.tasks}:
            raise NebulaExplorerNotFoundError(
                f"Job {job_id} has no task {task_id}. {NebulaExplorerNotFoundError.hint}"
            )

    def _task_named(self, job_id: int | str, name: object) -> str:
        wanted = parse_text("name", name)
        job = self.get_job(job_id)
        found = [task.id for task in job.tasks if task.name == wanted]
        if len(found) != 1:
            tasks = ", ".join(map(describe_task, job.tasks[:MOST_SHOWN])) + more(len(job.tasks)) or "none"
            raise NebulaExplorerConfigError(
                f"The task's name is {show(wanted)}, which matches {len(found)} tasks of {describe(job)}; "
                f"allowed: a name that matches one. Its tasks: {tasks}. Otherwise, use the task's id."
            )
        return found[0]

    def list_workflows(self, jobs: int | str = 200) -> dict[str, str]:
        """Return the ids and names of the workflows of the newest jobs; Explorer's API lists no workflows.

        :param jobs: how many jobs are read.
        :return: names by id, that of the newest job first.
        """
        found: dict[str, str] = {}
        for job in self.list_jobs(limit=jobs):
            found.setdefault(job.workflow_id, job.workflow_name)
        return found

    def wait_for_job(
        self,
        job_id: int | str,
        *,
        poll_interval: float | timedelta | None = None,
        timeout: float | timedelta | None = None,
    ) -> Job:
        """Wait until a job is final, and log its changes.

        :param job_id: a number, or text of digits.
        :param poll_interval: seconds between two polls; ``None``: a fifth of the job's age, from 1 s to 30 s.
        :param timeout: seconds to wait at most; ``None`` to wait forever.
        :return: the final job, no matter how it ended.
        :raises NebulaExplorerTimeoutError: if it is not final in time; the job continues.
        :raises NebulaExplorerConnectionError: if too many polls in a row failed.
        """
        interval = Interval.of(parse_poll_interval("poll_interval", poll_interval))
        seconds = None if timeout is None else parse_seconds("timeout", timeout)
        limit = self.settings.max_consecutive_failures
        return wait_for_job(
            self.get_conn(), job_id, interval=interval, timeout=seconds, max_failures=limit, sleep=time.sleep
        )

    def test_connection(self) -> tuple[bool, str]:
        """Log in once, and return whether that worked, and a message."""
        try:
            settings = self.settings
            client = open_client(replace(settings, max_retries=0))
            try:
                client.login()
            finally:
                client.close()
            extras = unknown_extras(self.get_connection(self.nebula_explorer_conn_id))
        except AirflowNotFoundException as error:
            # A page tests a connection as a URI, and one with such a port is not read back.
            return False, f"{error}. If the form has it, check its port: it must be from 1 to 65535."
        except Exception as error:  # noqa: BLE001 - whatever it is, the form shall say it
            return False, str(error) or type(error).__name__
        note = f" Unknown, so ignored: extra {', '.join(map(repr, extras))}." if extras else ""
        if is_common(settings.account):
            note += (
                " The password is also a common word or a short number: Airflow masks it within other words "
                "and ids of all logs, too. Choose one that is not."
            )
        return True, f"Logged in to Explorer at {settings.base_url} as {settings.account.login!r}.{note}"

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return our fields of the connection form up to Airflow 3.1; later ones read the metadata."""
        # Airflow 2 brings both; on Airflow 3 they come with the fab provider alone.
        from flask_appbuilder.fieldwidgets import BS3TextFieldWidget  # type: ignore[import-not-found]
        from wtforms import IntegerField, StringField  # type: ignore[import-untyped]
        from wtforms.validators import Optional  # type: ignore[import-untyped]

        def widget(field: ExtraField) -> Any:
            kind = IntegerField if "integer" in field.schema["type"] else StringField
            return kind(
                field.label,
                widget=BS3TextFieldWidget(),
                description=field.help,
                default=field.form_default,
                validators=[Optional()],
            )

        return {field.name: widget(field) for field in EXTRA_FIELDS}

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return how the form up to Airflow 3.1 calls the fields that every connection has."""
        return {"hidden_fields": [], **STANDARD_FORM}
