# SPDX-License-Identifier: Apache-2.0
"""List a workflow's jobs, and get each of them in a mapped task."""

from __future__ import annotations

from datetime import datetime, timezone

from airflow.providers.common.compat.sdk import dag, task

from airflow_provider_nebula_explorer.operators.nebula_explorer import (
    NebulaExplorerGetJobOperator,
    NebulaExplorerListJobsOperator,
)


@dag(
    schedule=None,
    start_date=datetime(2024, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    tags=["nebula_explorer"],
    params={"workflow_id": "3992429968"},
)
def nebula_explorer_list_jobs():
    # [START howto_operator_list_jobs]
    jobs = NebulaExplorerListJobsOperator(
        task_id="newest_successes", workflow_id="{{ params.workflow_id }}", status="SUCCESS", limit=3
    )
    # [END howto_operator_list_jobs]

    # [START howto_operator_get_job]
    @task
    def ids(jobs):
        return [job["id"] for job in jobs]

    details = NebulaExplorerGetJobOperator.partial(task_id="details").expand(job_id=ids(jobs.output))

    @task
    def summary(jobs):
        for job in jobs:
            print(job["name"], [task["name"] for task in job["tasks"]])

    summary(details.output)
    # [END howto_operator_get_job]


nebula_explorer_list_jobs()
