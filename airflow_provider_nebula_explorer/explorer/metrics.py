"""Metrics of this process: a program may install where they go, as the hook does for Airflow's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

Metric = Literal[
    "cancels",  # of jobs, that Explorer accepted
    "events",  # successes of workflows, delivered to those who observe them
    "logins",
    "polls",  # for jobs that are waited for: one for all of a watcher, one for each that waits alone
    "reconciliations",  # searches for the job of a start whose response was lost
    "retries",  # of requests
    "waits.ended",  # in a watcher
    "waits.started",
]


def _ignore(metric: Metric) -> None:
    pass


_sink: Callable[[Metric], None] = _ignore


def install(sink: Callable[[Metric], None]) -> None:
    """Send all metrics of this process to a sink, in the place of the one before.

    :param sink: is called with the metric's name at each increment, from threads and event loops: it must
        neither block nor raise.
    """
    global _sink  # noqa: PLW0603 - a process has one
    _sink = sink


def increment(metric: Metric) -> None:
    """Add one to a metric."""
    _sink(metric)
