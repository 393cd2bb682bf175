"""A server that is no Explorer, or a malicious one: both clients keep working and leak nothing."""

from __future__ import annotations

import traceback

import pytest
from factories import settings
from raw_server import OK, RawServer, logged_in_with

from airflow_provider_nebula_explorer.exceptions import NebulaExplorerConnectionError, NebulaExplorerError
from airflow_provider_nebula_explorer.explorer.client import api

TOKEN = "header.tok3n-payload.signature"
LOGGED_IN = logged_in_with(f"explorer_token={TOKEN}; Path=/; HttpOnly".encode())
HEAD = b"HTTP/1.1 200 OK\r\n"


def redirect(status, location):
    return f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode("latin-1")


def everything_of(error):
    return "".join(traceback.format_exception(error))


@pytest.mark.parametrize("call", [None, api.get_job(1), api.add_job(1)], ids=["login", "GET", "POST"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"], ids=["another port", "another host"])
def test_no_redirect_carries_the_account_or_the_token(open_client, status, host, call):
    with RawServer(LOGGED_IN) as elsewhere:
        there = redirect(status, f"http://{host}:{elsewhere.port}/api-open/v1/connect")
        with RawServer(*([there] if call is None else [LOGGED_IN, there])) as server:
            client = open_client(settings(base_url=server.url))
            with pytest.raises(NebulaExplorerError, match="a redirect"):
                client.login() if call is None else client.run(call)
            assert len(server.requests) == (1 if call is None else 2)
        assert elsewhere.requests == []


@pytest.mark.parametrize(
    "location", ["/", "//evil", "http://\xff\xfe", "http://[::", "javascript:x", "", "http:"]
)
def test_where_a_redirect_leads_does_not_matter(open_client, location):
    with RawServer(redirect(302, location)) as server:
        client = open_client(settings(base_url=server.url, max_retries=0))
        with pytest.raises(NebulaExplorerConnectionError, match="a redirect|the connection broke"):
            client.login()


def test_a_redirect_with_a_huge_body_is_rejected_as_any_huge_response(open_client):
    endless = b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n" + bytes(40 * 2**20)
    with RawServer(endless) as server:
        client = open_client(settings(base_url=server.url, max_retries=0))
        with pytest.raises(NebulaExplorerConnectionError, match="exceeds 32 MiB"):
            client.login()


def test_what_the_login_set_is_sent_to_its_explorer_and_what_other_responses_set_is_not(open_client):
    cookies = LOGGED_IN.replace(
        b"\r\n\r\n", b"\r\nSet-Cookie: other=1; Domain=127.0.0.1; Path=/\r\nSet-Cookie: more=2\r\n\r\n"
    )
    with RawServer(cookies, OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: other=9\r\n\r\n")) as server:
        client = open_client(settings(base_url=server.url))
        client.run(api.cancel_job(1))
        client.run(api.cancel_job(2))
        assert len(server.requests) == 3
        assert [line for line in server.headers[0] if line.lower().startswith("cookie")] == []
        for lines in server.headers[1:]:
            assert [line for line in lines if line.lower().startswith("cookie")] == [
                f"Cookie: explorer_token={TOKEN}; other=1; more=2"
            ]


@pytest.mark.parametrize(
    ("sent", "used"),
    [
        (b"a.b\rX-Evil: 1", "a.b"),
        (b"a.b\x00X-Evil: 1", "a.b"),
        (b"a.b\xff\xfe", "a.b"),
        (b"a.b X-Evil: 1", "a.b"),
        (b'"a.b"; X-Evil=1', "a.b"),
        (b"a.b, X-Evil: 1", "a.b"),
        (b"a%0d%0aX-Evil:1", "a%0d%0aX-Evil:1"),
    ],
)
def test_a_token_of_odd_bytes_adds_no_header(open_client, sent, used):
    with RawServer(logged_in_with(b"explorer_token=" + sent), OK) as server:
        client = open_client(settings(base_url=server.url, max_retries=0))
        try:
            client.run(api.cancel_job(1))
        except NebulaExplorerConnectionError as error:  # httpx reads no such headers at all
            assert "the connection broke" in str(error)
        for lines in server.headers[1:]:
            assert f"Cookie: explorer_token={used}" in lines
        assert not [line for lines in server.headers for line in lines if line.startswith("X-Evil")]


def test_nothing_but_the_login_carries_the_account(open_client, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("default login someone password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with RawServer(LOGGED_IN, OK) as server:
        open_client(settings(base_url=server.url)).run(api.cancel_job(1))
        login, call = [[line for line in lines if "uthorization" in line] for lines in server.headers]
    assert login == [f"Authorization: Bearer {settings().account.encoded('json')}"]
    assert call == []


ODD_RESPONSES = [
    *(
        b"",
        b"\x00\xff" * 50,
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 xx OK\r\n\r\n",
        b"HTTP/1.1 99 OK\r\n\r\n",
    ),
    *(
        b"HTTP/1.1 999 No\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 No\r\n\r\n",
        b"HTTP/1.1 204 No\r\n\r\n",
    ),
    *(HEAD + b"Content-Length: -5\r\n\r\n{}", HEAD + b"Content-Length: x\r\n\r\n{}"),
    HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n{}",
    HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nabc\r\n",
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 5000 + b"\r\n",
    *(
        HEAD + b"Content-Encoding: %s\r\nContent-Length: 4\r\n\r\nabcd" % name
        for name in (b"gzip", b"br", b"zstd")
    ),
    HEAD + b"Content-Encoding: " + b"gzip, " * 50 + b"gzip\r\nContent-Length: 4\r\n\r\nabcd",
    *(HEAD + b"X: " + b"a" * 70_000 + b"\r\n\r\n", HEAD + b"X: a\r\n" * 300 + b"\r\n"),
    b"HTTP/1.1 100 Continue\r\n\r\n" * 200 + OK,
    HEAD + b"Content-Type: text/html; charset=\xff\r\nContent-Length: 1\r\n\r\n<",
]


@pytest.mark.parametrize("odd", ODD_RESPONSES, ids=lambda odd: repr(odd[:70]))
def test_a_response_that_is_no_http_is_an_error_of_ours(open_client, odd):
    with RawServer(odd) as server:
        client = open_client(settings(base_url=server.url, max_retries=0, timeout=10))
        with pytest.raises(NebulaExplorerError):
            client.login()


BROKEN_COOKIE = b"Set-Cookie : explorer_token=" + TOKEN.encode()


@pytest.mark.parametrize(
    "line", [b"no header", b"X\xff: \xfe", b": x", b"X-Folded: a\r\n b", BROKEN_COOKIE], ids=repr
)
def test_a_token_beside_broken_headers_is_not_logged(open_client, caplog, line):
    caplog.set_level("DEBUG")
    with RawServer(LOGGED_IN.replace(b"HTTP/1.1 200 OK", b"HTTP/1.1 200 OK\r\n" + line)) as server:
        client = open_client(settings(base_url=server.url, max_retries=0))
        try:
            client.run(api.get_job(1))
        except NebulaExplorerError as error:
            assert "tok3n" not in everything_of(error)
        assert server.requests
    assert "tok3n" not in caplog.text
