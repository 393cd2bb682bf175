# SPDX-License-Identifier: Apache-2.0
"""An examination as a report that can be shown to others, and as a table for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from airflow_provider_nebula_explorer import __version__
from airflow_provider_nebula_explorer.doctor.check import Row
from airflow_provider_nebula_explorer.doctor.findings import Fact, Verdict
from airflow_provider_nebula_explorer.explorer.models import JsonObject

FACTS = (
    "account_encoding",
    "secure_cookie",
    "max_age",
    "page_cap",
    "missing_job",
    "unknown_path",
    "http_status_follows_code",
    "filter_by_status",
    "filter_by_time",
    "filter_by_name",
    "name_match",
    "order",
    "total",
    "ids_grow",
    "clock_difference",
    "latency",
)
"""What a report tells in one word or number each; the emulator reads these."""

_MARKS = {Verdict.OK: "✓", Verdict.DIFFERS: "✗", Verdict.UNKNOWN: "?"}
_PLAIN_MARKS = {Verdict.OK: "ok", Verdict.DIFFERS: "NO", Verdict.UNKNOWN: "?"}
_COLOURS = {Verdict.OK: 32, Verdict.DIFFERS: 31, Verdict.UNKNOWN: 33}
_NARROWEST = 14


def report_of(rows: Sequence[Row]) -> JsonObject:
    """Return the report: no host, account, id, name or text of the user's is in it."""
    facts: dict[str, Fact] = dict.fromkeys(FACTS)
    for row in rows:
        facts.update(row.finding.facts)
    checks = [
        {
            "name": row.check.name,
            "assumed": row.check.assumed,
            "seen": row.finding.seen,
            "verdict": row.finding.verdict.value,
            "advice": row.finding.advice,
        }
        for row in rows
    ]
    return {"package": f"airflow-provider-nebula-explorer {__version__}", "facts": facts, "checks": checks}


class Table:
    """Writes rows as lines.

    :param width: of the terminal, in columns.
    :param encoding: of what the lines are written to; where it has no ✓ and ✗, words take their place.
    :param is_coloured: whether the marks are in colour.
    """

    def __init__(self, width: int, encoding: str, *, is_coloured: bool) -> None:
        self._width = width
        self._marks = _MARKS if _can_write(encoding, "✓✗…") else _PLAIN_MARKS
        self._is_coloured = is_coloured

    def lines(self, rows: Sequence[Row]) -> Iterator[str]:
        """Yield the table, then each difference in words."""
        name_width = max(len(row.check.name) for row in rows)
        width = max((self._width - name_width - 9) // 2, _NARROWEST)
        for row in rows:
            yield from self._row(row, name_width, width)
        for row in rows:
            if row.finding.verdict is Verdict.DIFFERS:
                yield ""
                yield from self._difference(row)

    def _row(self, row: Row, name_width: int, width: int) -> Iterator[str]:
        assumed, seen = textwrap.wrap(row.check.assumed, width), textwrap.wrap(row.finding.seen, width)
        for number in range(max(len(assumed), len(seen), 1)):
            mark = self._mark(row.finding.verdict) if number == 0 else "  "
            name = row.check.name if number == 0 else ""
            left, right = (part[number] if number < len(part) else "" for part in (assumed, seen))
            yield f"{mark} {name:{name_width}}  {left:{width}}  {right}".rstrip()

    def _difference(self, row: Row) -> Iterator[str]:
        finding = row.finding
        yield f"{self._mark(finding.verdict)} {row.check.name}: {finding.seen}. Assumed: {row.check.assumed}."
        yield from textwrap.wrap(
            finding.advice, max(self._width - 1, 40), initial_indent="   ", subsequent_indent="   "
        )

    def _mark(self, verdict: Verdict) -> str:
        mark = f"{self._marks[verdict]:2}"
        return f"\033[{_COLOURS[verdict]}m{mark}\033[0m" if self._is_coloured else mark


def _can_write(encoding: str, text: str) -> bool:
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
