"""One story for all tests here: a cluster works, and its processes are killed in turn."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from cluster import Cluster
from parts import running
from servers import Servers
from story import Story


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
def story(cluster: Cluster, request: pytest.FixtureRequest) -> Story:
    """What happened, once it is over."""
    story = Story(cluster, waits=request.config.getoption("--waits"), runs=request.config.getoption("--runs"))
    story.tell()
    request.config.stash[_STORY] = story
    return story


_STORY = pytest.StashKey[Story]()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if _STORY in config.stash:
        terminalreporter.section("figures")
        for name, value in config.stash[_STORY].figures().items():
            terminalreporter.write_line(f"| {name} | {value} |")
