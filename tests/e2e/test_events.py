# SPDX-License-Identifier: Apache-2.0
"""Jobs that succeed start DAGs, each once, though the triggerer ends in between."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from parts import wait_for
from runs import needs_33
from whole_airflow import Airflow

from airflow_provider_nebula_explorer.emulator import Emulator, JobPlan

pytestmark = needs_33

DONE = JobPlan(running=0)
LASTING = JobPlan(running=1000)
SECONDS = 60.0


class Watched:
    """An Explorer whose workflows 5 and 6 the DAG ``on_success`` watches."""

    def __init__(self, airflow: Airflow, explorer: Emulator) -> None:
        self.airflow = airflow
        self.explorer = explorer

    def begin(self) -> None:
        """Add the connection to Airflow, and unpause the DAG, so that its workflows are watched."""
        connection = json.loads(self.explorer.airflow_connection)
        extra = json.dumps(connection.pop("extra"))
        body = {"connection_id": "events", **connection, "extra": extra}
        self.airflow.request("POST", "/connections", json=body)
        dag = self.airflow.request("PATCH", "/dags/on_success", json={"is_paused": False})
        # Airflow watches an asset once it has parsed the file of an unpaused DAG.
        self.airflow.request("PUT", f"/parseDagFile/{dag['file_token']}")
        self.wait_until("both workflows have a bookmark", lambda: len(self.airflow.bookmarks) == 2)

    def end(self) -> None:
        """Pause the DAG, so that nothing is watched any more."""
        self.airflow.request("PATCH", "/dags/on_success", json={"is_paused": True})

    def wait_until(self, what: str, condition) -> None:
        wait_for(what, condition, SECONDS, self.airflow.evidence)

    def wait_until_reported(self, *job_ids: int) -> None:
        """Wait until there are events of jobs, and the bookmarks no longer have these jobs as open."""
        self.wait_until(f"there are events of {job_ids}", lambda: set(job_ids) <= set(self.reported))
        self.wait_until("the bookmarks have none of them as open", lambda: not set(job_ids) & self.open)

    @property
    def reported(self) -> list[int]:
        """The jobs of all events, in the order of the events."""
        # On SQLite, the REST API may fail while events come in.
        events = self.airflow.read("SELECT extra FROM asset_event ORDER BY id")
        return [event["payload"]["id"] for event in events]

    @property
    def open(self) -> set[int]:
        return {job_id for bookmark in self.airflow.bookmarks for job_id in bookmark["open"]}

    @property
    def jobs_of_runs(self) -> list[int]:
        """The jobs that runs of the DAG were started with."""
        path = "/dags/on_success/dagRuns/~/taskInstances/jobs/xcomEntries"
        entries = self.airflow.request("GET", "/dags/on_success/dagRuns", params={"limit": 1000})["dag_runs"]
        found = (
            self.airflow.request(
                "GET",
                f"{path.replace('~', run['dag_run_id'])}/return_value",
                params={"deserialize": True, "stringify": False},
            )
            for run in entries
        )
        return [job_id for entry in found if entry for job_id in entry["value"]]


@pytest.fixture
def watched(alone: Airflow) -> Iterator[Watched]:
    with Emulator() as explorer:
        watched = Watched(alone, explorer)
        watched.begin()
        yield watched
        watched.end()


def test_each_success_is_one_event_over_a_stop_and_a_kill_of_the_triggerer(watched):
    triggerer, explorer = watched.airflow.parts["triggerer"], watched.explorer
    lasting = explorer.start_job(6, plan=LASTING)
    first = explorer.start_job(5, plan=DONE)
    watched.wait_until_reported(first)
    assert lasting in watched.open

    triggerer.stop()
    together = [explorer.start_job(5, plan=DONE) for _ in range(3)]
    explorer.advance(2000)
    triggerer.start()
    watched.wait_until_reported(lasting, *together)

    watched.wait_until("runs had all of these", lambda: len(watched.jobs_of_runs) == 5)

    triggerer.kill()
    third = explorer.start_job(6, plan=DONE)
    triggerer.start()
    watched.wait_until_reported(third)

    jobs = sorted([lasting, first, *together, third])
    assert sorted(watched.reported) == jobs
    watched.wait_until("runs had all of them", lambda: len(watched.jobs_of_runs) >= len(jobs))
    assert sorted(watched.jobs_of_runs) == jobs
    assert explorer.logins == 1, "all triggerers share it"
