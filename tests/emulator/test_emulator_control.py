# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from emulator_clients import Client

from airflow_provider_nebula_explorer.emulator import Emulator


def test_another_process_starts_a_job_and_sees_the_jobs_with_their_inputs(emulator: Emulator, client: Client):
    order = {
        "workflow_id": 12,
        "input": {"q": {"a": 1}},
        "name": "theirs",
        "plan": {"ends": "FAILED", "running": 0},
    }

    job_id = client.post("/_emulator/jobs", json=order).json()["id"]
    assert client.get("/_emulator/jobs").json() == [{**emulator.job(job_id), "input": {"q": {"a": 1}}}]
    assert (emulator.job(job_id)["name"], emulator.job(job_id)["status"]) == ("theirs", 3)


def test_another_process_sees_the_calls(client: Client):
    client.get("/jobs", params={"page": 2})

    response = client.get("/_emulator/calls").json()
    counts = ("logins", "clients", "most_clients", "connections")
    assert [response[name] for name in counts] == [1, 1, 1, 1]
    assert [(call["endpoint"], call["query"], call["status"]) for call in response["calls"]] == [
        ("connect", {}, 200),
        ("list_jobs", {"page": "2"}, 200),
    ]


def test_another_process_plans_a_workflow(emulator: Emulator, client: Client):
    client.post("/_emulator/plans/12", json={"name": "pagerank", "running": 60})

    job = emulator.job(emulator.start_job(12))
    assert (job["workflowName"], job["status"]) == ("pagerank", 1)


def test_another_process_plans_each_next_job(emulator: Emulator, client: Client):
    client.post("/_emulator/plans/12", json={"plans": [{"running": 60}, {"running": 0}]})

    assert [emulator.job(emulator.start_job(12))["status"] for _ in range(3)] == [1, 2, 2]


def test_another_process_makes_faults_and_takes_them_back(client: Client):
    client.post("/_emulator/faults", json={"kind": "status", "times": None})
    assert client.get("/jobs").status_code == 503

    client.delete("/_emulator/faults")
    assert client.get("/jobs").status_code == 200


def test_another_process_ends_every_session(client: Client):
    client.post("/_emulator/sessions/forget")

    assert client.get("/jobs").status_code == 401


@pytest.mark.parametrize(("body", "status"), [(None, 400), ({"code": 50004001}, 500)])
def test_another_process_lets_graphd_drop_its_sessions(client: Client, body: object, status: int):
    client.post("/_emulator/sessions/expire", json=body)

    assert client.get("/jobs").status_code == status


@pytest.mark.parametrize("how", ["advance", "clock"])
def test_another_process_moves_the_clock(emulator: Emulator, client: Client, how: str):
    before = emulator.now()
    response = client.post(f"/_emulator/{how}", json={"seconds": 3600}).json()

    assert before + 3600 <= response["now"] <= emulator.now()


def test_control_requests_are_neither_calls_nor_hit_by_faults(emulator: Emulator, client: Client):
    client.post("/_emulator/faults", json={"kind": "reset"})
    client.get("/_emulator/calls")

    assert emulator.count() == 1  # the login


@pytest.mark.parametrize(
    ("command", "body", "named"),
    [
        ("POST plans/12", {"runing": 1}, "'runing'"),
        ("POST plans/12", None, "a JSON object"),
        ("POST plans/12", {"plans": []}, "'plans' is []"),
        ("POST faults", {"kind": "explode"}, "'explode'"),
        ("POST jobs", {}, "workflow_id"),
        ("POST jobs", [], "a JSON object"),
        ("POST jobs", {"workflow_id": "x"}, "'x'"),
        ("POST jobs", {"workflow_id": 1, "input": {"q": 1}}, "input.q"),
        ("POST jobs", {"workflow_id": 1, "created": "yesterday"}, "yesterday"),
        ("POST advance", {}, "float"),
        ("POST advance", {"seconds": "inf"}, "finite"),
        ("POST sessions/expire", {"code": 500}, "8 digits"),
        ("POST sessions/expire", {"cod": 50004001}, "cod"),
        ("POST sessions/expire", [1], "a JSON object"),
        ("GET nothing", None, "GET /_emulator/calls"),
        ("DELETE jobs", None, "GET /_emulator/jobs"),
    ],
)
def test_a_wrong_control_request_is_refused_with_what_is_wrong(
    emulator: Emulator, client: Client, command: str, body: object, named: str
):
    method, path = command.split()
    response = client.request(method, f"/_emulator/{path}", json=body)

    assert response.status_code in (400, 404)
    assert named in response.json()["message"]
    assert emulator.jobs == []
