# SPDX-License-Identifier: Apache-2.0
"""An emulator that behaves as a doctor's report says."""

from __future__ import annotations

import json
from dataclasses import fields
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest
from emulator_clients import JSON_ACCOUNT, START, Client, DirectClient

from airflow_provider_nebula_explorer.emulator import Deviations, Emulator, JobPlan
from airflow_provider_nebula_explorer.emulator.state import ExplorerState

NOW = 1_700_000_000.0


def explorer(**facts: Any) -> DirectClient:
    """An Explorer that deviates, with five jobs of workflow 12, one a second; the first two have ended."""
    deviations = Deviations(**facts)
    client = DirectClient(state=ExplorerState(deviations=deviations), deviations=deviations)
    client.connect()
    for number in range(5):
        client.state.add(12, {}, START + number, plan=JobPlan(running=0 if number < 2 else 100))
    client.now = START + 10
    return client


def milliseconds(seconds: float) -> int:
    return round((START + seconds) * 1000)


def test_a_list_may_ignore_the_filter_by_status():
    assert explorer().listed(criteria={"status": 2}) == [102, 101]
    assert explorer(filter_by_status=False).listed(criteria={"status": 2}) == [105, 104, 103, 102, 101]


def test_a_list_may_ignore_the_filters_by_time_and_no_other():
    criteria = {"fromCreateTime": milliseconds(1), "toCreateTime": milliseconds(3), "status": 2}

    assert explorer().listed(criteria=criteria) == [102]
    assert explorer(filter_by_time=False).listed(criteria=criteria) == [102, 101]


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_a_list_may_begin_with_the_oldest_job_whatever_order_it_is_given(order: str):
    listed = explorer(order=False).listed(criteria={"orderByCreateTime": order})

    assert listed == [101, 102, 103, 104, 105]


def test_a_filter_that_is_ignored_is_checked_all_the_same():
    assert explorer(filter_by_status=False).call("GET", "/jobs", filter='{"status": "2"}') == 40004001


def test_ids_may_not_grow():
    ids = [job.id for job in explorer(ids_grow=False).state.jobs]

    assert len(set(ids)) == 5
    assert all(0 < number < 2**32 for number in ids)
    assert sorted(ids) not in (ids, ids[::-1])


@pytest.mark.parametrize(("total", "shown"), [("right", [5]), ("absent", []), (0, [0]), (10**18, [10**18])])
def test_a_total_may_be_absent_or_wrong(total: object, shown: list[int]):
    page = explorer(total=total).call("GET", "/jobs", pageSize="2")

    assert [value for key, value in page.items() if key == "total"] == shown
    assert [item["id"] for item in page["items"]] == [105, 104]


@pytest.mark.parametrize(("follows", "status"), [(True, 404), (False, 200)])
def test_an_unknown_path_may_be_an_error(follows: bool, status: int):
    client = explorer(unknown_path="error", http_status_follows_code=follows)
    response = client.send("GET", "/nothing")

    assert (response.status, json.loads(response.body)["code"]) == (status, 40404000)


def test_every_error_may_come_with_http_200():
    client = explorer(http_status_follows_code=False)
    refusals = [
        client.send("GET", "/jobs/7"),
        client.connect('["root","wrong"]'),
        client.send("GET", "/jobs"),
    ]

    assert [refusal.status for refusal in refusals] == [200, 200, 200]
    assert [json.loads(refusal.body)["code"] for refusal in refusals] == [40404000, 40004000, 40104001]


def test_an_emulator_behaves_as_all_facts_say():
    facts = {
        "account_encoding": "colon",
        "secure_cookie": True,
        "max_age": 600,
        "page_cap": 2,
        "missing_job": "zero",
        "unknown_path": "error",
        "http_status_follows_code": False,
        "filter_by_status": False,
        "filter_by_time": False,
        "order": False,
        "ids_grow": False,
        "total": "absent",
        "clock_difference": -90.0,
        "latency": 0.01,
    }
    assert set(facts) == {field.name for field in fields(Deviations)}

    with Emulator(like=facts, clock=lambda: NOW) as emulator, Client(emulator) as client:
        assert client.connect(JSON_ACCOUNT).json()["code"] == 40004000
        login = client.connect("root:stand-in-secret")
        emulator.start_job(12, created=NOW)
        assert login.headers["Set-Cookie"].endswith("Max-Age=600; HttpOnly; Secure; SameSite=None")
        assert parsedate_to_datetime(login.headers["Date"]).timestamp() == NOW - 90 == emulator.now()
        page = client.get("/jobs", params={"pageSize": 100}).json()["data"]
        assert (page["PageSize"], "total" in page) == (2, False)
        assert page["items"][0]["id"] != 101
        assert client.get("/jobs/7").json()["data"]["id"] == 0
        assert client.get("/nothing").json()["code"] == 40404000
        assert emulator.latency == 0.01


@pytest.mark.parametrize("form", ["a report", "facts", "a file", "a file's name"])
def test_the_facts_are_read_from_a_report_or_its_file(tmp_path: Path, form: str):
    facts = {"page_cap": 10, "order": False, "latency": None, "colour": "blue"}
    report = {"package": "1.0", "facts": facts, "checks": []}
    file = tmp_path / "report.json"
    file.write_text(json.dumps(report))
    sources: dict[str, Any] = {"a report": report, "facts": facts, "a file": file, "a file's name": str(file)}

    assert Deviations.read(sources[form]) == Deviations(page_cap=10, order=False)


def test_without_facts_nothing_deviates():
    assert Deviations.read(None) == Deviations.read({}) == Deviations.read({"facts": {}}) == Deviations()


@pytest.mark.parametrize(
    ("arguments", "attributes"),
    [
        ({"cookie": "secure", "like": {"secure_cookie": False}}, "Path=/; Max-Age=60; HttpOnly"),
        ({"cookie": "bare", "like": {"secure_cookie": False}}, "Path=/; HttpOnly"),
        ({"cookie": "misspelt", "like": {"secure_cookie": None}}, "Path=/; # Max-Age=60; HttpOnly"),
        ({"like": {"max_age": 30}}, "Path=/; Max-Age=30; HttpOnly"),
    ],
)
def test_a_fact_has_precedence_over_the_argument(arguments: dict[str, Any], attributes: str):
    with Emulator(token_ttl=60, **arguments) as emulator, Client(emulator) as client:
        assert client.connect().headers["Set-Cookie"].split("; ", 1)[1] == attributes


@pytest.mark.parametrize(
    ("facts", "named"),
    [
        ({"account_encoding": "xml"}, "account_encoding is 'xml'; allowed: json, colon"),
        ({"secure_cookie": "yes"}, "secure_cookie is 'yes'; allowed: true or false"),
        ({"max_age": 0}, "max_age is 0"),
        ({"max_age": float("nan")}, "max_age is nan"),
        ({"page_cap": 0}, "page_cap is 0"),
        ({"page_cap": 2.5}, "page_cap is 2.5"),
        ({"missing_job": True}, "missing_job is True"),
        ({"unknown_path": "json"}, "unknown_path is 'json'"),
        ({"order": 0}, "order is 0"),
        ({"ids_grow": "no"}, "ids_grow is 'no'"),
        ({"total": True}, "total is True"),
        ({"clock_difference": "1"}, "clock_difference is '1'"),
        ({"latency": -1}, "latency is -1"),
        ({"facts": []}, "facts are a JSON object"),
    ],
)
def test_a_wrong_fact_is_refused_with_its_name(facts: dict[str, Any], named: str):
    with pytest.raises(ValueError) as refusal:  # noqa: PT011 - the text is checked below
        Emulator(like=facts)

    assert named in str(refusal.value)


@pytest.mark.parametrize(
    ("content", "named"), [("{", "is not JSON"), ("[]", "is not a report"), ("\xff", "")]
)
def test_a_file_that_is_no_report_is_refused_with_its_name(tmp_path: Path, content: str, named: str):
    file = tmp_path / "report.json"
    file.write_text(content, encoding="latin-1")

    with pytest.raises(ValueError, match=f"report.json {named}"):
        Emulator(like=file)
    with pytest.raises(FileNotFoundError):
        Emulator(like=tmp_path / "nowhere.json")
