# SPDX-License-Identifier: Apache-2.0
"""Triggers that wait for Explorer's jobs; all those of a triggerer share one poll."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import KW_ONLY, asdict, dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import anyio
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_nebula_explorer.connection.fields import DEFAULT_CONNECTION_ID
from airflow_provider_nebula_explorer.exceptions import NebulaExplorerConnectionError, NebulaExplorerJobError
from airflow_provider_nebula_explorer.explorer.arguments import (
    parse_id,
    parse_interval,
    parse_poll_interval,
    parse_statuses,
)
from airflow_provider_nebula_explorer.explorer.client.api import cancel_job, summary_of
from airflow_provider_nebula_explorer.explorer.interval import ADAPTIVE_LONGEST_SECONDS
from airflow_provider_nebula_explorer.explorer.models import Job, JobStatus, JsonObject
from airflow_provider_nebula_explorer.explorer.waiting.abandoned import AbandonedJob
from airflow_provider_nebula_explorer.explorer.waiting.events import read_job
from airflow_provider_nebula_explorer.explorer.waiting.outcome import LogLine, has_reached
from airflow_provider_nebula_explorer.explorer.waiting.watcher import Watcher
from airflow_provider_nebula_explorer.triggers.kill import (
    CANCEL_SECONDS,
    HAS_ON_KILL,
    finish_despite_kill,
    is_still_deferred,
)
from airflow_provider_nebula_explorer.triggers.limits import MARGIN_SECONDS, TimeLimits
from airflow_provider_nebula_explorer.triggers.task_end import TaskResult
from airflow_provider_nebula_explorer.triggers.task_wait import WaitTrigger, fire
from airflow_provider_nebula_explorer.triggers.watchers import SharedWatcher, look_up
from airflow_provider_nebula_explorer.triggers.workflow_events import (
    SPACING_SECONDS,
    WorkflowEvents,
    WorkflowSpec,
)

try:
    from airflow.triggers.base import BaseEventTrigger
except ImportError:  # Airflow 2, where only a task can wait for a trigger
    BaseEventTrigger = BaseTrigger  # type: ignore[misc, assignment]

if TYPE_CHECKING:
    from airflow.triggers.shared_stream import SharedStreamProducer

log = logging.getLogger(__name__)

_TASK_ENDED = "its deferred task was ended"


@dataclass(eq=False, repr=False)
class NebulaExplorerJobTrigger(WaitTrigger):
    """Fire once, when a job is final or has reached one of the target statuses.

    The event's payload is a JSON object: ``job_id``; ``job``, the job's object as Explorer's API returns it;
    ``link``, the address of its page, if it was not ``seen`` before. If the wait ended otherwise, it has
    ``error`` or ``timed_out`` instead.

    :param job_id: a number, or text of digits.
    :param nebula_explorer_conn_id: the Airflow connection to Explorer.
    :param poll_interval: seconds between two polls; ``None``: a fifth of the job's age.
    :param longest_interval: what that fifth is at most; it is 1 s at least.
    :param target_statuses: statuses that end the wait before the job is final: names or numbers.
    :param timeout_at: when to give up, after a last poll, in epoch seconds.
    :param execution_timeout_at: when to give up at once, in epoch seconds.
    :param failed_polls: how many polls in a row failed before.
    :param seen: the job's object, from a poll just before; the trigger finds the job faster by it.
    :param cancel_on_kill: whether to cancel the job at ``execution_timeout_at``, and if a user ends the
        deferred task (of which Airflow notifies it from 3.3 on).
    :param ends_task: whether a job that reached one of ``target_statuses`` ends the task in the triggerer
        (Airflow 3.3 and later).
    :param task_result: what the task returns if it ends there: ``job``, the job's object; or ``job_id``, its
        id, with the object under the key ``job``.
    :param resume_not_before: seconds after the trigger's start before which it does not resume its task in a
        worker; the wait goes on meanwhile.
    """

    job_id: int | str
    nebula_explorer_conn_id: str = DEFAULT_CONNECTION_ID
    poll_interval: float | timedelta | None = None
    _: KW_ONLY
    longest_interval: float = ADAPTIVE_LONGEST_SECONDS
    target_statuses: Sequence[JobStatus | int | str] = ()
    timeout_at: float | None = None
    execution_timeout_at: float | None = None
    failed_polls: int = 0
    seen: JsonObject | None = None
    cancel_on_kill: bool = False
    ends_task: bool = False
    task_result: TaskResult = "job"
    resume_not_before: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.target_statuses = list(self.target_statuses)
        self._page: str | None = None

    async def on_kill(self) -> None:
        """Cancel the job, as a user ended the task that waits for it."""
        if not self.cancel_on_kill:
            return
        error = await finish_despite_kill(self._cancel_unless_still_deferred())
        if error:
            _log(AbandonedJob(self.job_id, self._page, _TASK_ENDED).outcome(error))

    async def _last_event(self) -> TriggerEvent:
        try:
            return await super()._last_event()
        except asyncio.CancelledError:
            # An Airflow before 3.3 does not call on_kill. It does not say either whether a user ended the
            # wait or the triggerer stops; the task's state does.
            if not HAS_ON_KILL and self.task_instance is not None:
                await self.on_kill()
            raise

    async def _cancel_unless_still_deferred(self) -> None:
        if not await is_still_deferred(self):
            await self._abandon(_TASK_ENDED)

    @property
    def _deadline(self) -> float:
        # A wait that begins in the triggerer has no limits: nobody could know them when the DAG was parsed.
        # Airflow says here when it ends the deferral.
        ends_at: datetime | None = getattr(self, "timeout_after", None)
        if not self.ends_task or ends_at is None or self._limits != TimeLimits():
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
            interval=parse_poll_interval("poll_interval", self.poll_interval),
            longest_interval=parse_interval("longest_interval", self.longest_interval),
            deadline=self._deadline,
            failed_polls=self.failed_polls,
            seen=summary_of(self.seen) if self.seen else None,
        )

    @property
    def _is_page_known(self) -> bool:
        return self.seen is not None

    async def _abandon(self, reason: str) -> None:
        if not self.cancel_on_kill:
            return
        failed: Exception | None = None
        try:
            settings = await look_up(self.nebula_explorer_conn_id)
            self._page = settings.job_link(int(self.job_id), (self.seen or {}).get("workflowId", ""))
            _log(AbandonedJob(self.job_id, self._page, reason).announcement)
            with anyio.fail_after(CANCEL_SECONDS):
                async with SharedWatcher(settings) as shared:
                    await shared.watcher.run(cancel_job(self.job_id))
        except TimeoutError:
            failed = NebulaExplorerConnectionError(f"No response came within {CANCEL_SECONDS:g} s.")
        except Exception as error:  # noqa: BLE001 - Airflow's, too: the wait has to end in its event all the same
            failed = error
        _log(AbandonedJob(self.job_id, self._page, reason).outcome(failed))

    def _is_success(self, event: JsonObject) -> bool:
        if "job" not in event:
            return False
        try:
            return has_reached(read_job(event), self._targets)
        except NebulaExplorerJobError:
            return False  # through a worker, as only there a failure can be final


class NebulaExplorerWorkflowTrigger(BaseEventTrigger):
    """Fire for each job of a workflow that succeeds, no matter who ran it; in an ``AssetWatcher``, forever.

    An event's payload is the job's object as Explorer's API returns it, with its tasks. Jobs that had
    succeeded before the trigger first started get no event, unless ``created_after`` is given. On Airflow 3.3
    and later, a bookmark is stored with the asset, so successes while no triggerer runs get theirs later.

    :param workflow_id: a number, or text of digits.
    :param nebula_explorer_conn_id: the Airflow connection to Explorer.
    :param poll_interval: seconds between two polls.
    :param name: the job's name, as Explorer's own search understands it; ``None`` for any.
    :param created_after: jobs created before it do not count: ISO 8601 text with an offset.
    """

    def __init__(
        self,
        workflow_id: int | str,
        nebula_explorer_conn_id: str = DEFAULT_CONNECTION_ID,
        poll_interval: float | timedelta = 30,
        *,
        name: str | None = None,
        created_after: str | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        # JSON has no timedelta.
        seconds = poll_interval.total_seconds() if isinstance(poll_interval, timedelta) else poll_interval
        self._spec = WorkflowSpec(workflow_id, nebula_explorer_conn_id, seconds, name, created_after)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class's path and its arguments, which are JSON values."""
        return f"{type(self).__module__}.{type(self).__qualname__}", asdict(self._spec)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield an event for each success."""
        spacing = 0.0 if self.trigger_id is None else SPACING_SECONDS  # only a triggerer sets the id
        events = WorkflowEvents(self._spec, getattr(self, "asset_state_store", None), spacing=spacing)
        async for job in events.jobs():
            yield fire(job.data)
            await events.acknowledge(job.id)

    def shared_stream_key(self) -> str:
        """Return the key of a stream of this trigger's own, by which Airflow says when an event is stored."""
        return json.dumps(asdict(self._spec), sort_keys=True)

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> SharedStreamProducer:
        """Return what observes the workflow for a stream (Airflow 3.3 and later)."""
        from airflow_provider_nebula_explorer.triggers.shared_stream import SuccessProducer

        return SuccessProducer(WorkflowSpec(**kwargs))

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Any]) -> AsyncIterator[TriggerEvent]:
        """Yield an event for each success in the stream (Airflow 3.3 and later)."""
        from airflow_provider_nebula_explorer.triggers.shared_stream import jobs_of

        async for job in jobs_of(shared_stream, self.asset_state_store):
            yield fire(job.data)


def _log(line: LogLine) -> None:
    level, text = line
    log.log(level, "%s", text)
