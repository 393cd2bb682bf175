# SPDX-License-Identifier: Apache-2.0
"""A whole Airflow, an Explorer and a browser, for a newcomer's first hour with the package.

The tests are steps, in the order of their files' numbers; the first that fails ends the run.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from example import ASSET_DAG_ID, DAG_ID, DAGS, PLAN, WORKFLOW_ID
from pages import Camera
from parts import running
from playwright.sync_api import Page, expect, sync_playwright
from whole_airflow import Airflow

from airflow_provider_nebula_explorer.emulator import Emulator

HOLD_BACK = """
    const later = (act) => setTimeout(act, Math.random() * %d);
    const send = XMLHttpRequest.prototype.send;
    XMLHttpRequest.prototype.send = function (...body) { later(() => send.apply(this, body)); };
    const fetch = window.fetch;
    window.fetch = (...request) => new Promise(later).then(() => fetch(...request));
"""
"""Makes the parts of a page arrive in any order, as on a busy machine."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
MILLISECONDS = 120_000
"""How long anything on a page may take, on a busy machine."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--pictures", type=Path, help="the folder for pictures of the pages; else none are kept")
    parser.addoption(
        "--late",
        type=float,
        default=0.0,
        help="seconds by which each of a page's own requests is delayed at most, at random",
    )


def pytest_exception_interact(node: pytest.Item, report: pytest.TestReport) -> None:
    """Show the content of the page when a test failed."""
    for name in ("page", "airflow"):
        if shown := getattr(node, "funcargs", {}).get(name):
            text = shown.evidence() if name == "airflow" else shown.locator("body").aria_snapshot()
            report.sections.append((name, text))


@pytest.fixture(scope="session")
def airflow() -> Iterator[Airflow]:
    """An Airflow that has the example DAGs and no connection."""
    whole = Airflow(
        DAGS,
        {DAG_ID, ASSET_DAG_ID},
        CORE__TEST_CONNECTION="Enabled",
        CORE__DAGS_ARE_PAUSED_AT_CREATION="True",  # so that nothing is watched before there is a connection
        DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL="5",  # an asset is watched once its DAG is parsed again
    )
    with running(whole):
        yield whole


@pytest.fixture(scope="session")
def explorer(request: pytest.FixtureRequest) -> Iterator[Emulator]:
    """An Explorer that knows one graphd; for pictures, it has Explorer's own port."""
    port = 7002 if request.config.getoption("--pictures") else 0
    with Emulator(port=port, encoding="both", graphd=("10.0.0.9", 9669)) as emulator:
        emulator.plan(WORKFLOW_ID, PLAN, name="pagerank")
        yield emulator


@pytest.fixture(scope="session")
def page(request: pytest.FixtureRequest, airflow: Airflow) -> Iterator[Page]:
    """The one window of the browser."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    assert found, f"None of {', '.join(BROWSERS)} is on the PATH: `make test-browser` installs one on Debian."
    expect.set_options(timeout=MILLISECONDS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=found, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        context = browser.new_context(
            base_url=airflow.url,
            viewport={"width": 1280, "height": 1100},
            color_scheme="light",
            locale="en-US",
            timezone_id="UTC",
        )
        context.set_default_timeout(MILLISECONDS)
        context.add_init_script(HOLD_BACK % (request.config.getoption("--late") * 1000))
        yield context.new_page()
        browser.close()


@pytest.fixture(scope="session")
def camera(request: pytest.FixtureRequest, page: Page) -> Camera:
    """Takes pictures of the page."""
    return Camera(page, request.config.getoption("--pictures"))
