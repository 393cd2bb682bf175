# SPDX-License-Identifier: Apache-2.0
"""A DAG that starts when a job of one of two workflows has succeeded, and leaves the jobs' ids."""

from __future__ import annotations

from airflow.sdk import dag, task

from airflow_provider_nebula_explorer.assets.nebula_explorer import watched_workflow_asset

FIRST, SECOND = (watched_workflow_asset(workflow_id, "events", poll_interval=1) for workflow_id in (5, 6))


# Paused until there is a connection.
@dag(schedule=(FIRST | SECOND), is_paused_upon_creation=True)
def on_success():
    @task
    def jobs(triggering_asset_events=None):
        return [
            event.extra["payload"]["id"] for events in triggering_asset_events.values() for event in events
        ]

    jobs()


on_success()
