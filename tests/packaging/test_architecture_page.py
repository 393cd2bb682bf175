# SPDX-License-Identifier: Apache-2.0
"""The architecture page: its drawing shows how the package is built, and its text names what exists."""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "airflow_provider_nebula_explorer"
TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")

sys.path.insert(0, str(ROOT / "docs"))
import rooms  # noqa: E402

DRAWING = rooms.parse(re.search(r"```\{rooms\}\n(.*?)```", TEXT, re.DOTALL)[1].splitlines())
(BORDER,) = [number for number, row in enumerate(DRAWING) if isinstance(row, rooms.Border)]
ROWS = {number: row for number, row in enumerate(DRAWING) if number != BORDER}
BOXES = [box for row in ROWS.values() for box in row]
PLACES = {box.path: (number, column) for number, row in ROWS.items() for column, box in enumerate(row)}

PATHS = sorted(set(re.findall(r"`((?:\w+/)*\w+\.(?:py|md))[`:]", TEXT)))
NAMES = sorted(set(re.findall(r"`((?:\w+/)*\w+\.py): ([\w.]+)`", TEXT)))


def box_of(parts):
    """Return the box that a module or a folder of the package is in; ``None`` for the package itself."""
    return next((path for n in (1, 2) if (path := "/".join(parts[:n])) in PLACES), None)


def modules():
    """Yield each module of the package: where it is, and its syntax tree."""
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE).with_suffix("").parts, tree_of(path)


@cache
def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imports_of(tree):
    """Yield what a module imports, for type checkers alone too, as parts of dotted names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ([*node.module.split("."), alias.name] for alias in node.names)


def test_the_drawing_shows_the_whole_package():
    homes = {box_of(parts) for parts, _ in modules() if parts[-1] not in ("__init__", "__main__")}
    assert homes == set(PLACES), "a room is missing, or is drawn and does not exist"


@pytest.mark.parametrize("path", PLACES)
def test_a_box_imports_what_is_below_it_or_to_its_right(path):
    row, column = PLACES[path]
    imported = {
        box_of(name[1:])
        for parts, tree in modules()
        if box_of(parts) == path
        for name in imports_of(tree)
        if name[0] == PACKAGE.name
    }
    upwards = [other for other in imported - {None, path} if PLACES[other] < (row, column)]
    assert upwards == []


def test_only_what_is_above_the_border_imports_airflow():
    importing = {
        box_of(parts) for parts, tree in modules() for name in imports_of(tree) if name[0] == "airflow"
    }
    assert {path for path in importing if PLACES[path][0] > BORDER} == set()


def test_the_picture_has_every_word_of_the_drawing():
    texts = [DRAWING[BORDER].label, "imports", *PLACES, *(box.owns for box in BOXES)]
    shown = " ".join(ET.fromstring(rooms.svg(DRAWING)).itertext())
    assert Counter(shown.split()) == Counter(" ".join(texts).split())


@pytest.mark.parametrize("line", ["hooks", "hooks a client", "- an aside -"])
def test_a_line_that_is_neither_a_box_nor_a_border_is_refused(line):
    with pytest.raises(ValueError, match=re.escape(line)):
        rooms.parse([line])


@pytest.mark.parametrize("path", PATHS)
def test_a_file_that_the_page_names_exists(path):
    assert any((folder / path).is_file() for folder in (PACKAGE, ROOT, ROOT / "docs")), path


@pytest.mark.parametrize(("path", "name"), NAMES)
def test_a_name_that_the_page_gives_is_in_its_file(path, name):
    scope = tree_of(PACKAGE / path).body
    for part in name.split("."):
        found = [node for node in scope if part in names_bound_by(node)]
        assert found, f"{path} has no {name}"
        scope = getattr(found[0], "body", [])


def names_bound_by(node):
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    targets = getattr(node, "targets", [getattr(node, "target", None)])
    return {target.id for target in targets if isinstance(target, ast.Name)}
