"""Whatever is killed: each run succeeds with one job of its own, and each wait ends with its job."""

from __future__ import annotations

from collections import Counter

from cluster import SLOTS, TRIGGERERS, WORKERS
from story import RUN_SECONDS, RUN_WORKFLOW, WAIT_WORKFLOW, Story

from airflow_provider_nebula_explorer.explorer.models import JobStatus

PAGE_SIZE = 100
"""The most jobs that the emulator tells at once."""

LISTS_OF_A_START = 2
"""The workflow's newest jobs, before a start; and where its answer was lost, they are looked at again."""

POLL_SECONDS = 2
"""Between two looks, as dags/cluster.py says."""


def results_of(story: Story, dag_id: str, task_id: str) -> list[tuple[str, int, object]]:
    """Return what tasks left in XCom: run, map index, value."""
    statement = (
        "SELECT run_id, map_index, value FROM xcom"
        " WHERE dag_id LIKE %s AND task_id = %s AND key = 'return_value' ORDER BY map_index"
    )
    return [(run, index, value) for run, index, value in story.cluster.ask(statement, dag_id, task_id)]


def test_every_task_succeeded(story: Story):
    assert story.cluster.states() == {"success": story.runs + story.waits + 1}, story.cluster.evidence()


def test_every_run_has_one_job_which_is_its_result(story: Story):
    jobs = [job for job in story.cluster.explorer.jobs if job["workflowId"] == str(RUN_WORKFLOW)]
    of_jobs = {(job["input"]["query_1"]["run"], job["id"]) for job in jobs if job["input"]}

    of_runs = {(run_id, int(value)) for run_id, _, value in results_of(story, "run%", "run")}

    assert len(of_runs) == story.runs
    assert of_jobs == of_runs


def test_every_wait_ended_with_its_job(story: Story):
    ended = [(value["id"], value["status"]) for _, _, value in results_of(story, "wait", "wait")]

    assert ended == [(job, JobStatus.SUCCESS) for job in story.awaited]


def test_no_job_was_cancelled_or_left(story: Story):
    workflows = (str(RUN_WORKFLOW), str(WAIT_WORKFLOW))
    jobs = [job for job in story.cluster.explorer.jobs if job["workflowId"] in workflows]
    begun = [job for job in jobs if job["input"] or job["workflowId"] == str(WAIT_WORKFLOW)]

    assert Counter(job["status"] for job in begun) == {JobStatus.SUCCESS: story.runs + story.waits}
    assert story.calls["cancels"] == 0


def test_logins_are_one_for_each_attempt_and_triggerer_and_another_after_explorers_end(story: Story):
    processes_at_a_time = WORKERS * SLOTS + TRIGGERERS

    assert story.calls["logins"] <= story.attempts + TRIGGERERS + 1 + processes_at_a_time


def test_polls_are_one_for_each_triggerer_interval_and_page(story: Story):
    pages = -(-(story.waits + story.runs) // PAGE_SIZE)
    polls = TRIGGERERS * story.seconds / POLL_SECONDS * 1.05  # by chance they come up to 5 % early

    assert story.calls["lists"] <= polls * pages + LISTS_OF_A_START * story.attempts


def test_details_are_two_for_each_attempt_but_for_waits_in_a_worker(story: Story):
    in_worker = story.runs / 2 * RUN_SECONDS / POLL_SECONDS

    assert story.calls["details"] <= 1.5 * in_worker + 2 * story.attempts
