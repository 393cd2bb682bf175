# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from emulator_clients import START, DirectClient

from airflow_provider_nebula_explorer.emulator import JobPlan, TaskPlan
from airflow_provider_nebula_explorer.explorer.models import JobStatus, parse_job

PREPARING, RUNNING, SUCCESS, FAILED, INTERRUPTED, STOPPING = range(6)
THREE = (TaskPlan("one"), TaskPlan("two"), TaskPlan("three"))


def planned(explorer: DirectClient, **plan: object) -> int:
    explorer.state.plan(12, [JobPlan(**plan)])  # type: ignore[arg-type]
    return explorer.run(12)


def statuses(explorer: DirectClient, job_id: int, *moments: float) -> list[tuple[int, list[int]]]:
    """Return the status of a job and of its tasks at moments after the start."""
    seen = []
    for moment in moments:
        explorer.now = START + moment
        job = explorer.job(job_id)
        seen.append((job["status"], [task["status"] for task in job["tasks"]]))
    return seen


def test_a_job_prepares_runs_its_tasks_one_after_the_other_and_succeeds(explorer: DirectClient):
    job_id = planned(explorer, preparing=1, running=3, tasks=THREE)

    assert statuses(explorer, job_id, 0, 1, 2, 3, 3.9, 4) == [
        (PREPARING, [PREPARING, PREPARING, PREPARING]),
        (RUNNING, [RUNNING, PREPARING, PREPARING]),
        (RUNNING, [SUCCESS, RUNNING, PREPARING]),
        (RUNNING, [SUCCESS, SUCCESS, RUNNING]),
        (RUNNING, [SUCCESS, SUCCESS, RUNNING]),
        (SUCCESS, [SUCCESS, SUCCESS, SUCCESS]),
    ]


def test_a_job_may_run_in_a_status_of_a_newer_explorer(explorer: DirectClient):
    job_id = planned(explorer, preparing=1, running=3, runs_as=9)
    assert [status for status, _ in statuses(explorer, job_id, 0, 1, 3.9, 4)] == [PREPARING, 9, 9, SUCCESS]


def test_a_job_without_times_is_finished_at_once(explorer: DirectClient):
    job_id = planned(explorer, preparing=0, running=0)

    assert statuses(explorer, job_id, 0) == [(SUCCESS, [SUCCESS, SUCCESS])]


def test_a_job_may_have_no_tasks(explorer: DirectClient):
    job_id = planned(explorer, tasks=())

    assert statuses(explorer, job_id, 0, 1) == [(RUNNING, []), (SUCCESS, [])]


@pytest.mark.parametrize(("end", "code"), [(JobStatus.FAILED, FAILED), (JobStatus.INTERRUPTED, INTERRUPTED)])
def test_a_job_that_does_not_succeed_ends_at_its_last_task(explorer: DirectClient, end: JobStatus, code: int):
    job_id = planned(explorer, running=3, tasks=THREE, ends=end)

    assert statuses(explorer, job_id, 3) == [(code, [SUCCESS, SUCCESS, code])]


def test_tasks_after_the_one_that_fails_are_interrupted_and_never_begin(explorer: DirectClient):
    tasks = (TaskPlan("one"), TaskPlan("two", fails=True), TaskPlan("three"))
    job_id = planned(explorer, running=2, tasks=tasks, ends=JobStatus.FAILED)

    assert statuses(explorer, job_id, 1, 2) == [
        (RUNNING, [SUCCESS, RUNNING, PREPARING]),
        (FAILED, [SUCCESS, FAILED, INTERRUPTED]),
    ]
    assert explorer.job(job_id)["tasks"][2]["runBeginTime"] == ""


def test_a_job_without_an_end_runs_until_it_is_cancelled(explorer: DirectClient):
    job_id = planned(explorer, ends=None, stopping=5)
    explorer.now = START + 1e5
    explorer.cancel(job_id)

    assert statuses(explorer, job_id, 1e5 - 1, 1e5 + 4, 1e5 + 5) == [
        (STOPPING, [SUCCESS, STOPPING]),
        (STOPPING, [SUCCESS, STOPPING]),
        (INTERRUPTED, [SUCCESS, INTERRUPTED]),
    ]


def test_a_cancelled_job_stops_and_then_is_interrupted_with_the_tasks_it_did_not_finish(
    explorer: DirectClient,
):
    job_id = planned(explorer, running=3, stopping=2, tasks=THREE)
    explorer.now = START + 1.5
    assert explorer.cancel(job_id) == {"success": True}

    assert statuses(explorer, job_id, 1.5, 3.4, 3.5, 100) == [
        (STOPPING, [SUCCESS, STOPPING, PREPARING]),
        (STOPPING, [SUCCESS, STOPPING, PREPARING]),
        (INTERRUPTED, [SUCCESS, INTERRUPTED, INTERRUPTED]),
        (INTERRUPTED, [SUCCESS, INTERRUPTED, INTERRUPTED]),
    ]


def test_a_job_cancelled_while_it_prepares_never_runs(explorer: DirectClient):
    job_id = planned(explorer, preparing=10, stopping=1)
    explorer.cancel(job_id)
    explorer.now = START + 60

    job = explorer.job(job_id)
    assert (job["status"], job["runBeginTime"], job["runEndTime"]) == (INTERRUPTED, 0, 1657593213505)


def test_cancelling_a_stopping_job_again_succeeds_and_changes_nothing(explorer: DirectClient):
    job_id = planned(explorer, running=10, stopping=2)
    explorer.cancel(job_id)
    explorer.now = START + 1.5

    assert explorer.cancel(job_id) == {"success": True}
    assert statuses(explorer, job_id, 2)[0][0] == INTERRUPTED


def test_a_final_job_cannot_be_cancelled(explorer: DirectClient):
    job_id = planned(explorer, running=0)

    assert explorer.cancel(job_id) == 40004000


def test_cancelling_needs_the_form_s_content_type(explorer: DirectClient):
    job_id = planned(explorer)

    assert explorer.call("PUT", f"/jobs/{job_id}/cancel", content_type="application/json") == 40004001


def test_times_are_milliseconds_in_a_job_and_local_text_in_its_tasks(explorer: DirectClient):
    plan = JobPlan(preparing=2.5, running=3, tasks=(TaskPlan("BFS"),))
    explorer.state.plan(3992429968, [plan], "workflow_xkkjf")
    job_id = explorer.run(3992429968)
    explorer.now = START + 10

    job = explorer.job(job_id)
    task = job["tasks"][0]
    assert len(task.pop("id")) == 32
    assert job == {
        "id": job_id,
        "name": "workflow_xkkjf_20220712103332",
        "workflowId": "3992429968",
        "workflowName": "workflow_xkkjf",
        "status": 2,
        "runBeginTime": 1657593215005,
        "runEndTime": 1657593218005,
        "createTime": 1657593212505,
        "tasks": [task],
    }
    assert task == {
        "name": "BFS",
        "runBeginTime": "2022-07-12T10:33:35+08:00",
        "runEndTime": "2022-07-12T10:33:38+08:00",
        "status": 2,
    }


def test_times_that_have_not_come_are_zero_in_a_job_and_empty_in_its_tasks(explorer: DirectClient):
    job = explorer.job(planned(explorer, preparing=5))

    assert (job["runBeginTime"], job["runEndTime"]) == (0, 0)
    assert {(task["runBeginTime"], task["runEndTime"]) for task in job["tasks"]} == {("", "")}


def test_the_client_s_models_read_what_the_emulator_returns(explorer: DirectClient):
    job_id = planned(explorer, running=2)
    explorer.now = START + 2

    job = parse_job(explorer.job(job_id))
    assert (job.status, job.duration.total_seconds()) == (JobStatus.SUCCESS, 2)  # type: ignore[union-attr]


def test_a_plan_applies_to_the_jobs_that_come_after_it(explorer: DirectClient):
    before = planned(explorer, running=100)
    after = planned(explorer, running=0)

    assert [explorer.job(job_id)["status"] for job_id in (before, after)] == [RUNNING, SUCCESS]


def test_a_list_of_plans_is_one_for_each_next_job_and_the_last_stays(explorer: DirectClient):
    explorer.state.plan(12, [JobPlan(running=0), JobPlan(running=0, ends=JobStatus.FAILED)])
    given = explorer.state.add(12, {}, START, plan=JobPlan(running=100)).id
    jobs = [explorer.run(12) for _ in range(3)]

    assert [explorer.job(job_id)["status"] for job_id in (given, *jobs)] == [RUNNING, SUCCESS, FAILED, FAILED]


def test_a_list_of_plans_is_not_empty(explorer: DirectClient):
    with pytest.raises(ValueError, match="allowed: 1 or more"):
        explorer.state.plan(12, [])


def test_a_result_is_there_once_its_task_succeeded(explorer: DirectClient):
    rows = (("player110", "0.15"), ("player106", "0.12"), ("player101", "0.1"))
    job_id = planned(explorer, running=2, tasks=(TaskPlan("one", rows), TaskPlan("two")))
    path = f"/jobs/{job_id}/tasks/{explorer.job(job_id)['tasks'][0]['id']}/sample_result"

    assert explorer.call("GET", path, limit="2") == {"items": []}
    explorer.now = START + 1
    assert explorer.call("GET", path, limit="2") == {"items": [["player110", "0.15"], ["player106", "0.12"]]}


def test_a_cell_of_a_result_may_be_null(explorer: DirectClient):
    job_id = planned(explorer, running=0, tasks=(TaskPlan("one", (("player110", None), (None, "0.12"))),))
    task_id = explorer.job(job_id)["tasks"][0]["id"]

    response = explorer.send("GET", f"/jobs/{job_id}/tasks/{task_id}/sample_result", limit="2")
    assert b'[["player110", null], [null, "0.12"]]' in response.body


def test_a_task_that_failed_has_no_rows(explorer: DirectClient):
    job_id = planned(explorer, running=0, ends=JobStatus.FAILED, tasks=(TaskPlan("one"),))
    task_id = explorer.job(job_id)["tasks"][0]["id"]

    assert explorer.call("GET", f"/jobs/{job_id}/tasks/{task_id}/sample_result", limit="2") == {"items": []}


@pytest.mark.parametrize("limit", [{}, {"limit": "0"}, {"limit": "-1"}, {"limit": "ten"}, {"limit": ""}])
def test_a_result_needs_a_positive_limit(explorer: DirectClient, limit: dict[str, str]):
    job_id = planned(explorer, running=0)
    task_id = explorer.job(job_id)["tasks"][0]["id"]

    assert explorer.call("GET", f"/jobs/{job_id}/tasks/{task_id}/sample_result", **limit) == 40004001


def test_a_task_of_another_job_is_not_found(explorer: DirectClient):
    one, other = planned(explorer, running=0), planned(explorer, running=0)
    task_id = explorer.job(other)["tasks"][0]["id"]

    assert explorer.call("GET", f"/jobs/{one}/tasks/{task_id}/sample_result", limit="1") == 40404000
