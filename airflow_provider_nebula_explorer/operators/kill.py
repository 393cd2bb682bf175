"""Ends a task's job with the task: from a signal handler, so with what is loaded and locks nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from threading import Thread
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_nebula_explorer.exceptions import NebulaExplorerError
from airflow_provider_nebula_explorer.explorer.api import cancel_job
from airflow_provider_nebula_explorer.explorer.waiting import cancel_told

if TYPE_CHECKING:
    from airflow_provider_nebula_explorer.explorer.protocol import Call
    from airflow_provider_nebula_explorer.hooks.nebula_explorer import NebulaExplorerHook

log = logging.getLogger(__name__)

_KILLED = "its task was killed"


class JobOfTask:
    """The job of a task that runs: the task tells what it knows of it, a signal handler ends it.

    :param hook: makes the calls.
    :param workflow_id: the job's workflow.
    """

    def __init__(self, hook: NebulaExplorerHook, workflow_id: int | str) -> None:
        self._hook = hook
        self._workflow_id = workflow_id
        self._starting: Future[int] | None = None
        self.id: int | None = None
        self.is_killed = False

    def start(self, call: Call[int]) -> int:
        """Make the call that starts the job, in a thread: what interrupts the task leaves that alone."""
        self.id = None
        self.go_on_unless_killed()
        # Known before the thread starts, as the signal may come just then.
        self._starting = starting = Future[int]()
        Thread(target=_complete, args=(starting, lambda: self._hook.get_conn().run(call))).start()
        return starting.result()

    def go_on_unless_killed(self) -> None:
        """Raise where the task was killed: in Airflow 3 its code goes on for seconds after the signal."""
        if self.is_killed:
            raise AirflowException("The task was killed.")

    def end(self, *, cancelling: bool) -> None:
        """Take note that the task was killed.

        :param cancelling: whether to cancel the job.
        """
        self.is_killed = True
        if not cancelling:
            return
        job_id = self._wait_for_id() if self.id is None else self.id
        if job_id is not None:
            self.cancel(job_id, _KILLED)
        else:
            log.warning(
                "Killed before a job's id was known: one of workflow %s may run. The next attempt looks for "
                "it, where Airflow keeps its notes (3.3 and later).",
                self._workflow_id,
            )

    def cancel(self, job_id: int, reason: str) -> None:
        """Cancel a job that nobody waits for any more, and say how that went.

        :param reason: why nobody does.
        """
        # Not the hook's own client, which may be in the middle of a call that a signal interrupted.
        client = self._hook.get_conn().twin()
        failed: NebulaExplorerError | None = None
        try:
            client.run(cancel_job(job_id))
        except NebulaExplorerError as error:
            failed = error
        finally:
            client.close()
        link = self._hook.settings.job_link(job_id, self._workflow_id)
        level, line = cancel_told(job_id, link, reason, failed)
        log.log(level, "%s", line)

    def _wait_for_id(self) -> int | None:
        if self._starting is None:
            return None
        try:
            return self._starting.result(timeout=self._hook.settings.timeout)
        except (NebulaExplorerError, FutureTimeoutError):
            return None


def _complete(future: Future[int], work: Callable[[], int]) -> None:
    try:
        future.set_result(work())
    except BaseException as error:  # noqa: BLE001 - whatever it is, the one who waits shall have it
        future.set_exception(error)
