# SPDX-License-Identifier: Apache-2.0
"""What a person or a time limit does to a task, the package does to its job."""

from __future__ import annotations

import pytest
from runs import FAILING, LASTING, RESTARTS_CLEARED_TASKS, Run, Scenario

from airflow_provider_nebula_explorer.emulator import Fault
from airflow_provider_nebula_explorer.explorer.models import JobStatus

BOTH = ("in_worker", "deferred")
BOTH_LIMITED = ("in_worker_limited", "deferred_limited")


def of(play, dag_ids=BOTH, **more):
    """Parametrize a test with the runs of a scenario, one of each DAG."""
    scenarios = [Scenario(dag_id, play, **more) for dag_id in dag_ids]
    return pytest.mark.parametrize("run", scenarios, ids=dag_ids, indirect=True)


def clear_after_success(run: Run) -> None:
    run.start()
    run.wait_until_waiting(attempt=1)
    run.let_jobs_end()
    run.wait_until_over()
    run.clear()
    run.wait_until_waiting(attempt=2, jobs=2)
    run.let_jobs_end()
    run.wait_until_over()


@of(clear_after_success)
def test_a_clear_after_success_runs_a_second_job(run):
    assert run.state == "success", run.evidence()
    assert run.statuses == [JobStatus.SUCCESS, JobStatus.SUCCESS], run.evidence()
    assert run.has_as_result(run.jobs[1]), run.evidence()


def clear_while_it_waits(run: Run) -> None:
    run.start()
    run.wait_until_waiting(attempt=1)
    run.clear()
    if not RESTARTS_CLEARED_TASKS and run.scenario.dag_id == "in_worker":
        run.wait_until_interrupted(0)
        run.clear()
    run.wait_until_waiting(attempt=2, jobs=2)
    run.wait_until_interrupted(0)
    run.let_jobs_end()
    run.wait_until_over()


@of(clear_while_it_waits)
def test_a_clear_while_a_task_waits_cancels_its_job_and_runs_another(run):
    assert run.state == "success", run.evidence()
    assert run.statuses == [JobStatus.INTERRUPTED, JobStatus.SUCCESS], run.evidence()
    assert run.has_as_result(run.jobs[1]), run.evidence()


def mark_failed_while_it_waits(run: Run) -> None:
    run.start()
    run.wait_until_waiting(attempt=1)
    run.mark_failed()
    run.wait_until_interrupted(0)
    run.wait_until_over()


@of(mark_failed_while_it_waits)
def test_marking_a_task_failed_while_it_waits_cancels_its_job(run):
    assert run.state == "failed", run.evidence()
    assert run.statuses == [JobStatus.INTERRUPTED], run.evidence()


def run_out_of_time(run: Run) -> None:
    run.start()
    run.wait_until_over()
    run.wait_until_interrupted(0)


@of(run_out_of_time, BOTH_LIMITED)
def test_a_task_that_runs_out_of_time_cancels_its_job(run):
    assert run.state == "failed", run.evidence()
    assert run.statuses == [JobStatus.INTERRUPTED], run.evidence()


def job_fails(run: Run) -> None:
    run.start(FAILING)
    run.wait_until_waiting(attempt=1)
    run.plan_next_job(LASTING)
    run.let_jobs_end()
    run.wait_until_waiting(attempt=2, jobs=2)
    run.let_jobs_end()
    run.wait_until_over()


@of(job_fails)
def test_a_retry_after_a_job_failed_runs_another(run):
    assert run.state == "success", run.evidence()
    assert run.statuses == [JobStatus.FAILED, JobStatus.SUCCESS], run.evidence()
    assert run.has_as_result(run.jobs[1]), run.evidence()


def lose_the_response(run: Run) -> None:
    run.start()
    run.wait_until_waiting(attempt=1)
    run.let_jobs_end()
    run.wait_until_over()


@of(lose_the_response, faults=(Fault("lost", "run_workflow"),))
def test_a_job_whose_response_was_lost_is_taken_up_by_the_same_attempt(run):
    assert (run.state, run.attempts) == ("success", 1), run.evidence()
    assert run.statuses == [JobStatus.SUCCESS], run.evidence()
    assert run.has_as_result(run.jobs[0]), run.evidence()
