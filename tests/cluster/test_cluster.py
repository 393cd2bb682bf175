# SPDX-License-Identifier: Apache-2.0
"""Whatever is killed, each run succeeds with one job of its own, and each wait ends with its job."""

from __future__ import annotations

from collections import Counter

from cluster import MACHINES, TRIGGERERS
from scenario import RUN_SECONDS, RUN_WORKFLOW, WAIT_WORKFLOW, Scenario

from airflow_provider_nebula_explorer.explorer.models import JobStatus

PAGE_SIZE = 100
"""How many jobs the emulator shows on a page at most."""

LISTS_OF_A_START = 2
"""The workflow's newest jobs are listed before a start, and again if its response was lost."""

POLL_SECONDS = 2
"""Between two polls, as in dags/cluster.py."""


def results_of(scenario: Scenario, dag_id: str, task_id: str) -> list[tuple[str, int, object]]:
    """Return the return values of tasks: run, map index, value."""
    statement = (
        "SELECT run_id, map_index, value FROM xcom"
        " WHERE dag_id LIKE %s AND task_id = %s AND key = 'return_value' ORDER BY map_index"
    )
    return [(run, index, value) for run, index, value in scenario.cluster.query(statement, dag_id, task_id)]


def test_every_task_succeeded(scenario: Scenario):
    assert scenario.cluster.states() == {"success": scenario.runs + scenario.waits + 1}, (
        scenario.cluster.evidence()
    )


def test_every_run_has_one_job_which_is_its_result(scenario: Scenario):
    jobs = [job for job in scenario.cluster.explorer.jobs if job["workflowId"] == str(RUN_WORKFLOW)]
    of_jobs = {(job["input"]["query_1"]["run"], job["id"]) for job in jobs if job["input"]}

    of_runs = {(run_id, int(value)) for run_id, _, value in results_of(scenario, "run%", "run")}

    assert len(of_runs) == scenario.runs
    assert of_jobs == of_runs


def test_every_wait_ended_with_its_job(scenario: Scenario):
    ended = [(value["id"], value["status"]) for _, _, value in results_of(scenario, "wait", "wait")]

    assert ended == [(job, JobStatus.SUCCESS) for job in scenario.awaited]


def test_no_job_was_cancelled_or_left(scenario: Scenario):
    workflows = (str(RUN_WORKFLOW), str(WAIT_WORKFLOW))
    jobs = [job for job in scenario.cluster.explorer.jobs if job["workflowId"] in workflows]
    begun = [job for job in jobs if job["input"] or job["workflowId"] == str(WAIT_WORKFLOW)]

    assert Counter(job["status"] for job in begun) == {JobStatus.SUCCESS: scenario.runs + scenario.waits}
    assert scenario.calls["cancels"] == 0


def test_logins_are_one_for_the_machine_and_triggerers_and_one_more_after_explorers_end(scenario: Scenario):
    assert scenario.calls["logins"] <= MACHINES + TRIGGERERS + scenario.ends_of_sessions


def test_polls_are_one_for_each_triggerer_interval_and_page(scenario: Scenario):
    pages = -(-(scenario.waits + scenario.runs) // PAGE_SIZE)
    polls = TRIGGERERS * scenario.seconds / POLL_SECONDS * 1.05  # they come up to 5 % early, at random

    assert scenario.calls["lists"] <= polls * pages + LISTS_OF_A_START * scenario.attempts


def test_details_are_two_for_each_attempt_but_for_waits_in_a_worker(scenario: Scenario):
    in_worker = scenario.runs / 2 * RUN_SECONDS / POLL_SECONDS

    assert scenario.calls["details"] <= 1.5 * in_worker + 2 * scenario.attempts
