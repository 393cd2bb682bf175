# SPDX-License-Identifier: Apache-2.0
"""How long after a job's end a deferred wait is over, and how many polls it took, at each provider's default.

Computed, so the same on every machine: this package's schedule runs with a clock of its own; the others poll
at once, and then at their default interval, as their triggers do. What Airflow needs to start and end tasks
comes on top, for all alike.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from importlib import import_module

from airflow_provider_nebula_explorer.explorer.interval import Interval
from airflow_provider_nebula_explorer.explorer.waiting.schedule import Schedule

LIVES = (2, 5, 10, 20, 40, 120)
"""How many seconds jobs run."""

_SPREAD = 0.1
_SAMPLES = 41
"""Each figure is the mean for so many jobs, whose running times differ by up to a tenth from its column's."""

_DEFAULTS = {
    "dbt-cloud": ("dbt.cloud.operators.dbt:DbtCloudRunJobOperator", "check_interval"),
    "databricks": ("databricks.operators.databricks:DatabricksSubmitRunOperator", "polling_period_seconds"),
}
_AIRBYTE_SECONDS = 60.0
"""``trigger_poll_interval`` in ``AirbyteTriggerSyncOperator.execute``, which has no parameter for it."""

Outcome = tuple[float, int]
"""Seconds from the job's end to the poll that shows it, and the number of polls."""


def ours(life: float) -> Outcome:
    """Wait for one job in a watcher whose first poll comes as the job begins."""
    schedule, polls = Schedule(jitter=lambda: 0.0), 1
    schedule.put(1, interval=Interval.of(None), now=0.0)
    while (now := schedule.next_poll) < life:
        schedule.take_due(now)
        schedule.observed({1: now}, now)
        polls += 1
    return now - life, polls + 1


def every(seconds: float) -> Callable[[float], Outcome]:
    """Return what a wait does that polls at once, and then with a fixed interval."""

    def wait(life: float) -> Outcome:
        polls = -int(-life // seconds) + 1
        return (polls - 1) * seconds - life, polls

    return wait


def default_of(operator: str, parameter: str) -> float:
    """Return the default of a parameter of an operator (module and class), as installed."""
    module, _, name = operator.partition(":")
    found = getattr(import_module(f"airflow.providers.{module}"), name)
    return float(inspect.signature(found.__init__).parameters[parameter].default)


def mean(wait: Callable[[float], Outcome], life: float) -> Outcome:
    lives = [life * (1 + _SPREAD * (2 * number / (_SAMPLES - 1) - 1)) for number in range(_SAMPLES)]
    outcomes = [wait(it) for it in lives]
    return sum(late for late, _ in outcomes) / _SAMPLES, round(sum(polls for _, polls in outcomes) / _SAMPLES)


def row(name: str, cells: Iterable[object]) -> str:
    return f"| {' | '.join([name, *map(str, cells)])} |"


def main() -> None:
    waits = {"ours": ours} | {name: every(default_of(*where)) for name, where in _DEFAULTS.items()}
    waits["airbyte"] = every(_AIRBYTE_SECONDS)
    print(row("seconds after the job's end (polls)", (f"{life} s" for life in LIVES)))
    print(row("---", ["---"] * len(LIVES)))
    for name, wait in waits.items():
        print(row(name, (f"{late:.1f} ({polls})" for late, polls in (mean(wait, life) for life in LIVES))))


if __name__ == "__main__":
    main()
