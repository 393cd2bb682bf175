# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
import socket
import time

import pytest
import requests
from emulator_clients import Client

from airflow_provider_nebula_explorer.emulator import Emulator, Fault, JobPlan
from airflow_provider_nebula_explorer.emulator.faults import KINDS


def test_every_kind_of_fault_has_a_test():
    assert {*KINDS} == {
        *INSTEAD,
        "slow",
        "drip",
        "truncate",
        "overrun",
        "hangup",
        "reset_amid",
        "reset_after",
        "reset",
        "closed",
        "lost",
        "another_job",
        "another_workflow",
        "session_loss",
        "graphd_session_loss",
    }


INSTEAD = {
    "status": (503, b""),
    "code": (500, b'{"code": 50004001, "message": "ErrInternalDatabase"}'),
    "html": (200, b"<!DOCTYPE html>"),
    "garbage": (200, b'{"code": 0, "data": \x00\xff'),
    "zero_id": (200, b'{"code": 0, "message": "Success", "data": {"id": 0}}'),
    "null_data": (200, b'{"code": 0, "message": "Success", "data": null}'),
    "no_data": (200, b'{"code": 0, "message": "Success"}'),
    "redirect": (302, b""),
    "huge": (200, b"    "),
    "gzip_bomb": (200, b"    "),
}


@pytest.mark.parametrize("kind", INSTEAD)
@pytest.mark.parametrize("processed", [False, True])
def test_a_fault_takes_the_place_of_the_response(
    emulator: Emulator, client: Client, kind: str, processed: bool
):
    emulator.fail(Fault(kind, "run_workflow", code=50004001 if kind == "code" else None, processed=processed))

    with client.post("/workflows/12/jobs", json={}, stream=True) as response:
        status, start = INSTEAD[kind]
        assert response.status_code == status
        assert next(response.iter_content(len(start) or 1), b"") == start
    assert len(emulator.jobs) == processed
    assert (emulator.calls[-1].status, emulator.calls[-1].fault) == (status, kind)


def test_a_refusal_by_a_gateway_says_when_to_come_back(emulator: Emulator, client: Client):
    emulator.fail(
        Fault("status", status=429, retry_after=2),
        Fault("status", retry_after="Sun, 06 Nov 1994 08:49:37 GMT"),
    )

    responses = [client.get("/jobs") for _ in range(2)]
    assert [(a.status_code, a.headers["Retry-After"]) for a in responses] == [
        (429, "2"),
        (503, "Sun, 06 Nov 1994 08:49:37 GMT"),
    ]


@pytest.mark.parametrize(
    ("code", "status"), [(40404000, 404), (50004003, 500), (90004000, 500), (42904000, 429)]
)
def test_a_code_comes_with_the_http_status_of_its_category(
    emulator: Emulator, client: Client, code: int, status: int
):
    emulator.fail(Fault("code", code=code))
    response = client.get("/jobs")

    assert (response.status_code, response.json()["code"]) == (status, code)


def test_a_code_may_come_with_http_200(emulator: Emulator, client: Client):
    emulator.fail(Fault("code", code=40104001, status=200))
    response = client.get("/jobs")

    assert (response.status_code, response.json()) == (200, {"code": 40104001, "message": "ErrSession"})


def test_a_code_may_come_with_any_message_and_details(emulator: Emulator, client: Client):
    trace = "goroutine 1 [running]:"
    emulator.fail(Fault("code", code=40004000, message="", details=trace), Fault("code", code=7**9))

    assert client.get("/jobs").json() == {"code": 40004000, "message": "", "details": trace}
    assert client.get("/jobs").json() == {"code": 7**9, "message": "ErrUnknown"}


def test_a_response_may_be_about_another_job(emulator: Emulator, client: Client):
    one, other = emulator.start_job(12, plan=JobPlan(running=0)), emulator.start_job(12)
    emulator.fail(Fault("another_job", "get_job", job_id=one))

    assert [client.get(f"/jobs/{other}").json()["data"]["id"] for _ in range(2)] == [one, other]


def test_a_list_may_show_the_jobs_of_another_workflow(emulator: Emulator, client: Client):
    ids = [emulator.start_job(workflow_id) for workflow_id in (12, 13)]
    emulator.fail(Fault("another_workflow"))
    pages = [client.get("/workflows/12/jobs").json()["data"] for _ in range(2)]

    assert [[item["id"] for item in page["items"]] for page in pages] == [ids[::-1], ids[:1]]
    assert emulator.calls[-2].path == "/api-open/v1/workflows/12/jobs"


def test_a_redirect_leads_to_its_location(emulator: Emulator, client: Client):
    emulator.fail(Fault("redirect", location="http://elsewhere.example/"))

    assert client.get("/jobs").headers["Location"] == "http://elsewhere.example/"


def test_a_huge_response_goes_on_for_256_mebibytes_in_little_room(emulator: Emulator, client: Client):
    emulator.fail(Fault("huge"))

    with client.get("/jobs", stream=True) as response:
        assert sum(len(part) for part in response.iter_content(2**20)) == 256 * 2**20


def test_a_gzip_bomb_is_small_on_the_wire(emulator: Emulator, client: Client):
    emulator.fail(Fault("gzip_bomb"))

    with client.get("/jobs", stream=True) as response:
        assert response.headers["Content-Encoding"] == "gzip"
        assert int(response.headers["Content-Length"]) < 2**21


def test_a_lost_session_is_refused_until_the_next_login(emulator: Emulator, client: Client):
    emulator.fail(Fault("session_loss"))

    assert [client.get("/jobs").status_code for _ in range(2)] == [401, 401]
    client.connect()
    assert client.get("/jobs").status_code == 200


def test_a_session_that_graphd_dropped_is_refused_until_the_next_login(emulator: Emulator, client: Client):
    emulator.fail(Fault("graphd_session_loss"))

    refusals = [client.get("/jobs").json() for _ in range(2)]
    assert [refusal["code"] for refusal in refusals] == [40004000, 40004000]
    assert re.search(r"::Get sessionId\[\d+\] failed: Session not existed!$", refusals[0]["message"])
    client.connect()
    assert client.get("/jobs").status_code == 200


@pytest.mark.parametrize("kind", ["slow", "drip"])
def test_a_slow_response_is_whole(emulator: Emulator, client: Client, kind: str):
    emulator.fail(Fault(kind, seconds=0.05))
    begun = time.monotonic()

    assert client.get("/jobs").json()["data"]["total"] == 0
    assert time.monotonic() - begun >= 0.05


def test_a_slow_response_outlives_the_client_s_patience_and_its_request_is_processed(
    emulator: Emulator, client: Client
):
    emulator.fail(Fault("slow", seconds=0.1))
    with pytest.raises(requests.ReadTimeout):
        client.post("/workflows/12/jobs", json={}, timeout=0.01)

    deadline = time.monotonic() + 5
    while not emulator.jobs and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(emulator.jobs) == 1


@pytest.mark.parametrize("kind", ["truncate", "reset_amid", "lost", "reset", "closed"])
def test_a_broken_response_is_an_error_of_the_connection(emulator: Emulator, client: Client, kind: str):
    emulator.fail(Fault(kind, "run_workflow"))

    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        client.post("/workflows/12/jobs", json={})
    assert len(emulator.jobs) == (kind not in ("reset", "closed"))
    assert emulator.calls[-1].status == (200 if kind in ("truncate", "reset_amid") else None)
    assert client.get("/jobs").status_code == 200


def test_a_connection_may_be_reset_right_after_its_response(emulator: Emulator):
    emulator.fail(Fault("reset_after"))

    with socket.create_connection(("127.0.0.1", emulator.port), timeout=5) as connection:
        connection.sendall(b"GET /api-open/v1/nothing HTTP/1.1\r\nHost: x\r\n\r\n")
        with connection.makefile("rb") as response, pytest.raises(ConnectionResetError):
            response.read()  # until the connection ends
    assert emulator.calls[-1].status == 200


def test_an_overrun_response_is_cut_where_its_length_says(emulator: Emulator, client: Client):
    whole = client.get("/jobs").content
    emulator.fail(Fault("overrun"))
    response = client.get("/jobs")

    assert response.content == whole[: int(response.headers["Content-Length"])]
    assert len(response.content) < len(whole)


def test_a_connection_may_end_right_after_a_whole_response(emulator: Emulator):
    emulator.fail(Fault("hangup"))

    with socket.create_connection(("127.0.0.1", emulator.port), timeout=5) as connection:
        connection.sendall(b"GET /api-open/v1/nothing HTTP/1.1\r\nHost: x\r\n\r\n")
        with connection.makefile("rb") as response:
            text = response.read()  # until the connection ends
    assert text.startswith(b"HTTP/1.1 200 OK")
    assert text.endswith(b"</html>\n")
    assert b"connection: close" not in text.lower()


def test_faults_hit_in_their_order_each_as_many_times_as_it_says(emulator: Emulator, client: Client):
    emulator.fail(Fault("status", times=2), Fault("status", status=429), Fault("html", endpoint="get_job"))

    responses = [client.get("/jobs").status_code for _ in range(4)]
    assert responses == [503, 503, 429, 200]
    assert client.get("/jobs/7").status_code == 200  # the page
    assert client.get("/jobs/7").status_code == 404


def test_a_fault_lets_requests_pass_first(emulator: Emulator, client: Client):
    emulator.fail(Fault("status", "list_*", after=2))

    assert [client.get("/jobs").status_code for _ in range(4)] == [200, 200, 503, 200]


def test_a_fault_may_hit_every_request_until_it_is_removed(emulator: Emulator, client: Client):
    emulator.fail(Fault("status", times=None))
    assert {client.get("/jobs").status_code for _ in range(5)} == {503}

    emulator.clear_faults()
    assert client.get("/jobs").status_code == 200


def test_faults_with_a_probability_are_the_same_in_every_run_of_a_seed():
    def statuses(seed: int) -> list[int]:
        with Emulator(seed=seed) as emulator, Client(emulator) as client:
            emulator.fail(Fault("status", probability=0.3, times=None))
            return [client.get("/jobs").status_code for _ in range(40)]

    first = statuses(1)
    assert first == statuses(1) != statuses(2)
    assert 2 < first.count(503) < 25
