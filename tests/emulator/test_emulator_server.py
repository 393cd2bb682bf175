from __future__ import annotations

import json
import socket
import time
from email.utils import parsedate_to_datetime

import pytest
import requests
from emulator_clients import Client

from airflow_provider_nebula_explorer.emulator import Emulator, Fault, JobPlan
from airflow_provider_nebula_explorer.emulator.faults import KINDS
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
    answer = client.get(f"/jobs/{job_id}").json()
    assert (answer["code"], answer["message"]) == (0, "Success")
    assert answer["data"] == emulator.job(job_id) == emulator.jobs[0]
    assert (answer["data"]["status"], answer["data"]["workflowName"]) == (JobStatus.SUCCESS, "pagerank")
    assert emulator.input(job_id) == {"query_1": {"limit": 5}}
    task_id = answer["data"]["tasks"][0]["id"]
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


def test_someone_else_starts_and_cancels_jobs(emulator: Emulator, client: Client):
    old = emulator.start_job(12, {"q": {"a": 1}}, name="theirs", created=emulator.now() - 60)
    running = emulator.start_job(12, plan=JobPlan(running=60))
    emulator.cancel(running)

    items = client.get("/workflows/12/jobs").json()["data"]["items"]
    assert [(item["id"], item["status"]) for item in items] == [(running, 5), (old, 2)]
    assert items[1]["name"] == "theirs"


@pytest.mark.parametrize("path", ["/nothing", "/jobs/1/2", "/../../"])
def test_an_unknown_path_is_an_html_page_with_status_200(client: Client, path: str):
    answer = client.get(path)

    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")


def test_every_answer_tells_the_emulator_s_time(emulator: Emulator, client: Client):
    emulator.advance(-NOWHERE)

    for path in ("/jobs", "/jobs/7", "/nothing"):
        date = parsedate_to_datetime(client.get(path).headers["Date"])
        assert abs(date.timestamp() - emulator.now()) < 5


def test_its_clock_can_be_given():
    with Emulator(clock=lambda: 1000.0) as emulator:
        emulator.advance(5)

        assert emulator.now() == 1005
        assert emulator.job(emulator.start_job(1))["createTime"] == 1_005_000


def test_a_clock_that_is_set_moves_what_is_told_and_no_job(emulator: Emulator, client: Client):
    emulator.plan(12, JobPlan(running=100))
    before = run(client)
    emulator.set_clock(-NOWHERE)
    after = run(client)

    jobs = [client.get(f"/jobs/{job_id}") for job_id in (before, after)]
    date = parsedate_to_datetime(jobs[0].headers["Date"])
    assert abs(date.timestamp() - emulator.now()) < 5
    told = [answer.json()["data"] for answer in jobs]
    assert [job["status"] for job in told] == [JobStatus.RUNNING] * 2
    assert abs(told[0]["createTime"] - told[1]["createTime"] - NOWHERE * 1000) < 5000
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


def test_the_airflow_connection_holds_all_that_a_client_needs(emulator: Emulator):
    assert json.loads(emulator.airflow_connection) == {
        "conn_type": "nebula_explorer",
        "host": "127.0.0.1",
        "port": emulator.port,
        "schema": "http",
        "login": "root",
        "password": "stand-in-secret",
        "extra": {"nebula_address": "graphd", "nebula_port": 9669},
    }
    assert emulator.url == f"http://127.0.0.1:{emulator.port}"


def test_the_airflow_connection_names_the_graphd_that_can_be_reached():
    connection = json.loads(Emulator(graphd=("10.0.0.1", 3699)).airflow_connection)

    assert connection["extra"] == {"nebula_address": "10.0.0.1", "nebula_port": 3699}


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
    with pytest.raises(RuntimeError, match="running already"):
        emulator.start()


def test_a_port_that_is_taken_is_an_error(emulator: Emulator):
    with pytest.raises(OSError, match="in use"):
        Emulator(port=emulator.port).start()


def test_stopping_does_not_wait_for_a_slow_answer(emulator: Emulator):
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
        {"workflows": {"pagerank": JobPlan()}},
    ],
)
def test_a_wrong_option_is_refused(options: dict[str, object]):
    with pytest.raises(ValueError, match="allowed"):
        Emulator(**options)  # type: ignore[arg-type]


def test_latency_slows_every_answer(emulator: Emulator, client: Client):
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
        "GET /api-open/v1/jobs/7 no answer (reset)",
        "GET /api-open/v1/jobs/7 404",
    ]


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
        "session_loss",
    }


INSTEAD = {
    "status": (503, b""),
    "code": (500, b'{"code": 50004001, "message": "ErrInternalDatabase"}'),
    "html": (200, b"<!DOCTYPE html>"),
    "garbage": (200, b'{"code": 0, "data": \x00\xff'),
    "redirect": (302, b""),
    "huge": (200, b"    "),
    "gzip_bomb": (200, b"    "),
}


@pytest.mark.parametrize("kind", INSTEAD)
@pytest.mark.parametrize("processed", [False, True])
def test_a_fault_takes_the_place_of_the_answer(
    emulator: Emulator, client: Client, kind: str, processed: bool
):
    emulator.fail(Fault(kind, "run_workflow", code=50004001 if kind == "code" else None, processed=processed))

    with client.post("/workflows/12/jobs", json={}, stream=True) as answer:
        status, start = INSTEAD[kind]
        assert answer.status_code == status
        assert next(answer.iter_content(len(start) or 1), b"") == start
    assert len(emulator.jobs) == processed
    assert (emulator.calls[-1].status, emulator.calls[-1].fault) == (status, kind)


def test_a_refusal_by_a_gateway_says_when_to_come_back(emulator: Emulator, client: Client):
    emulator.fail(
        Fault("status", status=429, retry_after=2),
        Fault("status", retry_after="Sun, 06 Nov 1994 08:49:37 GMT"),
    )

    answers = [client.get("/jobs") for _ in range(2)]
    assert [(a.status_code, a.headers["Retry-After"]) for a in answers] == [
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
    answer = client.get("/jobs")

    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_code_may_come_with_http_200(emulator: Emulator, client: Client):
    emulator.fail(Fault("code", code=40104001, status=200))
    answer = client.get("/jobs")

    assert (answer.status_code, answer.json()) == (200, {"code": 40104001, "message": "ErrSession"})


def test_a_redirect_leads_where_it_is_told(emulator: Emulator, client: Client):
    emulator.fail(Fault("redirect", location="http://elsewhere.example/"))

    assert client.get("/jobs").headers["Location"] == "http://elsewhere.example/"


def test_a_huge_answer_goes_on_for_256_mebibytes_in_little_room(emulator: Emulator, client: Client):
    emulator.fail(Fault("huge"))

    with client.get("/jobs", stream=True) as answer:
        assert sum(len(part) for part in answer.iter_content(2**20)) == 256 * 2**20


def test_a_gzip_bomb_is_small_on_the_wire(emulator: Emulator, client: Client):
    emulator.fail(Fault("gzip_bomb"))

    with client.get("/jobs", stream=True) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        assert int(answer.headers["Content-Length"]) < 2**21


def test_a_lost_session_is_refused_until_the_next_login(emulator: Emulator, client: Client):
    emulator.fail(Fault("session_loss"))

    assert [client.get("/jobs").status_code for _ in range(2)] == [401, 401]
    client.connect()
    assert client.get("/jobs").status_code == 200


@pytest.mark.parametrize("kind", ["slow", "drip"])
def test_a_slow_answer_is_whole(emulator: Emulator, client: Client, kind: str):
    emulator.fail(Fault(kind, seconds=0.05))
    begun = time.monotonic()

    assert client.get("/jobs").json()["data"]["total"] == 0
    assert time.monotonic() - begun >= 0.05


def test_a_slow_answer_outlives_the_client_s_patience_and_its_request_is_processed(
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
def test_a_broken_answer_is_an_error_of_the_connection(emulator: Emulator, client: Client, kind: str):
    emulator.fail(Fault(kind, "run_workflow"))

    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        client.post("/workflows/12/jobs", json={})
    assert len(emulator.jobs) == (kind not in ("reset", "closed"))
    assert emulator.calls[-1].status == (200 if kind in ("truncate", "reset_amid") else None)
    assert client.get("/jobs").status_code == 200


def test_a_connection_may_be_reset_right_after_its_answer(emulator: Emulator):
    emulator.fail(Fault("reset_after"))

    with socket.create_connection(("127.0.0.1", emulator.port), timeout=5) as connection:
        connection.sendall(b"GET /api-open/v1/nothing HTTP/1.1\r\nHost: x\r\n\r\n")
        with connection.makefile("rb") as answer, pytest.raises(ConnectionResetError):
            answer.read()  # until the connection ends
    assert emulator.calls[-1].status == 200


def test_an_overrun_answer_is_cut_where_its_length_says(emulator: Emulator, client: Client):
    whole = client.get("/jobs").content
    emulator.fail(Fault("overrun"))
    answer = client.get("/jobs")

    assert answer.content == whole[: int(answer.headers["Content-Length"])]
    assert len(answer.content) < len(whole)


def test_a_connection_may_end_right_after_a_whole_answer(emulator: Emulator):
    emulator.fail(Fault("hangup"))

    with socket.create_connection(("127.0.0.1", emulator.port), timeout=5) as connection:
        connection.sendall(b"GET /api-open/v1/nothing HTTP/1.1\r\nHost: x\r\n\r\n")
        with connection.makefile("rb") as answer:
            text = answer.read()  # until the connection ends
    assert text.startswith(b"HTTP/1.1 200 OK")
    assert text.endswith(b"</html>\n")
    assert b"connection: close" not in text.lower()


def test_faults_strike_in_their_order_each_as_often_as_told(emulator: Emulator, client: Client):
    emulator.fail(Fault("status", times=2), Fault("status", status=429), Fault("html", endpoint="get_job"))

    answers = [client.get("/jobs").status_code for _ in range(4)]
    assert answers == [503, 503, 429, 200]
    assert client.get("/jobs/7").status_code == 200  # the page
    assert client.get("/jobs/7").status_code == 404


def test_a_fault_lets_requests_pass_first(emulator: Emulator, client: Client):
    emulator.fail(Fault("status", "list_*", after=2))

    assert [client.get("/jobs").status_code for _ in range(4)] == [200, 200, 503, 200]


def test_a_fault_may_strike_always_until_it_is_taken_back(emulator: Emulator, client: Client):
    emulator.fail(Fault("status", times=None))
    assert {client.get("/jobs").status_code for _ in range(5)} == {503}

    emulator.clear_faults()
    assert client.get("/jobs").status_code == 200


def test_faults_with_a_probability_are_the_same_in_every_run_of_a_seed():
    def struck(seed: int) -> list[int]:
        with Emulator(seed=seed) as emulator, Client(emulator) as client:
            emulator.fail(Fault("status", probability=0.3, times=None))
            return [client.get("/jobs").status_code for _ in range(40)]

    first = struck(1)
    assert first == struck(1) != struck(2)
    assert 2 < first.count(503) < 25
