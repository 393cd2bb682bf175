# SPDX-License-Identifier: Apache-2.0
"""Starts a job once, even if Explorer's response is lost.

Explorer has no idempotency key, and callers cannot name a job. Our job is one that did not exist before it
was requested. So the workflow's newest jobs are noted before each start, and if the response is lost, the
jobs that are new since then are examined.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Protocol

from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerAmbiguousSubmitError,
    NebulaExplorerError,
)
from airflow_provider_nebula_explorer.explorer.client import api
from airflow_provider_nebula_explorer.explorer.client.lists import (
    created_ms,
    have_growing_ids,
    newest_jobs,
    walk_list,
)
from airflow_provider_nebula_explorer.explorer.client.protocol import Call
from airflow_provider_nebula_explorer.explorer.metrics import increment
from airflow_provider_nebula_explorer.explorer.models import Job, JsonObject
from airflow_provider_nebula_explorer.explorer.waiting.outcome import MOST_SHOWN, FailedPolls, describe, more
from airflow_provider_nebula_explorer.explorer.waiting.pollers import poll_until_seen

if TYPE_CHECKING:
    from airflow_provider_nebula_explorer.explorer.client.sync_client import Client

log = logging.getLogger(__name__)

STARTS = 3
"""How often a job is requested in all, if each response is lost and no job appears."""

PAUSES = (2.0, 3.0, 5.0, 8.0, 12.0)
"""Seconds between the lists in which the job of a start is searched for: 30 in all. With the default
``timeout`` of 30 s before them, these are the 60 s after which Explorer itself gives up a request (go-zero's
limit for a route)."""

MAX_DELAY_SECONDS = 600.0
"""How long after a start was noted its job may appear: what delays the request counts, too."""

CLOCK_SECONDS = 60.0
"""By how much Explorer's clock may be put back between two jobs whose ids do not show which is newer."""

WINDOW_SECONDS = 3600.0
"""In a late search, jobs that were created more than this after the start was requested are not ours."""

_PAUSE_AFTER_FAILED_POLL_SECONDS = 15.0


class Claims(Protocol):
    """Which jobs belong to the tasks that start jobs side by side."""

    def claimed(self) -> Sequence[int]:
        """Return the ids of the jobs that any of the tasks claims."""

    def claim(self, job_id: int) -> None:
        """Let the other tasks know that a job is ours."""


@dataclass(frozen=True)
class Intent:
    """What is noted before a job is requested.

    :param known: ids of the workflow's newest jobs.
    :param since: jobs created before it are older than those, in epoch milliseconds; ``None``: none is.
    :param requested_at: Explorer's clock, in epoch seconds; ``None`` if its responses have no date.
    :param noted_at: our own clock, in epoch seconds.
    """

    workflow_id: int
    known: tuple[int, ...]
    since: int | None
    requested_at: float | None
    noted_at: float

    def is_before(self, job: Job) -> bool:
        """Return whether a job of the workflow is newer than all noted ones: by its id, or by its date."""
        if job.id in self.known:
            return False
        created = created_ms(job)
        return (
            job.id > max(self.known, default=-1)
            or self.since is None
            or created is None
            or created >= self.since
        )

    def to_json(self) -> JsonObject:
        """Return it as JSON values."""
        return {**asdict(self), "known": list(self.known)}

    @classmethod
    def from_json(cls, data: JsonObject) -> Intent:
        """Read what :meth:`to_json` returned.

        :raises ValueError: if it is something else.
        """
        try:
            since, requested_at = data["since"], data["requested_at"]
            if requested_at is not None:
                datetime.fromtimestamp(requested_at, timezone.utc)  # raises unless it is a moment
            return cls(
                int(data["workflow_id"]),
                tuple(map(int, data["known"])),
                None if since is None else int(since),
                requested_at,
                float(data["noted_at"]),
            )
        except (KeyError, TypeError, OverflowError, OSError) as error:
            raise ValueError("this is not an intent to start a job") from error


class Submitter:
    """Starts jobs of workflows.

    :param client: makes the calls.
    :param reconciles: whether a lost response is resolved by the jobs that are new, or left to a person.
    :param max_failures: how many polls in a row may fail, each after its retries.
    :param claims: which jobs other tasks have; ``None`` if there are none.
    :param sleep: makes the pauses, in seconds.
    :param clock: our own clock, in epoch seconds.
    """

    def __init__(
        self,
        client: Client,
        *,
        reconciles: bool = True,
        max_failures: int,
        claims: Claims | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self.reconciles = reconciles
        self._max_failures = max_failures
        self._claims = claims
        self._sleep = sleep
        self._clock = clock

    def intend(self, workflow_id: int) -> Intent:
        """List the workflow's newest jobs, so that a new one can be distinguished from them."""
        page = newest_jobs(self._client.run, workflow_id)
        known = {job.id for job in page.items} | self._created_since_set_back(workflow_id, page)
        if not have_growing_ids(page.items):
            known |= self._recent(workflow_id, page)
        return Intent(
            workflow_id, tuple(sorted(known)), _newer_than(page), self._client.server_time, self._clock()
        )

    def _created_since_set_back(self, workflow_id: int, newest: api.Page[Job]) -> set[int]:
        """Return the newest jobs if others, from before Explorer's clock was set back, hide them."""
        clock = self._client.server_time
        now = None if clock is None else int((clock + CLOCK_SECONDS) * 1000)
        if now is None or newest.is_whole_list or max(_times(newest), default=0) <= now:
            return set()
        until_now = {**api.job_filter(), "toCreateTime": now}
        return {
            job.id for job in self._client.run(api.list_jobs(workflow_id, until_now, 1, api.PAGE_SIZE)).items
        }

    def _recent(self, workflow_id: int, newest: api.Page[Job]) -> set[int]:
        """Return all jobs among which a new one will be searched, as ids do not show which is newer."""
        if newest.is_whole_list or not _times(newest):
            return set()
        clocks = [max(_times(newest)), *(((clock := self._client.server_time) and [int(clock * 1000)]) or [])]
        window = {**api.job_filter(), "fromCreateTime": min(clocks) - int(MAX_DELAY_SECONDS * 1000)}
        return {job.id for job in walk_list(self._client.run, workflow_id, window, api.PAGE_SIZE)}

    def submit(
        self, call: Call[int], intent: Intent, *, send: Callable[[Call[int]], int] | None = None
    ) -> int:
        """Start a job; if Explorer's response is lost, find out whether a job was started.

        :param call: see :func:`.api.add_job`.
        :param intent: what was noted before.
        :param send: makes the call; ``None``: the client does.
        :return: the job's id.
        :raises NebulaExplorerAmbiguousSubmitError: if that cannot be determined, or is left to a person.
        """
        send = send or self._client.run
        lost: NebulaExplorerAmbiguousSubmitError | None = None
        for _ in range(STARTS):
            try:
                return send(call)
            except NebulaExplorerAmbiguousSubmitError as error:
                lost = error
            except NebulaExplorerError as error:
                if lost is None:
                    raise
                # The job of the start before this one may still appear.
                raise NebulaExplorerAmbiguousSubmitError(f"{lost} It was requested again: {error}") from error
            found = self.find(intent, str(lost))
            if found is not None:
                return found
            log.warning("No new job of workflow %s appeared: requesting one again.", intent.workflow_id)
        raise NebulaExplorerAmbiguousSubmitError(
            f"{lost} That was the last of {STARTS} requests; after none of them did a new job of workflow "
            f"{intent.workflow_id} appear. Check its jobs in Explorer, and run it again when Explorer "
            "responds."
        ) from lost

    def intend_again(self, intent: Intent) -> Intent:
        """Return the intent for the next start; the job of the one before may still appear, for a while."""
        if self.is_late(intent):
            return self.intend(intent.workflow_id)
        return replace(intent, requested_at=self._client.server_time, noted_at=self._clock())

    def find(self, intent: Intent, lost: str) -> int | None:
        """Find the job of a start whose response is not known.

        :param lost: how the response was lost.
        :return: its id; ``None`` if no job was started.
        :raises NebulaExplorerAmbiguousSubmitError: if several jobs may be it, or if a person is to decide.
        """
        new = self.candidates(intent, lost)
        if len(new) > 1 or not self.reconciles:
            raise undetermined(intent, lost, new)
        if not new:
            return None
        (job,) = new
        if not self._is_ours_alone(job.id):
            raise undetermined(intent, f"{lost} Another task also claims the only job that matches.", new)
        log.warning(
            "%s, created %s, is the only job of workflow %s that is new since then: adopting it.",
            describe(job),
            _created(job),
            intent.workflow_id,
        )
        return job.id

    def candidates(self, intent: Intent, lost: str) -> list[Job]:
        """Return the jobs that are new since an intent and that nobody else claims.

        :param lost: how the response was lost.
        :raises NebulaExplorerAmbiguousSubmitError: if they cannot be listed.
        """
        increment("reconciliations")
        seconds = sum(PAUSES) if self.reconciles else 1.0
        log.warning("%s Searching for that job; this takes up to %.0f s.", lost, seconds)
        try:
            return self._search(intent) if self.reconciles else self._unclaimed(intent)
        except NebulaExplorerError as error:
            text = f"{lost} Whether one was started cannot be determined: {error}"
            raise NebulaExplorerAmbiguousSubmitError(text) from error

    def is_late(self, intent: Intent) -> bool:
        """Return whether so much time has passed that no job of an intent can be on its way any more.

        By both clocks: one alone may have been put forward in between.
        """
        theirs, ours = self._client.server_time, self._clock()
        if theirs is None or intent.requested_at is None:
            return False
        return min(theirs - intent.requested_at, ours - intent.noted_at) > MAX_DELAY_SECONDS

    def _is_ours_alone(self, job_id: int) -> bool:
        if self._claims is None:
            return True
        self._claims.claim(job_id)
        return self._claims.claimed().count(job_id) <= 1

    def _search(self, intent: Intent) -> list[Job]:
        """List new jobs until no further one can be on its way: the first that appears may be another's."""
        new = self._unclaimed(intent)
        for pause in PAUSES:
            if self.is_late(intent):
                break
            self._sleep(pause)
            # The earliest time of Explorer's clock counts, as it may be set back and forward again.
            intent = replace(intent, requested_at=min(self._clocks(intent), default=None))
            new = self._unclaimed(intent)
        return new

    def _unclaimed(self, intent: Intent) -> list[Job]:
        new = poll_until_seen(
            lambda: self._list_new(intent),
            FailedPolls(f"the new jobs of workflow {intent.workflow_id}", self._max_failures),
            pause=_PAUSE_AFTER_FAILED_POLL_SECONDS,
            sleep=self._sleep,
        )
        claimed = self._claims.claimed() if self._claims and new else ()
        return [job for job in new if job.id not in claimed]

    def _list_new(self, intent: Intent) -> list[Job]:
        window = api.job_filter()
        if intent.since is not None:
            window["fromCreateTime"] = self._list_from(intent, intent.since)
        jobs = walk_list(self._client.run, intent.workflow_id, window, api.PAGE_SIZE)
        new = [job for job in jobs if intent.is_before(job)]
        if not self.is_late(intent):
            return new
        last = (intent.requested_at or 0) + WINDOW_SECONDS
        return [job for job in new if job.create_time is None or job.create_time.timestamp() <= last]

    def _list_from(self, intent: Intent, since: int) -> int:
        """Return the earliest time of a new job: Explorer's clock may have been put back meanwhile."""
        return min([since, *(int((clock - MAX_DELAY_SECONDS) * 1000) for clock in self._clocks(intent))])

    def _clocks(self, intent: Intent) -> list[float]:
        """Return the times of Explorer's clock, then and now, as far as they are known."""
        return [clock for clock in (intent.requested_at, self._client.server_time) if clock is not None]


def _newer_than(page: api.Page[Job]) -> int | None:
    """Return the time from which on jobs that are not on the page of the newest are newer than it."""
    times = _times(page)
    if not times:
        return None
    since = max(times) - int(CLOCK_SECONDS * 1000)
    return since if page.is_whole_list else max(since, min(times))


def _times(page: api.Page[Job]) -> list[int]:
    return [created for job in page.items if (created := created_ms(job)) is not None]


def undetermined(intent: Intent, lost: str, new: list[Job]) -> NebulaExplorerAmbiguousSubmitError:
    """Return the error for a start whose job cannot be determined.

    :param lost: how its response was lost.
    :param new: the jobs that may be it.
    """
    shown = new[:MOST_SHOWN]
    listed = "; ".join(f"{describe(job)}, created {_created(job)}, {job.status.name}" for job in shown)
    found = (
        f"New since then, so possibly that job: {listed}{more(len(new))}."
        if new
        else f"No job of workflow {intent.workflow_id} is new since then; one may still appear."
    )
    return NebulaExplorerAmbiguousSubmitError(
        f"{lost} {found} No other job was started. Check the workflow's jobs in Explorer. If one is yours, "
        "wait for it, for example with NebulaExplorerJobSensor. Cancel jobs that belong to nobody. To start "
        "another job, run the workflow again.",
        new,
    )


def _created(job: Job) -> str:
    return f"{job.create_time:%Y-%m-%d %H:%M:%S} UTC" if job.create_time else "at an unknown time"
