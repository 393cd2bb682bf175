# SPDX-License-Identifier: Apache-2.0
"""Many short deferred tasks at once: ours, which end in the triggerer or a worker, and a bare trigger's."""

from __future__ import annotations

import os
from datetime import timedelta

from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk import DAG, Asset, BaseOperator

from airflow_provider_nebula_explorer.hooks.nebula_explorer import NebulaExplorerHook
from airflow_provider_nebula_explorer.operators.nebula_explorer import NebulaExplorerRunWorkflowOperator
from airflow_provider_nebula_explorer.sensors.nebula_explorer import NebulaExplorerJobSensor

MANY = [{"query_1": {"number": number}} for number in range(int(os.environ["BURST"]))]
OUTLETS = {"plain": [], "with_outlet": [Asset("burst")]}


def start_job(ti):
    """Start a job as the sensor that waits for it begins, and only then: a task that resumes renders anew."""
    whose = {"task_ids": ti.task_id, "key": "started", "map_indexes": ti.map_index}
    if not (job_id := ti.xcom_pull(**whose)):
        with NebulaExplorerHook() as hook:
            job_id = hook.run_workflow(8)
        ti.xcom_push("started", job_id)
    return job_id


class Bare(BaseOperator):
    """Defers for two seconds to a trigger that holds nothing back."""

    def __init__(self, *, number, **arguments):
        super().__init__(**arguments)
        self.number = number

    def execute(self, context):
        self.defer(trigger=TimeDeltaTrigger(timedelta(seconds=2)), method_name="done")

    def done(self, context, event):
        return self.number


with DAG("runs", schedule=None):
    for name, outlets in OUTLETS.items():
        NebulaExplorerRunWorkflowOperator.partial(
            task_id=name, workflow_id=7, deferrable=True, outlets=outlets
        ).expand(input=MANY)

with DAG("sensors", schedule=None, user_defined_macros={"start_job": start_job}):
    for name, outlets in OUTLETS.items():
        NebulaExplorerJobSensor.partial(
            task_id=name, job_id="{{ start_job(ti) }}", deferrable=True, outlets=outlets
        ).expand(target_statuses=[["SUCCESS"]] * len(MANY))

with DAG("bare", schedule=None):
    Bare.partial(task_id="bare").expand(number=list(range(len(MANY))))
