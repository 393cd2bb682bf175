# SPDX-License-Identifier: Apache-2.0
"""Wait for several jobs in one task, however they end, with an operator of your own and the job trigger."""

from __future__ import annotations

from datetime import datetime, timezone

from airflow.providers.common.compat.sdk import BaseOperator, dag, task

from airflow_provider_nebula_explorer.explorer.waiting.events import read_job
from airflow_provider_nebula_explorer.hooks.nebula_explorer import NebulaExplorerHook
from airflow_provider_nebula_explorer.operators.nebula_explorer import NebulaExplorerListJobsOperator
from airflow_provider_nebula_explorer.triggers.nebula_explorer import NebulaExplorerJobTrigger


# [START howto_trigger_job]
class WaitForAllJobs(BaseOperator):
    """Wait until all jobs are final, and return the statuses in which they ended."""

    template_fields = ("job_ids",)

    def __init__(self, *, job_ids, **kwargs):
        super().__init__(**kwargs)
        self.job_ids = job_ids

    def execute(self, context):
        return self._wait_from(0)

    def job_ended(self, context, event):
        job = read_job(event)  # raises the error if the wait failed
        return self._wait_from(self.job_ids.index(job.id) + 1)

    def _wait_from(self, index):
        if index < len(self.job_ids):
            trigger = NebulaExplorerJobTrigger(self.job_ids[index], poll_interval=2)
            self.defer(trigger=trigger, method_name="job_ended")
        with NebulaExplorerHook() as hook:
            return [hook.get_job_status(job_id).name for job_id in self.job_ids]
        # [END howto_trigger_job]


@dag(
    schedule=None,
    start_date=datetime(2024, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    tags=["nebula_explorer"],
    params={"workflow_id": "3992429968"},
)
def nebula_explorer_own_operator():
    running = NebulaExplorerListJobsOperator(
        task_id="running", workflow_id="{{ params.workflow_id }}", status="RUNNING", limit=10
    )

    @task
    def ids(jobs):
        return [job["id"] for job in jobs]

    # A task can be lost, with its worker or as it resumes; a retry waits for the same jobs.
    WaitForAllJobs(task_id="wait", job_ids=ids(running.output), retries=1)


nebula_explorer_own_operator()
