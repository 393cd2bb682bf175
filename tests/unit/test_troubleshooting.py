# SPDX-License-Identifier: Apache-2.0
"""docs/troubleshooting.md has every error, every code of Explorer's, and every text that a user can meet."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_nebula_explorer import exceptions

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "airflow_provider_nebula_explorer"
PAGE = " ".join((ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8").replace("`", "").split())

ERRORS = [
    name for name, kind in vars(exceptions).items() if isinstance(kind, type) and issubclass(kind, Exception)
]
EXPLAINED_ELSEWHERE = {
    "fields.py": "no error but what the form says",
    "reading.py": "a value's text says itself what is allowed",
    "arguments.py": "the same",
    "provider_info.py": "no error",
    "start_from_trigger.py": "docs/waiting.md has the reasons",
    "resumption.py": "the same",
}

NOT_ON_THE_PAGE = {
    "attempts.py: this is not the note of",  # on it as "The note of an earlier attempt cannot be read"
    "submit.py: this is not an intent to",  # the same
    "submit.py: at an unknown time",  # in the place of a job's time
}


@pytest.mark.parametrize("name", ERRORS)
def test_the_page_names_every_error(name: str):
    assert re.search(rf"\b{name}\b", PAGE)


@pytest.mark.parametrize("code", exceptions.CODES)
def test_the_page_names_every_code_with_its_name_and_meaning(code: int):
    assert f"| {code} | {', '.join(exceptions.CODES[code])} |" in PAGE


def test_the_page_holds_the_words_of_every_error_and_warning():
    missing = {
        f"{path.name}: {words}"
        for path in PACKAGE.rglob("*.py")
        if not {"doctor", "emulator"} & set(path.parts) and path.name not in EXPLAINED_ELSEWHERE
        for text in texts(ast.parse(path.read_text(encoding="utf-8")))
        if (words := first_words(text)) and words not in PAGE
    }
    assert missing == NOT_ON_THE_PAGE


def texts(node: ast.AST) -> Iterator[str]:
    """Yield the texts in code, with … for values; no docstrings, nothing logged below a warning."""
    if isinstance(node, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    if not is_quiet(node):
        for child in ast.iter_child_nodes(node):
            if not isinstance(node, ast.JoinedStr) or isinstance(child, ast.FormattedValue):
                yield from texts(child)


def is_quiet(node: ast.AST) -> bool:
    is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return is_docstring or ast.unparse(getattr(node, "func", node)) in ("log.info", "log.debug")


def first_words(text: str) -> str:
    """Return the first words of a text's longest constant part; nothing if it is no sentence."""
    parts = [part.strip(" .,:;()'") for part in re.split(r"…|\{[^}]*\}|%\.?\d*[srdf]", text)]
    words = max(parts, key=len).split()
    return " ".join(words[:6]) if len(words) > 3 and "|" not in text else ""
