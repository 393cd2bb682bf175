# SPDX-License-Identifier: Apache-2.0
"""Wait for many jobs at once: all waits are in the triggerer and share one poll."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow.providers.common.compat.sdk import dag, task

from airflow_provider_nebula_explorer.operators.nebula_explorer import NebulaExplorerRunWorkflowOperator
from airflow_provider_nebula_explorer.sensors.nebula_explorer import NebulaExplorerJobSensor


@dag(
    schedule=None,
    start_date=datetime(2024, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    tags=["nebula_explorer"],
    params={"workflow_id": "3992429968"},
)
def nebula_explorer_wait_at_scale():
    # [START howto_operator_run_workflow_deferrable]
    runs = NebulaExplorerRunWorkflowOperator.partial(
        task_id="runs",
        workflow_id="{{ params.workflow_id }}",
        poll_interval=2,
        deferrable=True,
        retries=1,  # a task can be lost with its worker, deferred or not; a retry resumes its job
        # It also applies while the task is deferred; when it expires, the job is cancelled.
        execution_timeout=timedelta(hours=6),
    ).expand(input=[{"query_1": {"limit": limit}} for limit in (10, 20, 30)])
    # [END howto_operator_run_workflow_deferrable]

    another = NebulaExplorerRunWorkflowOperator(
        task_id="another", workflow_id="{{ params.workflow_id }}", wait_for_completion=False
    )
    # [START howto_sensor_job_deferrable]
    wait = NebulaExplorerJobSensor(
        task_id="wait",
        job_id=another.output,
        poke_interval=2,
        timeout=3600,
        deferrable=True,
        retries=1,  # a task can be lost; a retry waits for the same job
        start_from_trigger=True,  # on Airflow 3.3 and later this wait needs no worker at all
    )
    # [END howto_sensor_job_deferrable]

    @task
    def compare(job_ids, job):
        print(f"Jobs {', '.join(str(job_id) for job_id in job_ids)} and {job['id']} have succeeded.")

    compare(runs.output, wait.output)


nebula_explorer_wait_at_scale()
