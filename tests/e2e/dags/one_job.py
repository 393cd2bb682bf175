# SPDX-License-Identifier: Apache-2.0
"""DAGs of one task that runs a workflow: in a worker or deferred, with retries or with a time limit."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG
from deaths import arm

from airflow_provider_nebula_explorer.operators.nebula_explorer import NebulaExplorerRunWorkflowOperator

RETRIED = {"retries": 3, "retry_delay": timedelta(seconds=1)}
LIMITED = {"retries": 0, "execution_timeout": timedelta(seconds=15)}

for dag_id, is_deferred, arguments in (
    ("in_worker", False, RETRIED),
    ("deferred", True, RETRIED),
    ("in_worker_limited", False, LIMITED),
    ("deferred_limited", True, LIMITED),
):
    with DAG(dag_id, schedule=None):
        NebulaExplorerRunWorkflowOperator(
            task_id="run",
            workflow_id="{{ dag_run.conf['workflow_id'] }}",
            nebula_explorer_conn_id="{{ dag_run.conf['connection'] }}",
            poll_interval=1,
            deferrable=is_deferred,
            pre_execute=arm,
            **arguments,
        )
