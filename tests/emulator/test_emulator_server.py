# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import socket
import time
from email.utils import parsedate_to_datetime

import pytest
import requests
from emulator_clients import Client

from airflow_provider_nebula_explorer.emulator import Emulator, Fault, JobPlan
from airflow_provider_nebula_explorer.explorer.models import JobStatus

NOWHERE = 1e6


def run(client: Client, workflow_id: int = 12, **body: object) -> int:
    job_id: int = client.post(f"/workflows/{workflow_id}/jobs", json=body).json()["data"]["id"]
    return job_id


def test_a_job_is_run_followed_and_read_over_http(emulator: Emulator, client: Client):
    emulator.plan(12, JobPlan(running=60), name="pagerank")
    job_id = run(client, input={"query_1": {"limit": 5}})
    assert client.get(f"/jobs/{job_id}").json()["data"]["status"] == JobStatus.RUNNING

    emulator.advance(60)
    response = client.get(f"/jobs/{job_id}").json()
    assert (response["code"], response["message"]) == (0, "Success")
    assert response["data"] == emulator.job(job_id) == emulator.jobs[0]
    assert (response["data"]["status"], response["data"]["workflowName"]) == (JobStatus.SUCCESS, "pagerank")
    assert emulator.input(job_id) == {"query_1": {"limit": 5}}
    task_id = response["data"]["tasks"][0]["id"]
    rows = client.get(f"/jobs/{job_id}/tasks/{task_id}/sample_result", params={"limit": 1}).json()["data"][
        "items"
    ]
    assert rows == [["player110", "0.150000"]]


def test_a_running_job_is_cancelled_over_http(emulator: Emulator, client: Client):
    job_id = emulator.start_job(12, plan=JobPlan(ends=None, stopping=5))
    form = {"Content-Type": "application/x-www-form-urlencoded"}

    assert client.put(f"/jobs/{job_id}/cancel", headers=form).json()["data"] == {"success": True}
    assert emulator.job(job_id)["status"] == JobStatus.STOPPING
    emulator.advance(5)
    assert emulator.job(job_id)["status"] == JobStatus.INTERRUPTED


def test_each_next_job_has_a_plan_of_its_own(emulator: Emulator, client: Client):
    emulator.plan(12, [JobPlan(running=0, ends=JobStatus.FAILED), JobPlan(running=0)])

    jobs = [client.get(f"/jobs/{run(client)}").json()["data"] for _ in range(3)]
    assert [job["status"] for job in jobs] == [JobStatus.FAILED, JobStatus.SUCCESS, JobStatus.SUCCESS]


def test_someone_else_starts_and_cancels_jobs(emulator: Emulator, client: Client):
    old = emulator.start_job(12, {"q": {"a": 1}}, name="theirs", created=emulator.now() - 60)
    running = emulator.start_job(12, plan=JobPlan(running=60))
    emulator.cancel(running)

    items = client.get("/workflows/12/jobs").json()["data"]["items"]
    assert [(item["id"], item["status"]) for item in items] == [(running, 5), (old, 2)]
    assert items[1]["name"] == "theirs"


@pytest.mark.parametrize("path", ["/nothing", "/jobs/1/2", "/../../"])
def test_an_unknown_path_is_an_html_page_with_status_200(client: Client, path: str):
    response = client.get(path)

    assert (response.status_code, response.headers["Content-Type"]) == (200, "text/html; charset=utf-8")


def test_every_response_has_the_emulator_s_time(emulator: Emulator, client: Client):
    emulator.advance(-NOWHERE)

    for path in ("/jobs", "/jobs/7", "/nothing"):
        date = parsedate_to_datetime(client.get(path).headers["Date"])
        assert abs(date.timestamp() - emulator.now()) < 5


def test_its_clock_can_be_given():
    with Emulator(clock=lambda: 1000.0) as emulator:
        emulator.advance(5)

        assert emulator.now() == 1005
        assert emulator.job(emulator.start_job(1))["createTime"] == 1_005_000


def test_a_clock_that_is_set_moves_the_times_in_responses_and_no_job(emulator: Emulator, client: Client):
    emulator.plan(12, JobPlan(running=100))
    before = run(client)
    emulator.set_clock(-NOWHERE)
    after = run(client)

    jobs = [client.get(f"/jobs/{job_id}") for job_id in (before, after)]
    date = parsedate_to_datetime(jobs[0].headers["Date"])
    assert abs(date.timestamp() - emulator.now()) < 5
    moved = [response.json()["data"] for response in jobs]
    assert [job["status"] for job in moved] == [JobStatus.RUNNING] * 2
    assert abs(moved[0]["createTime"] - moved[1]["createTime"] - NOWHERE * 1000) < 5000
    assert [job["id"] for job in client.get("/jobs").json()["data"]["items"]] == [before, after]


def test_calls_are_recorded_without_the_account_and_the_token(emulator: Emulator, client: Client):
    run(client, input={"query_1": {"a": "x"}})
    client.get("/jobs", params={"filter": '{"status": 2}'})
    client.get("/nothing%20here")

    seen = [(c.endpoint, c.method, c.path, dict(c.query), c.body, c.status, c.fault) for c in emulator.calls]
    base = "/api-open/v1"
    assert seen == [
        ("connect", "POST", f"{base}/connect", {}, {"address": "graphd", "port": 9669}, 200, None),
        (
            "run_workflow",
            "POST",
            f"{base}/workflows/12/jobs",
            {},
            {"input": {"query_1": {"a": "x"}}},
            200,
            None,
        ),
        ("list_jobs", "GET", f"{base}/jobs", {"filter": '{"status": 2}'}, None, 200, None),
        ("unknown", "GET", f"{base}/nothing%20here", {}, None, 200, None),
    ]
    assert (emulator.count(), emulator.count("list_jobs"), emulator.count("get_job")) == (4, 1, 0)
    token = str(client.headers["Cookie"]).partition("=")[2]
    assert not [secret for secret in ("stand-in-secret", token) if secret in repr(emulator.calls)]


def test_logins_and_connections_are_counted(emulator: Emulator, client: Client):
    client.get("/jobs")
    client.connect("root:wrong")
    with Client(emulator) as other:
        other.connect()

    assert (emulator.logins, emulator.connections, emulator.count("connect")) == (2, 2, 3)
    assert (emulator.clients, emulator.most_clients) == (2, 2)
    emulator.forget_sessions()
    assert (emulator.clients, emulator.most_clients) == (0, 2)


def test_the_airflow_connection_holds_all_that_a_client_needs(emulator: Emulator):
    assert json.loads(emulator.airflow_connection) == {
        "conn_type": "nebula_explorer",
        "host": "127.0.0.1",
        "port": emulator.port,
        "schema": "http",
        "login": "root",
        "password": "stand-in-secret",
        "extra": {
            "nebula_address": "graphd",
            "nebula_port": 9669,
            "job_url": "{base_url}/jobs/{job_id}",
        },
    }
    assert emulator.url == f"http://127.0.0.1:{emulator.port}"


def test_the_airflow_connection_names_the_graphd_that_can_be_reached():
    connection = json.loads(Emulator(graphd=("10.0.0.1", 3699)).airflow_connection)

    assert connection["extra"]["nebula_address"] == "10.0.0.1"
    assert connection["extra"]["nebula_port"] == 3699


def test_several_emulators_run_at_a_time(emulator: Emulator, client: Client):
    with Emulator() as other, Client(other) as its_client:
        its_client.connect()
        run(its_client)

        assert emulator.url != other.url
        assert (len(emulator.jobs), len(other.jobs)) == (0, 1)
        assert its_client.get("/jobs", headers={"Cookie": client.headers["Cookie"]}).status_code == 401


def test_an_emulator_that_restarts_keeps_its_port_and_its_jobs_and_forgets_its_sessions():
    with Emulator() as emulator, Client(emulator) as client:
        client.connect()
        job_id = run(client)
        port = emulator.port
        emulator.stop()
        with pytest.raises(requests.ConnectionError):
            client.get("/jobs")

        emulator.start()
        assert emulator.port == port
        assert client.get("/jobs").json()["code"] == 40104001
        client.connect()
        assert client.get(f"/jobs/{job_id}").json()["data"]["id"] == job_id


def test_an_emulator_is_started_once(emulator: Emulator):
    with pytest.raises(RuntimeError, match="already running"):
        emulator.start()


def test_a_port_that_is_taken_is_an_error(emulator: Emulator):
    with pytest.raises(OSError, match="in use"):
        Emulator(port=emulator.port).start()


def test_stopping_does_not_wait_for_a_slow_response(emulator: Emulator):
    emulator.fail(Fault("slow", seconds=3600))
    with socket.create_connection(("127.0.0.1", emulator.port)) as waiting:
        waiting.sendall(b"GET /api-open/v1/jobs HTTP/1.1\r\nHost: x\r\n\r\n")
        begun = time.monotonic()
        emulator.stop()

        assert time.monotonic() - begun < 5
        assert waiting.recv(1) == b""


@pytest.mark.parametrize(
    "options",
    [
        {"encoding": "xml"},
        {"cookie": "chocolate"},
        {"token_ttl": 0},
        {"max_page_size": 0},
        {"max_clients": -1},
        {"missing": "null"},
        {"client_idle": float("inf")},
        {"workflows": {"pagerank": JobPlan()}},
    ],
)
def test_a_wrong_option_is_refused(options: dict[str, object]):
    with pytest.raises(ValueError, match="allowed"):
        Emulator(**options)  # type: ignore[arg-type]


def test_latency_slows_every_response(emulator: Emulator, client: Client):
    emulator.latency = 0.05
    begun = time.monotonic()
    client.get("/jobs")

    assert time.monotonic() - begun >= 0.05


def test_every_call_is_logged_in_one_line_without_secrets(
    emulator: Emulator, client: Client, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO")
    emulator.fail(Fault("reset"))
    with pytest.raises(requests.ConnectionError):
        client.get("/jobs/7")
    client.get("/jobs/7")

    assert [record.message for record in caplog.records if record.name.endswith(".emulator")] == [
        "GET /api-open/v1/jobs/7 no response (reset)",
        "GET /api-open/v1/jobs/7 404",
    ]


def test_a_call_of_any_length_is_logged_in_one_short_line(
    emulator: Emulator, client: Client, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO")
    client.get(f"/{'x' * 3000}")

    (line,) = [record.message for record in caplog.records if record.name.endswith(".emulator")]
    assert line.startswith("GET /api-open/v1/xxx")
    assert len(line) < 130
