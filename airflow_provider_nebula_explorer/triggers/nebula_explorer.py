"""Triggers that wait for Explorer's jobs; all those of a triggerer share one poll."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
from abc import abstractmethod
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_nebula_explorer.connection import DEFAULT_CONNECTION_ID
from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerError,
    NebulaExplorerJobError,
    NebulaExplorerLoginError,
    NebulaExplorerTimeoutError,
)
from airflow_provider_nebula_explorer.explorer.arguments import (
    parse_id,
    parse_interval,
    parse_statuses,
)
from airflow_provider_nebula_explorer.explorer.client.api import cancel_job, summary_of
from airflow_provider_nebula_explorer.explorer.models import Job, JobStatus, JsonObject
from airflow_provider_nebula_explorer.explorer.settings import Settings
from airflow_provider_nebula_explorer.explorer.successes.stream import first_success
from airflow_provider_nebula_explorer.explorer.waiting.abandoned import AbandonedJob
from airflow_provider_nebula_explorer.explorer.waiting.events import (
    error_event,
    job_event,
    read_job,
    timeout_event,
)
from airflow_provider_nebula_explorer.explorer.waiting.outcome import has_reached
from airflow_provider_nebula_explorer.explorer.waiting.watcher import Watcher
from airflow_provider_nebula_explorer.triggers.kill import HAS_ON_KILL, is_still_deferred, to_its_end
from airflow_provider_nebula_explorer.triggers.limits import MARGIN_SECONDS
from airflow_provider_nebula_explorer.triggers.task_end import success_event
from airflow_provider_nebula_explorer.triggers.watchers import SharedWatcher, look_up
from airflow_provider_nebula_explorer.triggers.workflow_events import (
    SPACING_SECONDS,
    WorkflowEvents,
    WorkflowSpec,
)

try:
    from airflow.triggers.base import BaseEventTrigger
except ImportError:  # Airflow 2, where nothing but a task can wait for a trigger
    BaseEventTrigger = BaseTrigger  # type: ignore[misc, assignment]

if TYPE_CHECKING:
    from airflow.triggers.shared_stream import SharedStreamProducer

log = logging.getLogger(__name__)

_LAST_LOOK_SECONDS = 5.0
"""What a wait is left with when it begins after its deadline: a triggerer that was down may be late."""


class _ExplorerTrigger(BaseTrigger):
    """What both triggers share: whose watcher they join, and for how long.

    :param timeout_at: when to give up, after a last poll, in epoch seconds; a sensor's ``timeout``.
    :param execution_timeout_at: when to give up at once, in epoch seconds; a task's ``execution_timeout``.
    :param failed_polls: how many polls in a row failed before.
    """

    def __init__(
        self,
        nebula_explorer_conn_id: str,
        poll_interval: float,
        timeout_at: float | None,
        execution_timeout_at: float | None,
        failed_polls: int,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.nebula_explorer_conn_id = nebula_explorer_conn_id
        self.poll_interval = poll_interval
        self.timeout_at = timeout_at
        self.execution_timeout_at = execution_timeout_at
        self.failed_polls = failed_polls

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class's path and its arguments, which are JSON values."""
        return f"{type(self).__module__}.{type(self).__qualname__}", self._arguments()

    @abstractmethod
    def _arguments(self) -> dict[str, Any]:
        return {
            "nebula_explorer_conn_id": self.nebula_explorer_conn_id,
            "poll_interval": self.poll_interval,
            "timeout_at": self.timeout_at,
            "execution_timeout_at": self.execution_timeout_at,
            "failed_polls": self.failed_polls,
        }

    @property
    @abstractmethod
    def _subject(self) -> JsonObject:
        """What is waited for, as events name it."""

    @abstractmethod
    async def _wait(self, watcher: Watcher) -> Job: ...

    async def _event(self) -> JsonObject:
        """Wait, and return how that ended."""
        try:
            seconds = self._seconds_to_execute()
            waiting = self._wait_with_account()
            job, settings = await (waiting if seconds is None else asyncio.wait_for(waiting, seconds))
        except NebulaExplorerTimeoutError:
            return timeout_event(self._subject, "timeout")
        except Exception as error:  # what is raised here, Airflow would tell without its type
            if isinstance(error, asyncio.TimeoutError) and self._seconds_to_execute() == _LAST_LOOK_SECONDS:
                await self._stop_what_is_waited_for("its task's execution_timeout has expired")
                return timeout_event(self._subject, "execution_timeout")
            if not isinstance(error, NebulaExplorerError):
                log.exception("The wait for %s failed.", self._subject)
            limits = [self.timeout_at, self.execution_timeout_at]
            return {**error_event(self._subject, error), "limits": limits}
        return job_event(job, settings.job_link(job.id, job.workflow_id) if self._is_link_wanted else None)

    @property
    def _is_link_wanted(self) -> bool:
        """Whether the task does not know the job's page yet."""
        return True

    async def _stop_what_is_waited_for(self, reason: str) -> None:
        """Do what is to be done where nobody waits any more; ``reason`` says why nobody does."""

    def _seconds_to_execute(self) -> float | None:
        if self.execution_timeout_at is None:
            return None
        return max(self.execution_timeout_at - time.time(), _LAST_LOOK_SECONDS)

    async def _wait_with_account(self) -> tuple[Job, Settings]:
        """Wait with the connection's account, and with its new one where it was changed meanwhile."""
        settings = await look_up(self.nebula_explorer_conn_id)
        while True:
            try:
                async with SharedWatcher(settings) as shared:
                    return await self._wait(shared.watcher), settings
            except NebulaExplorerError as error:
                # One that was refused for a while, as graphd could not be reached, ends as failed looks do.
                if not any(isinstance(it, NebulaExplorerLoginError) for it in (error, error.__cause__)):
                    raise
                changed = await look_up(self.nebula_explorer_conn_id, not_before=time.monotonic())
                if changed == settings:
                    raise
                settings = changed

    @property
    def _deadline(self) -> float:
        if self.timeout_at is None:
            return math.inf
        return time.monotonic() + self.timeout_at - time.time()


class NebulaExplorerJobTrigger(_ExplorerTrigger):
    """Fire once, when a job is final or has reached one of the wanted statuses.

    The event's payload is a JSON object: ``job_id``; ``job``, the job's object as Explorer's API returns it;
    ``link``, the address of its page, if it was not ``seen`` before. If the wait ended otherwise, it has
    ``error`` or ``timed_out`` instead.

    :param job_id: a number, or text of digits.
    :param nebula_explorer_conn_id: the Airflow connection to Explorer.
    :param poll_interval: seconds between two polls.
    :param target_statuses: statuses that end the wait before the job is final: names or numbers.
    :param timeout_at: when to give up, after a last poll, in epoch seconds.
    :param execution_timeout_at: when to give up at once, in epoch seconds.
    :param failed_polls: how many polls in a row failed before.
    :param seen: the job's object, from a poll just before; it saves finding the job.
    :param cancel_on_kill: whether to cancel the job at ``execution_timeout_at``, and if a user ends the
        deferred task (of which Airflow notifies it from 3.3 on).
    :param ends_task: whether a job that reached one of ``target_statuses`` ends the task in the triggerer
        (Airflow 3.3 and later).
    """

    def __init__(
        self,
        job_id: int | str,
        nebula_explorer_conn_id: str = DEFAULT_CONNECTION_ID,
        poll_interval: float = 30,
        *,
        target_statuses: Sequence[JobStatus | int | str] = (),
        timeout_at: float | None = None,
        execution_timeout_at: float | None = None,
        failed_polls: int = 0,
        seen: JsonObject | None = None,
        cancel_on_kill: bool = False,
        ends_task: bool = False,
    ) -> None:
        super().__init__(
            nebula_explorer_conn_id, poll_interval, timeout_at, execution_timeout_at, failed_polls
        )
        self.job_id = job_id
        self.target_statuses = target_statuses
        self.seen = seen
        self.cancel_on_kill = cancel_on_kill
        self.ends_task = ends_task
        self._page: str | None = None

    def _arguments(self) -> dict[str, Any]:
        return {
            **super()._arguments(),
            "job_id": self.job_id,
            "target_statuses": list(self.target_statuses),
            "seen": self.seen,
            "cancel_on_kill": self.cancel_on_kill,
            "ends_task": self.ends_task,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and yield the one event."""
        event = await self._event_unless_killed()
        if self.ends_task and self._is_success(event):
            yield await success_event(self.task_instance, event)
        else:
            yield _fire(event)

    async def on_kill(self) -> None:
        """Cancel the job, as a user ended the task that waits for it."""
        if self.cancel_on_kill:
            await to_its_end(self._cancel_unless_still_deferred(), self.job_id, lambda: self._page)

    async def _event_unless_killed(self) -> JsonObject:
        try:
            return await self._event()
        except asyncio.CancelledError:
            # An Airflow before 3.3 does not call on_kill; nor does it say whether it was a user who ended the
            # wait or the triggerer that stops. The state of the task does.
            if not HAS_ON_KILL and self.task_instance is not None:
                await self.on_kill()
            raise

    async def _cancel_unless_still_deferred(self) -> None:
        if not await is_still_deferred(self):
            await self._stop_what_is_waited_for("its deferred task was ended")

    @property
    def _deadline(self) -> float:
        # Where the triggerer began the wait, nobody could know then when it would end; Airflow tells it here.
        ends_at: datetime | None = getattr(self, "timeout_after", None)
        if not self.ends_task or ends_at is None:
            return super()._deadline
        left = ends_at.replace(tzinfo=ends_at.tzinfo or timezone.utc) - datetime.now(timezone.utc)
        return time.monotonic() + left.total_seconds() - MARGIN_SECONDS

    @property
    def _subject(self) -> JsonObject:
        return {"job_id": self.job_id}

    @property
    def _targets(self) -> frozenset[JobStatus]:
        return (
            parse_statuses("target_statuses", self.target_statuses) if self.target_statuses else frozenset()
        )

    async def _wait(self, watcher: Watcher) -> Job:
        return await watcher.job(
            parse_id("job_id", self.job_id),
            targets=self._targets,
            interval=parse_interval("poll_interval", self.poll_interval),
            deadline=self._deadline,
            failed_polls=self.failed_polls,
            seen=summary_of(self.seen) if self.seen else None,
        )

    @property
    def _is_link_wanted(self) -> bool:
        return self.seen is None

    async def _stop_what_is_waited_for(self, reason: str) -> None:
        if not self.cancel_on_kill:
            return
        settings = await look_up(self.nebula_explorer_conn_id)
        self._page = settings.job_link(int(self.job_id), (self.seen or {}).get("workflowId", ""))
        failed: NebulaExplorerError | None = None
        try:
            async with SharedWatcher(settings) as shared:
                await shared.watcher.run(cancel_job(self.job_id))
        except NebulaExplorerError as error:
            failed = error
        level, line = AbandonedJob(self.job_id, self._page, reason).outcome(failed)
        log.log(level, "%s", line)

    def _is_success(self, event: JsonObject) -> bool:
        if "job" not in event:
            return False
        try:
            return has_reached(read_job(event), self._targets)
        except NebulaExplorerJobError:
            return False  # which has to go through a worker, as only there it can be final


class NebulaExplorerWorkflowTrigger(_ExplorerTrigger, BaseEventTrigger):
    """Fire for each job of a workflow that succeeds, no matter who ran it; in an ``AssetWatcher``, forever.

    An event's payload is the job's object as Explorer's API returns it, with its tasks. Jobs that had
    succeeded before the trigger first started get no event, unless ``created_after`` is given. On Airflow 3.3
    and later, a bookmark is stored with the asset, so successes while no triggerer runs get theirs later.

    :param workflow_id: a number, or text of digits.
    :param nebula_explorer_conn_id: the Airflow connection to Explorer.
    :param poll_interval: seconds between two polls.
    :param name: the job's name, as Explorer's own search understands it; ``None`` for any.
    :param created_after: jobs created before it do not count: ISO 8601 text with an offset.
    :param is_for_one: whether to fire only once, for a sensor: for the successful job that was created first.
    :param timeout_at: when to give up, after a last poll, in epoch seconds; only with ``is_for_one``.
    :param execution_timeout_at: when to give up at once, in epoch seconds; only with ``is_for_one``.
    :param failed_polls: how many polls in a row failed before; only with ``is_for_one``.
    """

    def __init__(
        self,
        workflow_id: int | str,
        nebula_explorer_conn_id: str = DEFAULT_CONNECTION_ID,
        poll_interval: float = 30,
        *,
        name: str | None = None,
        created_after: str | None = None,
        is_for_one: bool = False,
        timeout_at: float | None = None,
        execution_timeout_at: float | None = None,
        failed_polls: int = 0,
    ) -> None:
        super().__init__(
            nebula_explorer_conn_id, poll_interval, timeout_at, execution_timeout_at, failed_polls
        )
        self.workflow_id = workflow_id
        self.name = name
        self.created_after = created_after
        self.is_for_one = is_for_one
        self.supports_triggerer_queue = is_for_one  # a task has a queue, an asset has none

    def _arguments(self) -> dict[str, Any]:
        return {
            **super()._arguments(),
            "workflow_id": self.workflow_id,
            "name": self.name,
            "created_after": self.created_after,
            "is_for_one": self.is_for_one,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield an event for each success."""
        if self.is_for_one:
            yield _fire(await self._event())
            return
        spacing = 0.0 if self.trigger_id is None else SPACING_SECONDS  # only a triggerer sets the id
        events = WorkflowEvents(self._spec, getattr(self, "asset_state_store", None), spacing=spacing)
        async for job in events.jobs():
            yield _fire(job.data)
            await events.acknowledge(job.id)

    def shared_stream_key(self) -> str | None:
        """Return what makes Airflow say when an event is stored: a stream of this trigger's own."""
        return None if self.is_for_one else json.dumps(self._arguments(), sort_keys=True)

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> SharedStreamProducer:
        """Return what observes the workflow for a stream (Airflow 3.3 and later)."""
        from airflow_provider_nebula_explorer.triggers.shared_stream import SuccessProducer

        return SuccessProducer(cls(**kwargs)._spec)  # noqa: SLF001 - one of us

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Any]) -> AsyncIterator[TriggerEvent]:
        """Yield an event for each success in the stream (Airflow 3.3 and later)."""
        from airflow_provider_nebula_explorer.triggers.shared_stream import jobs_of

        async for job in jobs_of(shared_stream, self.asset_state_store):
            yield _fire(job.data)

    @property
    def _spec(self) -> WorkflowSpec:
        return WorkflowSpec(
            self.workflow_id, self.nebula_explorer_conn_id, self.poll_interval, self.name, self.created_after
        )

    @property
    def _subject(self) -> JsonObject:
        return {"workflow_id": self.workflow_id}

    async def _wait(self, watcher: Watcher) -> Job:
        return await first_success(
            watcher,
            parse_id("workflow_id", self.workflow_id),
            name=self.name,
            created_after=self.created_after,
            interval=parse_interval("poll_interval", self.poll_interval),
            deadline=self._deadline,
            failed_polls=self.failed_polls,
        )


def _fire(event: JsonObject) -> TriggerEvent:
    return TriggerEvent(event)  # type: ignore[no-untyped-call]
