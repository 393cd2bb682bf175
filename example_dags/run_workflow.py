# SPDX-License-Identifier: Apache-2.0
"""Run a workflow with input, wait for its job, branch by its status, and read a task's result."""

from __future__ import annotations

from datetime import datetime, timezone

from airflow.providers.common.compat.sdk import dag, task

from airflow_provider_nebula_explorer.explorer import JobStatus
from airflow_provider_nebula_explorer.operators.nebula_explorer import (
    NebulaExplorerGetJobOperator,
    NebulaExplorerGetTaskResultOperator,
    NebulaExplorerRunWorkflowOperator,
)
from airflow_provider_nebula_explorer.sensors.nebula_explorer import NebulaExplorerJobSensor


@dag(
    schedule=None,
    start_date=datetime(2024, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    tags=["nebula_explorer"],
    params={"workflow_id": "3992429968", "input": {"query_1": {"limit": 10}}},
)
def nebula_explorer_run_workflow():
    # [START howto_operator_run_workflow]
    run = NebulaExplorerRunWorkflowOperator(
        task_id="run",
        workflow_id="{{ params.workflow_id }}",
        input="{{ params.input | tojson }}",
        wait_for_completion=False,
    )
    # [END howto_operator_run_workflow]
    # [START howto_sensor_job]
    wait = NebulaExplorerJobSensor(
        task_id="wait",
        job_id=run.output,
        target_statuses=["SUCCESS", "FAILED", "INTERRUPTED"],
        poke_interval=2,
        timeout=3600,
    )
    # [END howto_sensor_job]
    details = NebulaExplorerGetJobOperator(task_id="details", job_id=run.output)

    @task.branch
    def how_it_ended(job):
        return "last_task" if job["status"] == JobStatus.SUCCESS else "report_failure"

    @task
    def report_failure(job):
        failed = [task["name"] for task in job["tasks"] if task["status"] == JobStatus.FAILED]
        print(f"Job {job['name']} did not succeed. Check the tasks {failed}.")

    # [START howto_operator_get_task_result]
    @task
    def last_task(job):
        return job["tasks"][-1]["id"]

    task_id = last_task(details.output)
    rows = NebulaExplorerGetTaskResultOperator(
        task_id="rows", job_id=run.output, explorer_task_id=task_id, limit=5
    )
    # [END howto_operator_get_task_result]

    wait >> details
    how_it_ended(details.output) >> [task_id, report_failure(details.output)]
    task_id >> rows


nebula_explorer_run_workflow()
