# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

A_USER_S_TEST = """
import json, os, urllib.request

def test_a_dag(nebula_explorer_emulator):
    connection = json.loads(os.environ["AIRFLOW_CONN_NEBULA_EXPLORER_DEFAULT"])
    assert connection["port"] == nebula_explorer_emulator.port
    urllib.request.urlopen(nebula_explorer_emulator.url).close()
    assert os.listdir(os.environ["AIRFLOW__NEBULA_EXPLORER__STATE_DIR"]) == []

def test_after_it():
    assert "AIRFLOW_CONN_NEBULA_EXPLORER_DEFAULT" not in os.environ
    assert "AIRFLOW__NEBULA_EXPLORER__STATE_DIR" not in os.environ
"""


def test_the_fixture_starts_an_emulator_with_a_connection_and_a_state_folder_for_one_test(tmp_path: Path):
    (tmp_path / "test_dag.py").write_text(A_USER_S_TEST)
    root = str(Path(__file__).parents[2])
    variables = {**os.environ, "PYTHONPATH": root, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    variables.pop("AIRFLOW_CONN_NEBULA_EXPLORER_DEFAULT", None)
    plugin = ["-p", "airflow_provider_nebula_explorer.pytest_plugin", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", *plugin, str(tmp_path)]
    ended = subprocess.run(
        command, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=60, check=False
    )

    assert ended.returncode == 0, ended.stdout
    assert "2 passed" in ended.stdout
