# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from example_runs import DAGS, load_dags, make_database

CONNECTION = "AIRFLOW_CONN_NEBULA_EXPLORER_DEFAULT"
WORKFLOW = "3992429968"
"""The workflow that the examples run."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--workflow", help="the id of the workflow that the examples run", default=WORKFLOW)


@pytest.fixture(scope="session", autouse=True)
def explorer(request, users_connection):
    """The user's own Explorer, by the connection in the environment, and the user's own workflow."""
    if not users_connection:
        pytest.exit(f"Set {CONNECTION} to a connection to your Explorer, as JSON or as a URI.", returncode=4)
    workflow = request.config.getoption("workflow")
    if not workflow.isdigit():
        pytest.exit(f"--workflow is {workflow!r}; allowed: the digits of a workflow's id.", returncode=4)
    for file in DAGS.glob("*.py"):
        text = file.read_text(encoding="utf-8")
        file.write_text(text.replace(WORKFLOW, workflow), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv(CONNECTION, users_connection)
        yield


@pytest.fixture(scope="session")
def dags(explorer):
    make_database()
    return load_dags()
