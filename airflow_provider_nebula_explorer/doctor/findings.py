# SPDX-License-Identifier: Apache-2.0
"""What comes of a check. No text in here is the user's or the server's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

Fact = str | int | float | bool | None
"""What the emulator needs to behave alike; ``None`` where it is not known."""


class Verdict(Enum):
    """Whether Explorer is as assumed; the values are the report's words."""

    OK = "ok"
    DIFFERS = "differs"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Finding:
    """What came of a check.

    :param seen: what was observed, or why nothing could be.
    :param advice: of a difference: what follows from it, and what to do.
    :param facts: what was learnt, by its name in the report.
    """

    verdict: Verdict
    seen: str
    advice: str = ""
    facts: Mapping[str, Fact] = field(default_factory=dict)


class CannotTryError(Exception):
    """An assumption cannot be tried; the text says why."""


class RefusedError(CannotTryError):
    """Explorer refused a request as a wrong one, or because what it is about does not exist."""


def ok(seen: str, **facts: Fact) -> Finding:
    """Return the finding that Explorer is as assumed."""
    return Finding(Verdict.OK, seen, facts=facts)


def differs(seen: str, advice: str, **facts: Fact) -> Finding:
    """Return the finding that Explorer is not as assumed."""
    return Finding(Verdict.DIFFERS, seen, advice, facts)


def unknown(reason: str) -> Finding:
    """Return the finding that an assumption could not be tried."""
    return Finding(Verdict.UNKNOWN, reason)
