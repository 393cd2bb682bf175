# SPDX-License-Identifier: Apache-2.0
"""Clean up after a run, however it ended: stop its job, and drop what the run had set up."""

from __future__ import annotations

# [START howto_clean_up]
from datetime import datetime, timedelta, timezone

from airflow.providers.common.compat.sdk import dag, task

from airflow_provider_nebula_explorer.hooks.nebula_explorer import NebulaExplorerHook
from airflow_provider_nebula_explorer.operators.nebula_explorer import NebulaExplorerRunWorkflowOperator


@dag(
    schedule=None,
    start_date=datetime(2024, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    tags=["nebula_explorer"],
    params={"workflow_id": "3992429968"},
)
def nebula_explorer_clean_up():
    @task
    def make_space():
        """Stands in for what the job needs: a folder, a graph space."""
        return "scratch"

    @task
    def clean_up(space, ti=None):
        """Stop the job, if there is one and it still runs; then drop the space."""
        # It is there as soon as the job is, however the task ends.
        job_id = ti.xcom_pull(task_ids="run", key="job_id")
        if job_id is not None:
            with NebulaExplorerHook() as hook:
                hook.cancel_job(job_id, ignore_final=True)
                hook.wait_for_job(job_id, timeout=600)  # whatever its final status is; else an error
        print(f"Dropped {space}.")

    space = make_space()
    run = NebulaExplorerRunWorkflowOperator(
        task_id="run",
        workflow_id="{{ params.workflow_id }}",
        execution_timeout=timedelta(hours=2),
    )
    space >> run >> clean_up(space).as_teardown(setups=space)


nebula_explorer_clean_up()
# [END howto_clean_up]
