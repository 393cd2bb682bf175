# SPDX-License-Identifier: Apache-2.0
"""A task whose first attempt dies at any moment has one job, which its second attempt takes up."""

from __future__ import annotations

import pytest
from runs import RETRIES_KILLED_TASKS, Run, Scenario, assert_one_job_came_of

from airflow_provider_nebula_explorer.emulator import Fault
from airflow_provider_nebula_explorer.explorer.models import JobStatus

BEFORE_IT_WAITS = (
    "before list",
    "after list",
    "before start",
    "amid start",
    "after start",
    "before note 2",
    "after note 2",
    "after xcom nebula_explorer_job_link",
    "after xcom nebula_explorer_claim",
)
AFTER_THE_JOB = ("before xcom job", "after xcom job", "before xcom return_value", "after xcom return_value")

TAKES_PARENT = not RETRIES_KILLED_TASKS

STILL_UNDER_WAY = Fault("slow", "run_workflow", seconds=12)
"""Explorer takes so long to start a job that the next attempt searches for it before it is there."""


def dies_before_the_jobs_end(run: Run) -> None:
    run.start()
    run.wait_until_waiting(attempt=2)
    run.let_jobs_end()
    run.wait_until_over()


def dies_after_the_jobs_end(run: Run) -> None:
    run.start()
    run.wait_until_waiting(attempt=1)
    run.let_jobs_end()
    run.wait_until_over()


def early(dag_id: str, *deaths: str) -> list[Scenario]:
    slow = {"amid start": (STILL_UNDER_WAY,)}
    return [
        Scenario(dag_id, dies_before_the_jobs_end, death, TAKES_PARENT, faults=slow.get(death, ()))
        for death in deaths
    ]


def late(dag_id: str, *deaths: str, takes_parent: bool = TAKES_PARENT) -> list[Scenario]:
    return [Scenario(dag_id, dies_after_the_jobs_end, death, takes_parent) for death in deaths]


def named(scenario: Scenario) -> str:
    return f"{scenario.dag_id}: {scenario.death}"


def with_runs_of(scenarios: list[Scenario]):
    return pytest.mark.parametrize("run", scenarios, ids=named, indirect=True)


# These come first, as Airflow takes longest to notice them.
@with_runs_of(
    [
        Scenario("in_worker", dies_before_the_jobs_end, "after start", takes_parent=True),
        Scenario("in_worker", dies_before_the_jobs_end, "before get 2", takes_parent=True),
        Scenario("deferred", dies_before_the_jobs_end, "before deferral", takes_parent=True),
    ]
)
def test_one_job_comes_of_a_task_whose_first_attempt_dies_with_its_supervisor(run):
    assert run.died == run.scenario.death, run.evidence()
    assert_one_job_came_of(run, attempts=2)


@with_runs_of(
    [
        *early("in_worker", *BEFORE_IT_WAITS, "before get 2"),
        *late("in_worker", *AFTER_THE_JOB),
        *early("deferred", *BEFORE_IT_WAITS, "after get", "before deferral"),
        *late("deferred", "before resume", *AFTER_THE_JOB),
    ]
)
def test_one_job_comes_of_a_task_whose_first_attempt_dies(run):
    assert run.died == run.scenario.death, run.evidence()
    assert_one_job_came_of(run, attempts=2)


@with_runs_of(
    [
        *late("in_worker", "after success", takes_parent=False),
        *late("deferred", "after deferral", "after success", takes_parent=False),
    ]
)
def test_an_attempt_that_dies_after_it_reported_its_end_is_not_repeated(run):
    assert run.died == run.scenario.death, run.evidence()
    assert_one_job_came_of(run, attempts=1)


def is_killed_and_cleared(run: Run) -> None:
    run.start()
    run.wait_until_over()
    run.clear()
    run.wait_until_waiting(attempt=2, jobs=2)
    run.wait_until_interrupted(0)
    run.let_jobs_end()
    run.wait_until_over()


@pytest.mark.skipif(RETRIES_KILLED_TASKS, reason="this Airflow retries a task whose process is killed")
@with_runs_of([Scenario("in_worker", is_killed_and_cleared, "before get 2")])
def test_a_clear_of_a_killed_task_that_airflow_does_not_retry_ends_its_job(run):
    assert run.died == run.scenario.death, run.evidence()
    assert run.state == "success", run.evidence()
    assert run.statuses == [JobStatus.INTERRUPTED, JobStatus.SUCCESS], run.evidence()
