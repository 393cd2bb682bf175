"""Counts what happens: a process may listen, as the hook does for Airflow's metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

Metric = Literal[
    "cancels",  # of jobs, that Explorer accepted
    "events",  # successes of workflows, told to those who observe them
    "logins",
    "polls",  # looks for jobs that are waited for: one for all of a watcher, one for each that waits alone
    "reconciliations",  # looks for what came of a start whose answer was lost
    "retries",  # of requests
    "waits.ended",  # in a watcher
    "waits.started",
]


def _ignore(counted: Metric) -> None:
    pass


_listener: Callable[[Metric], None] = _ignore


def listen(listener: Callable[[Metric], None]) -> None:
    """Have all that is counted in this process told, in the place of whoever was told before.

    :param listener: must neither block nor raise; threads and event loops call it.
    """
    global _listener  # noqa: PLW0603 - a process has one
    _listener = listener


def count(counted: Metric) -> None:
    """Count one."""
    _listener(counted)
