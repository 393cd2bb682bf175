# SPDX-License-Identifier: Apache-2.0
"""Retry a task that was lost with its worker, but do not repeat a job that failed."""

from __future__ import annotations

# [START howto_retry_lost_tasks]
from datetime import datetime, timedelta, timezone

from airflow.providers.common.compat.sdk import dag

from airflow_provider_nebula_explorer.operators.nebula_explorer import NebulaExplorerRunWorkflowOperator
from airflow_provider_nebula_explorer.sensors.nebula_explorer import NebulaExplorerJobSensor


@dag(
    schedule=None,
    start_date=datetime(2024, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    tags=["nebula_explorer"],
    params={"workflow_id": "3992429968"},
    default_args={"retries": 3, "retry_delay": timedelta(seconds=10)},
)
def nebula_explorer_retry_lost_tasks():
    run = NebulaExplorerRunWorkflowOperator(
        task_id="run", workflow_id="{{ params.workflow_id }}", wait_for_completion=False
    )
    # A lost sensor is retried, and waits for the same job. If the job fails, the sensor is not retried.
    NebulaExplorerJobSensor(task_id="wait", job_id=run.output, deferrable=True, timeout=6 * 3600)


nebula_explorer_retry_lost_tasks()
# [END howto_retry_lost_tasks]
