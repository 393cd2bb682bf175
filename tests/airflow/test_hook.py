# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
import json
import logging
import re
import time
from datetime import datetime, timedelta, timezone

import pytest
import requests_mock as requests_mocking

from airflow_provider_nebula_explorer.emulator import Fault, JobPlan
from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerAmbiguousSubmitError,
    NebulaExplorerBadRequestError,
    NebulaExplorerConfigError,
    NebulaExplorerConnectionError,
    NebulaExplorerError,
    NebulaExplorerNotFoundError,
    NebulaExplorerServerError,
    NebulaExplorerTimeoutError,
)
from airflow_provider_nebula_explorer.explorer.models import JobStatus
from airflow_provider_nebula_explorer.hooks.nebula_explorer import NebulaExplorerHook

SUCCESS = {"code": 0, "data": {"success": True}, "message": "Success"}


def test_constructing_a_hook_looks_up_no_connection():
    assert NebulaExplorerHook("no_such_connection").nebula_explorer_conn_id == "no_such_connection"
    assert NebulaExplorerHook().nebula_explorer_conn_id == "nebula_explorer_default"


def test_get_job(hook, emulator):
    job_id = emulator.start_job(5, plan=JobPlan(running=0))
    assert hook.get_job(job_id).data == emulator.job(job_id)
    assert hook.get_job(str(job_id)).status is JobStatus.SUCCESS
    assert hook.get_job_status(job_id) is JobStatus.SUCCESS


def test_a_job_that_is_not_there(hook):
    with pytest.raises(NebulaExplorerNotFoundError):
        hook.get_job(1)


@pytest.mark.parametrize("bad", ["../1", True, -1, "1 or 2"])
def test_a_wrong_id_is_refused_before_any_request(hook, emulator, bad):
    for call in (
        lambda: hook.get_job(bad),
        lambda: hook.get_job_status(bad),
        lambda: hook.cancel_job(bad),
        lambda: hook.run_workflow(bad),
        lambda: hook.list_jobs(bad),
        lambda: hook.get_task_result(bad, "f" * 32),
        lambda: hook.wait_for_job(bad),
    ):
        with pytest.raises(NebulaExplorerConfigError):
            call()
    assert emulator.count() == 0


def test_a_thousand_jobs_are_one_login_and_one_connection(hook, emulator):
    job_id = emulator.start_job(5)
    for _ in range(1000):
        hook.get_job(job_id)
    assert (emulator.logins, emulator.connections, emulator.count()) == (1, 1, 1001)


def test_list_jobs_fetches_pages_as_they_are_needed(hook, emulator):
    for _ in range(250):
        emulator.start_job(5)
    jobs = hook.list_jobs(5)
    assert emulator.count() == 0
    first = list(itertools.islice(jobs, 100))
    assert emulator.count("list_workflow_jobs") == 1
    assert [job.id for job in [*first, *jobs]] == list(range(350, 100, -1))
    assert emulator.count("list_workflow_jobs") == 3


def test_list_jobs_takes_filters_and_a_limit(hook, emulator):
    now = emulator.now()
    old = emulator.start_job(5, created=now - 100, plan=JobPlan(running=0), name="nightly_1")
    new = emulator.start_job(5, created=now - 50, plan=JobPlan(running=0, ends=JobStatus.FAILED))
    other = emulator.start_job(6, created=now - 50, plan=JobPlan(running=0))

    def found(*args, **kwargs):
        return [job.id for job in hook.list_jobs(*args, **kwargs)]

    assert set(found()) == {old, new, other}
    assert found(5) == [new, old]
    assert found("5", order="asc") == [old, new]
    assert found(5, limit=1) == [new]
    assert found(5, name="nightly") == [old]
    assert found(5, status="failed") == found(5, status=3) == found(5, status=JobStatus.FAILED) == [new]
    between = datetime.fromtimestamp(now - 75, timezone.utc)
    assert found(5, created_after=between) == [new]
    assert found(5, created_before=between) == [old]


def test_a_small_limit_takes_a_small_page(hook, emulator):
    list(hook.list_jobs(5, limit=3))
    assert emulator.calls[-1].query["pageSize"] == "3"


@pytest.mark.parametrize(
    "arguments",
    [
        {"status": "done"},
        {"created_after": datetime(2024, 1, 1)},
        {"order": "up"},
        {"limit": 0},
        {"name": ""},
    ],
)
def test_a_wrong_argument_of_a_list_is_refused_at_once(hook, emulator, arguments):
    with pytest.raises(NebulaExplorerConfigError, match=f"{next(iter(arguments))} is"):
        hook.list_jobs(5, **arguments)
    assert emulator.count() == 0


def test_run_workflow(hook, emulator):
    job_id = hook.run_workflow("5", {"query_1": {"limit": 10}})
    assert emulator.input(job_id) == {"query_1": {"limit": 10}}


@pytest.mark.parametrize(
    "fault",
    [
        Fault("lost", "run_workflow"),
        Fault("reset", "run_workflow"),
        Fault("truncate", "run_workflow"),
        Fault("status", "run_workflow", status=503),
        Fault("status", "run_workflow", status=429),
        Fault("html", "run_workflow"),
        Fault("garbage", "run_workflow"),
    ],
    ids=lambda fault: f"{fault.kind}{fault.status or ''}",
)
def test_a_submit_whose_response_is_lost_makes_one_job(explorer, emulator, fault, pauses):
    explorer.set_connection(extra={"max_retries": 5})
    emulator.start_job(5)
    emulator.fail(fault)
    with NebulaExplorerHook() as hook:
        job_id = hook.run_workflow(5)
    assert [job["id"] for job in emulator.jobs] == [101, job_id]


def test_a_submit_whose_response_is_lost_beside_other_jobs_names_them_all(hook, emulator, monkeypatch):
    emulator.fail(Fault("lost", "run_workflow"))
    monkeypatch.setattr(
        time, "sleep", lambda _: len(emulator.jobs) < 2 and emulator.start_job(5, name="nightly")
    )
    with pytest.raises(NebulaExplorerAmbiguousSubmitError, match="nightly.*, created 20.* UTC, ") as raised:
        hook.run_workflow(5)
    assert {job.id for job in raised.value.candidates} == {101, 102}
    assert len(emulator.jobs) == 2
    assert emulator.count("run_workflow") == 1


def test_a_refused_submit_is_an_error_and_not_ambiguous(hook, emulator):
    emulator.fail(Fault("code", "run_workflow", code=50004002))
    with pytest.raises(NebulaExplorerServerError):
        hook.run_workflow(5)
    assert emulator.count("run_workflow") == 1


def test_cancel_job_stops_a_running_job(hook, emulator):
    job_id = emulator.start_job(5, plan=JobPlan(running=1000, stopping=100))
    assert hook.cancel_job(job_id) is None
    assert hook.get_job_status(job_id) is JobStatus.STOPPING
    emulator.advance(100)
    assert hook.get_job_status(job_id) is JobStatus.INTERRUPTED


def test_cancelling_a_final_job_is_a_bad_request(hook, emulator):
    with pytest.raises(NebulaExplorerBadRequestError):
        hook.cancel_job(emulator.start_job(5, plan=JobPlan(running=0)))


def test_cancelling_a_final_job_is_no_error_if_that_is_requested(hook, emulator):
    job_id = emulator.start_job(5, plan=JobPlan(running=0))
    assert hook.cancel_job(job_id, ignore_final=True) is None
    assert hook.get_job_status(job_id) is JobStatus.SUCCESS


def test_a_refused_cancel_of_a_running_job_is_an_error_all_the_same(hook, emulator):
    job_id = emulator.start_job(5, plan=JobPlan(running=1000))
    emulator.fail(Fault("code", "cancel_job", code=40004000))
    with pytest.raises(NebulaExplorerBadRequestError):
        hook.cancel_job(job_id, ignore_final=True)


def test_the_workflows_of_the_newest_jobs(hook, emulator):
    jobs = [emulator.job(emulator.start_job(workflow)) for workflow in (7, 5, 6, 5)]
    names = {job["workflowId"]: job["workflowName"] for job in jobs}
    assert list(hook.list_workflows().items()) == [(key, names[key]) for key in ("5", "6", "7")]
    assert list(hook.list_workflows(jobs=2)) == ["5", "6"]


def test_a_cancel_whose_first_response_was_lost_is_no_error(explorer, emulator):
    explorer.set_connection(extra={"max_retries": 1})
    job_id = emulator.start_job(5, plan=JobPlan(running=100, stopping=100))
    emulator.fail(Fault("lost", "cancel_job"), Fault("code", "cancel_job", code=40004000))
    with NebulaExplorerHook() as hook:
        hook.cancel_job(job_id)


def test_get_task_result(hook, emulator):
    job_id = emulator.start_job(5, plan=JobPlan(running=0))
    task = hook.get_job(job_id).tasks[0]
    assert hook.get_task_result(job_id, task.id) == [["player110", "0.150000"], ["player106", "0.120000"]]
    assert hook.get_task_result(str(job_id), task.id, limit=1) == [["player110", "0.150000"]]


def test_a_result_by_the_tasks_name(hook, emulator):
    job_id = emulator.start_job(5, plan=JobPlan(running=0))
    task = hook.get_job(job_id).tasks[0]
    assert hook.get_task_result(job_id, name=task.name) == hook.get_task_result(job_id, task.id)
    with pytest.raises(NebulaExplorerConfigError, match=rf"'x', which matches 0 tasks.*{task.id}"):
        hook.get_task_result(job_id, name="x")


@pytest.mark.parametrize(("limit", "warnings"), [(2, 1), (3, 0)])
def test_a_result_that_reaches_its_limit_is_warned_of(hook, emulator, caplog, limit, warnings):
    job_id = emulator.start_job(5, plan=JobPlan(running=0))
    assert len(hook.get_task_result(job_id, hook.get_job(job_id).tasks[0].id, limit)) == 2
    assert caplog.text.count("The limit of 2 rows was reached") == warnings


@pytest.mark.parametrize("names", [{}, {"task_id": "f" * 32, "name": "x"}])
def test_a_result_needs_either_an_id_or_a_name(hook, emulator, names):
    with pytest.raises(NebulaExplorerConfigError, match="exactly one of the two"):
        hook.get_task_result(1, **names)
    assert emulator.count() == 0


@pytest.fixture
def forgetful(hook):
    """Explorer reports success about what does not exist, as Go does without a check."""
    with requests_mocking.Mocker() as explorer:
        explorer.post(requests_mocking.ANY, json=SUCCESS, headers={"Set-Cookie": "explorer_token=abc"})
        explorer.put(re.compile("/jobs/7/cancel"), json=SUCCESS)
        explorer.get(re.compile("/sample_result"), json={"code": 0, "data": {"items": None}})
        yield explorer


@pytest.mark.parametrize("data", [None, {"id": 0, "status": 0}])
def test_a_success_about_a_job_that_does_not_exist_is_not_believed(hook, forgetful, data):
    forgetful.get(re.compile("/jobs/7$"), json={"code": 0, "data": data})
    for call in (
        lambda: hook.get_job_status(7),
        lambda: hook.cancel_job(7),
        lambda: hook.get_task_result(7, "f" * 32),
    ):
        with pytest.raises(NebulaExplorerNotFoundError, match="jobs/7: Explorer reports success, but"):
            call()


def test_an_empty_result_is_of_a_task_that_the_job_has(hook, forgetful):
    tasks = [{"id": "f" * 32, "status": 2}]
    forgetful.get(re.compile("/jobs/7$"), json={"code": 0, "data": {"id": 7, "status": 2, "tasks": tasks}})
    assert hook.get_task_result(7, "F" * 32) == []
    with pytest.raises(NebulaExplorerNotFoundError, match="Job 7 has no task 0000"):
        hook.get_task_result(7, "0" * 32)


def test_details_that_cannot_be_read_do_not_undo_a_cancellation(hook, forgetful):
    forgetful.get(re.compile("/jobs/7$"), status_code=403)
    assert hook.cancel_job(7) is None


@pytest.mark.parametrize("arguments", [("x",), ("f" * 32, 0), ("../" + "f" * 29,)])
def test_wrong_arguments_of_a_result_are_refused_before_any_request(hook, emulator, arguments):
    with pytest.raises(NebulaExplorerConfigError):
        hook.get_task_result(1, *arguments)
    assert emulator.count() == 0


def test_wait_for_job_returns_the_final_job_and_logs_changes(hook, emulator, caplog):
    caplog.set_level(logging.INFO)
    job_id = emulator.start_job(
        5, plan=JobPlan(preparing=3, running=3, ends=JobStatus.FAILED), name="nightly"
    )
    job = hook.wait_for_job(job_id, poll_interval=0.02, timeout=30)
    assert job.data == emulator.job(job_id)
    lines = [r.getMessage() for r in caplog.records if f"Job {job_id} (nightly)" in r.getMessage()]
    assert [line.split(" is ")[-1].split(",")[0].rstrip(".") for line in lines[:3]] == [
        "PREPARING",
        "RUNNING",
        "FAILED",
    ]
    assert any("pagerank_1" in record.getMessage() for record in caplog.records)
    assert emulator.count("get_job") == 6, "a line is logged when the status changes, not at every poll"


def test_a_wait_that_runs_out_of_time(hook, emulator):
    job_id = emulator.start_job(5, plan=JobPlan(running=1000))
    with pytest.raises(NebulaExplorerTimeoutError, match=rf"Job {job_id} was not final after 0\.1 s"):
        hook.wait_for_job(job_id, poll_interval=0.03, timeout=0.1)
    assert isinstance(NebulaExplorerTimeoutError(), TimeoutError)


def test_times_of_a_wait_may_be_timedeltas(hook, emulator):
    job_id = emulator.start_job(5, plan=JobPlan(running=1000))
    with pytest.raises(NebulaExplorerTimeoutError, match=r"after 0\.1 s"):
        hook.wait_for_job(job_id, poll_interval=timedelta(seconds=0.1), timeout=timedelta(milliseconds=100))


@pytest.mark.parametrize("arguments", [{"poll_interval": 0}, {"timeout": -1}, {"poll_interval": "5"}])
def test_wrong_times_of_a_wait_are_refused(hook, arguments):
    with pytest.raises(NebulaExplorerConfigError):
        hook.wait_for_job(1, **arguments)


def test_a_wait_outlives_failed_polls(explorer, emulator):
    explorer.set_connection(extra={"max_consecutive_failures": 3})
    job_id = emulator.start_job(5, plan=JobPlan(running=0))
    emulator.fail(Fault("status", "get_job", times=2))
    with NebulaExplorerHook() as hook:
        assert hook.wait_for_job(job_id, poll_interval=0.01).status.is_success


def test_a_wait_ends_when_it_cannot_observe_the_job(explorer, emulator):
    explorer.set_connection(extra={"max_consecutive_failures": 3})
    emulator.fail(Fault("status", "get_job", times=None))
    with (
        NebulaExplorerHook() as hook,
        pytest.raises(NebulaExplorerConnectionError, match=r"Cannot observe job 7: 3 polls in a row failed"),
    ):
        hook.wait_for_job(7, poll_interval=0.01)
    assert emulator.count("get_job") == 3


def test_a_hook_stays_usable_after_it_is_closed(hook, emulator):
    job_id = emulator.start_job(5)
    hook.get_job(job_id)
    hook.close()
    assert hook.get_job(job_id).id == job_id
    assert emulator.logins == 1


def open_connections(hook):
    return len(hook.get_conn()._http.get_adapter(hook.settings.base_url).poolmanager.pools)


def test_leaving_a_hooks_block_closes_its_connection(explorer, emulator):
    with NebulaExplorerHook() as hook:
        hook.get_job(emulator.start_job(5))
        assert open_connections(hook) == 1
    assert open_connections(hook) == 0


def test_the_hook_over_requests_mock(monkeypatch):
    connection = {"conn_type": "nebula_explorer", "host": "graph", "login": "root", "password": "nebula"}
    text = json.dumps({**connection, "extra": {"nebula_address": "graphd"}})
    monkeypatch.setenv("AIRFLOW_CONN_NEBULA_EXPLORER_DEFAULT", text)
    root = "http://graph:7002/api-open/v1"
    with requests_mocking.Mocker() as explorer, NebulaExplorerHook() as hook:
        explorer.post(
            f"{root}/connect",
            json={"code": 0, "data": {"success": True}, "message": "Success"},
            headers={"Set-Cookie": "explorer_token=abc; Path=/; # Max-Age=259200; HttpOnly"},
        )
        explorer.get(
            f"{root}/jobs/7",
            json={"code": 0, "data": {"id": 7, "status": 1}},
            request_headers={"Cookie": "explorer_token=abc"},
        )
        assert hook.get_job_status(7) is JobStatus.RUNNING
        assert explorer.request_history[0].json() == {"address": "graphd", "port": 9669}


def test_every_error_is_of_one_tree():
    from airflow_provider_nebula_explorer import exceptions

    classes = [value for name, value in vars(exceptions).items() if name.startswith("NebulaExplorer")]
    assert len(classes) == 13
    assert all(issubclass(error_class, NebulaExplorerError) for error_class in classes)
