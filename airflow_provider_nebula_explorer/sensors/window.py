# SPDX-License-Identifier: Apache-2.0
"""Since when, and until when, a workflow's jobs count for a sensor."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from airflow_provider_nebula_explorer.explorer.arguments import wrong
from airflow_provider_nebula_explorer.explorer.models import parse_iso

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

_ALLOWED = (
    "a datetime with a time zone; ISO 8601 text, which without an offset is in the DAG's time zone; or a "
    "timedelta back from when the run was due"
)


def moment(argument: str, value: object, context: Context) -> datetime:
    """Return the time that an argument of a sensor means; the same after a clear, and on every Airflow.

    :param argument: its name, for the error.
    :param value: an aware datetime; ISO 8601 text, which without an offset is in the DAG's time zone; or a
        ``timedelta`` back from when the run was due.
    :raises NebulaExplorerConfigError: for any other value.
    """
    try:
        if isinstance(value, timedelta):
            return _due(context) - value
        if isinstance(value, str):
            time = parse_iso(value)
            return time if time.tzinfo else time.replace(tzinfo=_zone(context))
    except (ValueError, OverflowError):
        raise wrong(argument, value, _ALLOWED) from None
    if isinstance(value, datetime) and value.tzinfo:
        return value
    raise wrong(argument, value, _ALLOWED)


def _due(context: Context) -> datetime:
    """Return when the run was due: a fact of the run, that neither a late start nor a clear moves."""
    # Before Airflow 3, a run has no run_after; in Airflow 3, one without a logical date has nothing else.
    due: datetime | None = (
        getattr(context.get("dag_run"), "run_after", None)
        or context.get("data_interval_end")
        or context.get("logical_date")
    )
    if due is None:
        raise ValueError
    return due


def _zone(context: Context) -> timezone:
    return getattr(context.get("dag"), "timezone", None) or timezone.utc
