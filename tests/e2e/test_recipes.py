# SPDX-License-Identifier: Apache-2.0
"""The recipes that need a scheduler: what runs at once, what cancels the others, what a deadline does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from parts import running, wait_for
from whole_airflow import Airflow

from airflow_provider_nebula_explorer.emulator import Emulator, JobPlan
from airflow_provider_nebula_explorer.explorer import JobStatus

EXAMPLES = Path(__file__).parents[2] / "example_dags"
RECIPES = {
    "many_inputs": {"INPUTS = 50": "INPUTS = 12", "QUIET_SECONDS = 180": "QUIET_SECONDS = 5"},
    "wait_with_deadline": {"hours=2": "seconds=2"},
}
MANY, DEADLINE = "nebula_explorer_many_inputs", "nebula_explorer_wait_with_deadline"
SECONDS = 150.0


class Recipes:
    """An Airflow that runs the recipes, with fewer inputs and a shorter deadline, and its Explorer."""

    def __init__(self, airflow: Airflow, explorer: Emulator) -> None:
        self.airflow = airflow
        self.explorer = explorer

    def run(self, dag_id: str, run_id: str) -> None:
        """Start a run, with a workflow of its own."""
        body = {"dag_run_id": run_id, "logical_date": None, "conf": {"workflow_id": workflow_of(run_id)}}
        self.airflow.request("POST", f"/dags/{dag_id}/dagRuns", json=body)

    def jobs(self, run_id: str) -> list[JobStatus]:
        """The statuses of the jobs of a run's workflow."""
        mine = [job for job in self.explorer.jobs if job["workflowId"] == workflow_of(run_id)]
        return [JobStatus(job["status"]) for job in mine]

    def tasks(self, dag_id: str, run_id: str) -> dict[tuple[str, int], str]:
        """The states of a run's tasks, by task and map index."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        tasks = self.airflow.request("GET", path, params={"limit": 100})["task_instances"]
        return {(task["task_id"], task["map_index"]): task["state"] for task in tasks}

    def wait_until(self, what: str, condition) -> None:
        wait_for(what, condition, SECONDS, self.airflow.evidence)


def workflow_of(run_id: str) -> str:
    return str(sum(run_id.encode()))


@pytest.fixture(scope="module")
def recipes(tmp_path_factory) -> Iterator[Recipes]:
    dags = tmp_path_factory.mktemp("dags")
    for name, changes in RECIPES.items():
        text = (EXAMPLES / f"{name}.py").read_text()
        for long, short in changes.items():
            assert text.count(long) == 1
            text = text.replace(long, short)
        (dags / f"{name}.py").write_text(text)
    with Emulator() as explorer:
        airflow = Airflow(dags, {MANY, DEADLINE})
        with running(airflow):
            connection = json.loads(explorer.airflow_connection)
            body = {
                "connection_id": "nebula_explorer_default",
                **connection,
                "extra": json.dumps(connection["extra"]),
            }
            airflow.request("POST", "/connections", json=body)
            yield Recipes(airflow, explorer)


def test_at_most_five_jobs_run_at_once_and_the_results_are_collected(recipes):
    recipes.explorer.plan(int(workflow_of("all")), JobPlan(preparing=0, running=4))
    recipes.run(MANY, "all")
    most = 0

    def is_over():
        nonlocal most
        most = max(most, sum(not status.is_final for status in recipes.jobs("all")))
        return recipes.airflow.is_over("all")

    recipes.wait_until("the run is over", is_over)
    assert most == 5
    states = recipes.tasks(MANY, "all")
    assert states.pop(("cancel_others", -1)) == "skipped"
    assert set(states.values()) == {"success"}


def test_a_deadline_calls_back_while_the_wait_goes_on(recipes):
    recipes.run(DEADLINE, "late")
    query = "SELECT json_object('state', state) FROM callback"
    recipes.wait_until("the callback ran", lambda: {"state": "success"} in recipes.airflow.read(query))
    recipes.wait_until("the wait goes on", lambda: recipes.tasks(DEADLINE, "late")["wait", -1] == "deferred")
    recipes.explorer.start_job(int(workflow_of("late")), plan=JobPlan(running=0))
    recipes.wait_until("the run is over", lambda: recipes.airflow.is_over("late"))
    assert recipes.tasks(DEADLINE, "late")["go_on", -1] == "success"


def test_if_one_job_fails_the_others_are_cancelled_and_what_has_not_begun_is_skipped(recipes):
    lasting = JobPlan(preparing=0, running=1000)
    failing = JobPlan(preparing=0, running=20, ends=JobStatus.FAILED)
    recipes.explorer.plan(int(workflow_of("one")), [lasting, lasting, failing, lasting])
    recipes.run(MANY, "one")
    recipes.wait_until("the run is over", lambda: recipes.airflow.is_over("one"))
    # The failed job's place may have been taken by another job, before its others were cancelled.
    jobs = recipes.jobs("one")
    assert 5 <= len(jobs) < 12
    assert sorted(jobs) == [JobStatus.FAILED] + [JobStatus.INTERRUPTED] * (len(jobs) - 1)
    states = recipes.tasks(MANY, "one")
    assert states["cancel_others", -1] == "success"
    assert states["collect", -1] == "upstream_failed"
    run = [state for (task, _), state in states.items() if task == "run"]
    assert (run.count("failed"), run.count("skipped")) == (len(jobs), 12 - len(jobs))
