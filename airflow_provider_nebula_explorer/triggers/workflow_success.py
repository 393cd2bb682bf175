# SPDX-License-Identifier: Apache-2.0
"""The trigger of the workflow sensor; for every success, there is ``NebulaExplorerWorkflowTrigger``."""

from __future__ import annotations

import time
from dataclasses import KW_ONLY, dataclass
from datetime import timedelta

from airflow_provider_nebula_explorer.explorer.arguments import parse_id, parse_interval, parse_poll_interval
from airflow_provider_nebula_explorer.explorer.interval import ADAPTIVE_LONGEST_SECONDS, Interval
from airflow_provider_nebula_explorer.explorer.models import Job, JsonObject
from airflow_provider_nebula_explorer.explorer.successes.stream import first_success
from airflow_provider_nebula_explorer.explorer.waiting.watcher import Watcher
from airflow_provider_nebula_explorer.triggers.task_wait import WaitTrigger


@dataclass(eq=False, repr=False)
class WorkflowSuccessTrigger(WaitTrigger):
    """Fire once, for the successful job that was created first; its event is that of the job trigger.

    :param workflow_id: a number, or text of digits.
    :param nebula_explorer_conn_id: the Airflow connection to Explorer.
    :param poll_interval: seconds between two polls; ``None``: a fifth of the wait's age.
    :param longest_interval: what that fifth is at most; it is 1 s at least.
    :param name: the job's name, as Explorer's own search understands it; ``None`` for any.
    :param created_after: jobs created before it do not count: ISO 8601 text with an offset.
    :param created_before: the same, for jobs created after it; ``None``: whenever they are created.
    :param fail_on_failed_job: whether to fire for the newest job that ended otherwise, if none has succeeded.
    :param timeout_at: when to give up, after a last poll, in epoch seconds.
    :param execution_timeout_at: when to give up at once, in epoch seconds.
    :param failed_polls: how many polls in a row failed before.
    :param waiting_since: when the wait began, in epoch seconds; ``None``: now.
    :param ends_task: whether a success ends the task in the triggerer (Airflow 3.3 and later).
    :param resume_not_before: seconds after the trigger's start before which it does not resume its task in a
        worker; the wait goes on meanwhile.
    """

    workflow_id: int | str
    nebula_explorer_conn_id: str
    poll_interval: float | timedelta | None
    _: KW_ONLY
    longest_interval: float = ADAPTIVE_LONGEST_SECONDS
    name: str | None = None
    created_after: str | None = None
    created_before: str | None = None
    fail_on_failed_job: bool = False
    timeout_at: float | None = None
    execution_timeout_at: float | None = None
    failed_polls: int = 0
    waiting_since: float | None = None
    ends_task: bool = False
    resume_not_before: float = 0.0

    @property
    def _subject(self) -> JsonObject:
        return {"workflow_id": self.workflow_id}

    async def _wait(self, watcher: Watcher) -> Job:
        return await first_success(
            watcher,
            parse_id("workflow_id", self.workflow_id),
            name=self.name,
            created_after=self.created_after,
            created_before=self.created_before,
            fail_on_failed_job=self.fail_on_failed_job,
            interval=Interval.of(
                parse_poll_interval("poll_interval", self.poll_interval),
                parse_interval("longest_interval", self.longest_interval),
            ),
            waited=0.0 if self.waiting_since is None else max(0.0, time.time() - self.waiting_since),
            deadline=self._deadline,
            failed_polls=self.failed_polls,
        )
