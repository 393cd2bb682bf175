"""What an import of each part loads, and which part may import what."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = "airflow_provider_nebula_explorer"
NEEDED = {"lineage.facets": "openlineage.client", "triggers.shared_stream": "airflow.triggers.shared_stream"}
"""Modules that are loaded where they are used, as they need what is not everywhere."""


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


def test_each_driver_loads_its_own_library_alone():
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


def test_only_the_named_modules_import_airflow_requests_or_httpx():
    facing_airflow = (
        "assets",
        "hooks",
        "lineage",
        "links",
        "operators",
        "retry_policies",
        "sensors",
        "triggers",
    )
    allowed = {"airflow": facing_airflow, "requests": (), "httpx": ()}
    for path in (ROOT / PACKAGE).rglob("*.py"):
        place = path.relative_to(ROOT / PACKAGE)
        if place.as_posix() in ("explorer/client/sync_client.py", "explorer/client/async_client.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                top = name.split(".")[0]
                assert top not in allowed or place.parts[0] in allowed[top], f"{place} imports {name}"
