"""Which successes of a workflow have been reported, in a form that outlives the process."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_nebula_explorer.explorer.client.api import JobSummary
from airflow_provider_nebula_explorer.explorer.models import JsonObject, show

MARGIN_MS = 60_000
"""How far a look goes back behind the one before: a job may come up late."""

_MOST_KNOWN = 500
"""How many jobs at least are remembered: to a clock that is set back they would look new."""

_WORTH_SAVING_MS = 600_000
"""By how much a bookmark that says nothing else new may lag behind."""


@dataclass
class Bookmark:
    """What is told, known and open of a workflow's jobs.

    :param since: jobs created before it are known, on Explorer's clock, in epoch milliseconds; ``None``:
        nothing is known yet.
    :param at: when that was found out, on our clock, in epoch milliseconds.
    :param known: jobs created since, and some before: ids and times of creation, as an id may come again in
        an Explorer that is set up anew.
    :param open: ids of jobs that may still succeed, or have succeeded and are not told.
    :param handed: ids of those that are being told; another process does not know of it, and tells them.
    """

    since: int | None = None
    at: int = 0
    known: frozenset[tuple[int, int]] = frozenset()
    open: set[int] = field(default_factory=set)
    in_flight: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, value: Any) -> Bookmark:
        """Read what :attr:`as_json` gave.

        :raises ValueError: where that is something else.
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

    def is_news_to(self, saved: Bookmark) -> bool:
        """Say whether it should replace one that was saved."""
        if self.since is None or saved.since is None:
            return self.since is not saved.since
        lag = abs(self.since - saved.since)
        return (self.known, self.open) != (saved.known, saved.open) or lag >= _WORTH_SAVING_MS

    def list_from(self, clock: int | None, now: int) -> int:
        """Return from when on the next list has to be, to hold all that was created since the one before.

        :param clock: Explorer's, in epoch milliseconds; it may have been set back meanwhile.
        :param now: our own.
        """
        since = self.since or 0
        if clock is None:
            return since
        return min(since, clock - max(0, now - self.at) - MARGIN_MS)

    def learn(self, jobs: Iterable[JobSummary], clock: int | None, now: int) -> list[JobSummary]:
        """Take note of a whole list, and return the jobs of it that are new.

        :param clock: what Explorer's was past before the list; ``None``: the newest job stands for it.
        """
        listed = {(job.id, job.created or 0): job for job in jobs}
        new = [job for pair, job in listed.items() if pair not in self.known]
        latest = sorted(self.known.difference(listed), key=lambda pair: pair[1], reverse=True)
        self.known = frozenset(listed).union(latest[: max(0, _MOST_KNOWN - len(listed))])
        newest = clock or max((created for _, created in listed), default=0)
        self.since = max(newest - MARGIN_MS, 0) if newest else self.since or 0
        self.at = now
        self.open.update(job.id for job in new if not job.status.is_final or job.status.is_success)
        return new

    def acknowledge(self, job_id: int) -> None:
        """Take a job out, for good."""
        self.open.discard(job_id)
        self.in_flight.discard(job_id)

    def copy(self) -> Bookmark:
        """Return one that stays as it is now."""
        return Bookmark(self.since, self.at, self.known, set(self.open))
