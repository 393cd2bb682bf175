# SPDX-License-Identifier: Apache-2.0
"""Starts a task's job, and cancels it after a kill: in a signal handler, so it loads and locks nothing."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import Protocol

from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerAmbiguousSubmitError,
    NebulaExplorerError,
)
from airflow_provider_nebula_explorer.explorer.client.api import cancel_job
from airflow_provider_nebula_explorer.explorer.client.protocol import Call
from airflow_provider_nebula_explorer.explorer.interval import Interval
from airflow_provider_nebula_explorer.explorer.models import Job
from airflow_provider_nebula_explorer.explorer.waiting.abandoned import AbandonedJob
from airflow_provider_nebula_explorer.explorer.waiting.outcome import FailedPolls
from airflow_provider_nebula_explorer.explorer.waiting.pollers import poll_until_seen
from airflow_provider_nebula_explorer.final_errors import NebulaExplorerTaskKilledError
from airflow_provider_nebula_explorer.hooks.nebula_explorer import NebulaExplorerHook

log = logging.getLogger(__name__)


class HasKillableJob(Protocol):
    """What the run operator says of its job.

    :param poll_interval: seconds between two polls of the job; ``None``: a fifth of its age, 1 to 30 s.
    :param cancel_on_kill: whether a kill cancels the job.
    """

    workflow_id: int | str
    poll_interval: float | None
    cancel_on_kill: bool


class TaskJob:
    """The job of a task that runs: started, polled and cancelled here, so that a kill finds it.

    :param task: the operator.
    :param hook: makes the calls.
    """

    def __init__(self, task: HasKillableJob, hook: NebulaExplorerHook) -> None:
        self._task = task
        self._hook = hook
        self._starting: Future[int] | None = None
        self._may_be_unknown = False
        self._id: int | None = None
        self._is_killed = False

    def start(self, call: Call[int]) -> int:
        """Make the call that starts the job, in a thread: what interrupts the task leaves that alone."""
        self.raise_if_killed()
        # Known before the thread starts, as the signal may come just then.
        self._starting = starting = Future[int]()
        before = self._may_be_unknown
        self.track(None)
        run = self._hook.get_conn().run
        Thread(target=_complete, args=(starting, run, call), name="nebula-explorer-start").start()
        try:
            return starting.result()
        except NebulaExplorerError as error:
            self._may_be_unknown = before or isinstance(error, NebulaExplorerAmbiguousSubmitError)
            raise

    def track(self, job_id: int | None) -> None:
        """Note which job is the task's; ``None``: there may be one, but its id is not known."""
        self._id, self._may_be_unknown = job_id, job_id is None
        if self._is_killed:
            self._warn_if_unknown()

    def poll(self, job_id: int) -> Job:
        """Return a job as it is now; polls that fail are repeated, as those of a wait are."""
        return poll_until_seen(
            lambda: self._hook.get_job(job_id),
            FailedPolls(f"job {job_id}", self._hook.settings.max_consecutive_failures),
            pause=Interval.of(self._task.poll_interval).longest,
            sleep=time.sleep,
        )

    def cancel(self, job_id: int, reason: str) -> None:
        """Cancel a job that nobody waits for any more, and log the outcome.

        :param reason: why nobody waits.
        """
        job = AbandonedJob(job_id, self._hook.settings.job_link(job_id, self._task.workflow_id), reason)
        log.log(*job.announcement)
        # Not the hook's own client, which may be in the middle of a call that a signal interrupted.
        client = self._hook.get_conn().clone()
        refusal: NebulaExplorerError | None = None
        try:
            client.run(cancel_job(job_id))
        except NebulaExplorerError as error:
            refusal = error
        finally:
            client.close()
        log.log(*job.outcome(refusal))

    def kill(self) -> None:
        """Note that the task was killed, and cancel the job if a kill does."""
        self._is_killed = True
        if not self._task.cancel_on_kill:
            return
        job_id = self._wait_for_id() if self._id is None else self._id
        if job_id is not None:
            self.cancel(job_id, "its task was ended")
        else:
            self._warn_if_unknown()

    def end_if_killed(self) -> None:
        """Raise if the task was killed, perhaps before its job was tracked: so cancel that first."""
        if self._is_killed:
            self.kill()
            self.raise_if_killed()

    def raise_if_killed(self) -> None:
        """Raise if the task was killed: in Airflow 3 its code runs for seconds after the signal."""
        if self._is_killed:
            raise NebulaExplorerTaskKilledError("The task was killed.")

    def _warn_if_unknown(self) -> None:
        if self._may_be_unknown:
            log.warning(
                "Killed before its job's id was known: a job of workflow %s may be running. The next "
                "attempt searches for it, if there is one and it finds this one's note; otherwise, check the "
                "workflow's jobs.",
                self._task.workflow_id,
            )

    def _wait_for_id(self) -> int | None:
        if self._starting is None:
            return None
        if not self._starting.done():
            log.info(
                "Killed while requesting a job of workflow %s: waiting for its id.", self._task.workflow_id
            )
        try:
            return self._starting.result(timeout=self._hook.settings.timeout)
        except Exception:  # noqa: BLE001 - start() raises the same error
            return None


def _complete(future: Future[int], run: Callable[[Call[int]], int], call: Call[int]) -> None:
    try:
        future.set_result(run(call))
    except BaseException as error:  # noqa: BLE001 - start() raises it in the task's thread
        future.set_exception(error)
