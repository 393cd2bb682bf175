"""A task whose first attempt dies at any moment has one job, which its second attempt takes up."""

from __future__ import annotations

import pytest
from runs import Run, Story, assert_one_job_came_of

from airflow_provider_nebula_explorer.emulator import Fault

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

STILL_UNDER_WAY = Fault("slow", "run_workflow", seconds=12)
"""Explorer takes so long to start a job that the next attempt looks for the job before it is there."""


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


def early(dag_id: str, *deaths: str) -> list[Story]:
    slow = {"amid start": (STILL_UNDER_WAY,)}
    return [Story(dag_id, dies_before_the_jobs_end, death, faults=slow.get(death, ())) for death in deaths]


def late(dag_id: str, *deaths: str) -> list[Story]:
    return [Story(dag_id, dies_after_the_jobs_end, death) for death in deaths]


def named(story: Story) -> str:
    return f"{story.dag_id}: {story.death}"


def told_of(stories: list[Story]):
    return pytest.mark.parametrize("run", stories, ids=named, indirect=True)


# First, as Airflow takes longest to notice it.
@told_of(
    [
        Story("in_worker", dies_before_the_jobs_end, "after start", takes_parent=True),
        Story("in_worker", dies_before_the_jobs_end, "before look 2", takes_parent=True),
        Story("deferred", dies_before_the_jobs_end, "before deferral", takes_parent=True),
    ]
)
def test_one_job_comes_of_a_task_whose_first_attempt_dies_with_its_supervisor(run):
    assert run.died == run.story.death, run.evidence()
    assert_one_job_came_of(run, attempts=2)


@told_of(
    [
        *early("in_worker", *BEFORE_IT_WAITS, "before look 2"),
        *late("in_worker", *AFTER_THE_JOB),
        *early("deferred", *BEFORE_IT_WAITS, "after look", "before deferral"),
        *late("deferred", "before resume", *AFTER_THE_JOB),
    ]
)
def test_one_job_comes_of_a_task_whose_first_attempt_dies(run):
    assert run.died == run.story.death, run.evidence()
    assert_one_job_came_of(run, attempts=2)


@told_of(
    [
        *late("in_worker", "after success"),
        *late("deferred", "after deferral", "after success"),
    ]
)
def test_an_attempt_that_dies_after_it_told_its_end_is_not_repeated(run):
    assert run.died == run.story.death, run.evidence()
    assert_one_job_came_of(run, attempts=1)
