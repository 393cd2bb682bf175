"""One story for all tests here: a cluster works, and its processes are killed in turn."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from cluster import Cluster
from servers import Servers
from story import Story


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--waits", type=int, default=500, help="tasks that wait for a job")
    parser.addoption("--runs", type=int, default=50, help="runs that start a job")


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    servers = Servers()
    try:
        servers.start()
        yield servers
    finally:
        servers.stop()


@pytest.fixture(scope="session")
def cluster(servers: Servers) -> Iterator[Cluster]:
    cluster = Cluster(servers)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that it ends the cluster, too
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        signal.signal(signal.SIGTERM, before)


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
