# SPDX-License-Identifier: Apache-2.0
"""Write into the pages of docs what the code says: parts of the example DAGs, and tables of parameters.

A comment in a page says what stands below it:

    <!-- code: example_dags/cancel_job.py, howto_operator_cancel_job -->
    <!-- parameters: operators.nebula_explorer.NebulaExplorerCancelJobOperator -->
    <!-- methods: hooks.nebula_explorer.NebulaExplorerHook -->
    <!-- classes: exceptions -->

Run it after a change of an example, a signature or a docstring; a test compares.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PACKAGE = "airflow_provider_nebula_explorer"
# Its second group is what stands there now: a block of code, or a table.
FILLED = re.compile(r"<!-- (\w+): ([^>]+?) -->\n\n(```python\n.*?\n```|(?:\|[^\n]*(?:\n|\Z))*)", re.DOTALL)
FIELD = re.compile(r"^:(\w+) ?([\w.]*): ?", re.MULTILINE)
LONGEST_DEFAULT = 80
NOT_FOR_USERS = {
    "connect",
    "get_connection_form_widgets",
    "get_ui_field_behaviour",
    "list_summaries",
    "send",
    "summary_of",
}
"""Methods and functions that only Airflow and the package itself call."""


def fill(page: str) -> str:
    """Return a page with what its comments say."""

    def filled(found: re.Match[str]) -> str:
        end = "" if found[3] else "\n\n"
        return f"<!-- {found[1]}: {found[2]} -->\n\n{MAKERS[found[1]](found[2])}{end}"

    return FILLED.sub(filled, page)


def code(place: str) -> str:
    """Return a part of a file, between its marks ``[START …]`` and ``[END …]``."""
    file, mark = place.split(", ")
    part = rf"\[START {mark}\]\n(.*?)\n[^\n]*\[END {mark}\]"
    found = re.search(part, (ROOT / file).read_text(encoding="utf-8"), re.DOTALL)
    assert found, f"{file} has no part {mark}."
    return f"```python\n{textwrap.dedent(found[1])}\n```"


def parameters(name: str) -> str:
    """Return a table of what a class or function takes, returns and raises."""
    value = named(name)
    _, fields = read_docstring(value)
    taken = inspect.signature(value).parameters
    rows = [
        f"| `{argument}` | {default_of(taken[argument])} | {meaning} |"
        for argument, meaning in meanings(name, value).items()
    ]
    rows += [
        f"| {f'{kind} `{argument}`' if argument else kind} | | {text} |"
        for kind, argument, text in fields
        if kind != "param"
    ]
    return table("| parameter | default | |", rows)


def methods(name: str) -> str:
    """Return a table of the public methods and properties of a class, or of a module's functions."""
    rows = []
    for method, value in public_members(named(name)):
        call = "" if isinstance(value, property) else call_of(value)
        if call:
            meanings(f"{name}.{method}", value)  # the site shows them
        rows.append(f"| `{method}{call}` | {first_sentence(value)} |")
    return table("| | |", rows)


def classes(name: str) -> str:
    """Return a table of the classes that a module defines."""
    module = named(name)
    found = [value for value in vars(module).values() if inspect.isclass(value)]
    rows = [
        f"| `{value.__name__}` | {', '.join(f'`{base.__name__}`' for base in value.__bases__)} "
        f"| {first_sentence(value)} |"
        for value in found
        if value.__module__ == module.__name__ and not value.__name__.startswith("_")
    ]
    return table("| class | is a | |", rows)


MAKERS = {"code": code, "parameters": parameters, "methods": methods, "classes": classes}


def table(head: str, rows: list[str]) -> str:
    """Return a table in Markdown."""
    return "\n".join([head, re.sub(r"[^|]+", "---", head), *rows, ""])


def named(name: str) -> Any:
    """Return the module, class or function of the package that has this name."""
    module, _, attribute = f"{PACKAGE}.{name}".rpartition(".")
    value = getattr(import_module(module), attribute, None)
    return import_module(f"{module}.{attribute}") if value is None else value


def public_members(owner: Any) -> Iterator[tuple[str, Any]]:
    """Yield the names and values of a class's or a module's own functions that have a docstring."""
    module = owner.__name__ if inspect.ismodule(owner) else owner.__module__
    for name, value in vars(owner).items():
        if name.startswith("_") or name in NOT_FOR_USERS:
            continue
        function = getattr(value, "__func__", value)
        is_one = inspect.isfunction(function) and function.__module__ == module
        if (is_one or isinstance(value, property)) and function.__doc__:
            yield name, function


def meanings(name: str, function: Any) -> dict[str, str]:
    """Return what a docstring says of each parameter; only other arguments, for Airflow, need no word."""
    _, fields = read_docstring(function)
    documented = {argument: text for kind, argument, text in fields if kind == "param"}
    taken = inspect.signature(function).parameters
    assert documented.keys() <= taken.keys(), f"{name} takes no {documented.keys() - taken.keys()}."
    found = {argument: documented.get(argument, "") for argument in taken if argument not in ("self", "cls")}
    missing = {argument for argument, meaning in found.items() if not meaning}
    passed_on = {argument for argument in missing if taken[argument].kind is inspect.Parameter.VAR_KEYWORD}
    assert missing == passed_on, f"The docstring of {name} does not say what {missing - passed_on} mean."
    return {argument: meaning for argument, meaning in found.items() if meaning}


def call_of(function: Any) -> str:
    """Return the arguments of a method as a user writes them, with their defaults."""
    signature = inspect.signature(function)
    own = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in signature.parameters.values()
        if parameter.name not in ("self", "cls")
    ]
    return str(signature.replace(parameters=own, return_annotation=inspect.Signature.empty))


def default_of(parameter: inspect.Parameter) -> str:
    """Return a default in code; for a parameter without one, that it is required."""
    default = parameter.default
    if parameter.name == "deferrable":
        return "Airflow's `[operators] default_deferrable`"
    if default is parameter.empty:
        return "" if parameter.kind is parameter.VAR_KEYWORD else "required"
    if repr(default) == "<factory>":  # as dataclasses write it
        return "empty"
    if callable(default):
        return f"`{default.__name__}`"
    if isinstance(default, Enum):
        return f"`{default.name}`"
    return f"`{default!r}`" if len(repr(default)) < LONGEST_DEFAULT else "(long)"


def read_docstring(value: Any) -> tuple[str, list[tuple[str, str, str]]]:
    """Return the text of a docstring, and its fields: kind, argument and text of each."""
    text, *parts = FIELD.split(inspect.getdoc(value) or "")
    fields = [
        (kind, argument, markdown(field))
        for kind, argument, field in zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    ]
    return text, fields


def first_sentence(value: Any) -> str:
    """Return the first sentence of a docstring."""
    text, _ = read_docstring(value)
    return markdown(text.partition("\n\n")[0])


def markdown(text: str) -> str:
    """Return a docstring's text as one line of Markdown."""
    text = re.sub(r":\w+:`~?(?:[\w.]*\.)?(\w+)`", r"`\1`", text)
    return " ".join(text.replace("``", "`").replace("|", "\\|").split())


if __name__ == "__main__":
    for path in sorted((ROOT / "docs").rglob("*.md")):
        path.write_text(fill(path.read_text(encoding="utf-8")), encoding="utf-8")
