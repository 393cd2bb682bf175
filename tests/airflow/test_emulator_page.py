# SPDX-License-Identifier: Apache-2.0
"""The page about the emulator: its DAG and its tests, as a user copies them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import airflow
import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "emulator.md").read_text(encoding="utf-8")
FILES = re.findall(r"```python\n# (\S+\.py)\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def project(tmp_path):
    """A folder with the page's files; the DAG's import is the one that the page names for this Airflow."""
    importable = "airflow.decorators" if airflow.__version__.startswith("2.") else "airflow.sdk"
    for name, code in FILES:
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(code.replace("from airflow.sdk import", f"from {importable} import"))
    return tmp_path


def test_the_page_s_tests_pass(project):
    own = {
        "AIRFLOW_HOME": str(project),
        "AIRFLOW__CORE__DAGS_FOLDER": str(project / "dags"),
        "PYTHONPATH": str(ROOT),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }

    def run(*command):
        command = [sys.executable, "-m", *command]
        ended = subprocess.run(
            command, cwd=project, env=os.environ | own, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    run("airflow", "db", "migrate")
    plugins = ["-p", "airflow_provider_nebula_explorer.pytest_plugin", "-p", "no:cacheprovider"]
    assert "5 passed" in run("pytest", "-q", *plugins, ".")
