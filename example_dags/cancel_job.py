# SPDX-License-Identifier: Apache-2.0
"""Start a job and cancel it, as a DAG might if the job is no longer needed."""

from __future__ import annotations

from datetime import datetime, timezone

from airflow.providers.common.compat.sdk import dag

from airflow_provider_nebula_explorer.operators.nebula_explorer import (
    NebulaExplorerCancelJobOperator,
    NebulaExplorerRunWorkflowOperator,
)


@dag(
    schedule=None,
    start_date=datetime(2024, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    tags=["nebula_explorer"],
    params={"workflow_id": "3992429968"},
)
def nebula_explorer_cancel_job():
    run = NebulaExplorerRunWorkflowOperator(
        task_id="run", workflow_id="{{ params.workflow_id }}", wait_for_completion=False
    )
    # [START howto_operator_cancel_job]
    NebulaExplorerCancelJobOperator(
        task_id="cancel", job_id=run.output, wait_for_completion=True, poll_interval=1
    )
    # [END howto_operator_cancel_job]


nebula_explorer_cancel_job()
