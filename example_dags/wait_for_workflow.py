# SPDX-License-Identifier: Apache-2.0
"""Wait for a job that someone else started, in Explorer or elsewhere."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow.providers.common.compat.sdk import dag, task

from airflow_provider_nebula_explorer.hooks.nebula_explorer import NebulaExplorerHook
from airflow_provider_nebula_explorer.sensors.nebula_explorer import NebulaExplorerWorkflowSensor


@dag(
    schedule=None,
    start_date=datetime(2024, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    tags=["nebula_explorer"],
    params={"workflow_id": "3992429968"},
)
def nebula_explorer_wait_for_workflow():
    @task
    def someone_else(params=None):
        """Stands in for a colleague who presses Run in Explorer; leave it out in a DAG of your own."""
        with NebulaExplorerHook() as hook:
            hook.run_workflow(params["workflow_id"])

    # [START howto_sensor_workflow]
    wait = NebulaExplorerWorkflowSensor(
        task_id="wait",
        workflow_id="{{ params.workflow_id }}",
        created_after=timedelta(hours=1),  # back from when the run was due
        poke_interval=2,
        timeout=3600,
        mode="reschedule",
    )
    # [END howto_sensor_workflow]

    @task
    def go_on(job):
        print(f"Job {job['id']} of {job['workflowName']} is there; on with the work.")

    someone_else() >> wait
    go_on(wait.output)


nebula_explorer_wait_for_workflow()
