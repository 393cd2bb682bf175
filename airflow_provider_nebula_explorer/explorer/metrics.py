# SPDX-License-Identifier: Apache-2.0
"""The metrics of this process, and where they go: a program may install a sink, as hooks do for Airflow's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

Metric = Literal[
    "cancels",  # of jobs, that Explorer accepted
    "details",  # of a job, fetched
    "events",  # successes of workflows, delivered to those who observe them
    "jobs.failed",  # that ended otherwise than their task wanted
    "lists",  # pages of lists of jobs, fetched
    "logins",
    "logins.refused",  # each try, for whatever reason
    "polls",  # one for all jobs of a watcher, and one for each job that is waited for alone
    "reconciliations",  # searches for the job of a start whose response was lost
    "results",  # of a job's task, fetched
    "retries",  # of requests
    "starts",  # of jobs, that Explorer accepted
    "waits.ended",  # in a watcher
    "waits.started",
]


def _ignore(metric: Metric) -> None:
    pass


_sink: Callable[[Metric], None] = _ignore


def install(sink: Callable[[Metric], None]) -> None:
    """Send all metrics of this process to a sink, which replaces the one before.

    :param sink: called with the metric's name at each increment, from threads and event loops: it must
        neither block nor raise.
    """
    global _sink  # noqa: PLW0603 - a process has one
    _sink = sink


def increment(metric: Metric) -> None:
    """Add one to a metric."""
    _sink(metric)
