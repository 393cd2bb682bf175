# SPDX-License-Identifier: Apache-2.0
"""A check: one assumption, and how it is tried."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from airflow_provider_nebula_explorer.doctor.findings import CannotTryError, Finding, unknown
from airflow_provider_nebula_explorer.doctor.prober import Prober

CHECK_FAILED = "the check itself failed, which is an error of this package"


@dataclass(frozen=True)
class Check:
    """One assumption, and how it is tried.

    :param assumed: in words.
    :param make: tries it; raises :class:`.findings.CannotTryError` where it cannot be tried.
    """

    name: str
    assumed: str
    make: Callable[[Prober], Finding]


@dataclass(frozen=True)
class Row:
    """A check that was made."""

    check: Check
    finding: Finding


def make(check: Check, prober: Prober) -> Row:
    """Make a check, and return it with what came of it."""
    try:
        return Row(check, check.make(prober))
    except CannotTryError as error:
        return Row(check, unknown(str(error)))
    except Exception as error:  # noqa: BLE001 - no Explorer is so odd that its user loses the other rows
        return Row(check, unknown(f"{CHECK_FAILED} ({type(error).__name__})"))
