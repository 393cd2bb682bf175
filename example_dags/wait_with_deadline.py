# SPDX-License-Identifier: Apache-2.0
"""Wait for another team's job of today, and call somebody if it is not there in time."""

from __future__ import annotations

# [START howto_deadline]
from datetime import timedelta

import pendulum
from airflow.providers.common.compat.sdk import dag, task

from airflow_provider_nebula_explorer.sensors.nebula_explorer import NebulaExplorerWorkflowSensor

try:
    from airflow.sdk import DeadlineAlert, DeadlineReference, SyncCallback
except ImportError:  # before Airflow 3.2
    deadline = {}
else:
    late = DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(hours=2),
        callback=SyncCallback("wait_with_deadline.report_late"),  # this file's name, and the function's
    )
    deadline = {"deadline": late}


def report_late(context):
    """Warn that the run takes longer than two hours; the wait goes on."""
    print(f"Run {context['dag_run']['dag_run_id']} is not over yet.")


def report_missing(context):
    """Report that the wait has failed: the error of a timeout names the newest jobs that do not count."""
    print(f"ALERT: {context.get('exception') or 'the task was lost'}")


@dag(
    schedule="0 4 * * *",
    start_date=pendulum.datetime(2024, 1, 1, tz="Europe/Berlin"),
    catchup=False,
    tags=["nebula_explorer"],
    params={"workflow_id": "3992429968"},
    **deadline,
)
def nebula_explorer_wait_with_deadline():
    wait = NebulaExplorerWorkflowSensor(
        task_id="wait",
        workflow_id="{{ params.workflow_id }}",
        # A date means its midnight in the DAG's time zone. Airflow 2.11 has no run_after.
        created_after="{{ dag.timezone.convert(dag_run.run_after | default(data_interval_end)) | ds }}",
        # Until tomorrow's: without it, a backfill takes a job that was created later.
        created_before="{{ (dag.timezone.convert(dag_run.run_after | default(data_interval_end))"
        " + macros.timedelta(days=1)) | ds }}",
        timeout=4 * 3600,  # from the first poll: until 8:00
        deferrable=True,
        retries=1,  # a task can be lost with its worker; a timeout is not retried
        on_failure_callback=report_missing,
    )

    @task
    def go_on(job):
        print(f"Job {job['id']} of {job['workflowName']} is there.")

    go_on(wait.output)


nebula_explorer_wait_with_deadline()
# [END howto_deadline]
