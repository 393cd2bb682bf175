# SPDX-License-Identifier: Apache-2.0
"""A whole Airflow for all tests here, and DAG runs that play their scenarios at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

import pytest
from parts import running
from runs import Run, Scenario
from whole_airflow import Airflow

DAGS = Path(__file__).with_name("dags")
DAG_IDS = {"in_worker", "deferred", "in_worker_limited", "deferred_limited", "on_success"}
AT_ONCE = 12
"""How many scenarios play at the same time: more would starve Airflow's parts, which then kill tasks."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--burst", type=int, default=12, help="how many tasks of each kind begin at once")


class Scenarios:
    """Plays scenarios, many at once; each has its own run and its own Explorer."""

    def __init__(self, airflow: Airflow, scenarios: list[Scenario]) -> None:
        self._runs = {scenario: Run(airflow, scenario) for scenario in scenarios}
        self._played: dict[Scenario, Future[None]] = {}

    def start(self, threads: ThreadPoolExecutor) -> None:
        """Begin all of them."""
        self._played = {scenario: threads.submit(scenario.play, run) for scenario, run in self._runs.items()}

    def run(self, scenario: Scenario) -> Run:
        """Return the run of a scenario, once the scenario is over.

        :raises Exception: what ended the scenario early, if anything did.
        """
        self._played[scenario].result()
        return self._runs[scenario]

    def wait(self) -> None:
        """Wait until all are over."""
        wait(self._played.values())

    def close(self) -> None:
        """Stop their Explorers."""
        for run in self._runs.values():
            run.explorer.stop()


@pytest.fixture(scope="session")
def airflow() -> Iterator[Airflow]:
    with running(Airflow(DAGS, DAG_IDS)) as whole:
        yield whole


@pytest.fixture(scope="session")
def scenarios(request: pytest.FixtureRequest, airflow: Airflow) -> Iterator[Scenarios]:
    """The scenarios of all tests of this session."""
    cases = (getattr(item, "callspec", None) for item in request.session.items)
    scenarios = Scenarios(airflow, [case.params["run"] for case in cases if case and "run" in case.params])
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="scenario") as threads:
        scenarios.start(threads)
        try:
            yield scenarios
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
            airflow.stop()  # so that every scenario ends
    scenarios.close()


@pytest.fixture
def alone(airflow: Airflow, scenarios: Scenarios) -> Airflow:
    """Airflow, once all scenarios are over, so that an outage affects none of them."""
    scenarios.wait()
    return airflow


@pytest.fixture
def run(request: pytest.FixtureRequest, scenarios: Scenarios) -> Run:
    """A run whose scenario is over."""
    return scenarios.run(request.param)
