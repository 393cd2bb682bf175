# SPDX-License-Identifier: Apache-2.0
"""The cluster's work: runs of a workflow, in a worker and deferred, and waits for other people's jobs."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, get_current_context, task

from airflow_provider_nebula_explorer.operators.nebula_explorer import NebulaExplorerRunWorkflowOperator
from airflow_provider_nebula_explorer.sensors.nebula_explorer import NebulaExplorerJobSensor

RETRIED = {"retries": 5, "retry_delay": timedelta(seconds=1)}

for dag_id, is_deferred in (("run_in_worker", False), ("run_deferred", True)):
    # A wait in a worker takes one of its slots, so there are few at once.
    with DAG(dag_id, schedule=None, max_active_tasks=32 if is_deferred else 4):
        NebulaExplorerRunWorkflowOperator(
            task_id="run",
            workflow_id="{{ dag_run.conf['workflow_id'] }}",
            input={"query_1": {"run": "{{ run_id }}"}},
            deferrable=is_deferred,
            poll_interval=2,
            **RETRIED,
        )

with DAG("wait", schedule=None, max_active_tasks=1000):

    @task(**RETRIED)
    def job_ids() -> list[int]:
        return get_current_context()["dag_run"].conf["jobs"]

    NebulaExplorerJobSensor.partial(
        task_id="wait", deferrable=True, poke_interval=2, timeout=7200, **RETRIED
    ).expand(job_id=job_ids())
