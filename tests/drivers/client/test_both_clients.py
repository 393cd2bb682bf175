# SPDX-License-Identifier: Apache-2.0
"""Both clients against a real server: each test runs over requests and over httpx."""

from __future__ import annotations

import socket
import traceback

import pytest
from factories import settings, settings_of
from raw_server import RawServer

from airflow_provider_nebula_explorer.emulator import Emulator, Fault, JobPlan
from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerAmbiguousSubmitError,
    NebulaExplorerApiError,
    NebulaExplorerAuthError,
    NebulaExplorerBadRequestError,
    NebulaExplorerConnectionError,
    NebulaExplorerNotFoundError,
    NebulaExplorerServerError,
)
from airflow_provider_nebula_explorer.explorer.client import api
from airflow_provider_nebula_explorer.explorer.models import JobStatus


def test_all_seven_calls(open_client, explorer):
    explorer.plan(5, JobPlan(running=1000, stopping=1000))
    client = open_client(settings_of(explorer))
    job_id = client.run(api.add_job(5, {"query_1": {"limit": 3}}))
    assert explorer.input(job_id) == {"query_1": {"limit": 3}}
    explorer.advance(1000)
    job = client.run(api.get_job(job_id))
    assert (job.id, job.status, job.data) == (job_id, JobStatus.SUCCESS, explorer.job(job_id))
    rows = client.run(api.get_task_result(job_id, job.tasks[0].id, 1))
    assert rows == [["player110", "0.150000"]]
    assert [listed.id for listed in client.run(api.list_jobs(5, api.job_filter(), 1, 10)).items] == [job_id]
    assert [listed.id for listed in client.run(api.list_jobs(None, api.job_filter(), 1, 10)).items] == [
        job_id
    ]
    other = client.run(api.add_job("5"))
    client.run(api.cancel_job(other))
    assert client.run(api.get_job(other)).status is JobStatus.STOPPING
    explorer.advance(1000)
    assert client.run(api.get_job(other)).status is JobStatus.INTERRUPTED


def test_a_hundred_calls_are_one_login_and_one_connection(open_client, explorer):
    client = open_client(settings_of(explorer))
    job_id = explorer.start_job(5)
    for _ in range(100):
        client.run(api.get_job(job_id))
    assert (explorer.logins, explorer.connections, explorer.count()) == (1, 1, 101)


@pytest.mark.parametrize("cookie", ["plain", "secure", "misspelt", "bare"])
@pytest.mark.parametrize("encoding", ["json", "colon"])
def test_every_cookie_and_encoding_works(open_client, cookie, encoding):
    with Emulator(cookie=cookie, encoding=encoding) as explorer:
        client = open_client(settings_of(explorer))
        assert client.run(api.get_job(explorer.start_job(5))).id
        assert (explorer.logins, explorer.count("connect")) == (1, 1 if encoding == "json" else 2)


def test_a_lost_session_is_renewed_silently(open_client, explorer, pauses):
    client = open_client(settings_of(explorer))
    job_id = explorer.start_job(5)
    client.run(api.get_job(job_id))
    explorer.forget_sessions()
    assert client.run(api.get_job(job_id)).id == job_id
    assert (explorer.logins, pauses) == (2, [])


def test_a_session_that_graphd_dropped_is_renewed_silently(open_client, explorer, pauses):
    client = open_client(settings_of(explorer))
    job_id = explorer.start_job(5)
    client.run(api.get_job(job_id))
    explorer.fail(Fault("graphd_session_loss", "get_job"))
    assert client.run(api.get_job(job_id)).id == job_id
    assert (explorer.logins, pauses) == (2, [])


def test_an_expired_token_is_renewed_silently(open_client):
    with Emulator(token_ttl=60) as explorer:
        client = open_client(settings_of(explorer))
        job_id = explorer.start_job(5)
        client.run(api.get_job(job_id))
        explorer.advance(61)
        assert client.run(api.get_job(job_id)).id == job_id


PASSING = [
    Fault("status", "get_job", status=503, times=2),
    Fault("status", "get_job", status=429, times=2),
    Fault("code", "get_job", code=50004000, times=2),
    Fault("code", "get_job", code=90004000, times=2),
    Fault("html", "get_job", times=2),
    Fault("html", "get_job", status=502, times=2),
    Fault("garbage", "get_job", times=2),
    Fault("truncate", "get_job", times=2),
    Fault("reset", "get_job", times=2),
    Fault("lost", "get_job", times=2),
]


@pytest.mark.parametrize("fault", PASSING, ids=lambda fault: f"{fault.kind}{fault.status or ''}")
def test_passing_faults_are_outlived(open_client, explorer, pauses, fault):
    client = open_client(settings_of(explorer))
    job_id = explorer.start_job(5)
    explorer.fail(fault)
    assert client.run(api.get_job(job_id)).id == job_id
    assert explorer.count("get_job") == 3
    assert 0.5 <= pauses[0] <= 1 <= pauses[1] <= 2


@pytest.mark.parametrize("fault", PASSING, ids=lambda fault: f"{fault.kind}{fault.status or ''}")
def test_lasting_faults_are_errors_of_ours(open_client, explorer, pauses, fault):
    client = open_client(settings_of(explorer))
    explorer.fail(Fault(fault.kind, times=None, status=fault.status, code=fault.code))
    with pytest.raises((NebulaExplorerConnectionError, NebulaExplorerApiError)) as raised:
        client.run(api.get_job(1))
    assert explorer.count() == 3
    assert explorer.url in str(raised.value)
    assert raised.value.is_transient


@pytest.mark.parametrize("kind", ["lost", "truncate"])
def test_a_job_whose_response_is_lost_is_not_added_again(open_client, explorer, kind):
    client = open_client(settings_of(explorer))
    explorer.fail(Fault(kind, "run_workflow"))
    with pytest.raises(NebulaExplorerAmbiguousSubmitError):
        client.run(api.add_job(5))
    assert len(explorer.jobs) == 1


def test_an_error_that_is_being_handled_says_nothing_about_a_new_one(open_client, explorer, free_port):
    client = open_client(settings_of(explorer))
    elsewhere = open_client(settings_of(explorer, base_url=f"http://127.0.0.1:{free_port}", max_retries=0))
    explorer.fail(Fault("lost", "run_workflow"))
    try:
        elsewhere.login()
    except NebulaExplorerConnectionError:  # refused: certainly nothing was sent there
        with pytest.raises(NebulaExplorerAmbiguousSubmitError):
            client.run(api.add_job(5))
    assert explorer.count("run_workflow") == 1


def test_each_retry_is_a_line_in_the_log(open_client, explorer, caplog):
    caplog.set_level("INFO")
    client = open_client(settings_of(explorer))
    explorer.fail(Fault("status", "get_job", times=2))
    client.run(api.get_job(explorer.start_job(5)))
    lines = [record.getMessage() for record in caplog.records if "Trying again in" in record.getMessage()]
    assert len(lines) == 2
    assert "HTTP 503" in lines[0]


def test_retry_after_is_honoured(open_client, explorer, pauses):
    client = open_client(settings_of(explorer))
    explorer.fail(Fault("status", "get_job", status=429, retry_after=7))
    client.run(api.get_job(explorer.start_job(5)))
    assert 7 <= pauses[0] <= 8


def test_no_redirect_is_followed(open_client, explorer):
    with Emulator() as elsewhere:
        client = open_client(settings_of(explorer))
        explorer.fail(Fault("redirect", "get_job", location=f"{elsewhere.url}/api-open/v1/jobs/1"))
        with pytest.raises(NebulaExplorerConnectionError, match="a redirect"):
            client.run(api.get_job(1))
        assert (explorer.count("get_job"), elsewhere.count()) == (1, 0)


@pytest.mark.parametrize("kind", ["huge", "gzip_bomb"])
def test_a_huge_response_is_rejected(open_client, explorer, kind):
    client = open_client(settings_of(explorer))
    explorer.fail(Fault(kind, "get_job"))
    with pytest.raises(NebulaExplorerConnectionError, match=f"exceeds {client.largest}") as raised:
        client.run(api.get_job(1))
    assert explorer.count("get_job") == 1
    assert kept_by(raised.value) < 1024 * 1024, "an error that somebody keeps does not keep the response"


def kept_by(error: BaseException | None) -> int:
    """Return how many bytes the functions hold that an error and its causes came through."""
    held = 0
    while error is not None:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            held += sum(len(it) for it in frame.f_locals.values() if isinstance(it, (bytes, bytearray)))
        error = error.__cause__
    return held


@pytest.mark.parametrize("fault", [Fault("slow", "get_job", seconds=5), Fault("drip", "get_job", seconds=5)])
def test_a_request_takes_no_longer_than_its_timeout(open_client, explorer, fault):
    client = open_client(settings_of(explorer, timeout=0.3, max_retries=0))
    explorer.fail(fault)
    with pytest.raises(NebulaExplorerConnectionError, match=r"no response within 0\.3 s"):
        client.run(api.get_job(explorer.start_job(5)))


def test_a_wrong_path_prefix_is_named(open_client, explorer, pauses):
    client = open_client(settings_of(explorer, base_url=f"{explorer.url}/wrong"))
    with pytest.raises(NebulaExplorerConnectionError, match="This is not Explorer: check .* path prefix"):
        client.run(api.get_job(1))


@pytest.mark.parametrize(
    ("make_call", "error_class"),
    [
        (lambda: api.get_job(99), NebulaExplorerNotFoundError),
        (lambda: api.cancel_job(101), NebulaExplorerBadRequestError),
        (lambda: api.get_task_result(101, "f" * 32), NebulaExplorerNotFoundError),
    ],
)
def test_refusals_keep_code_message_and_status(open_client, explorer, make_call, error_class):
    client = open_client(settings_of(explorer))
    assert explorer.start_job(5, plan=JobPlan(running=0)) == 101
    with pytest.raises(error_class) as raised:
        client.run(make_call())
    assert raised.value.http_status == raised.value.code // 100_000
    assert raised.value.message.startswith("Err")


def test_a_refused_account_is_an_auth_error(open_client, explorer):
    from airflow_provider_nebula_explorer.explorer.settings import Account

    client = open_client(settings_of(explorer, account=Account("root", "wrong-password", "graphd")))
    with pytest.raises(NebulaExplorerAuthError, match="Check three things") as raised:
        client.login()
    assert "wrong-password" not in str(raised.value)
    assert explorer.count("connect") == 2


def test_a_licence_error_is_not_repeated(open_client, explorer):
    client = open_client(settings_of(explorer))
    explorer.fail(Fault("code", "get_job", code=50004003))
    with pytest.raises(NebulaExplorerServerError, match="licence"):
        client.run(api.get_job(1))
    assert explorer.count("get_job") == 1


@pytest.fixture
def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def test_a_refused_connection_certainly_sent_nothing(open_client, free_port, pauses):
    client = open_client(settings_of(Emulator(), base_url=f"http://127.0.0.1:{free_port}"))
    with pytest.raises(
        NebulaExplorerConnectionError, match="connection refused: nothing is listening there"
    ) as raised:
        client.run(api.get_job(1))
    assert not raised.value.may_have_acted
    assert len(pauses) == 2


def test_an_unknown_name_is_named(open_client, pauses):
    client = open_client(settings_of(Emulator(), base_url="http://no-such-host.invalid:7002"))
    with pytest.raises(NebulaExplorerConnectionError, match="name cannot be resolved") as raised:
        client.run(api.get_job(1))
    assert not raised.value.may_have_acted


def test_speaking_https_to_a_plain_server_is_named(open_client, explorer, pauses):
    client = open_client(settings_of(explorer, base_url=explorer.url.replace("http:", "https:")))
    with pytest.raises(NebulaExplorerConnectionError, match=r"TLS failed .* http or https\?"):
        client.run(api.get_job(1))


def test_the_clients_names_and_types_reach_the_server(open_client, explorer):
    client = open_client(settings_of(explorer))
    found = client.run(api.list_jobs(5, api.job_filter(name='ü & "x" +/?#'), 1, 10))
    assert found.items == ()
    assert '"name":"ü & \\"x\\" +/?#"' in explorer.calls[-1].query["filter"]


def test_no_cookie_of_the_servers_is_kept(open_client, explorer):
    client = open_client(settings_of(explorer))
    client.login()
    assert list(getattr(client.client._http.cookies, "jar", client.client._http.cookies)) == []


def test_a_netrc_does_not_touch_the_account(open_client, explorer, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    client = open_client(settings_of(explorer))
    client.login()
    assert explorer.logins == 1


def test_no_token_is_logged_at_any_level(open_client, explorer, caplog):
    caplog.set_level("DEBUG")
    secrets = []
    client = open_client(settings_of(explorer), on_secret=secrets.append)
    client.run(api.get_job(explorer.start_job(5)))
    assert len(secrets) == 4, "the account, the token and its long parts"
    assert caplog.records
    text = "\n".join(record.getMessage() for record in caplog.records)
    assert not [secret for secret in ("stand-in-secret", *secrets) if secret in text]


@pytest.mark.parametrize("headers", ["No header\r\nSet-Cookie: {}", "Set-Cookie : {}"])
def test_no_token_is_logged_where_headers_cannot_be_read(open_client, caplog, headers):
    caplog.set_level("DEBUG")
    cookie = "explorer_token=header.payload.signature; Path=/"
    response = f"HTTP/1.1 200 OK\r\n{headers.format(cookie)}\r\nContent-Length: 11\r\n\r\n" + '{"code": 0}'
    with RawServer(response.encode()) as server:
        client = open_client(settings(base_url=server.url, max_retries=0))
        with pytest.raises(NebulaExplorerConnectionError):
            client.login()
    assert caplog.records
    assert "payload" not in caplog.text
