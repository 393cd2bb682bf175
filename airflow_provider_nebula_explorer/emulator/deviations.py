# SPDX-License-Identifier: Apache-2.0
"""How an Explorer behaves where versions and installations differ, in the words of a doctor's report."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

Missing = Literal["not_found", "zero", "no_data"]
"""The response about what does not exist: an error, a success with zero values, or one without data."""


@dataclass(frozen=True)
class Deviations:
    """The behaviour of one Explorer. The fields are the facts of a report, the defaults what is documented.

    :param account_encoding: how it reads the account: ``json`` or ``colon``.
    :param secure_cookie: whether the token's cookie has ``Secure; SameSite=None``.
    :param max_age: the seconds for which a token is valid.
    :param page_cap: the most jobs on one page of a list.
    :param missing_job: the response about a job, task or workflow that does not exist.
    :param unknown_path: the response to a path that the API does not have: ``html`` for the web app's page,
        ``error`` for the error 40404000.
    :param http_status_follows_code: whether an error's HTTP status is its code's category; if not, it is 200.
    :param filter_by_status: whether lists obey the filter by status.
    :param filter_by_time: whether lists obey the filters by creation time.
    :param order: whether lists obey the order; if not, they begin with the oldest job.
    :param ids_grow: whether a newer job has a greater id.
    :param total: whether lists have the ``right`` total, none (``absent``), or always the same number.
    :param clock_difference: the seconds by which its clock is ahead.
    :param latency: the seconds that each response takes.
    :raises ValueError: if a value is wrong.
    """

    account_encoding: Literal["json", "colon"] | None = None
    secure_cookie: bool | None = None
    max_age: float | None = None
    page_cap: int | None = None
    missing_job: Missing | None = None
    unknown_path: Literal["html", "error"] = "html"
    http_status_follows_code: bool = True
    filter_by_status: bool = True
    filter_by_time: bool = True
    order: bool = True
    ids_grow: bool = True
    total: Literal["right", "absent"] | int = "right"
    clock_difference: float = 0.0
    latency: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            is_valid, allowed = _ALLOWED[field.name]
            if value != field.default and not is_valid(value):
                raise ValueError(f"{field.name} is {value!r:.80}; allowed: {allowed}")

    @classmethod
    def read(cls, source: Deviations | Mapping[str, Any] | str | Path | None) -> Deviations:
        """Read the facts of a report; unknown ones and those that are null are ignored.

        :param source: a report, its ``facts``, or the path of a JSON file with one of these.
        :raises OSError: if the file cannot be read.
        :raises ValueError: if it is not a report, or a fact has a wrong value.
        """
        if source is None or isinstance(source, Deviations):
            return source or cls()
        report = source if isinstance(source, Mapping) else _read_file(Path(source))
        facts = report.get("facts", report)
        if not isinstance(facts, Mapping):
            raise ValueError(f"a report's facts are a JSON object, not {facts!r:.80}")
        known = {field.name: facts[field.name] for field in fields(cls) if facts.get(field.name) is not None}
        return cls(**known)

    @property
    def ignored_filters(self) -> frozenset[str]:
        """The keys of a list's filter that are not obeyed."""
        by_status = () if self.filter_by_status else ("status",)
        by_time = () if self.filter_by_time else ("fromCreateTime", "toCreateTime")
        return frozenset({*by_status, *by_time})


def _read_file(path: Path) -> Mapping[str, Any]:
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(report, Mapping):
        raise ValueError(f"{path} is not a report: it holds {report!r:.80}")
    return report


def _one_of(*values: object) -> tuple[Callable[[object], bool], str]:
    return lambda value: value in values, ", ".join(map(str, values))


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


_FLAG = (_is_flag, "true or false")
_ALLOWED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "account_encoding": _one_of("json", "colon"),
    "secure_cookie": _FLAG,
    "max_age": (lambda value: _is_number(value) and value > 0, "seconds, more than 0"),
    "page_cap": (lambda value: _is_whole(value) and value >= 1, "1 or more"),
    "missing_job": _one_of(*get_args(Missing)),
    "unknown_path": _one_of("html", "error"),
    "http_status_follows_code": _FLAG,
    "filter_by_status": _FLAG,
    "filter_by_time": _FLAG,
    "order": _FLAG,
    "ids_grow": _FLAG,
    "total": (lambda value: value in ("right", "absent") or _is_whole(value), "right, absent, or a number"),
    "clock_difference": (_is_number, "seconds"),
    "latency": (lambda value: _is_number(value) and value >= 0, "seconds, 0 or more"),
}
