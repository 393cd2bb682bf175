# SPDX-License-Identifier: Apache-2.0
"""The asset of a workflow: what its jobs produce, for outlets and for the schedules of other DAGs."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, quote

from airflow.providers.common.compat.assets import Asset

from airflow_provider_nebula_explorer.connection.fields import DEFAULT_CONNECTION_ID, SCHEME
from airflow_provider_nebula_explorer.exceptions import NebulaExplorerConfigError
from airflow_provider_nebula_explorer.explorer.arguments import (
    parse_id,
    parse_interval,
    parse_milliseconds,
    parse_text,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.openlineage.facet import Dataset

_PATH = re.compile(r"/workflows/\d+")


def workflow_asset(
    workflow_id: int | str, nebula_explorer_conn_id: str = DEFAULT_CONNECTION_ID, **kwargs: Any
) -> Asset:
    """Return the asset of a workflow, ``nebula-explorer://<connection>/workflows/<id>``.

    :param workflow_id: a number, or text of digits.
    :param nebula_explorer_conn_id: the Airflow connection to Explorer.
    :param kwargs: other arguments of Airflow's ``Asset``: ``extra``, and from Airflow 3 on ``name``,
        ``group``, ``watchers``.
    :raises NebulaExplorerConfigError: if ``workflow_id`` is not an id; templates are not possible here.
    """
    path = f"workflows/{parse_id('workflow_id', workflow_id)}"
    return Asset(uri=f"{SCHEME}://{quote(nebula_explorer_conn_id, safe='')}/{path}", **kwargs)


def watched_workflow_asset(
    workflow_id: int | str,
    nebula_explorer_conn_id: str = DEFAULT_CONNECTION_ID,
    *,
    poll_interval: float | timedelta = 30,
    job_name: str | None = None,
    created_after: datetime | str | None = None,
    **kwargs: Any,
) -> Asset:
    """Return the asset of a workflow, with an event for each of its jobs that succeeds, no matter who ran it.

    :param workflow_id: a number, or text of digits.
    :param nebula_explorer_conn_id: the Airflow connection to Explorer; the triggerer polls with it.
    :param poll_interval: seconds between two polls.
    :param job_name: the jobs' name, as Explorer's own search understands it; ``None`` for any.
    :param created_after: jobs created before it do not count: an aware datetime, or ISO 8601 text with an
        offset. Default: those that had succeeded when it was first watched do not count.
    :param kwargs: other arguments of Airflow's ``Asset``: ``name``, ``group``, ``extra``.
    :raises NebulaExplorerConfigError: for a wrong argument; on Airflow 2, which has no asset watchers.
    """
    try:
        from airflow.sdk import AssetWatcher
    except ImportError:
        raise NebulaExplorerConfigError(
            "watched_workflow_asset needs Airflow 3.0 or newer, as older ones have no asset watchers. "
            "NebulaExplorerWorkflowSensor waits for a workflow's success on every version."
        ) from None
    from airflow_provider_nebula_explorer.triggers.nebula_explorer import NebulaExplorerWorkflowTrigger

    if created_after is not None:
        parse_milliseconds("created_after", created_after)
    trigger = NebulaExplorerWorkflowTrigger(
        parse_id("workflow_id", workflow_id),
        nebula_explorer_conn_id,
        parse_interval("poll_interval", poll_interval),
        name=None if job_name is None else parse_text("job_name", job_name),
        created_after=created_after.isoformat() if isinstance(created_after, datetime) else created_after,
    )
    watcher = AssetWatcher(name=f"workflow_{workflow_id}", trigger=trigger)
    return workflow_asset(workflow_id, nebula_explorer_conn_id, watchers=[watcher], **kwargs)


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """Check the address of an asset; Airflow calls this for each address of our scheme.

    :raises ValueError: if it is not that of a workflow.
    """
    if not uri.netloc or not _PATH.fullmatch(uri.path) or uri.query:
        raise ValueError(
            f"{uri.geturl()} is not a {SCHEME} asset. Allowed: {SCHEME}://<connection id>/workflows/<number>"
            "; workflow_asset() returns it."
        )
    return uri


def convert_asset_to_openlineage(asset: Asset, lineage_context: Any) -> Dataset:  # noqa: ARG001 - Airflow's
    """Return the OpenLineage dataset of an asset: the connection is its namespace."""
    from airflow.providers.common.compat.openlineage.facet import Dataset

    namespace, _, name = asset.uri.partition("/workflows/")
    return Dataset(namespace=namespace, name=f"workflows/{name}")
