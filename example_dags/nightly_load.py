# SPDX-License-Identifier: Apache-2.0
"""Run a workflow every night, and send an alert that names the job if it fails."""

from __future__ import annotations

# [START howto_nightly_load]
from datetime import timedelta

import pendulum
from airflow.providers.common.compat.sdk import dag

from airflow_provider_nebula_explorer.exceptions import NebulaExplorerJobError
from airflow_provider_nebula_explorer.explorer import JobStatus
from airflow_provider_nebula_explorer.operators.nebula_explorer import NebulaExplorerRunWorkflowOperator


def alert(context):
    """Say what a person needs to know: here in a log, in place of your mail or chat."""
    error = context.get("exception")  # none if the task was lost, with its worker for example
    if isinstance(error, NebulaExplorerJobError):
        failed = [task.name for task in error.job.tasks if task.status is JobStatus.FAILED]
        ended = f"job {error.job.id} is {error.job.status.name}"
        text = f"{ended}; failed tasks: {', '.join(failed) or 'none'}. Its page: {error.url}"
    else:
        job_id, page = started_job(context["ti"])
        text = f"{error or 'the task was lost, its job may still run'}. The job: {job_id}. Its page: {page}"
    print(f"ALERT: {context['run_id']}: {text}")


def started_job(ti):
    """Return the id and the page of the job that the task has started: it pushes both to XCom."""
    try:
        return [ti.xcom_pull(task_ids=ti.task_id, key=key) for key in ("job_id", "job_url")]
    except Exception:  # noqa: BLE001 - for a lost task, Airflow 3.0 calls this where XComs cannot be read
        return None, None


@dag(
    schedule="0 4 * * *",
    start_date=pendulum.datetime(2024, 1, 1, tz="Europe/Berlin"),  # so 4:00 there, summer and winter
    catchup=False,
    max_active_runs=1,
    tags=["nebula_explorer"],
    params={"workflow_id": "3992429968"},
)
def nebula_explorer_nightly_load():
    NebulaExplorerRunWorkflowOperator(
        task_id="load",
        workflow_id="{{ params.workflow_id }}",
        # The day on which the run is due, in the DAG's time zone. Airflow 2.11 has no run_after.
        input={
            "query_1": {
                "day": "{{ dag.timezone.convert(dag_run.run_after | default(data_interval_end)) | ds }}"
            }
        },
        deferrable=True,
        retries=1,  # a task can be lost, and then resumes its job; a failed job is repeated, too
        retry_delay=timedelta(minutes=5),
        execution_timeout=timedelta(hours=4),  # of each attempt; then its job is cancelled
        on_failure_callback=alert,  # after the last attempt
    )


nebula_explorer_nightly_load()
# [END howto_nightly_load]
