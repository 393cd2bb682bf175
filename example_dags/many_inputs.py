# SPDX-License-Identifier: Apache-2.0
"""Run a workflow for fifty inputs, at most five at a time; if one job fails, cancel the others."""

from __future__ import annotations

# [START howto_many_inputs]
import time
from datetime import datetime, timedelta, timezone

from airflow.providers.common.compat.sdk import AirflowSkipException, dag, task

from airflow_provider_nebula_explorer.hooks.nebula_explorer import NebulaExplorerHook
from airflow_provider_nebula_explorer.operators.nebula_explorer import NebulaExplorerRunWorkflowOperator

INPUTS = 50
QUIET_SECONDS = 180  # a task that passed the check below may start its job so much later


def skip_if_one_failed(context):
    """Start no job, and repeat none that was cancelled, once another one has failed."""
    failed = context["ti"].xcom_pull(task_ids="cancel_others", key="one_failed")
    if failed == str(context["dag_run"].start_date):  # which a clear of the run moves
        raise AirflowSkipException("Another input's job has failed.")


def job_ids(ti):
    """Return the ids of the jobs that run tasks have started so far."""
    ids = ti.xcom_pull(task_ids="run", key="job_id")
    return {job_id for job_id in ids or () if job_id is not None}


@dag(
    schedule=None,
    start_date=datetime(2024, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    tags=["nebula_explorer"],
    params={"workflow_id": "3992429968"},
)
def nebula_explorer_many_inputs():
    @task(retries=2)
    def inputs():
        return [{"query_1": {"part": part}} for part in range(INPUTS)]

    run = NebulaExplorerRunWorkflowOperator.partial(
        task_id="run",
        workflow_id="{{ params.workflow_id }}",
        max_active_tis_per_dagrun=5,
        pre_execute=skip_if_one_failed,
        poll_interval=2,
        retries=0,  # with retries, a failed job is repeated before the others are cancelled
        execution_timeout=timedelta(hours=6),
    ).expand(input=inputs())

    @task(trigger_rule="one_failed", retries=2)
    def cancel_others(ti=None, dag_run=None):
        """Run as soon as a run task has failed, while the others still run."""
        ti.xcom_push(key="one_failed", value=str(dag_run.start_date))
        stopped, until = set(), time.monotonic() + QUIET_SECONDS
        with NebulaExplorerHook() as hook:
            while (running := job_ids(ti) - stopped) or time.monotonic() < until:
                for job_id in running:
                    hook.cancel_job(job_id, ignore_final=True)
                for job_id in running:
                    hook.wait_for_job(job_id, poll_interval=1)  # whatever its final status is
                if running:
                    until = time.monotonic() + QUIET_SECONDS
                stopped |= running
                time.sleep(1)

    @task(retries=2)
    def collect(ids):
        """Run if all have succeeded; the ids are in the order of the inputs. Ten rows of each, by default."""
        with NebulaExplorerHook() as hook:
            return [hook.get_task_result(job_id, name="pagerank_1") for job_id in ids]

    run >> cancel_others()
    collect(run.output)


nebula_explorer_many_inputs()
# [END howto_many_inputs]
