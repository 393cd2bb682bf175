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
from airflow_provider_nebula_explorer.explorer.arguments import parse_milliseconds
from airflow_provider_nebula_explorer.explorer.client.api import (
    PAGE_SIZE,
    Page,
    job_filter,
    list_jobs,
    walk_list,
)
from airflow_provider_nebula_explorer.explorer.client.protocol import Call
from airflow_provider_nebula_explorer.explorer.metrics import increment
from airflow_provider_nebula_explorer.explorer.models import Job, JsonObject
from airflow_provider_nebula_explorer.explorer.waiting.outcome import FailedPolls, describe

if TYPE_CHECKING:
    from airflow_provider_nebula_explorer.explorer.client.sync_client import Client

log = logging.getLogger(__name__)

STARTS = 3
"""How often a job is asked for in all, where each answer is lost and no job comes of it."""

PAUSES = (2.0, 3.0, 5.0, 8.0, 12.0)
"""Seconds between the looks at what came of a start: 30 in all. With the default ``timeout`` of 30 s before
them, these are the 60 s after which Explorer itself gives up a request (go-zero's limit for a route)."""

ROOM_SECONDS = 600.0
"""How long after a start was noted its job may appear: what delays a start counts, too."""

CLOCK_SECONDS = 60.0
"""By how much Explorer's clock may be put back between two jobs whose ids do not tell which is newer."""

WINDOW_SECONDS = 3600.0
"""Once no job can be on its way any more: those that were created this long after the note are others'."""

_PAUSE_AFTER_FAILED_LOOK_SECONDS = 15.0


class Claims(Protocol):
    """What those who start jobs side by side tell each other of whose is whose."""

    def claimed(self) -> Sequence[int]:
        """Return the ids of the jobs that anyone has as his own."""

    def claim(self, job_id: int) -> None:
        """Tell the others that a job is ours."""


@dataclass(frozen=True)
class Intent:
    """What is noted before a job is asked for.

    :param known: ids of the workflow's newest jobs.
    :param since: jobs created before it are older than those, in epoch milliseconds; ``None``: none is.
    :param asked_at: Explorer's clock, in epoch seconds; ``None`` where it told none.
    :param noted_at: our own clock, in epoch seconds.
    """

    workflow_id: int
    known: tuple[int, ...]
    since: int | None
    asked_at: float | None
    noted_at: float

    def is_before(self, job: Job) -> bool:
        """Whether a job of the workflow is newer than all that is noted: by its id, or by its date."""
        if job.id in self.known:
            return False
        if job.id > max(self.known, default=-1) or self.since is None or job.create_time is None:
            return True
        return parse_milliseconds("createTime", job.create_time) >= self.since

    def to_json(self) -> JsonObject:
        """Return it as JSON values."""
        return {**asdict(self), "known": list(self.known)}

    @classmethod
    def from_json(cls, data: JsonObject) -> Intent:
        """Read what :meth:`to_json` returned.

        :raises ValueError: where it is something else.
        """
        try:
            since, asked_at = data["since"], data["asked_at"]
            if asked_at is not None:
                datetime.fromtimestamp(asked_at, timezone.utc)  # is a moment
            return cls(
                int(data["workflow_id"]),
                tuple(map(int, data["known"])),
                None if since is None else int(since),
                asked_at,
                float(data["noted_at"]),
            )
        except (KeyError, TypeError, OverflowError, OSError) as error:
            raise ValueError("this is not an intent to start a job") from error


class Submitter:
    """Starts jobs of workflows.

    :param client: makes the calls.
    :param start: makes the call that starts a job; ``client.run`` unless something is to be done around it.
    :param reconciles: whether to act on what came of a lost answer, or to leave that to a person.
    :param max_failures: how many looks in a row may fail, each after its retries.
    :param claims: what others told of their jobs; ``None`` where nobody tells.
    :param sleep: makes the pauses, in seconds.
    :param clock: our own clock, in epoch seconds.
    """

    def __init__(
        self,
        client: Client,
        *,
        start: Callable[[Call[int]], int] | None = None,
        reconciles: bool = True,
        max_failures: int,
        claims: Claims | None = None,
        sleep: Callable[[float], None] | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._client = client
        self._start = start or client.run
        self.reconciles = reconciles
        self._max_failures = max_failures
        self._claims = claims
        self._sleep = sleep or time.sleep
        self._clock = clock or time.time

    def intend(self, workflow_id: int) -> Intent:
        """List the workflow's newest jobs, so that a new one can be told from them."""
        page = self._client.run(list_jobs(workflow_id, job_filter(), 1, PAGE_SIZE))
        known = {job.id for job in page.items} | self._created_since_set_back(workflow_id, page)
        return Intent(
            workflow_id, tuple(sorted(known)), _newer_than(page), self._client.server_time, self._clock()
        )

    def _created_since_set_back(self, workflow_id: int, newest: Page[Job]) -> set[int]:
        """Return the newest jobs if others, from before Explorer's clock was set back, hide them."""
        clock = self._client.server_time
        now = None if clock is None else int((clock + CLOCK_SECONDS) * 1000)
        if now is None or newest.is_whole_list or max(_times(newest), default=0) <= now:
            return set()
        wanted = {**job_filter(), "toCreateTime": now}
        return {job.id for job in self._client.run(list_jobs(workflow_id, wanted, 1, PAGE_SIZE)).items}

    def submit(self, call: Call[int], intent: Intent) -> int:
        """Start a job; where Explorer's answer is lost, find out what came of it.

        :param call: see :func:`.api.add_job`.
        :param intent: what was noted before.
        :return: the job's id.
        :raises NebulaExplorerAmbiguousSubmitError: where that cannot be found out, or shall not be.
        """
        lost: NebulaExplorerAmbiguousSubmitError | None = None
        for _ in range(STARTS):
            try:
                return self._start(call)
            except NebulaExplorerAmbiguousSubmitError as error:
                lost = error
            except NebulaExplorerError as error:
                if lost is None:
                    raise
                # What came of the start before this one may still appear.
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

    def again(self, intent: Intent) -> Intent:
        """Return the intent for the next start: what came of the one before may still appear, for a while."""
        if self.is_late(intent):
            return self.intend(intent.workflow_id)
        return replace(intent, asked_at=self._client.server_time, noted_at=self._clock())

    def find(self, intent: Intent, lost: str) -> int | None:
        """Find the job that a start made whose answer is not known.

        :param lost: how the answer was lost.
        :return: its id; ``None`` where no job came of it.
        :raises NebulaExplorerAmbiguousSubmitError: where several jobs may be it, or a person shall tell.
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
        """Return the jobs that are new since an intent and that nobody else accounts for.

        :param lost: how the answer was lost.
        :raises NebulaExplorerAmbiguousSubmitError: where they cannot be looked at.
        """
        increment("reconciliations")
        log.warning("%s Searching for that job; this takes up to %.0f s.", lost, self._seconds_to_look)
        try:
            return self._settle(intent) if self.reconciles else self._look(intent)
        except NebulaExplorerError as error:
            text = f"{lost} Whether one was started cannot be determined: {error}"
            raise NebulaExplorerAmbiguousSubmitError(text) from error

    def is_late(self, intent: Intent) -> bool:
        """Whether so much time has passed that no job of an intent can be on its way any more.

        By both clocks: one alone may have been put forward in between.
        """
        theirs, ours = self._client.server_time, self._clock()
        if theirs is None or intent.asked_at is None:
            return False
        return min(theirs - intent.asked_at, ours - intent.noted_at) > ROOM_SECONDS

    @property
    def _seconds_to_look(self) -> float:
        return sum(PAUSES) if self.reconciles else 1.0

    def _is_ours_alone(self, job_id: int) -> bool:
        if self._claims is None:
            return True
        self._claims.claim(job_id)
        return self._claims.claimed().count(job_id) <= 1

    def _settle(self, intent: Intent) -> list[Job]:
        """Look until no further job can be on its way: the one that is seen first may be another's."""
        new = self._look(intent)
        for pause in PAUSES:
            if self.is_late(intent):
                break
            self._sleep(pause)
            # The earliest that Explorer's clock was seen at counts, as it may be set back and forward again.
            intent = replace(intent, asked_at=min(self._clocks(intent), default=None))
            new = self._look(intent)
        return new

    def _look(self, intent: Intent) -> list[Job]:
        looks = FailedPolls(f"the new jobs of workflow {intent.workflow_id}", self._max_failures)
        while True:
            try:
                new = self._new_jobs(intent)
                break
            except NebulaExplorerError as error:
                log.warning("%s", looks.failed(error))
            self._sleep(_PAUSE_AFTER_FAILED_LOOK_SECONDS)
        taken = self._claims.claimed() if self._claims and new else ()
        return [job for job in new if job.id not in taken]

    def _new_jobs(self, intent: Intent) -> list[Job]:
        wanted = job_filter()
        if intent.since is not None:
            wanted["fromCreateTime"] = self._list_from(intent, intent.since)
        jobs = walk_list(self._client.run, intent.workflow_id, wanted, PAGE_SIZE)
        new = [job for job in jobs if intent.is_before(job)]
        if not self.is_late(intent):
            return new
        last = (intent.asked_at or 0) + WINDOW_SECONDS
        return [job for job in new if job.create_time is None or job.create_time.timestamp() <= last]

    def _list_from(self, intent: Intent, since: int) -> int:
        """Return from when on a new job may be dated: Explorer's clock may have been put back meanwhile."""
        return min([since, *(int((clock - ROOM_SECONDS) * 1000) for clock in self._clocks(intent))])

    def _clocks(self, intent: Intent) -> list[float]:
        """Return Explorer's clock, then and now, where it was told."""
        return [clock for clock in (intent.asked_at, self._client.server_time) if clock is not None]


def _newer_than(page: Page[Job]) -> int | None:
    """Return from when on jobs that are not on the page of the newest are newer than it."""
    times = _times(page)
    if not times:
        return None
    since = max(times) - int(CLOCK_SECONDS * 1000)
    return since if page.is_whole_list else max(since, min(times))


def _times(page: Page[Job]) -> list[int]:
    return [parse_milliseconds("createTime", job.create_time) for job in page.items if job.create_time]


def undetermined(intent: Intent, lost: str, new: list[Job]) -> NebulaExplorerAmbiguousSubmitError:
    """Return the error for a start of which it cannot be told what came of it.

    :param lost: how its answer was lost.
    :param new: the jobs that may be it.
    """
    listed = "; ".join(f"{describe(job)}, created {_created(job)}, {job.status.name}" for job in new)
    found = (
        f"New since then, so possibly that job: {listed}."
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
