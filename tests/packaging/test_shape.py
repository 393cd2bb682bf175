# SPDX-License-Identifier: Apache-2.0
"""The shape of the package's functions: each fits on half a page, and most need a few lines."""

from __future__ import annotations

import ast
from pathlib import Path
from statistics import mean

PACKAGE = Path(__file__).parents[2] / "airflow_provider_nebula_explorer"
SHORTER_THAN = 30
MEAN_BELOW = 6


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return how many lines a function's body has, without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


LINES = {
    f"{path.relative_to(PACKAGE)}:{node.lineno} {node.name}": body_lines(node)
    for path in PACKAGE.rglob("*.py")
    if "emulator" not in path.parts
    for node in ast.walk(ast.parse(path.read_text()))
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
}


def test_no_function_is_long():
    assert {name: lines for name, lines in LINES.items() if lines >= SHORTER_THAN} == {}


def test_functions_are_short_on_average():
    assert mean(LINES.values()) < MEAN_BELOW
