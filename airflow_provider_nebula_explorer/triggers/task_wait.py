# SPDX-License-Identifier: Apache-2.0
"""The base of all triggers that work for a task: each joins its account's watcher, and fires one event."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from abc import abstractmethod
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerError,
    NebulaExplorerLoginError,
    NebulaExplorerTimeoutError,
)
from airflow_provider_nebula_explorer.explorer.models import Job, JsonObject, show_error
from airflow_provider_nebula_explorer.explorer.settings import Settings
from airflow_provider_nebula_explorer.explorer.waiting.events import error_event, job_event, timeout_event
from airflow_provider_nebula_explorer.explorer.waiting.watcher import Watcher
from airflow_provider_nebula_explorer.triggers.limits import TimeLimits
from airflow_provider_nebula_explorer.triggers.task_end import TaskResult, success_event
from airflow_provider_nebula_explorer.triggers.watchers import SharedWatcher, look_up

log = logging.getLogger(__name__)


class WaitTrigger(BaseTrigger):
    """Fire once, at the end of a wait.

    Each subclass is a dataclass. Its fields are the arguments, JSON values, that Airflow stores.

    :param timeout_at: when to give up, after a last poll, in epoch seconds; a sensor's ``timeout``.
    :param execution_timeout_at: when to give up at once, in epoch seconds; a task's ``execution_timeout``.
    :param failed_polls: how many polls in a row failed before.
    :param ends_task: whether a success ends the task in the triggerer (Airflow 3.3 and later).
    :param resume_not_before: seconds after the trigger's start before which it does not resume its task in a
        worker (:func:`.resumption.seconds_before_resumption`).
    """

    nebula_explorer_conn_id: str
    poll_interval: float | timedelta | None
    longest_interval: float
    timeout_at: float | None
    execution_timeout_at: float | None
    failed_polls: int
    ends_task: bool
    resume_not_before: float
    task_result: TaskResult = "job"

    def __post_init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        if isinstance(self.poll_interval, timedelta):  # JSON has none
            self.poll_interval = self.poll_interval.total_seconds()

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class's path and its arguments."""
        arguments = {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and yield the one event."""
        yield await self._last_event()

    async def _last_event(self) -> TriggerEvent:
        """Wait, and return what ends the task, or resumes it in a worker.

        Without a task instance, as in ``dag.test()``, no scheduler is involved: the task cannot end in the
        triggerer, and there is no race to wait out. So the event comes at once.
        """
        resumes_at = time.monotonic() + self.resume_not_before
        event = await self._event()
        if self.task_instance is None:
            return fire(event)
        if self.ends_task and self._is_success(event):
            try:
                return await success_event(self.task_instance, event, self.task_result)
            except Exception as error:  # noqa: BLE001 - Airflow's: a worker can still end the task
                log.warning("The task ends in a worker, as storing its XComs failed: %s", show_error(error))
        left = resumes_at - time.monotonic()
        if left > 0:
            log.info("The wait is over. The task resumes in %.0f s, as sooner Airflow might fail it.", left)
            await asyncio.sleep(left)
        return fire(event)

    @property
    @abstractmethod
    def _subject(self) -> JsonObject:
        """What is waited for, as events name it."""

    @abstractmethod
    async def _wait(self, watcher: Watcher) -> Job: ...

    def _is_success(self, event: JsonObject) -> bool:
        """Say whether an event ends the task in success."""
        return "job" in event

    async def _abandon(self, reason: str) -> None:
        """Do what has to be done when nobody waits any more.

        :param reason: why nobody waits, as ``its task was ended``.
        """

    @property
    def _is_page_known(self) -> bool:
        """Whether the task knows the address of the job's page."""
        return False

    @property
    def _deadline(self) -> float:
        """When a sensor's ``timeout`` ends the wait, on :func:`time.monotonic`'s clock."""
        return self._limits.deadline

    @property
    def _limits(self) -> TimeLimits:
        return TimeLimits(self.timeout_at, self.execution_timeout_at)

    async def _event(self) -> JsonObject:
        """Wait, and return how that ended."""
        try:
            return await asyncio.wait_for(self._event_of_wait(), self._limits.seconds_to_execute)
        except asyncio.TimeoutError:  # can only be that of the limit, as the wait raises none
            await self._abandon("its task's execution_timeout has expired")
            return timeout_event(self._subject, "execution_timeout")

    async def _event_of_wait(self) -> JsonObject:
        try:
            job, settings = await self._wait_with_account()
        except NebulaExplorerTimeoutError:
            return timeout_event(self._subject, "timeout")
        except Exception as error:  # Airflow would pass on what is raised here without its type
            if not isinstance(error, NebulaExplorerError):
                log.exception("The wait for %s failed.", self._subject)
            limits = [self.timeout_at, self.execution_timeout_at]
            return {**error_event(self._subject, error), "limits": limits}
        return job_event(job, None if self._is_page_known else settings.job_link(job.id, job.workflow_id))

    async def _wait_with_account(self) -> tuple[Job, Settings]:
        """Wait with the connection's account, and with the new one if the account was changed meanwhile."""
        settings = await look_up(self.nebula_explorer_conn_id)
        while True:
            try:
                async with SharedWatcher(settings) as shared:
                    return await self._wait(shared.watcher), settings
            except NebulaExplorerError as error:
                # The cause counts, too: a login that was refused because Explorer could not reach graphd ends
                # the wait as failed polls do.
                if not any(isinstance(it, NebulaExplorerLoginError) for it in (error, error.__cause__)):
                    raise
                changed = await look_up(self.nebula_explorer_conn_id, not_before=time.monotonic())
                if changed == settings:
                    raise
                settings = changed


def fire(payload: JsonObject) -> TriggerEvent:
    """Return an event for Airflow."""
    return TriggerEvent(payload)  # type: ignore[no-untyped-call]
