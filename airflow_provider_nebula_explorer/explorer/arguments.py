# SPDX-License-Identifier: Apache-2.0
"""Checks a caller's arguments: a wrong one becomes an error before any request."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow_provider_nebula_explorer.exceptions import NebulaExplorerConfigError
from airflow_provider_nebula_explorer.explorer.interval import SHORTEST_INTERVAL_SECONDS
from airflow_provider_nebula_explorer.explorer.models import JobStatus, parse_iso, show

WorkflowInput = Mapping[str, Mapping[str, str | int | float]]
"""Parameters of a run: by component id (``query_1``), then by parameter name."""


def wrong(name: str, value: object, allowed: str) -> NebulaExplorerConfigError:
    """Return the error for an argument: its name, its value and what is allowed."""
    return NebulaExplorerConfigError(f"{name} is {show(value)}; allowed: {allowed}.")


def parse_id(name: str, value: object) -> int:
    """Return a job's or workflow's id.

    :param value: a number, or text of digits as templates give it.
    """
    # Every id of 64 bits has at most 20 digits; longer ones would only meet limits later.
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,20}", value):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**20:
        return int(value)
    raise wrong(name, value, "a whole number of up to 20 digits, as a number or as text")


def parse_task_id(name: str, value: object) -> str:
    """Return the id of a job's task: 32 hex characters."""
    if isinstance(value, str) and re.fullmatch(r"[0-9a-fA-F]{32}", value):
        return value
    raise wrong(name, value, "the 32 hex characters of a task's id in the job's details")


def parse_status(name: str, value: object) -> JobStatus:
    """Return a status, given as a ``JobStatus``, a number, or its name in any case."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**9:
        return JobStatus(value)
    text = value.strip() if isinstance(value, str) else ""
    if re.fullmatch(r"[0-9]{1,9}", text):
        return JobStatus(int(text))
    try:
        return JobStatus[text.upper()]
    except KeyError:
        names = ", ".join(f"{status.value} {status.name}" for status in JobStatus)
        raise wrong(name, value, f"a JobStatus, or the number or name of one: {names}") from None


def parse_statuses(name: str, value: object) -> frozenset[JobStatus]:
    """Return a set of statuses, given as one or as a list of what :func:`parse_status` takes."""
    if isinstance(value, (list, tuple, set, frozenset)):
        if not value:
            raise wrong(name, value, "at least one status")
        return frozenset(parse_status(name, item) for item in value)
    return frozenset({parse_status(name, value)})


def parse_milliseconds(name: str, value: datetime | str) -> int:
    """Return a point in time as epoch milliseconds, rounded down.

    :param value: an aware datetime, or ISO 8601 text with an offset as templates give it.
    """
    try:
        time = parse_iso(value) if isinstance(value, str) else value
        if time.tzinfo is not None:
            since_epoch = time - datetime(1970, 1, 1, tzinfo=timezone.utc)
            return (since_epoch.days * 86_400 + since_epoch.seconds) * 1000 + since_epoch.microseconds // 1000
    except (ValueError, AttributeError, TypeError):
        pass
    raise wrong(name, value, "a datetime with a time zone, or ISO 8601 text with an offset")


def parse_text(name: str, value: object) -> str:
    """Return a text that is not empty."""
    try:
        if isinstance(value, str) and value.encode():
            return value
    except UnicodeEncodeError:  # lone surrogates
        pass
    raise wrong(name, value, "a text that is not empty")


def parse_count(name: str, value: object) -> int:
    """Return a positive whole number, given as a number or as text of digits."""
    number = parse_id(name, value)
    if 1 <= number < 10**9:
        return number
    raise wrong(name, value, "a whole number from 1 to 999999999")


def parse_seconds(name: str, value: object) -> float:
    """Return a number of seconds, above 0 and up to a year.

    :param value: a number of seconds, or a ``timedelta``.
    """
    value = in_seconds(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= 31_536_000:
        return float(value)
    raise wrong(name, value, "a number of seconds above 0, up to a year")


def in_seconds(value: object) -> object:
    """Return a ``timedelta`` as seconds, which JSON has, and anything else as it is."""
    return value.total_seconds() if isinstance(value, timedelta) else value


def parse_interval(name: str, value: object) -> float:
    """Return the seconds between two polls, at least :data:`.interval.SHORTEST_INTERVAL_SECONDS`."""
    return max(parse_seconds(name, value), SHORTEST_INTERVAL_SECONDS)


def parse_poll_interval(name: str, value: object) -> float | None:
    """Return the seconds between two polls of a job; ``None``: they adapt to the time waited."""
    return None if value is None else parse_interval(name, value)


def parse_word(name: str, value: object, allowed: tuple[str, ...]) -> str:
    """Return one of a few words."""
    if value in allowed:
        return str(value)
    raise wrong(name, value, " or ".join(map(repr, allowed)))


def parse_input(value: object) -> dict[str, Any] | None:
    """Return a run's input, given as a mapping or as its JSON text; ``None`` if there is none."""
    if isinstance(value, str):
        value = _input_of_json(value)
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise wrong("input", value, _INPUT_ALLOWED)
    checked = {task: _parameters_of(task, parameters) for task, parameters in value.items()}
    try:
        json.dumps(checked, ensure_ascii=False).encode()
    except ValueError:  # lone surrogates, and whole numbers of thousands of digits
        raise wrong("input", value, _INPUT_ALLOWED) from None
    return checked


_INPUT_ALLOWED = "{'<component id, such as query_1>': {'<parameter>': <text or number>}}, or its JSON text"


def _input_of_json(text: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        where = show(text[max(0, error.pos - 30) : error.pos + 30])
        raise wrong(
            "input", text, f"{_INPUT_ALLOWED}. It is no JSON at {where}: {error.msg}{_hint_at(text)}"
        ) from None
    except (ValueError, RecursionError):  # whole numbers of thousands of digits, lists in lists in lists
        raise wrong("input", text, _INPUT_ALLOWED) from None


def _hint_at(text: str) -> str:
    """Return what to do if a template has made the text of a dict."""
    if not re.match(r"\s*\{\s*'", text):
        return ""
    return (
        ". It is a dict as Python writes it: end the template in | tojson, pass the other task's .output in "
        "its place, or let the DAG render_template_as_native_obj"
    )


def _parameters_of(task: object, parameters: object) -> dict[str, Any]:
    if not isinstance(task, str):
        raise wrong("a component's id in input", task, "text, such as 'query_1'")
    path = f"input[{_key(task)}]"
    if not isinstance(parameters, Mapping):
        raise wrong(path, parameters, "{'<parameter>': <text or number>}")
    for name, value in parameters.items():
        if not isinstance(name, str):
            raise wrong(f"a parameter's name in {path}", name, "text")
        if not _is_text_or_number(value):
            raise wrong(f"{path}[{_key(name)}]", value, "text, or a finite number")
    return dict(parameters)


def _key(name: str) -> str:
    return json.dumps(name if len(name) <= 50 else f"{name[:47]}...")


def _is_text_or_number(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, (str, int)) and not isinstance(value, bool)
