# SPDX-License-Identifier: Apache-2.0
"""A server that is no Explorer, or a malicious one: both clients keep working and leak nothing."""

from __future__ import annotations

import base64
import gc
import gzip
import json
import time
import traceback
import zlib

import pytest
from factories import settings
from raw_server import OK, DrippingServer, RawServer, logged_in_with

from airflow_provider_nebula_explorer.exceptions import NebulaExplorerConnectionError, NebulaExplorerError
from airflow_provider_nebula_explorer.explorer.client import api
from airflow_provider_nebula_explorer.explorer.client.limits import DEEPEST_JSON

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
        with pytest.raises(NebulaExplorerConnectionError, match=f"exceeds {client.largest}"):
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


DRIPS = {
    "header": HEAD + b"X-Drip: ",
    "status line": b"HTTP/1.1 200 O",
    "body": HEAD + b"Content-Length: 1000\r\n\r\n",
    "chunk's extension": HEAD + b"Transfer-Encoding: chunked\r\n\r\n2;",
    "trailer": HEAD + b'Transfer-Encoding: chunked\r\n\r\na\r\n{"code":0}\r\n0\r\nX-Drip: ',
    "gzip file name": HEAD + b"Content-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x08" + bytes(6),
    "interim response": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 1",
}


@pytest.mark.parametrize("begin", DRIPS.values(), ids=DRIPS)
def test_whatever_drips_ends_at_the_timeout(open_client, begin):
    with DrippingServer(begin) as server:
        client = open_client(settings(base_url=server.url, max_retries=0, timeout=0.4))
        begun = time.monotonic()
        with pytest.raises(NebulaExplorerConnectionError, match=r"no response within 0\.4 s"):
            client.login()
        assert time.monotonic() - begun < 3


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_a_proxy_whose_header_drips_ends_at_the_timeout(open_client):
    with DrippingServer(b"HTTP/1.1 200 Connection established\r\nX-Drip: ") as proxy:
        there = settings(base_url="https://graph.invalid", proxy=proxy.url, max_retries=0, timeout=0.4)
        client = open_client(there)
        begun = time.monotonic()
        with pytest.raises(NebulaExplorerConnectionError):
            client.login()
        assert time.monotonic() - begun < 3
    gc.collect()  # Python 3.10 itself leaves the socket to it where a proxy refuses


def packed(coding, body):
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nSet-Cookie: explorer_token=a.b\r\n"
    return head + b"Content-Encoding: %s\r\nContent-Length: %d\r\n\r\n%s" % (coding, len(body), body)


@pytest.mark.parametrize("coding", [b"gzip", b"GZIP", b"x-gzip"])
def test_gzip_is_unpacked(open_client, coding):
    with RawServer(packed(coding, gzip.compress(b'{"code": 0}'))) as server:
        client = open_client(settings(base_url=server.url))
        client.login()
        (sent,) = [line for line in server.headers[0] if line.lower().startswith("accept-encoding")]
    assert sent == "Accept-Encoding: gzip"


def test_what_is_not_packed_is_read_as_it_is(open_client):
    with RawServer(packed(b"identity", b'{"code": 0}')) as server:
        open_client(settings(base_url=server.url)).login()


@pytest.mark.parametrize("coding", [b"gzip, gzip", b"deflate", b"br", b"zstd", b"gzip, identity", b"\xff"])
def test_what_is_packed_otherwise_is_not_read(open_client, coding):
    huge = zlib.compress(zlib.compress(bytes(2**24)))
    with RawServer(packed(coding, huge)) as server:
        client = open_client(settings(base_url=server.url, max_retries=1))
        with pytest.raises(NebulaExplorerConnectionError, match="packed in a way that was not req") as raised:
            client.login()
        assert len(server.requests) == 1
    assert not raised.value.is_transient


@pytest.mark.parametrize("bytes_lost", [1, 8, 20])
def test_gzip_that_is_cut_may_be_whole_the_next_time(open_client, pauses, bytes_lost):
    whole = gzip.compress(b'{"code": 0}')
    with RawServer(packed(b"gzip", whole[:-bytes_lost]), packed(b"gzip", whole)) as server:
        open_client(settings(base_url=server.url)).login()
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    "body", [b"no gzip", gzip.compress(b'{"code": 0}') + b"more"], ids=["no gzip", "more"]
)
def test_what_is_no_gzip_is_a_broken_response(open_client, body):
    with RawServer(packed(b"gzip", body)) as server:
        client = open_client(settings(base_url=server.url, max_retries=0))
        with pytest.raises(NebulaExplorerConnectionError, match="cannot be unpacked") as raised:
            client.login()
    assert raised.value.is_transient


def test_a_small_response_of_very_many_values_is_rejected(open_client):
    body = gzip.compress(b'{"code":0,"data":[' + b"{}," * 1_000_000 + b"0]}")
    with RawServer(packed(b"gzip", body)) as server:
        client = open_client(settings(base_url=server.url, max_retries=0))
        with pytest.raises(NebulaExplorerConnectionError, match=r"exceeds \d+ JSON values") as raised:
            client.login()
    assert raised.value.may_be_too_large
    assert not raised.value.is_transient


DEEP = {"lists": (b"[", b"]"), "objects": (b'{"a":', b"}"), "both": (b'[{"a":', b"}]")}


@pytest.mark.parametrize(("begin", "end"), DEEP.values(), ids=DEEP)
@pytest.mark.parametrize("levels", [DEEPEST_JSON - 6, DEEPEST_JSON + 2, 900, 1100, 15_000])
def test_json_is_of_limited_depth(open_client, levels, begin, end):
    times = levels // (1 + (len(begin) > 5))
    nested = begin * times + b"1" + end * times
    body = b'{"code": 0, "data": {"id": 1, "status": 1, "tasks": [], "more": %s}}' % nested
    with RawServer(LOGGED_IN, packed(b"gzip", gzip.compress(body))) as server:
        client = open_client(settings(base_url=server.url, max_retries=0))
        if levels < DEEPEST_JSON:
            assert json.loads(json.dumps(client.run(api.get_job(1)).data["more"])) == json.loads(nested)
        else:
            deep = f"more than {DEEPEST_JSON} levels"
            with pytest.raises(NebulaExplorerConnectionError, match=deep) as raised:
                client.run(api.get_job(1))
            assert not raised.value.is_transient


PAYLOAD = base64.urlsafe_b64encode(b'{"username": "root", "password": "nebula-password"}').decode().strip("=")
ECHOES = {
    "status line": f"HTTP/1.1 xx {PAYLOAD}\r\n\r\n",
    "reason": f"HTTP/1.1 503 {PAYLOAD}\r\nContent-Length: 0\r\n\r\n",
    "version": f"{PAYLOAD} 200 OK\r\n\r\n",
    "broken header": f"HTTP/1.1 503 No\r\nno header\r\n{PAYLOAD}: x\r\nContent-Length: 0\r\n\r\n",
    "header": f"HTTP/1.1 503 No\r\nX-Echo: {PAYLOAD}\r\nContent-Length: 0\r\n\r\n",
    "length": f"HTTP/1.1 200 OK\r\nContent-Length: {PAYLOAD}\r\n\r\n",
    "chunk": f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{PAYLOAD}\r\n",
    "coding": f"HTTP/1.1 200 OK\r\nContent-Encoding: {PAYLOAD}\r\n\r\n",
    "location": f"HTTP/1.1 302 No\r\nLocation: {PAYLOAD}\r\nContent-Length: 0\r\n\r\n",
    "message": "HTTP/1.1 400 No\r\n\r\n" + json.dumps({"code": 40004000, "message": f"x {PAYLOAD}"}),
    "text": f"HTTP/1.1 200 OK\r\n\r\n{PAYLOAD}",
}


@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES)
def test_a_part_of_the_token_that_is_sent_back_is_in_no_error_and_no_log(open_client, caplog, echo):
    caplog.set_level("DEBUG")
    token = f"head.{PAYLOAD}.signature"
    secrets = []
    with RawServer(logged_in_with(f"explorer_token={token}; Path=/".encode()), echo.encode()) as server:
        client = open_client(settings(base_url=server.url, max_retries=0), secrets.append)
        with pytest.raises(NebulaExplorerError) as raised:
            client.run(api.get_job(1))
    assert PAYLOAD in secrets
    assert PAYLOAD not in everything_of(raised.value)
    assert caplog.records
    assert PAYLOAD not in caplog.text


@pytest.mark.parametrize(("length", "is_token"), [(8192, True), (8193, False), (94_000, False)])
def test_a_token_is_of_limited_length(open_client, length, is_token):
    cookies = f"explorer_token={'a.' * (length // 2)}{'a' * (length % 2)}".encode()
    with RawServer(logged_in_with(cookies)) as server:
        client = open_client(settings(base_url=server.url, max_retries=0))
        if is_token:
            client.login()
        else:  # longer headers are not read at all
            with pytest.raises(NebulaExplorerConnectionError, match="no usable|connection broke"):
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
