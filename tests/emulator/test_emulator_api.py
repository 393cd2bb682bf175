# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import base64
import json

import pytest
from emulator_clients import START, DirectClient, encoded

from airflow_provider_nebula_explorer.emulator import JobPlan
from airflow_provider_nebula_explorer.emulator.sessions import Sessions
from airflow_provider_nebula_explorer.emulator.state import ExplorerState

WRONG_PARAMETER, NO_SESSION, NOT_FOUND = 40004001, 40104001, 40404000


@pytest.mark.parametrize(
    ("encoding", "account", "status"),
    [
        ("json", '["root","stand-in-secret"]', 200),
        ("json", "root:stand-in-secret", 400),
        ("colon", "root:stand-in-secret", 200),
        ("colon", '["root","stand-in-secret"]', 400),
        ("both", '["root","stand-in-secret"]', 200),
        ("both", "root:stand-in-secret", 200),
        ("both", "root:wrong", 400),
    ],
)
def test_an_account_is_let_in_in_the_encodings_of_its_version(encoding: str, account: str, status: int):
    explorer = DirectClient(Sessions(encoding=encoding))  # type: ignore[arg-type]

    assert explorer.connect(account).status == status
    assert explorer.sessions.logins == (status == 200)


@pytest.mark.parametrize("password", ["a:b", "with space", 'a"quote', "pässwörd", "密码", "", "[1]"])
def test_a_password_may_hold_anything_in_both_encodings(password: str):
    explorer = DirectClient(Sessions(password=password, encoding="both"))

    assert explorer.connect(json.dumps(["root", password], ensure_ascii=False)).status == 200
    assert explorer.connect(f"root:{password}").status == 200


@pytest.mark.parametrize(
    "header",
    [
        f"Basic {encoded('[]')}",
        "Bearer",
        "Bearer !!!",
        f"Bearer {encoded('[' * 100_000)}",
        "Bearer /w==",
        f"Bearer {encoded('nobody')}",
        f"Bearer  {encoded('[]')}",
        encoded("[]"),
    ],
)
def test_a_malformed_header_is_refused_like_a_wrong_password(explorer: DirectClient, header: str):
    malformed = explorer.connect(header=header)

    assert malformed == explorer.connect('["root","wrong"]')
    assert malformed.status == 400
    assert json.loads(malformed.body) == {
        "code": 40004000,
        "message": "ErrBadRequest::failed to authenticate",
    }


def test_a_graphd_that_cannot_be_reached_is_refused_like_a_wrong_password():
    explorer = DirectClient(Sessions(graphd=("10.0.0.1", 9669)))

    refusal = explorer.connect()
    assert (refusal.status, json.loads(refusal.body)["code"]) == (400, 40004000)
    assert json.loads(refusal.body)["message"].startswith("ErrBadRequest::failed to authenticate")
    assert explorer.connect(body={"address": "10.0.0.1", "port": 9669}).status == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff",
        [],
        {},
        {"address": "graphd"},
        {"address": "graphd", "port": "9669"},
        {"address": "graphd", "port": True},
        {"address": "graphd", "port": 0},
        {"address": 7, "port": 9669},
    ],
)
def test_a_login_needs_an_address_and_a_port_that_is_a_number(explorer: DirectClient, body: object):
    refusal = explorer.connect(body=body)

    assert (refusal.status, json.loads(refusal.body)["code"]) == (400, WRONG_PARAMETER)


@pytest.mark.parametrize(
    ("form", "attributes"),
    [
        ("plain", "Path=/; Max-Age=60; HttpOnly"),
        ("secure", "Path=/; Max-Age=60; HttpOnly; Secure; SameSite=None"),
        ("misspelt", "Path=/; # Max-Age=60; HttpOnly"),
        ("bare", "Path=/; HttpOnly"),
    ],
)
def test_the_token_comes_in_a_cookie_of_the_form_chosen(form: str, attributes: str):
    cookie = DirectClient(Sessions(cookie=form, ttl=60)).connect().headers["Set-Cookie"]  # type: ignore[arg-type]

    name, _, rest = cookie.partition("=")
    assert (name, rest.split("; ", 1)[1]) == ("explorer_token", attributes)


def test_a_token_holds_the_password_in_clear_as_explorer_s_does():
    payload = DirectClient().connect().headers["Set-Cookie"].split(".")[1]

    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert (claims["username"], claims["password"]) == ("root", "stand-in-secret")


def test_every_login_gets_a_token_of_its_own(explorer: DirectClient):
    first, second = explorer.connect(), explorer.connect()

    assert first.headers["Set-Cookie"] != second.headers["Set-Cookie"]


CALLS = [
    ("GET", "/jobs"),
    ("GET", "/jobs/1"),
    ("GET", "/workflows/1/jobs"),
    ("POST", "/workflows/1/jobs"),
    ("PUT", "/jobs/1/cancel"),
    ("GET", "/jobs/1/tasks/a/sample_result"),
]


@pytest.mark.parametrize(("method", "path"), CALLS)
@pytest.mark.parametrize("cookie", ["", "explorer_token=", "explorer_token=eyJhb.eyJ.x", "other=1"])
def test_every_other_call_needs_the_token(method: str, path: str, cookie: str):
    explorer = DirectClient(headers={"cookie": cookie})

    response = explorer.send(method, path)
    assert (response.status, json.loads(response.body)) == (
        401,
        {"code": NO_SESSION, "message": "ErrSession"},
    )


def test_the_token_is_found_among_other_cookies(explorer: DirectClient):
    explorer.headers = {"cookie": f"theme=dark; {explorer.headers['cookie']}; lang=en"}

    assert explorer.listed() == []


def test_a_session_ends_with_its_time(explorer: DirectClient):
    explorer.now = START + explorer.sessions.ttl - 1
    assert explorer.listed() == []
    explorer.now = START + explorer.sessions.ttl

    assert explorer.call("GET", "/jobs") == NO_SESSION


def test_a_forgotten_session_is_refused(explorer: DirectClient):
    explorer.sessions.forget()

    assert explorer.call("GET", "/jobs") == NO_SESSION


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/job/1"),
        ("GET", "/jobs/"),
        ("POST", "/jobs"),
        ("DELETE", "/jobs/1"),
        ("GET", "/connect"),
    ],
)
def test_the_web_app_responds_to_an_unknown_path_or_method(method: str, path: str):
    response = DirectClient().send(method, path)

    assert (response.status, response.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert b"<html>" in response.body


@pytest.mark.parametrize("job_id", ["x", "-1", "1.5", "%2E%2E", "9" * 19, "9" * 30])
def test_an_id_that_is_no_number_is_a_wrong_parameter(explorer: DirectClient, job_id: str):
    assert explorer.call("GET", f"/jobs/{job_id}") == WRONG_PARAMETER


@pytest.mark.parametrize(("method", "path"), [("GET", "/jobs/7"), ("GET", "/jobs/7/tasks/a/sample_result")])
def test_a_job_that_does_not_exist_is_not_found(explorer: DirectClient, method: str, path: str):
    response = explorer.send(method, path, limit="1")

    assert (response.status, json.loads(response.body)["code"]) == (404, NOT_FOUND)
    assert explorer.cancel(7) == NOT_FOUND


def test_only_the_workflows_given_exist():
    explorer = DirectClient(state=ExplorerState({12: JobPlan(), "13": ("pagerank", JobPlan())}))
    explorer.connect()

    assert explorer.job(explorer.run(13))["workflowName"] == "pagerank"
    assert explorer.call("POST", "/workflows/14/jobs", {}) == NOT_FOUND
    assert explorer.call("GET", "/workflows/14/jobs") == NOT_FOUND


def test_every_workflow_exists_unless_some_are_given(explorer: DirectClient):
    assert explorer.listed("/workflows/14/jobs") == []


def test_job_ids_ascend(explorer: DirectClient):
    assert explorer.run(1) < explorer.run(2) < explorer.run(1)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        {},
        {"input": None},
        {"input": {}},
        {"input": {"query_1": {}}},
        {"input": {"query_1": {"a": "x", "b": 1.5}}},
    ],
)
def test_a_workflow_is_run_with_input_or_without(explorer: DirectClient, body: object):
    assert explorer.call("POST", "/workflows/12/jobs", body) == {"id": 101}


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        [],
        {"input": []},
        {"input": {"query_1": "x"}},
        {"input": {"query_1": {"a": None}}},
        {"input": {"query_1": {"a": True}}},
        {"input": {"query_1": {"a": ["x"]}}},
        b'{"input": {"query_1": {"a": NaN}}}',
    ],
)
def test_an_input_is_parameters_by_task_of_strings_and_numbers(explorer: DirectClient, body: object):
    assert explorer.call("POST", "/workflows/12/jobs", body) == WRONG_PARAMETER
    assert explorer.listed() == []


def test_an_input_must_be_sent_as_json(explorer: DirectClient):
    assert explorer.call("POST", "/workflows/12/jobs", {}, content_type="text/plain") == WRONG_PARAMETER


def test_a_list_shows_ten_jobs_the_newest_first_without_their_tasks(explorer: DirectClient):
    jobs = [explorer.run() for _ in range(12)]

    page = explorer.call("GET", "/jobs")
    assert [item["id"] for item in page["items"]] == jobs[:1:-1]
    assert (page["total"], page["Page"], page["PageSize"]) == (12, 1, 10)
    assert set(page["items"][0]) == set(explorer.job(jobs[0])) - {"tasks"}


def test_a_list_goes_on_over_pages(explorer: DirectClient):
    jobs = [explorer.run() for _ in range(5)]

    pages = [explorer.listed(page=str(page), pageSize="2") for page in (1, 2, 3, 4)]
    assert pages == [jobs[:2:-1], jobs[2:0:-1], jobs[:1], []]


def test_the_page_s_size_is_capped_and_returned():
    explorer = DirectClient(state=ExplorerState(max_page_size=3))
    explorer.connect()
    for _ in range(5):
        explorer.run()

    page = explorer.call("GET", "/jobs", pageSize="1000", page="2")
    assert (len(page["items"]), page["PageSize"], page["total"]) == (2, 3, 5)


@pytest.mark.parametrize(
    "query", [{"page": "0"}, {"page": "x"}, {"pageSize": "0"}, {"pageSize": "-5"}, {"page": "1.5"}]
)
def test_a_page_is_a_positive_number(explorer: DirectClient, query: dict[str, str]):
    assert explorer.call("GET", "/jobs", **query) == WRONG_PARAMETER


def test_a_workflow_s_list_shows_its_own_jobs(explorer: DirectClient):
    mine, _, mine_too = explorer.run(1), explorer.run(2), explorer.run(1)

    assert explorer.listed("/workflows/1/jobs") == [mine_too, mine]


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        ({}, ["late", "early"]),
        ({"name": "arl"}, ["early"]),
        ({"name": "ARL"}, []),
        ({"status": 1}, ["late"]),
        ({"status": 9}, []),
        ({"orderByCreateTime": "asc"}, ["early", "late"]),
        ({"orderByCreateTime": "desc"}, ["late", "early"]),
        ({"fromCreateTime": 1657593212505}, ["late", "early"]),
        ({"fromCreateTime": 1657593212506}, ["late"]),
        ({"toCreateTime": 1657593217505}, ["late", "early"]),
        ({"toCreateTime": 1657593217504}, ["early"]),
        ({"fromCreateTime": 1657593212506, "toCreateTime": 1657593217504}, []),
    ],
)
def test_a_filter_chooses_and_orders(
    explorer: DirectClient, criteria: dict[str, object], expected: list[str]
):
    ids = {
        name: explorer.state.add(1, {}, START + seconds, plan=JobPlan(running=5), name=name).id
        for name, seconds in (("early", 0), ("late", 5))
    }
    explorer.now = START + 5

    assert explorer.listed(criteria=criteria) == [ids[name] for name in expected]


@pytest.mark.parametrize(
    "criteria",
    [
        "{",
        "[]",
        "null",
        '{"nam": "x"}',
        '{"id": 101}',
        '{"name": 1}',
        '{"status": "2"}',
        '{"status": true}',
        '{"fromCreateTime": "1657593212505"}',
        '{"fromCreateTime": 1.5}',
        '{"toCreateTime": NaN}',
        '{"orderByCreateTime": "up"}',
    ],
)
def test_a_wrong_filter_is_a_wrong_parameter(explorer: DirectClient, criteria: str):
    assert explorer.call("GET", "/jobs", filter=criteria) == WRONG_PARAMETER
