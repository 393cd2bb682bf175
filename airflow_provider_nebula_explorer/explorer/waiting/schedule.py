# SPDX-License-Identifier: Apache-2.0
"""When a watcher polls which jobs. Pure: the time is given, and so are random numbers."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from airflow_provider_nebula_explorer.explorer.interval import Interval

_GATHER_SECONDS = 0.2
"""How long the first poll of a job waits for others that join meanwhile."""

_NEWCOMERS_SECONDS = 1.0
"""How long after a poll newcomers get theirs: at most this, or half of the shortest interval."""

_TICK_SECONDS = 1.0
"""The least time between two polls of jobs whose interval adapts, so that jobs of many ages share polls."""

_JITTER = 0.05
"""By which part of an interval a poll may come early: it spreads the polls of many processes."""


def spread(interval: float, jitter: Callable[[], float] = random.random) -> float:
    """Return an interval, slightly shortened at random.

    :param jitter: gives random numbers from 0 to 1.
    """
    return interval * (1 - _JITTER * jitter())


@dataclass(slots=True)
class _Adaptive:
    """A job whose interval adapts to its age.

    :param since: when the job, or the wait for it, began.
    """

    interval: Interval
    since: float

    def pause(self, now: float) -> float:
        return self.interval.after(now - self.since)


class Schedule:
    """The times at which jobs are polled, in seconds of one monotonic clock.

    Jobs with the same fixed interval are polled together. A job whose interval adapts to its age has a time
    of its own: it is polled early if another poll is near, and later if another poll shows it anyway. When
    its interval has grown to the longest, it is polled together with those of that fixed interval. A newcomer
    is polled soon, with all others that join at that time. At its deadline, each job is polled once more.

    :param jitter: see :func:`spread`.
    """

    def __init__(self, jitter: Callable[[], float] = random.random) -> None:
        self._jitter = jitter
        self._intervals: dict[int, float] = {}  # by job, where it is fixed, or grows no more
        self._adaptive: dict[int, _Adaptive] = {}  # by job, where it is not fixed
        self._due: dict[int, float] = {}  # by job, where the interval still grows: the latest time to poll it
        self._deadlines: dict[int, float] = {}  # by job, until the poll that each of them causes
        self._next_polls: dict[float, float] = {}  # by interval
        self._newcomers: set[int] = set()
        self._newcomers_since = self._polled_at = -math.inf

    def put(self, job_id: int, *, interval: Interval, deadline: float = math.inf, now: float) -> None:
        """Schedule a job's polls, or change their schedule."""
        self._deadlines[job_id] = deadline
        if interval.is_fixed:
            self._adaptive.pop(job_id, None)
            self._due.pop(job_id, None)
            self._poll_every(interval.longest, job_id, now)
            return
        self._intervals.pop(job_id, None)
        before = self._due.get(job_id, math.inf)
        self._adaptive.setdefault(job_id, _Adaptive(interval, now)).interval = interval
        self._set_due(job_id, now)
        if job_id in self._due:
            self._due[job_id] = min(self._due[job_id], before)

    def poll_soon(self, job_id: int, now: float) -> None:
        """Let a scheduled job have its first poll soon."""
        if not self._newcomers:
            self._newcomers_since = now
        self._newcomers.add(job_id)

    def remove(self, job_id: int) -> None:
        """Poll a job no more."""
        self._intervals.pop(job_id, None)
        self._adaptive.pop(job_id, None)
        self._due.pop(job_id, None)
        self._deadlines.pop(job_id, None)
        self._newcomers.discard(job_id)

    @property
    def next_poll(self) -> float:
        """When to call :meth:`take_due`; infinity where there is nothing to poll."""
        fixed = (self._newcomers_poll, *self._deadlines.values(), *self._next_polls.values())
        adaptive = max(min(self._due.values(), default=math.inf), self._polled_at + _TICK_SECONDS)
        return min(*fixed, adaptive)

    @property
    def _newcomers_poll(self) -> float:
        if not self._newcomers:
            return math.inf
        pause = min(_NEWCOMERS_SECONDS, min(self._next_polls, default=math.inf) / 2)
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
        due |= {job_id for job_id, at in self._due.items() if self._is_ready(job_id, at, now)}
        for job_id in due & self._adaptive.keys():
            self._set_due(job_id, now)
        return due

    def observed(self, ages: Mapping[int, float], now: float) -> None:
        """Take note of jobs that a poll showed, due or not: the next poll of each counts from now.

        :param ages: seconds since each job was created, by job; 0 where that is not known.
        """
        for job_id in ages.keys() & self._adaptive.keys():
            job = self._adaptive[job_id]
            # A wait that resumes, in another process for example, continues with the age of its job.
            job.since = min(job.since, now - ages[job_id])
            if job_id not in self._intervals:
                self._set_due(job_id, now)

    def failed(self, job_ids: Iterable[int], now: float) -> None:
        """Take note of jobs whose poll failed: the next one of each is after its longest interval."""
        for job_id in self._due.keys() & job_ids:
            self._due[job_id] = now + self._adaptive[job_id].interval.longest

    def _is_ready(self, job_id: int, due: float, now: float) -> bool:
        """Say whether to poll a job now: it is due before the next possible poll, or very soon."""
        return due < now + _TICK_SECONDS or due <= now + _JITTER * self._adaptive[job_id].pause(now)

    def _set_due(self, job_id: int, now: float) -> None:
        """Set the next poll of a job whose interval adapts, as if it was polled now."""
        job = self._adaptive[job_id]
        pause = job.pause(now)
        if pause < job.interval.longest:
            self._due[job_id] = now + pause
        else:
            self._due.pop(job_id, None)
            self._poll_every(pause, job_id, now)

    def _poll_every(self, interval: float, job_id: int, now: float) -> None:
        self._intervals[job_id] = interval
        self._next_polls.setdefault(interval, now + interval)
