# SPDX-License-Identifier: Apache-2.0
"""What the import of each part loads; which part may import what is in ``test_walls.py``."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from airflow_provider_nebula_explorer import explorer

ROOT = Path(__file__).parents[2]
PACKAGE = "airflow_provider_nebula_explorer"
NEEDED = {"lineage.facets": "openlineage.client", "triggers.shared_stream": "airflow.triggers.shared_stream"}
"""Modules that need what is not installed everywhere; they are imported in the functions that use them."""


def is_installed(module):
    try:
        return find_spec(module) is not None
    except ImportError:  # its parent is not there
        return False


def imported_by(*statements):
    """The modules that Python loads for some statements, in a process of its own."""
    program = "; ".join([*statements, "import sys; print(*sorted(sys.modules))"])
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return set(ran.stdout.split())


def test_every_module_is_imported_without_a_warning_on_every_airflow():
    modules = {
        path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
        for path in (ROOT / PACKAGE).rglob("*.py")
        if not path.name.startswith("__")
    }
    modules -= {f"{PACKAGE}.{module}" for module, needed in NEEDED.items() if not is_installed(needed)}
    ran = subprocess.run(
        [sys.executable, "-W", "always", "-c", f"import {', '.join(modules)}"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert PACKAGE not in ran.stderr  # a warning names the file that gave rise to it; Airflow has its own


def test_a_dag_file_loads_no_http_library():
    airflow = "from airflow.providers.common.compat.sdk import BaseSensorOperator, BaseHook"
    before = imported_by(airflow)
    after = imported_by(
        airflow,
        f"import {PACKAGE}.operators.nebula_explorer, {PACKAGE}.sensors.nebula_explorer",
    )
    assert not (after - before) & {
        "requests",
        "httpx",
        "urllib3",
        "aiohttp",
        f"{PACKAGE}.emulator",
        "wtforms",
    }


def test_discovery_by_airflow_loads_neither_airflow_nor_http():
    loaded = imported_by(f"from {PACKAGE}.provider_info import get_provider_info", "get_provider_info()")
    assert not loaded & {"airflow", "requests", "httpx", "aiohttp", f"{PACKAGE}.hooks"}


def test_the_client_and_the_emulator_work_without_airflow():
    loaded = imported_by(
        f"import {PACKAGE}.explorer.client.sync_client, {PACKAGE}.explorer.client.async_client",
        f"import {PACKAGE}.emulator.server",
    )
    assert "airflow" not in loaded


def test_explorer_has_the_documented_names_and_no_others():
    documented = {"Client", "AsyncClient", "Watcher", "Settings", "Account", "Job", "JobStatus", "Task"}
    assert set(explorer.__all__) == documented
    assert {getattr(explorer, name).__name__ for name in documented} == documented
    with pytest.raises(AttributeError, match="no attribute 'Session'"):
        explorer.Session  # noqa: B018 - the access itself fails


def test_explorer_loads_no_http_library_for_what_is_no_client():
    names = ("Account", "Job", "JobStatus", "Settings", "Task", "Watcher")
    loaded = imported_by(f"from {PACKAGE}.explorer import {', '.join(names)}")
    assert not loaded & {"airflow", "requests", "httpx", "urllib3", "aiohttp"}


def test_each_client_loads_its_own_library_alone():
    assert "httpx" not in imported_by(f"import {PACKAGE}.explorer.client.sync_client")
    assert "requests" not in imported_by(f"import {PACKAGE}.explorer.client.async_client")


def test_the_triggers_load_no_http_library():
    # Airflow's triggerer imports them on its event loop.
    loaded = imported_by(f"import {PACKAGE}.triggers.nebula_explorer")
    assert f"{PACKAGE}.explorer.client.sync_client" not in loaded
    assert f"{PACKAGE}.explorer.client.async_client" not in loaded


def test_pytest_loads_the_plugin_without_the_emulator():
    loaded = imported_by(f"import {PACKAGE}.pytest_plugin")
    assert not loaded & {"airflow", "aiohttp", f"{PACKAGE}.emulator", f"{PACKAGE}.hooks"}
