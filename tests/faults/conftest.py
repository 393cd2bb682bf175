# SPDX-License-Identifier: Apache-2.0
"""The campaign's options, its Explorer, and the report at its end."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from figures import Figures, return_large_blocks
from scenes import Stage
from served import Explorer
from stand_ins import forget_secrets

from airflow_provider_nebula_explorer.explorer.client import account_budget

FIGURES = pytest.StashKey[Figures]()
LATEST = 30


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, default=1, help="of all that happens by chance")
    parser.addoption("--times", type=int, default=1, help="how many times as much of everything")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FIGURES] = Figures(config.getoption("--seed"), config.getoption("--times"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    terminalreporter.section("figures")
    for line in config.stash[FIGURES].tables():
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def figures(request: pytest.FixtureRequest) -> Figures:
    return request.config.stash[FIGURES]


@pytest.fixture(scope="session")
def process() -> Iterator[Explorer]:
    return_large_blocks()
    explorer = Explorer()
    yield explorer
    explorer.close()


@pytest.fixture(scope="session")
def state_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("shared") / "state")


@pytest.fixture
def stage(
    process: Explorer, figures: Figures, state_dir: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stage]:
    """Where scenes are played; when a test ends, no fault and no disruption is left."""
    monkeypatch.setattr(account_budget, "FREE_LOGINS", 10**6)  # a session is lost each second
    forget_secrets()
    # Otherwise the logs of a run would take megabytes.
    logging.getLogger("airflow_provider_nebula_explorer").setLevel(logging.ERROR)
    stage = Stage(process.served, figures, state_dir)
    with stage.overtakers.counted():
        yield stage
    process.served.calm_down()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    stage = getattr(item, "funcargs", {}).get("stage")
    if report.failed and report.when == "call" and stage is not None:  # later, Explorer may be gone
        report.sections.append(("faults and requests", "\n".join(evidence(stage))))
    return report


def evidence(stage: Stage) -> Iterator[str]:
    """Yield what helps to understand why a scene failed."""
    traffic = stage.explorer.traffic()
    jumps = f"clock jumps: {traffic.clock_jumps}"
    yield f"--seed {stage.figures.seed} --times {stage.times}"
    yield f"requests: {dict(traffic.by_endpoint)}, logins: {traffic.logins}"
    yield f"faults: {dict(traffic.faults)}"
    yield f"lost sessions: {traffic.lost_sessions}, restarts: {traffic.restarts}, {jumps}"
    yield f"logins while another client logged in: {stage.overtakers.count}"
    yield f"refusals reported: {dict(stage.repeat.reported)}"
    yield from stage.explorer.latest(LATEST)
