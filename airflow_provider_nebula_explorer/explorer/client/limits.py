# SPDX-License-Identifier: Apache-2.0
"""The bounds of what an Explorer may cost: a bad one must not stop everybody's waits."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """What one response may cost.

    :param size: bytes of the unpacked body. What arrives, header and all, may be twice as much.
    :param values: JSON values, roughly: Python takes up to 0.5 µs and 100 bytes for each.
    """

    size: int
    values: int


LOOP_BUDGET = Budget(4 * 2**20, 40_000)
"""On an event loop, whose other tasks stand still for the 20 ms that this takes to read; in a thread it would
be the same, as Python's JSON never yields. A page of 1000 jobs has 0.2 MiB and 9000 values."""

WORKER_BUDGET = Budget(32 * 2**20, 1_000_000)
"""Elsewhere: room for a task's result of 100,000 rows, and no more than 100 MiB of a worker's memory."""

READ_ON_LOOP_BYTES = 64 * 1024
"""A larger response is read in a thread: to make a job of 5000 tasks of it takes 20 ms."""

DEEPEST_JSON = 50
"""Levels of lists and objects in each other: what Airflow and others make of them recurses, and Python bears
some hundreds. Explorer's have seven."""

MOST_ITEMS = 2000
"""Of one page: twice the largest that is requested. To read them takes a thread 10 ms, in which it hands
Python's lock over to the event loop with pauses of 5 ms."""

LONGEST_UNLIMITED_LIST = 100_000
"""Jobs of a list for which the caller set no limit: the walk remembers their ids, about 10 MiB."""

STALE_PAGES = 3
"""So many pages in a row without a new job end a list. One or two occur if jobs are added meanwhile, as all
others move to later pages."""

LONGEST_TOKEN = 8192
"""Characters. Servers accept no longer header, as a rule, and each error's text is searched for the token."""

REQUESTS_PER_SECOND = 100
"""Of one account on an event loop, in the long run: a quarter of a core. A thousand waits with an interval of
1 s send one or two."""

REQUESTS_SAVED_UP = 7_000
"""So many more may be sent at any rate: when ten thousand waits end together, each fetches its job's details,
300 a second."""

FREE_LOGINS = 10
"""Logins of one account on an event loop without a pause, within :data:`LOGINS_REMEMBERED_SECONDS`: Explorer
may restart as often. After that, the pauses double, from 1 s."""

LOGINS_REMEMBERED_SECONDS = 3600.0
"""For how long Explorer keeps what a login takes; it has room for 200."""

LONGEST_LOGIN_PAUSE_SECONDS = 60.0
"""So waits recover within a minute, and there are at most 75 logins an hour."""
