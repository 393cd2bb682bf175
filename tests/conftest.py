# SPDX-License-Identifier: Apache-2.0
"""Settings for the whole suite: an Airflow home of its own, and none of the user's settings."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path

import hypothesis
import pytest

ROOT = Path(__file__).parents[1]
HOME = Path(tempfile.mkdtemp(prefix="airflow-home-"))

# How long an example takes says more about the machine's load than about the code.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


def make_dags_folder() -> Path:
    """Copy the example DAGs, and those that stand in README and docs, into a folder, and return it."""
    folder = HOME / "dags"
    shutil.copytree(ROOT / "example_dags", folder, ignore=shutil.ignore_patterns("__pycache__"))
    examples = [file.read_text(encoding="utf-8") for file in folder.glob("*.py")]
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
        dags = [block for block in blocks if re.search(r"^@dag\b|\bDAG\(", block, re.MULTILINE)]
        dags = [block for block in dags if "\n...\n" not in block]  # which stands for the rest of a DAG
        dags = [block for block in dags if not any(block.strip() in example for example in examples)]
        for number, block in enumerate(dags):
            name = f"{page.stem}{number or ''}.py"
            code = block.replace("airflow.sdk", "airflow.providers.common.compat.sdk")
            (folder / name).write_text(code, encoding="utf-8")
    return folder


USERS_CONNECTION = os.environ.get("AIRFLOW_CONN_NEBULA_EXPLORER_DEFAULT")
for name in list(os.environ):
    if name.startswith("AIRFLOW") or name.lower().endswith("_proxy"):
        del os.environ[name]
os.environ.update(
    AIRFLOW_HOME=str(HOME),
    AIRFLOW__CORE__DAGS_FOLDER=str(make_dags_folder()),
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__UNIT_TEST_MODE="False",
    AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS="False",
)


@pytest.fixture(scope="session")
def users_connection() -> str | None:
    """The connection that the user has set; only the system's tests use it (``tests/system``)."""
    return USERS_CONNECTION


def pytest_configure(config: pytest.Config) -> None:
    """On an Airflow whose parts deprecate each other, only warnings of this package are errors.

    There, an error in place of a warning would change what Airflow does: for 3.1, a connection whose lookup
    warns would be undefined.
    """
    if re.match(r"3\.[12]\.|.*(a|b|rc)\d", version("apache-airflow")):
        config.addinivalue_line("filterwarnings", "default")
        config.addinivalue_line("filterwarnings", r"error:::airflow_provider_nebula_explorer(\.|$)")


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    shutil.rmtree(HOME, ignore_errors=True)
