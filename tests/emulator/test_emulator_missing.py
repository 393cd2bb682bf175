# SPDX-License-Identifier: Apache-2.0
"""Responses about what does not exist, in each way that is known."""

from __future__ import annotations

import json
from typing import Any

import pytest
from emulator_clients import Client, DirectClient

from airflow_provider_nebula_explorer.emulator import Emulator, JobPlan
from airflow_provider_nebula_explorer.emulator.deviations import Deviations, Missing
from airflow_provider_nebula_explorer.emulator.state import ExplorerState

FORM = "application/x-www-form-urlencoded"
NO_JOBS = {"items": None, "total": 0, "Page": 1, "PageSize": 10}
CALLS: list[tuple[str, str, str, Any]] = [
    ("GET", "/jobs/7", "application/json", None),
    ("PUT", "/jobs/7/cancel", FORM, {"success": True}),
    ("GET", "/jobs/7/tasks/a/sample_result", "application/json", {"items": None}),
    ("GET", "/jobs/101/tasks/a/sample_result", "application/json", {"items": None}),
    ("GET", "/workflows/14/jobs", "application/json", NO_JOBS),
    ("POST", "/workflows/14/jobs", "application/json", {"id": 0}),
]
"""Each call about what does not exist, and the zero value of its data."""


def explorer(missing: Missing) -> DirectClient:
    """An Explorer with one workflow, 12, and one job, 101."""
    state = ExplorerState({12: JobPlan(tasks=())})
    client = DirectClient(state=state, deviations=Deviations(missing_job=missing))
    client.connect()
    client.run(12)
    return client


def envelope(missing: Missing, method: str, path: str, content_type: str) -> tuple[int, dict[str, Any]]:
    client = explorer(missing)
    response = client.send(method, path, content_type=content_type, limit="1")
    assert len(client.state.jobs) == 1
    return response.status, json.loads(response.body)


@pytest.mark.parametrize(("method", "path", "content_type", "zero"), CALLS)
def test_what_does_not_exist_is_not_found(method: str, path: str, content_type: str, zero: object):
    status, body = envelope("not_found", method, path, content_type)

    assert (status, body["code"]) == (404, 40404000)
    assert body["message"].startswith("ErrNotFound::")


@pytest.mark.parametrize(("method", "path", "content_type", "zero"), CALLS)
def test_what_does_not_exist_may_be_a_success_with_zero_values(
    method: str, path: str, content_type: str, zero: Any
):
    status, body = envelope("zero", method, path, content_type)

    assert (status, body["code"]) == (200, 0)
    if zero is not None:
        assert body["data"] == zero
    else:
        existing = explorer("zero").job(101)
        assert set(body["data"]) == set(existing)
        assert set(body["data"].values()) == {0, "", None}


@pytest.mark.parametrize(("method", "path", "content_type", "zero"), CALLS)
def test_what_does_not_exist_may_be_a_success_without_data(
    method: str, path: str, content_type: str, zero: object
):
    assert envelope("no_data", method, path, content_type) == (200, {"code": 0, "message": "Success"})


@pytest.mark.parametrize(("missing", "empty"), [("not_found", []), ("zero", None), ("no_data", [])])
def test_with_zero_values_an_empty_list_is_null(missing: Missing, empty: object):
    client = explorer(missing)

    assert client.call("GET", "/jobs", page="2")["items"] == empty
    assert client.job(101)["tasks"] == empty
    assert [item["id"] for item in client.call("GET", "/jobs")["items"]] == [101]


def test_a_session_is_checked_before_what_does_not_exist():
    client = explorer("zero")
    client.headers = {}

    assert client.job(7) == 40104001


def test_an_emulator_responds_in_the_way_chosen():
    with Emulator(missing="zero") as emulator, Client(emulator) as client:
        client.connect()

        assert client.get("/jobs/7").json()["data"]["id"] == 0
