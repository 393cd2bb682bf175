# SPDX-License-Identifier: Apache-2.0
"""Any bytes as responses, and any order of true and false ones: for the clients, for starts, for waits."""

from __future__ import annotations

import asyncio
import gzip
import json

import properties
from factories import settings
from hostile_server import CREATED, LOGGED_IN, HostileServer, a_job, http, success
from hypothesis import HealthCheck, example, given
from hypothesis import settings as how
from hypothesis import strategies as st

from airflow_provider_nebula_explorer.exceptions import NebulaExplorerError
from airflow_provider_nebula_explorer.explorer.client.async_client import AsyncClient
from airflow_provider_nebula_explorer.explorer.models import JobStatus
from airflow_provider_nebula_explorer.explorer.waiting.watcher import Watcher

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]
tried = how(max_examples=60, deadline=None, derandomize=True, suppress_health_check=SLOW)
waited = how(tried, max_examples=12)


def refused(code, message):
    return http({"code": code, "message": message}, status=f"{code // 100_000} No")


PLAUSIBLE = (
    LOGGED_IN,
    success({"success": True}, "Set-Cookie: explorer_token=other.tok3n.here"),
    success({"success": True}, f"Set-Cookie: explorer_token={'a.b' * 10_000}"),
    success(a_job(1)),
    success(a_job(999)),
    success({**a_job(0), "status": 0}),
    success(None),
    success({"id": 0}),
    success({"id": 21}),
    success({"success": False}),
    success({"items": None, "total": 10**18}),
    success({"items": [a_job(1)] * 3, "total": 10**18}),
    success({"items": [{**a_job(9), "workflowId": "²"}, {**a_job(8), "createTime": 10**300}]}),
    success({"items": [{**a_job(7), "createTime": CREATED - 10**12}], "PageSize": 10**20}),
    refused(40104001, "ErrSession"),
    refused(40004000, "ErrBadRequest::Get sessionId[5] failed: Session not existed!"),
    refused(40004000, "ErrBadRequest::There is no idle connection now, please try it later"),
    refused(40404000, f"ErrNotFound::{properties.PASSWORD} {properties.TOKEN}"),
    refused(50004001, "ErrInternalDatabase"),
    http(b"", status="503 Busy"),
    http(b"", "Retry-After: 1000000000", status="429 Slow"),
    http(gzip.compress(b'{"code":0,"data":[' + b"{}," * 10**6 + b"0]}"), "Content-Encoding: gzip"),
    http(gzip.compress(gzip.compress(bytes(10**6))), "Content-Encoding: gzip, gzip"),
    http(b'{"code":0,"data":' + b"[" * 50_000),
    f"HTTP/1.1 xx {properties.TOKEN}\r\n\r\n".encode(),
    f"HTTP/1.1 200 OK\r\n{properties.TOKEN}\r\nX: {properties.TOKEN}\r\n\r\n".encode(),
    b"",
)
LATIN = st.text(st.characters(max_codepoint=255, blacklist_characters="\r\n"), max_size=20)
NAMES = st.sampled_from(
    [
        "Set-Cookie",
        "Content-Length",
        "Transfer-Encoding",
        "Content-Encoding",
        "Location",
        "Date",
        "Connection",
    ]
)
VALUES = LATIN | st.sampled_from(
    ["chunked", "gzip", "identity", "0", "5", "-1", "explorer_token=a.b", "close"]
)
MADE = st.builds(
    lambda status, headers, body: http(body, *(f"{name}: {value}" for name, value in headers), status=status),
    st.sampled_from(["200 OK", "100 Continue", "101 Switch", "204 No", "302 Moved", "401 No", "407 No"])
    | LATIN,
    st.lists(st.tuples(NAMES | LATIN, VALUES), max_size=4),
    st.binary(max_size=60) | st.sampled_from([b'{"code": 0}', gzip.compress(b'{"code": 0}')]),
)


@st.composite
def cut(draw):
    """Return the beginning of a plausible response, with one byte changed."""
    whole = draw(st.sampled_from([response for response in PLAUSIBLE if 0 < len(response) < 2000]))
    place = draw(st.integers(0, len(whole) - 1))
    changed = whole[:place] + bytes([draw(st.integers(0, 255))]) + whole[place + 1 :]
    return changed[: draw(st.integers(place, len(whole)))]


LIES = st.lists(st.none() | st.sampled_from(PLAUSIBLE) | MADE | cut() | st.binary(max_size=100), max_size=14)


@tried
@given(LIES)
@example([None, success(a_job(999)), success(a_job(999))])
@example([None, success(a_job(0))])
@example([None, None, success({"id": 0})])
@example([None, None, None, None, None, success({"items": [a_job(0)]})])
def test_any_lies_end_as_values_or_errors(lies):
    properties.any_lies_end_as_values_or_errors(lies)


def test_the_truth_is_read():
    with HostileServer([]) as server:
        outcomes = properties._play_blocking(settings(base_url=server.url), [])
    assert not [outcome for outcome in outcomes if isinstance(outcome, Exception)]


@waited
@given(LIES)
@example([None, *[success(a_job(999))] * 4])
@example([None, *[success({**a_job(0), "status": 0})] * 2])
def test_waits_that_hear_lies_end_with_their_own_job_or_an_error_of_ours(lies):
    async def no_pause(_):
        await asyncio.sleep(0)

    async def test(url):
        async def open_client():
            return AsyncClient(settings(base_url=url, max_retries=0, timeout=5), sleep=no_pause)

        watcher = Watcher(open_client, max_failures=3)
        try:
            waits = [watcher.job(job_id, interval=0.1) for job_id in (3, 5, 8)]
            return await asyncio.wait_for(asyncio.gather(*waits, return_exceptions=True), 30)
        finally:
            await watcher.close()

    with HostileServer(lies) as server:
        outcomes = asyncio.run(test(server.url))
    for job_id, outcome in zip((3, 5, 8), outcomes, strict=True):
        if isinstance(outcome, BaseException):
            assert isinstance(outcome, NebulaExplorerError), repr(outcome)
            json.dumps(str(outcome))
        else:
            assert (outcome.id, outcome.status.is_final) == (job_id, True)
            assert isinstance(outcome.status, JobStatus)
    assert len(server.requests) < properties.MOST_REQUESTS
