"""What is built: the wheel, the sdist, their metadata; and what importing costs."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

from airflow_provider_nebula_explorer import __version__

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture(scope="module")
def wheel(built):
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        yield wheel


@pytest.fixture(scope="module")
def metadata(wheel):
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    return message_from_string(wheel.read(name).decode())


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert tops == {
        "airflow_provider_nebula_explorer",
        f"airflow_provider_nebula_explorer-{__version__}.dist-info",
    }


def test_the_wheel_holds_every_module_and_the_type_marker(wheel):
    package = ROOT / "airflow_provider_nebula_explorer"
    ours = {str(path.relative_to(ROOT)) for path in package.rglob("*.py")} | {
        "airflow_provider_nebula_explorer/py.typed"
    }
    assert ours <= set(wheel.namelist())


def test_the_entry_points_are_declared(wheel):
    (name,) = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    text = wheel.read(name).decode()
    assert "[apache_airflow_provider]\nprovider_info = airflow_provider_nebula_explorer.provider_info" in text
    assert "[pytest11]\nnebula_explorer = airflow_provider_nebula_explorer.pytest_plugin" in text


def test_the_metadata_says_what_it_needs(metadata):
    assert metadata["Version"] == __version__
    assert metadata["Requires-Python"] == ">=3.10"
    assert metadata["License-Expression"] == "Apache-2.0"
    needs = metadata.get_all("Requires-Dist")
    always = [need for need in needs if "extra ==" not in need]
    assert [need.split(">=")[0] for need in always] == [
        "anyio",
        "apache-airflow-providers-common-compat",
        "apache-airflow",
        "asgiref",
        "certifi",
        "httpx",
        "requests",
        "urllib3",
    ], "the base install stays small"
    assert "apache-airflow>=2.11.0" in needs


def test_the_licence_is_in_the_wheel(wheel):
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())


def test_the_sdist_can_be_tested_and_documented_from(built):
    with tarfile.open(next(built.glob("*.tar.gz"))) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {"Makefile", "README.md", "CHANGELOG.md", "LICENSE", "constraints.txt", "pyproject.toml"} <= names
    assert {"tests/conftest.py", "example_dags/run_workflow.py", "docs/connection.md"} <= names
    assert {"docs/conf.py", "docs/howto/index.md", "requirements-docs.txt", "scripts/check_site.py"} <= names


def imported_by(*statements):
    """The modules that Python loads for some statements, in a process of its own."""
    program = "; ".join([*statements, "import sys; print(*sorted(sys.modules))"])
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return set(ran.stdout.split())


PACKAGE = "airflow_provider_nebula_explorer"


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
        f"import {PACKAGE}.explorer.transport, {PACKAGE}.explorer.async_transport, {PACKAGE}.emulator.server"
    )
    assert "airflow" not in loaded


def test_each_driver_loads_its_own_library_alone():
    assert "httpx" not in imported_by(f"import {PACKAGE}.explorer.transport")
    assert "requests" not in imported_by(f"import {PACKAGE}.explorer.async_transport")


def test_the_triggers_load_no_http_library():
    # Airflow's triggerer imports them on its event loop.
    loaded = imported_by(f"import {PACKAGE}.triggers.nebula_explorer")
    assert f"{PACKAGE}.explorer.transport" not in loaded
    assert f"{PACKAGE}.explorer.async_transport" not in loaded


def test_pytest_loads_the_plugin_without_the_emulator():
    loaded = imported_by(f"import {PACKAGE}.pytest_plugin")
    assert not loaded & {"airflow", "aiohttp", f"{PACKAGE}.emulator", f"{PACKAGE}.hooks"}


def test_only_the_named_modules_import_airflow_requests_or_httpx():
    import ast

    allowed = {"airflow": ("hooks", "operators", "sensors", "links", "triggers"), "requests": (), "httpx": ()}
    for path in (ROOT / PACKAGE).rglob("*.py"):
        place = path.relative_to(ROOT / PACKAGE)
        if place.as_posix() in ("explorer/transport.py", "explorer/async_transport.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                top = name.split(".")[0]
                assert top not in allowed or place.parts[0] in allowed[top], f"{place} imports {name}"
