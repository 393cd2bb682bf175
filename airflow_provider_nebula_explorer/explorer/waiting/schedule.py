"""When a watcher polls which jobs. Pure: the time is given, and so are random numbers."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

_GATHER_SECONDS = 0.2
"""How long the first poll of a job waits for others that join meanwhile."""

_NEWCOMERS_SECONDS = 1.0
"""How long after a poll newcomers get theirs: at most this, or half of the shortest interval."""

_JITTER = 0.05
"""By which part of an interval a poll may come early: it spreads the polls of many processes."""


def spread(interval: float, jitter: Callable[[], float] = random.random) -> float:
    """Return an interval, slightly shortened at random.

    :param jitter: gives random numbers from 0 to 1.
    """
    return interval * (1 - _JITTER * jitter())


class Schedule:
    """The times at which jobs are polled, in seconds of one monotonic clock.

    Jobs with the same interval are polled together. A newcomer is polled soon, with all others that join at
    that time. At its deadline, each job is polled once more.

    :param jitter: see :func:`spread`.
    """

    def __init__(self, jitter: Callable[[], float] = random.random) -> None:
        self._jitter = jitter
        self._intervals: dict[int, float] = {}  # by job
        self._deadlines: dict[int, float] = {}  # by job, until the poll that each of them causes
        self._next_polls: dict[float, float] = {}  # by interval
        self._newcomers: set[int] = set()
        self._newcomers_since = self._polled_at = -math.inf

    def put(self, job_id: int, *, interval: float, deadline: float = math.inf, now: float) -> None:
        """Schedule a job's polls, or change their schedule."""
        self._intervals[job_id] = interval
        self._deadlines[job_id] = deadline
        self._next_polls.setdefault(interval, now + interval)

    def poll_soon(self, job_id: int, now: float) -> None:
        """Let a scheduled job have its first poll soon."""
        if not self._newcomers:
            self._newcomers_since = now
        self._newcomers.add(job_id)

    def remove(self, job_id: int) -> None:
        """Poll a job no more."""
        del self._intervals[job_id]
        self._deadlines.pop(job_id, None)
        self._newcomers.discard(job_id)

    @property
    def next_poll(self) -> float:
        """When to call :meth:`take_due`; infinity where there is nothing to poll."""
        return min(self._newcomers_poll, *self._deadlines.values(), *self._next_polls.values(), math.inf)

    @property
    def _newcomers_poll(self) -> float:
        if not self._newcomers:
            return math.inf
        pause = min(_NEWCOMERS_SECONDS, min(self._next_polls) / 2)
        return max(self._newcomers_since + _GATHER_SECONDS, self._polled_at + pause)

    def take_due(self, now: float) -> set[int]:
        """Return the jobs to poll now, all newcomers among them, and set the times of their next polls.

        If the last job of an interval has left, there may be none.
        """
        due, self._newcomers, self._polled_at = self._newcomers, set(), now
        used = set(self._intervals.values())
        self._next_polls = {interval: at for interval, at in self._next_polls.items() if interval in used}
        # An interval that may come early comes with the others.
        ready = {interval for interval, at in self._next_polls.items() if at <= now + _JITTER * interval}
        self._next_polls.update((interval, now + spread(interval, self._jitter)) for interval in ready)
        due |= {job_id for job_id, interval in self._intervals.items() if interval in ready}
        due |= (overdue := {job_id for job_id, deadline in self._deadlines.items() if deadline <= now})
        for job_id in overdue:
            del self._deadlines[job_id]
        return due
