# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_nebula_explorer.emulator.api import ENDPOINTS
from airflow_provider_nebula_explorer.emulator.faults import KINDS
from airflow_provider_nebula_explorer.emulator.plans import read_workflow

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "emulator.md").read_text(encoding="utf-8")


def test_the_page_s_tests_pass(tmp_path: Path):
    pytest.importorskip("airflow.sdk", reason="the page is written for Airflow 3")
    for name, code in re.findall(r"```python\n# (\S+\.py)\n(.*?)```", PAGE, re.DOTALL):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(code)
    own = {"AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__LOAD_EXAMPLES": "False", "PYTHONPATH": str(ROOT)}
    own["AIRFLOW__CORE__DAGS_FOLDER"] = str(tmp_path / "dags")
    variables = {**os.environ, **own, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    plugin = ["-p", "airflow_provider_nebula_explorer.pytest_plugin", "-p", "no:cacheprovider"]
    python, options = (
        sys.executable,
        {"cwd": tmp_path, "env": variables, "capture_output": True, "text": True},
    )
    subprocess.run([python, "-m", "airflow", "db", "migrate"], check=True, **options)  # type: ignore[call-overload]
    ended = subprocess.run([python, "-m", "pytest", "-q", *plugin, "."], check=False, **options)  # type: ignore[call-overload]

    assert ended.returncode == 0, ended.stdout
    assert "5 passed" in ended.stdout


def test_the_page_s_plans_file_is_read():
    workflows = json.loads(re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)[0])

    assert [read_workflow(data)[0] for data in workflows.values()] == ["pagerank", None, "retried"]


@pytest.mark.parametrize("name", [*KINDS, *ENDPOINTS])
def test_the_page_names_every_kind_of_fault_and_every_endpoint(name: str):
    assert f"`{name}`" in PAGE
