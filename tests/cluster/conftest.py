# SPDX-License-Identifier: Apache-2.0
"""One scenario for all tests here: a cluster at work, whose processes are killed in turn."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cluster import Cluster
from parts import running
from scenario import Scenario
from servers import Servers


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--waits", type=int, default=500, help="tasks that wait for a job")
    parser.addoption("--runs", type=int, default=50, help="runs that start a job")


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    with running(Servers()) as servers:
        yield servers


@pytest.fixture(scope="session")
def cluster(servers: Servers) -> Iterator[Cluster]:
    with running(Cluster(servers)) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def scenario(cluster: Cluster, request: pytest.FixtureRequest) -> Scenario:
    """The scenario, once it is over."""
    scenario = Scenario(
        cluster, waits=request.config.getoption("--waits"), runs=request.config.getoption("--runs")
    )
    scenario.play()
    request.config.stash[_SCENARIO] = scenario
    return scenario


_SCENARIO = pytest.StashKey[Scenario]()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if _SCENARIO in config.stash:
        terminalreporter.section("figures")
        for name, value in config.stash[_SCENARIO].figures().items():
            terminalreporter.write_line(f"| {name} | {value} |")
