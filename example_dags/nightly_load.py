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
    ti, error = context["ti"], context.get("exception")  # there is none if the worker died
    if isinstance(error, NebulaExplorerJobError):
        failed = [task.name for task in error.job.tasks if task.status is JobStatus.FAILED]
        text = f"job {error.job.id} is {error.job.status.name}, as {failed} failed. Its page: {error.url}"
    else:  # the task timed out, was lost, or could not observe its job: the XComs say which job it is
        job_id, page = (ti.xcom_pull(task_ids=ti.task_id, key=key) for key in ("job_id", "job_url"))
        text = f"{error or 'the worker died'}. The job: {job_id}. Its page: {page}"
    print(f"ALERT: {context['run_id']}: {text}")


@dag(
    schedule="0 2 * * *",
    start_date=pendulum.datetime(2024, 1, 1, tz="Europe/Berlin"),  # so 2:00 there, summer and winter
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
        retries=1,  # for a lost task, which resumes its job; a failed job is repeated once, too
        retry_delay=timedelta(minutes=5),
        execution_timeout=timedelta(hours=4),  # then the job is cancelled
        on_failure_callback=alert,  # after the last attempt
    )


nebula_explorer_nightly_load()
# [END howto_nightly_load]
