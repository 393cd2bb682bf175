# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from datetime import datetime, timezone
from urllib.parse import parse_qs, urlsplit

import pytest
from factories import PUBLISHED_JOB, settings

from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerConfigError,
)
from airflow_provider_nebula_explorer.explorer.client import api
from airflow_provider_nebula_explorer.explorer.client.limits import MOST_ITEMS
from airflow_provider_nebula_explorer.explorer.client.protocol import NothingThereError, OtherSubjectError
from airflow_provider_nebula_explorer.explorer.models import JobStatus

TASK = "f93dea90fc3a11ecac7e6da0662c195b"


def line(call):
    return f"{call.request.method} {call.request.target}"


def query(call):
    return {name: value for name, (value,) in parse_qs(urlsplit(call.request.target).query).items()}


@pytest.mark.parametrize(
    ("encoding", "header"), [("json", "Bearer WyJyb290IiwiMTIzIl0="), ("colon", "Bearer cm9vdDoxMjM=")]
)
def test_connect_sends_the_account_in_the_published_encodings(encoding, header):
    account = settings().account.__class__("root", "123", "10.0.0.9", 9669)
    call = api.connect(account, encoding)
    assert line(call) == "POST /api-open/v1/connect"
    assert call.request.headers == {"Content-Type": "application/json", "Authorization": header}
    assert json.loads(call.request.body) == {"address": "10.0.0.9", "port": 9669}


def test_add_job_sends_the_input_and_reads_the_id():
    call = api.add_job("3992429968", {"query_1": {"limit": 10}})
    assert line(call) == "POST /api-open/v1/workflows/3992429968/jobs"
    assert call.request.headers == {"Content-Type": "application/json"}
    assert json.loads(call.request.body) == {"input": {"query_1": {"limit": 10}}}
    assert call.read({"id": 107}) == call.read({"id": "107"}) == 107
    assert not call.is_repeatable


def test_add_job_without_input_sends_none():
    assert json.loads(api.add_job(1).request.body) == {}


def test_get_job_reads_the_details():
    call = api.get_job("1964")
    assert line(call) == "GET /api-open/v1/jobs/1964"
    assert call.read(PUBLISHED_JOB).id == 1964
    assert call.is_repeatable


def test_cancel_job_is_a_form_without_a_body():
    call = api.cancel_job(1964)
    assert line(call) == "PUT /api-open/v1/jobs/1964/cancel"
    assert call.request.headers == {"Content-Type": "application/x-www-form-urlencoded"}
    assert call.request.body is None
    assert call.is_repeatable
    with pytest.raises(ValueError, match="success"):
        call.read({"success": False})


def test_get_task_result_always_sends_the_limit():
    call = api.get_task_result(1964, TASK)
    assert line(call) == f"GET /api-open/v1/jobs/1964/tasks/{TASK}/sample_result?limit=10"
    assert call.read({"items": [["player110", "0.150000"]]}) == [["player110", "0.150000"]]


@pytest.mark.parametrize("data", [{"items": None}, {}, None])
def test_a_result_without_rows_is_empty(data):
    assert api.get_task_result(1, TASK).read(data) == []


def test_a_list_is_of_one_workflow_or_of_all():
    assert api.list_jobs(7, {}, 1, 10).request.path == "/api-open/v1/workflows/7/jobs"
    assert api.list_jobs(None, {}, 1, 10).request.path == "/api-open/v1/jobs"


def test_a_filter_is_url_encoded_json_with_numbers_as_numbers():
    since = datetime(2022, 7, 12, 2, 33, 32, 505000, tzinfo=timezone.utc)
    fields = api.job_filter(
        name='a "b" & ü',
        status="failed",
        created_after=since,
        created_before="2022-07-13T00:00:00Z",
        order="asc",
    )
    sent = query(api.list_jobs(None, fields, 3, 50))
    assert json.loads(sent["filter"]) == {
        "name": 'a "b" & ü',
        "status": 3,
        "fromCreateTime": 1657593212505,
        "toCreateTime": 1657670400000,
        "orderByCreateTime": "asc",
    }
    assert (sent["pageSize"], sent["page"]) == ("50", "3")


def test_a_target_holds_only_url_characters():
    assert api.list_jobs(None, api.job_filter(name="ü &#?/ \r\n"), 1, 10).request.target.isascii()
    assert not set(api.list_jobs(None, api.job_filter(name="ü &#? \r\n"), 1, 10).request.target) & set(
        ' #\r\n"{}'
    )


@pytest.mark.parametrize("bad", ["../1", True, -1, "1 or 2", "1/cancel"])
def test_no_other_id_reaches_a_url(bad):
    for make in (
        lambda: api.get_job(bad),
        lambda: api.cancel_job(bad),
        lambda: api.add_job(bad),
        lambda: api.list_jobs(bad, {}, 1, 10),
        lambda: api.get_task_result(bad, TASK),
    ):
        with pytest.raises(NebulaExplorerConfigError, match="allowed: a whole number"):
            make()


@pytest.mark.parametrize(
    "data", [[], {"items": 5}, {"items": [{}]}, {"items": [5]}, {"items": ["x"]}, {"items": {"a": 1}}]
)
def test_a_list_of_another_shape_is_a_value_error(data):
    with pytest.raises(ValueError, match=r"list|whole number|job"):
        api.list_jobs(None, {}, 1, 10).read(data)


@pytest.mark.parametrize(
    "data", [None, {}, {"id": None}, {"id": "x"}, {"id": -1}, {"id": 0}, {"id": "0"}, "107"]
)
def test_a_new_job_without_an_id_is_a_value_error(data):
    with pytest.raises(ValueError, match="'id'"):
        api.add_job(1).read(data)


ZERO_JOB = {
    "id": 0,
    "name": "",
    "workflowId": "",
    "workflowName": "",
    "status": 0,
    "tasks": None,
    "runBeginTime": 0,
    "runEndTime": 0,
    "createTime": "0001-01-01T00:00:00Z",
}


@pytest.mark.parametrize("data", [ZERO_JOB, None, {}, {"status": 0}, {"id": "0"}, {"id": None, "tasks": []}])
def test_zero_values_are_no_job(data):
    with pytest.raises(NothingThereError):
        api.get_job(1964).read(data)
    assert api.list_jobs(None, {}, 1, 10).read({"items": [ZERO_JOB]}).items == ()
    assert api.list_summaries(None, status=None, created_from=0, page_size=9).read(
        {"items": [ZERO_JOB]}
    ) == api.Page((), 1, 9, None)


def test_details_of_another_job_are_not_believed():
    with pytest.raises(OtherSubjectError, match="about job 1964, not about job 7"):
        api.get_job(7).read(PUBLISHED_JOB)


@pytest.mark.parametrize(
    "list_call",
    [
        lambda workflow_id: api.list_jobs(workflow_id, {}, 1, 10),
        lambda workflow_id: api.list_summaries(workflow_id, status=None, created_from=0, page_size=10),
    ],
    ids=["jobs", "summaries"],
)
def test_a_list_of_one_workflow_leaves_out_the_jobs_of_others(list_call):
    workflows = ("7", 7, None, "", "8", 70)
    items = [{"id": number, "status": 1, "workflowId": it} for number, it in enumerate(workflows, 1)]
    page = list_call("007").read({"items": items, "total": 6})
    assert [job.id for job in page.items] == [1, 2, 3, 4]
    assert (page.length, page.is_whole_list) == (6, True)
    assert len(list_call(None).read({"items": items}).items) == 6


@pytest.mark.parametrize(
    "list_call",
    [api.list_jobs(7, {}, 1, 10), api.list_summaries(7, status=None, created_from=0, page_size=10)],
    ids=["jobs", "summaries"],
)
def test_a_page_is_of_limited_length(list_call):
    items = [{"id": number, "status": 1, "workflowId": "7"} for number in range(1, MOST_ITEMS + 2)]
    assert list_call.read({"items": items[:-1]}).length == MOST_ITEMS
    with pytest.raises(ValueError, match="a page of 10 jobs has more than 2000"):
        list_call.read({"items": items})


@pytest.mark.parametrize("data", [None, {}, {"items": None}, {"items": []}])
def test_a_list_of_nothing_is_empty(data):
    page = api.list_jobs(7, {}, 1, 10).read(data)
    assert (page.items, page.is_last) == ((), True)


def test_a_cell_of_nothing_is_empty():
    read = api.get_task_result(1, TASK).read
    assert read({"items": [["player110", None, 1]]}) == [["player110", "", "1"]]


@pytest.mark.parametrize("data", [{"items": 5}, {"items": [5]}, {"items": "text"}])
def test_rows_of_another_shape_are_a_value_error(data):
    with pytest.raises(ValueError, match="rows"):
        api.get_task_result(1, TASK).read(data)


def test_statuses_in_a_filter_are_plain_numbers():
    assert type(api.job_filter(status=JobStatus.FAILED)["status"]) is int


@pytest.mark.parametrize("name", ["", 5])
def test_a_name_is_text(name):
    with pytest.raises(NebulaExplorerConfigError, match="name is"):
        api.job_filter(name=name)
