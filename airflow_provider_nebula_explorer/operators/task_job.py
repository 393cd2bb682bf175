"""Cancels a task's job when the task is killed: in a signal handler, so it loads and locks nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerAmbiguousSubmitError,
    NebulaExplorerError,
)
from airflow_provider_nebula_explorer.explorer.client.api import cancel_job
from airflow_provider_nebula_explorer.explorer.waiting.abandoned import AbandonedJob

if TYPE_CHECKING:
    from airflow_provider_nebula_explorer.explorer.client.protocol import Call
    from airflow_provider_nebula_explorer.hooks.nebula_explorer import NebulaExplorerHook

log = logging.getLogger(__name__)

_KILLED = "its task was ended"


class JobOfTask:
    """The job of a task that runs: the task tells what it knows of it, a signal handler ends it.

    :param hook: makes the calls.
    :param workflow_id: the job's workflow.
    """

    def __init__(self, hook: NebulaExplorerHook, workflow_id: int | str) -> None:
        self._hook = hook
        self._workflow_id = workflow_id
        self._starting: Future[int] | None = None
        self._may_be_unknown = False
        self._id: int | None = None
        self.is_killed = False

    def start(self, call: Call[int]) -> int:
        """Make the call that starts the job, in a thread: what interrupts the task leaves that alone."""
        self.go_on_unless_killed()
        # Known before the thread starts, as the signal may come just then.
        self._starting = starting = Future[int]()
        before = self._may_be_unknown
        self.hold(None)
        Thread(target=_complete, args=(starting, lambda: self._hook.get_conn().run(call))).start()
        try:
            return starting.result()
        except NebulaExplorerError as error:
            self._may_be_unknown = before or isinstance(error, NebulaExplorerAmbiguousSubmitError)
            raise

    def hold(self, job_id: int | None) -> None:
        """Take note of which job is the task's; ``None``: there may be one, but it is not known which."""
        self._id, self._may_be_unknown = job_id, job_id is None
        if self.is_killed:
            self._warn_if_unknown()

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
        job_id = self._wait_for_id() if self._id is None else self._id
        if job_id is not None:
            self.cancel(job_id, _KILLED)
        else:
            self._warn_if_unknown()

    def _warn_if_unknown(self) -> None:
        if self._may_be_unknown:
            log.warning(
                "Killed before its job's id was known: a job of workflow %s may be running. The next "
                "attempt, if there is one, searches for it on Airflow 3.3 and later; otherwise, check the "
                "workflow's jobs.",
                self._workflow_id,
            )

    def cancel(self, job_id: int, reason: str) -> None:
        """Cancel a job that nobody waits for any more, and say how that went.

        :param reason: why nobody does.
        """
        link = self._hook.settings.job_link(job_id, self._workflow_id)
        # Said before, as Airflow gives a killed worker no more than seconds.
        log.info("Cancelling job %s, as %s: %s", job_id, reason, link)
        # Not the hook's own client, which may be in the middle of a call that a signal interrupted.
        client = self._hook.get_conn().clone()
        failed: NebulaExplorerError | None = None
        try:
            client.run(cancel_job(job_id))
        except NebulaExplorerError as error:
            failed = error
        finally:
            client.close()
        level, line = AbandonedJob(job_id, link, reason).outcome(failed)
        log.log(level, "%s", line)

    def _wait_for_id(self) -> int | None:
        if self._starting is None:
            return None
        if not self._starting.done():
            log.info("Killed while requesting a job of workflow %s: waiting for its id.", self._workflow_id)
        try:
            return self._starting.result(timeout=self._hook.settings.timeout)
        except Exception:  # noqa: BLE001 - whatever it is, the one who asked for the job has it, too
            return None


def _complete(future: Future[int], work: Callable[[], int]) -> None:
    try:
        future.set_result(work())
    except BaseException as error:  # noqa: BLE001 - whatever it is, the one who waits shall have it
        future.set_exception(error)
