# SPDX-License-Identifier: Apache-2.0
"""Many short deferrals at once on a busy machine: Airflow's scheduler fails none of ours.

Before Airflow 3.4 the scheduler fails a deferred task that resumes before it has read that the task's first
process has ended (``triggers/resumption.py``). A bare trigger's tasks, in the same burst, are the control:
they are reported, not asserted, as whether they fail depends on the machine.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from parts import running, wait_for
from whole_airflow import Airflow

from airflow_provider_nebula_explorer.emulator import Emulator, JobPlan

SECONDS = 900.0
JOB_SECONDS = 2.0
BUSY_LOOPS = 2


@contextmanager
def busy() -> Iterator[None]:
    """Let other work take as much of the machine as it can get."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(BUSY_LOOPS)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


@pytest.fixture(scope="module")
def explorer() -> Iterator[Emulator]:
    with Emulator() as explorer:
        for workflow_id in (7, 8):
            explorer.plan(workflow_id, JobPlan(preparing=0, running=JOB_SECONDS))
        yield explorer


@pytest.fixture(scope="module")
def airflow(explorer: Emulator, many: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("BURST", str(many))
        airflow = Airflow(
            Path(__file__).with_name("burst_dags"),
            {"runs", "sensors", "bare"},
            CORE__PARALLELISM="16",
            # Airflow's own, which makes the race as likely as it is for users.
            WORKERS__MIN_HEARTBEAT_INTERVAL="5",
            CORE__MAX_ACTIVE_TASKS_PER_DAG="1000",
        )
    with running(airflow):
        connection = json.loads(explorer.airflow_connection)
        extra = json.dumps(connection["extra"])
        body = {"connection_id": "nebula_explorer_default", **connection, "extra": extra}
        airflow.request("POST", "/connections", json=body)
        yield airflow


@pytest.fixture(scope="module")
def many(request: pytest.FixtureRequest) -> int:
    return request.config.getoption("--burst")


@pytest.fixture
def burst(airflow: Airflow):
    def burst(dag_id: str) -> Counter[tuple[str, str]]:
        """Run a DAG, and return how many tasks of which name ended in which state."""
        with busy():
            body = {"dag_run_id": dag_id, "logical_date": None}
            airflow.request("POST", f"/dags/{dag_id}/dagRuns", json=body)
            wait_for("the burst is over", lambda: airflow.is_over(dag_id), SECONDS, airflow.evidence)
        path = f"/dags/{dag_id}/dagRuns/{dag_id}/taskInstances"
        tasks = airflow.request("GET", path, params={"limit": 1000})["task_instances"]
        return Counter((task["task_id"], task["state"]) for task in tasks)

    return burst


@pytest.mark.parametrize(("dag_id", "workflow_id"), [("runs", 7), ("sensors", 8)])
def test_no_task_of_a_burst_fails_whether_it_ends_in_the_triggerer_or_in_a_worker(
    burst, explorer, airflow, many, dag_id, workflow_id
):
    assert burst(dag_id) == {("plain", "success"): many, ("with_outlet", "success"): many}, airflow.evidence()
    jobs = [job for job in explorer.jobs if job["workflowId"] == str(workflow_id)]
    assert len(jobs) == 2 * many, "one job for each task"


def test_a_bare_trigger_shows_whether_the_race_is_there(burst, many, capsys):
    ended = burst("bare")
    assert sum(ended.values()) == many
    with capsys.disabled():
        print(f"\nA bare trigger of 2 s: Airflow failed {ended['bare', 'failed']} of {many} tasks.")
