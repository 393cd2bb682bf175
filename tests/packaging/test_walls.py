# SPDX-License-Identifier: Apache-2.0
"""The walls between the package's rooms, read from its source: an import counts wherever it stands.

An import for annotations alone, or within a function, joins two files as much as one at the top.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = "airflow_provider_nebula_explorer"
OUTSIDE = ("benchmarks", "docs", "example_dags", "fuzz", "scripts", "tests")

MODELS = {
    "",  # the version
    "exceptions",
    "explorer.arguments",
    "explorer.interval",
    "explorer.metrics",
    "explorer.models",
    "explorer.settings",
    "explorer.state_folder",
}

BELOW: dict[str, tuple[str, ...]] = {
    "models": (),
    "client": ("models",),
    "waiting": ("client",),
    "starting": ("waiting",),
    "successes": ("waiting",),
    "explorer": ("starting", "successes"),  # the public names alone
    "connection": ("client",),
    "provider_info": ("connection",),
    "hooks": ("connection", "starting", "successes"),
    "links": ("hooks",),
    "lineage": ("connection", "links"),
    "triggers": ("links",),
    "final_errors": ("models",),
    "operators": ("triggers", "lineage", "final_errors"),
    "sensors": ("triggers", "lineage", "final_errors"),
    "assets": ("triggers",),
    "retry_policies": ("models",),
    "doctor": ("hooks",),
    "emulator": (),
    "pytest_plugin": ("emulator",),
}
"""The rooms right below each room. A room's modules may import each other, and all that is below them."""

EMULATOR_MAY_IMPORT = {"exceptions", "explorer.models"}
"""The emulator shares nothing else with the client, so that neither can hide an error of the other."""

FACE_AIRFLOW = {
    "final_errors",
    "hooks",
    "links",
    "lineage",
    "triggers",
    "operators",
    "sensors",
    "assets",
    "retry_policies",
}

HTTP_LIBRARIES = {"aiohttp", "h11", "httpcore", "httpx", "requests", "urllib3"}


def name_of(path: Path) -> str:
    """Return a module's name below the package, ``hooks.clients``; the package itself has none."""
    parts = path.relative_to(ROOT / PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {name_of(path): ast.parse(path.read_text()) for path in (ROOT / PACKAGE).rglob("*.py")}


def room_of(module: str) -> str:
    if module in MODELS:
        return "models"
    first, *others = module.split(".")
    return others[0] if first == "explorer" and others else first


def rooms_below(room: str) -> set[str]:
    return {room}.union(*(rooms_below(lower) for lower in BELOW[room]))


def imported_names(tree: ast.AST) -> Iterator[str]:
    """Yield all that a file imports, in full: ``json.dumps`` for ``from json import dumps``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"line {node.lineno}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def modules_of(tree: ast.AST) -> set[str]:
    """Return the package's modules that a file imports, or imports something from."""
    found = set()
    for name in imported_names(tree):
        top, _, below = name.partition(".")
        if top == PACKAGE:
            found.add(below if below in SOURCES else below.rpartition(".")[0])
    return found


IMPORTS = {module: modules_of(tree) for module, tree in SOURCES.items()}


def test_every_module_is_in_a_room():
    assert {room_of(module) for module in SOURCES} == set(BELOW)


@pytest.mark.parametrize("module", sorted(SOURCES), ids=lambda module: module or PACKAGE)
def test_imports_run_downwards_only(module):
    room = room_of(module)
    upwards = {other for other in IMPORTS[module] if room_of(other) not in rooms_below(room)}
    assert upwards - (EMULATOR_MAY_IMPORT if room == "emulator" else set()) == set()


def test_no_file_imports_itself_by_way_of_others():
    try:
        TopologicalSorter(IMPORTS).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_only_the_public_names_are_imported_by_a_computed_name():
    importing = {
        module
        for module, tree in SOURCES.items()
        if any(isinstance(node, ast.Name) and node.id == "import_module" for node in ast.walk(tree))
    }
    assert importing == {"emulator", "exceptions", "explorer"}


def test_only_what_faces_airflow_imports_it():
    importing = {
        room_of(module)
        for module, tree in SOURCES.items()
        for name in imported_names(tree)
        if name.partition(".")[0] == "airflow"
    }
    assert importing == FACE_AIRFLOW


def test_each_client_imports_its_own_http_library_and_nobody_else_any():
    importing = {
        (module, library)
        for module, tree in SOURCES.items()
        for name in imported_names(tree)
        if (library := name.partition(".")[0]) in HTTP_LIBRARIES and room_of(module) != "emulator"
    }
    assert importing == {
        ("explorer.client.sync_client", "requests"),
        ("explorer.client.sync_client", "urllib3"),
        ("explorer.client.async_client", "httpx"),
    }


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def private_names_used_by(tree: ast.AST) -> set[str]:
    """Return the private names of the package that a file imports, or uses of what it imports."""
    known = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] == PACKAGE
        for alias in node.names
    }
    attributes = {
        f"{known[node.value.id]}.{node.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in known
    }
    imported = {name for name in imported_names(tree) if name.partition(".")[0] == PACKAGE}
    return {name for name in imported | attributes if any(map(is_private, name.split(".")))}


@pytest.mark.parametrize("folder", OUTSIDE)
def test_private_names_stay_within_the_package(folder):
    used = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in (ROOT / folder).rglob("*.py")
        for name in private_names_used_by(ast.parse(path.read_text()))
    }
    assert used == set()


@pytest.mark.parametrize("room", ["client", "waiting", "starting", "successes"])
def test_ruff_bans_the_rooms_that_are_not_below(room):
    tomllib = pytest.importorskip("tomllib")  # Python 3.11
    config = tomllib.loads((ROOT / PACKAGE / "explorer" / room / "ruff.toml").read_text())
    banned = config["lint"]["flake8-tidy-imports"]["banned-module-level-imports"]
    rooms = {"client", "waiting", "starting", "successes"}
    assert set(banned) == {f"{PACKAGE}.explorer.{other}" for other in rooms - rooms_below(room)}
