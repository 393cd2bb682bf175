# SPDX-License-Identifier: Apache-2.0
"""Since when a workflow's jobs count for a sensor."""

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


def start_of_window(created_after: object, context: Context) -> datetime:
    """Return the earliest time of a job that counts; the same after a clear, and on every Airflow.

    :param created_after: an aware datetime; ISO 8601 text, which without an offset is in the DAG's time zone;
        or a ``timedelta`` back from when the run was due.
    """
    try:
        if isinstance(created_after, timedelta):
            return _due(context) - created_after
        if isinstance(created_after, str):
            time = parse_iso(created_after)
            return time if time.tzinfo else time.replace(tzinfo=_zone(context))
    except (ValueError, OverflowError):
        raise wrong("created_after", created_after, _ALLOWED) from None
    if isinstance(created_after, datetime) and created_after.tzinfo:
        return created_after
    raise wrong("created_after", created_after, _ALLOWED)


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
