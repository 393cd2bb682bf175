# SPDX-License-Identifier: Apache-2.0
"""The pages of docs can be read unbuilt, and what they show of the code is what the code says."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from fill_pages import fill, meanings  # noqa: E402

PAGES = sorted((ROOT / "docs").rglob("*.md"))
DIRECTIVE = re.compile(r"^```\{.*?^```\n?", re.DOTALL | re.MULTILINE)
INCLUDED = {f"{name.lower()}.md": f"`{name}.md`" for name in ("CHANGELOG", "CONTRIBUTING", "SECURITY")}
EXAMPLES = sorted((ROOT / "example_dags").glob("*.py"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
MARK = re.compile(r"\[START (\w+)\]")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_shows_what_the_code_says(page):
    text = page.read_text(encoding="utf-8")
    assert fill(text) == text, "Run python scripts/fill_pages.py"


def test_no_page_has_a_parameter_without_a_meaning():
    def add_job(workflow_id, limit, **kwargs):
        """Add a job.

        :param workflow_id: a number.
        :param limit:
        """

    with pytest.raises(AssertionError, match=r"add_job does not say what \{'limit'\} mean"):
        meanings("add_job", add_job)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_says_something_where_directives_are_not_understood(page):
    text = page.read_text(encoding="utf-8")
    assert "literalinclude" not in text
    if page.name in INCLUDED:  # its text is in another file, which it names
        assert INCLUDED[page.name] in text
        return
    shown = DIRECTIVE.sub("", text)
    assert len(shown) > 2 * sum(map(len, DIRECTIVE.findall(text)))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_each_marked_part_of_an_example_is_on_a_page(example):
    howto = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    for mark in MARK.findall(example.read_text(encoding="utf-8")):
        assert f"<!-- code: example_dags/{example.name}, {mark} -->" in howto


def sources():
    """Yield the code of README, docs and example DAGs, each with its place."""
    for example in EXAMPLES:
        yield pytest.param(example.read_text(encoding="utf-8"), id=example.name)
    for page in (ROOT / "README.md", *PAGES):
        blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
        for number, block in enumerate(blocks, start=1):
            yield pytest.param(block, id=f"{page.name}-{number}")


def sets(call, name, text):
    """Say whether a call has an argument whose value, as code, contains a text."""
    return any(argument.arg == name and text in ast.unparse(argument.value) for argument in call.keywords)


@pytest.mark.parametrize("source", [one for one in sources() if "deferrable=True" in one.values[0]])
def test_what_defers_in_an_example_has_retries_and_says_why(source):
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    by_default = any(sets(call, "default_args", "'retries'") for call in calls)
    for call in calls:
        if sets(call, "deferrable", "True"):
            assert by_default or sets(call, "retries", "")
    assert re.search(r"#.*\blost\b", source)


def test_the_page_about_support_names_what_breaks_an_airflow():
    beside = re.findall(r"^BESIDE_[\d.]+ := (.*)", MAKEFILE, re.MULTILINE)
    page = (ROOT / "docs" / "support.md").read_text(encoding="utf-8")
    named = [one for line in beside for one in re.findall(r"'(.*?)'", line)]
    assert named
    assert [one for one in named if f"`{one}`" not in page] == []


def test_each_other_airflow_is_tested_as_contributing_says():
    (pairs,) = re.findall(r"^OTHER_AIRFLOWS = (.*)", MAKEFILE, re.MULTILINE)
    table = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    merges = (ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")
    for airflow, python in (pair.split("/python") for pair in pairs.split()):
        assert re.search(rf"^\| {re.escape(airflow)} \|.*Python {python} \|", table, re.MULTILINE)
        assert f'python: "{python}", target: "test-airflow AIRFLOW={airflow}"' in merges
