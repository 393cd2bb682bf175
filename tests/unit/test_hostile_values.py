# SPDX-License-Identifier: Apache-2.0
"""Any value from Explorer, a connection or a template; ``tests/properties.py`` says what must be true."""

from __future__ import annotations

import bisect
import json
from datetime import datetime, timedelta, timezone

import properties
import pytest
from factories import Played, logged_in, refusal, settings
from hypothesis import HealthCheck, given
from hypothesis import settings as how
from hypothesis import strategies as st

from airflow_provider_nebula_explorer.connection.fields import EXTRA_FIELDS
from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerBadRequestError,
    NebulaExplorerConnectionError,
)
from airflow_provider_nebula_explorer.explorer.client import api
from airflow_provider_nebula_explorer.explorer.client.protocol import Response, read_data
from airflow_provider_nebula_explorer.explorer.client.session import Session
from airflow_provider_nebula_explorer.explorer.models import LONGEST_MESSAGE, LONGEST_NAME, parse_time
from airflow_provider_nebula_explorer.explorer.settings import Account

tried = how(
    max_examples=200,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example],
)

ODD_NUMBERS = st.sampled_from(
    [0, -1, 2, 10**19, 10**20, 10**4000, 1e308, float("nan"), float("inf"), -0.0, 2.5]
)
ODD_TEXTS = st.sampled_from(
    [
        *("", " 1", "1_000", "１２", "٣", "²", "\ud800", "\n\x1b[31m", "9" * 5000, ":" * 5000, "x" * 5000),
        *(
            "..",
            "%2e%2e/x",
            "//evil",
            "\\evil",
            "a?b#c@d",
            "::1%\r\nX: y",
            "https://h/a/%2e%2e",
            "https://h//x",
        ),
        *(
            "http://h\r\nX: y",
            "http://u:\ud800@h",
            "{base_url}\n",
            "true",
            "9669",
            "graph",
            properties.PASSWORD,
        ),
        *(
            "0001-01-01T00:00:00Z",
            "9999-12-31T23:59:59-23:59",
            "2022-07-12T10:33:35+08:00",
            "SUCCESS",
            "f" * 32,
        ),
    ]
)
NESTED = json.loads("[" * 900 + "]" * 900)
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | ODD_NUMBERS | ODD_TEXTS
)
JSON = st.recursive(
    SCALARS | st.just(NESTED),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def objects(*names):
    return st.fixed_dictionaries({}, optional=dict.fromkeys(names, JSON))


TIMES = ("runBeginTime", "runEndTime", "createTime")
TASKS = objects("id", "name", "status", *TIMES)
JOBS = st.fixed_dictionaries(
    {"id": st.just(7) | ODD_NUMBERS | JSON, "status": st.integers(0, 9) | ODD_NUMBERS | JSON},
    optional={
        **dict.fromkeys(("name", "workflowId", "workflowName", *TIMES), JSON),
        "tasks": st.lists(TASKS | JSON),
    },
)
PAGES = st.fixed_dictionaries(
    {"items": st.lists(JOBS | st.lists(JSON) | JSON)}, optional={"total": JSON, "PageSize": JSON}
)
ENVELOPES = st.fixed_dictionaries(
    {"code": st.sampled_from([0, 0, 0, 40004000, 40104001, 50004003]) | JSON},
    optional={
        "message": ODD_TEXTS | JSON,
        "details": ODD_TEXTS | JSON,
        "data": JOBS | PAGES | objects("id", "success", "items") | JSON,
    },
)
LATIN = st.text(st.characters(max_codepoint=255), max_size=40)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "Retry-After": LATIN | ODD_TEXTS,
        "Date": LATIN | st.just("Tue, 12 Jul 2022 02:33:35 GMT") | st.just("Tue, 12 Jul 99999 02:33:35 GMT"),
        "Content-Type": LATIN | st.just("text/html"),
    },
)
RESPONSES = st.builds(
    Response,
    st.sampled_from([200, 200, 200, 302, 400, 401, 404, 429, 500, 503]) | st.integers(100, 999),
    HEADERS,
    ENVELOPES.map(lambda envelope: json.dumps(envelope).encode()) | st.binary(),
    st.lists(
        LATIN
        | LATIN.map("explorer_token={}".format)
        | LATIN.map("other={}; Path=/".format)
        | st.just("explorer_token=a.b; Path=/, other=1"),
        max_size=3,
    ),
)
CONNECTIONS = st.fixed_dictionaries(
    {
        "host": st.just("graph") | JSON,
        "extra": st.fixed_dictionaries(
            {"nebula_address": st.just("graphd") | JSON},
            optional={field.name: JSON for field in EXTRA_FIELDS[1:]},
        )
        | JSON,
    },
    optional={"port": JSON, "schema": JSON, "login": JSON},
)
ZONES = st.just(timezone.utc) | st.integers(-1439, 1439).map(
    lambda minutes: timezone(timedelta(minutes=minutes))
)
ARGUMENTS = (
    JSON
    | st.binary()
    | st.datetimes(timezones=st.none() | ZONES)
    | st.sampled_from([datetime.min.replace(tzinfo=timezone(timedelta(hours=23))), 10**5000, object()])
)


@tried
@given(RESPONSES)
def test_any_response_is_read_or_refused(response):
    properties.any_response_is_read_or_refused(response)


@tried
@given(CONNECTIONS)
def test_any_connection_is_read_or_refused(fields):
    properties.any_connection_is_read_or_refused(fields)


@tried
@given(ARGUMENTS)
def test_any_argument_is_taken_or_refused(value):
    properties.any_argument_is_taken_or_refused(value)


def is_read(depth):
    try:
        json.loads("[" * depth + "]" * depth)
    except RecursionError:
        return False
    return True


def test_no_depth_of_lists_in_lists_is_too_much():
    deepest = bisect.bisect(range(100_000), False, key=lambda depth: not is_read(depth))
    for depth in range(
        deepest - 60, deepest + 10
    ):  # what is just read may be too much for what is made of it
        nested = "[" * depth + "]" * depth
        body = f'{{"code": 0, "data": {{"id": 1, "status": 1, "name": {nested}, "items": [{nested}]}}}}'
        properties.any_response_is_read_or_refused(Response(200, {}, body.encode()))
        body = f'{{"code": 40004000, "message": {nested}}}'
        properties.any_response_is_read_or_refused(Response(400, {}, body.encode()))


@pytest.mark.parametrize("text", [":" * 1_000_000, "." + "0" * 1_000_000 + "x", ":+00" * 300_000])
def test_a_long_text_is_soon_known_to_be_no_time(text):
    assert parse_time(text) is None


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_no_database_takes_is_no_json(number):
    body = f'{{"code": 0, "data": {{"id": 1, "status": 2, "load": {number}}}}}'.encode()
    with pytest.raises(NebulaExplorerConnectionError, match="not Explorer's JSON"):
        read_data("GET x", Response(200, {}, body))


def test_of_two_equal_keys_the_last_counts():
    assert read_data("GET x", Response(200, {}, b'{"code": 40004000, "code": 0, "data": 1, "data": 2}')) == 2


def test_a_message_is_shown_as_one_line_of_some_length():
    with pytest.raises(NebulaExplorerBadRequestError) as raised:
        read_data("GET x", refusal(40004000, "bad\r\nERROR forged \x1b[31m\ud800" + "x" * 10_000))
    assert raised.value.message.startswith("bad  ERROR forged  [31m xxx")
    assert len(str(raised.value)) < 1300


@pytest.mark.parametrize("message", [["a list"], {"an": "object"}, 7, None])
def test_a_message_that_is_no_text_is_none(message):
    with pytest.raises(NebulaExplorerBadRequestError, match="ErrBadRequest") as raised:
        read_data("GET x", refusal(40004000, message))
    assert raised.value.message == ""


def test_of_an_endless_message_the_begin_is_shown_without_secrets():
    def redact(text):
        return text.replace("a long secret", "***")

    with pytest.raises(NebulaExplorerBadRequestError) as raised:
        read_data("GET x", refusal(40004000, "a long secret " + "endless" * 10_000), redact)
    assert raised.value.message.startswith("*** endless")
    assert len(raised.value.message) == LONGEST_MESSAGE
    with pytest.raises(NebulaExplorerBadRequestError) as raised:
        read_data("GET x", refusal(40004000, "a long secret" * 10_000), redact)
    assert raised.value.message == "", "the end that was cut might be a part of a secret"


def test_a_secret_that_is_part_of_another_does_not_leave_the_rest_of_it():
    password = "payload"
    session = Session(settings(account=Account("root", password, "graphd")))
    leak = refusal(50004003, "token header.payload.signature")
    played = Played(session.call(api.get_job(1)), logged_in("header.payload.signature"), leak)
    assert "token ***" in str(played.error)
    assert not [part for part in ("header", password, "signature") if part in str(played.error)]


def test_what_explorer_calls_a_workflow_adds_nothing_to_a_link_but_itself():
    link = settings(job_url="{base_url}/w/{workflow_id}?j={job_id}").job_link(7, "../a?b#c\r\n\ud800")
    assert link == "http://graph:7002/w/..%2Fa%3Fb%23c%0D%0A%3F?j=7"
    assert settings(job_url="{workflow_id}").job_link(7, "w" * 10**6) == "w" * LONGEST_NAME
