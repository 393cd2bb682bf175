# SPDX-License-Identifier: Apache-2.0
"""Which successes of a workflow have been reported, in a form that outlives the process."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from heapq import nlargest
from typing import Any

from airflow_provider_nebula_explorer.explorer.client.api import JobSummary
from airflow_provider_nebula_explorer.explorer.models import JsonObject, show
from airflow_provider_nebula_explorer.explorer.successes.limits import MOST_OPEN

OVERLAP_MS = 60_000
"""How far a list goes back behind the one before: a job may appear in a list some time after its creation."""

_MOST_KNOWN = 500
"""How many jobs at least are remembered: after Explorer's clock was set back, they would look new."""

_WORTH_SAVING_MS = 600_000
"""By how much the time of a saved bookmark may lag behind, if nothing else has changed."""


@dataclass
class Bookmark:
    """What has been reported of a workflow's jobs, and what still has to be.

    :param since: jobs created before it are known, on Explorer's clock, in epoch milliseconds; ``None``:
        no job is known yet.
    :param at: when ``since`` was found out, on our clock, in epoch milliseconds.
    :param known: jobs created since, and some before: ids and times of creation, as an Explorer that is set
        up anew may use an id again.
    :param open: ids of jobs that may still succeed, or have succeeded without an acknowledged event.
    :param in_flight: ids of those whose event is on its way; it is not saved, so another process makes the
        event again.
    """

    since: int | None = None
    at: int = 0
    known: frozenset[tuple[int, int]] = frozenset()
    open: set[int] = field(default_factory=set)
    in_flight: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, value: Any) -> Bookmark:
        """Read what :attr:`as_json` returned.

        :raises ValueError: if the value is something else.
        """
        try:
            since, at, known, still_open = (value[key] for key in ("since", "at", "known", "open"))
            pairs = frozenset((int(job_id), int(created)) for job_id, created in known)
            return cls(int(since), int(at), pairs, {int(job_id) for job_id in still_open})
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"This is not a bookmark: {show(value)}") from error

    @property
    def as_json(self) -> JsonObject:
        """The bookmark as a JSON object."""
        known = [list(pair) for pair in sorted(self.known)]
        return {"since": self.since, "at": self.at, "known": known, "open": sorted(self.open)}

    def should_replace(self, saved: Bookmark) -> bool:
        """Say whether the bookmark has to be saved in the place of another one."""
        if self.since is None or saved.since is None:
            return self.since is not saved.since
        lag = abs(self.since - saved.since)
        return (self.known, self.open) != (saved.known, saved.open) or lag >= _WORTH_SAVING_MS

    def list_from(self, clock: int | None, now: int) -> int:
        """Return from which time of creation the next list has to begin, so that it misses no new job.

        :param clock: Explorer's, in epoch milliseconds; it may have been set back since the last list.
        :param now: our own, in epoch milliseconds.
        """
        since = self.since or 0
        if clock is None:
            return since
        return min(since, clock - max(0, now - self.at) - OVERLAP_MS)

    def begin(
        self, jobs: Collection[JobSummary], older: Iterable[JobSummary], clock: int | None, now: int
    ) -> None:
        """Take note of a workflow's first list: what has succeeded already is not reported.

        :param older: jobs that had not ended when they were listed, whenever they were created.
        :param clock: see :meth:`learn`.
        :param now: see :meth:`learn`.
        """
        self.learn(jobs, clock, now)
        self.open = _newest({job.id for job in (*jobs, *older) if not job.status.is_final})

    def learn(self, jobs: Iterable[JobSummary], clock: int | None, now: int) -> list[JobSummary]:
        """Take note of a whole list, and return its jobs that are new.

        :param clock: a time that Explorer's clock had passed before the list; ``None``: the time of the
            newest job stands for it.
        :param now: our own clock, in epoch milliseconds.
        """
        listed = {(job.id, job.created or 0): job for job in jobs}
        new = [job for pair, job in listed.items() if pair not in self.known]
        latest = sorted(self.known.difference(listed), key=lambda pair: pair[1], reverse=True)
        self.known = frozenset(listed).union(latest[: max(0, _MOST_KNOWN - len(listed))])
        newest = clock or max((created for _, created in listed), default=0)
        self.since = max(newest - OVERLAP_MS, 0) if newest else self.since or 0
        self.at = now
        self.open.update(job.id for job in new if not job.status.is_final or job.status.is_success)
        self.open = _newest(self.open)
        return new

    @property
    def unreported(self) -> set[int]:
        """Ids of the open jobs whose event is not in flight."""
        return self.open - self.in_flight

    def send(self, job_id: int) -> None:
        """Take note that a job's event is on its way."""
        self.in_flight.add(job_id)

    def acknowledge(self, job_id: int) -> None:
        """Forget a job: its event has arrived, or it will have none."""
        self.open.discard(job_id)
        self.in_flight.discard(job_id)

    def copy(self) -> Bookmark:
        """Return a bookmark that stays as this one is now, as if another process had read it."""
        return Bookmark(self.since, self.at, self.known, set(self.open))


def _newest(job_ids: set[int]) -> set[int]:
    return job_ids if len(job_ids) <= MOST_OPEN else set(nlargest(MOST_OPEN, job_ids))
