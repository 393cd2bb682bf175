# SPDX-License-Identifier: Apache-2.0
"""Start whenever a job of a workflow succeeds, no matter who ran it. Needs Airflow 3."""

from __future__ import annotations

# [START howto_trigger_workflow]
from datetime import datetime, timezone

from airflow.providers.common.compat.sdk import dag, task

from airflow_provider_nebula_explorer.assets.nebula_explorer import watched_workflow_asset

ranks = watched_workflow_asset(3992429968, poll_interval=5, name="ranks")


@dag(
    schedule=[ranks],
    start_date=datetime(2024, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    tags=["nebula_explorer"],
)
def nebula_explorer_on_success():
    @task
    def use(triggering_asset_events=None):
        """Use the jobs; if several succeed at about the same time, one run may get all of them."""
        jobs = [event.extra["payload"] for events in triggering_asset_events.values() for event in events]
        print("On with the work, for", *(job["name"] for job in jobs))
        return [job["id"] for job in jobs]

    use()


nebula_explorer_on_success()
# [END howto_trigger_workflow]
