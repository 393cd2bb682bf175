# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import pickle

import pytest
from factories import refusal, response_of

from airflow_provider_nebula_explorer import exceptions
from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerApiError,
    NebulaExplorerAuthError,
    NebulaExplorerBadRequestError,
    NebulaExplorerConnectionError,
    NebulaExplorerForbiddenError,
    NebulaExplorerNotFoundError,
    NebulaExplorerServerError,
)
from airflow_provider_nebula_explorer.explorer.client.protocol import (
    Request,
    Response,
    pause_before_retry,
    read_data,
)


def error_of(response):
    with pytest.raises(exceptions.NebulaExplorerError) as raised:
        read_data("GET http://graph:7002/x", response)
    assert str(raised.value).startswith("GET http://graph:7002/x: "), "every text begins with the request"
    return raised.value


def test_success_gives_the_data():
    assert read_data("x", response_of({"a": 1})) == {"a": 1}


def test_data_may_be_missing():
    assert read_data("x", Response(200, {}, b'{"code": 0, "message": "Success"}')) is None


@pytest.mark.parametrize(
    ("code", "name", "error_class", "is_transient"),
    [
        (40004000, "ErrBadRequest", NebulaExplorerBadRequestError, False),
        (40004001, "ErrParam", NebulaExplorerBadRequestError, False),
        (40104000, "ErrUnauthorized", NebulaExplorerAuthError, False),
        (40104001, "ErrSession", NebulaExplorerAuthError, False),
        (40304000, "ErrForbidden", NebulaExplorerForbiddenError, False),
        (40404000, "ErrNotFound", NebulaExplorerNotFoundError, False),
        (50004000, "ErrInternalServer", NebulaExplorerServerError, True),
        (50004001, "ErrInternalDatabase", NebulaExplorerServerError, True),
        (50004002, "ErrInternalController", NebulaExplorerServerError, True),
        (50004003, "ErrInternalLicense", NebulaExplorerServerError, False),
        (90004000, "ErrUnknown", NebulaExplorerServerError, True),
    ],
)
def test_every_documented_code(code, name, error_class, is_transient):
    status = 500 if code == 90004000 else code // 100_000
    error = error_of(refusal(code, f"{name}::some detail", status=status))
    assert type(error) is error_class
    assert (error.code, error.message, error.http_status) == (code, f"{name}::some detail", status)
    assert error.is_transient is is_transient
    assert not error.may_have_acted, "Explorer itself said no"
    assert str(code) in str(error)
    assert "some detail" in str(error)


def test_a_code_without_a_message_is_named_all_the_same():
    assert "ErrNotFound (the resource does not exist)" in str(error_of(refusal(40404000)))


@pytest.mark.parametrize(
    ("code", "error_class"),
    [
        (40009999, NebulaExplorerBadRequestError),
        (50004999, NebulaExplorerServerError),
        (41804000, NebulaExplorerApiError),
        (50304000, NebulaExplorerServerError),
        (1, NebulaExplorerApiError),
    ],
)
def test_an_unknown_code_keeps_its_number_and_text(code, error_class):
    error = error_of(refusal(code, "ErrNew::what", status=400))
    assert type(error) is error_class
    assert (error.code, error.message) == (code, "ErrNew::what")


@pytest.mark.parametrize(
    "response", [refusal(50304000), refusal(50404000), refusal(1, status=502), refusal(42904000, status=200)]
)
def test_every_code_of_overload_may_pass(response):
    assert error_of(response).is_transient


def test_the_code_counts_not_the_http_status():
    assert read_data("x", response_of({"a": 1}, status=500)) == {"a": 1}
    assert isinstance(error_of(refusal(40404000, status=200)), NebulaExplorerNotFoundError)


@pytest.mark.parametrize("body", [b"<!doctype html><html>", b"\n <html>"])
def test_a_page_with_http_200_is_not_explorer(body):
    error = error_of(Response(200, {"Content-Type": "text/html"}, body))
    assert isinstance(error, NebulaExplorerConnectionError)
    assert "This is not Explorer: check the connection's host, port, schema and path prefix" in str(error)
    assert error.is_transient


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"7",
        b'"x"',
        b'{"data": 1}',
        b'{"code": "0"}',
        b'{"code": true}',
        b'{"code": null}',
    ]
    + [b"\xff\xfe", b"[" * 100_000, b'{"code": ' + b"9" * 5000 + b"}"],
    ids=lambda body: repr(body[:15]),
)
def test_garbage_is_an_error_of_ours(body):
    error = error_of(Response(200, {}, body))
    assert isinstance(error, NebulaExplorerConnectionError)
    assert error.may_have_acted


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_server_error_without_an_envelope_may_pass(status):
    error = error_of(Response(status))
    assert isinstance(error, NebulaExplorerServerError)
    assert (error.code, error.http_status) == (None, status)
    assert error.is_transient
    assert error.may_have_acted


def test_too_many_requests_may_pass():
    error = error_of(Response(429, {}, b"slow down"))
    assert isinstance(error, NebulaExplorerApiError)
    assert error.is_transient
    assert error.may_have_acted


def test_401_without_an_envelope_is_a_refused_session():
    error = error_of(Response(401, {}, b"<html>"))
    assert isinstance(error, NebulaExplorerAuthError)
    assert (error.code, error.http_status) == (None, 401)
    assert not error.may_have_acted


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_an_error_that_time_does_not_mend(status):
    error = error_of(Response(status, {"Location": "http://elsewhere/"}))
    assert isinstance(error, NebulaExplorerConnectionError)
    assert "redirect" in str(error)
    assert not error.is_transient


def test_the_text_of_a_server_passes_through_the_secrets_filter():
    response = refusal(40004000, "ErrBadRequest::no account root:secret")
    with pytest.raises(NebulaExplorerBadRequestError) as raised:
        read_data("x", response, lambda text: text.replace("secret", "***"))
    assert "secret" not in str(raised.value) + raised.value.message


@pytest.mark.parametrize(
    ("attempt", "low", "high"), [(0, 0.5, 1), (1, 1, 2), (2, 2, 4), (5, 15, 30), (10**6, 15, 30)]
)
def test_backoff_doubles_up_to_a_cap_with_jitter(attempt, low, high):
    assert pause_before_retry(attempt, None, 0.0).seconds == low
    assert pause_before_retry(attempt, None, 1.0).seconds == high


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7),
        ("0", 0),
        ("3600", 60),
        ("Tue, 12 Jul 2022 02:33:40 GMT", 5),
        ("Tue, 12 Jul 2022 02:00:00 GMT", 0),
    ],
)
def test_retry_after_is_honoured_and_capped(value, seconds):
    response = Response(429, {"retry-after": value, "date": "Tue, 12 Jul 2022 02:33:35 GMT"})
    assert pause_before_retry(0, response, 0.0).seconds == seconds
    assert pause_before_retry(3, response, 1.0).seconds == seconds + 1


@pytest.mark.parametrize(
    "value", ["", "soon", "-5", "1.5", "²", "Tue, 12 Jul 2022 02:00:00 +99999999999999999999"]
)
def test_an_unreadable_retry_after_counts_as_none(value):
    headers = {"Retry-After": value, "Date": "Tue, 12 Jul 2022 02:00:00 GMT"}
    assert pause_before_retry(0, Response(503, headers), 1.0).seconds == 1


def test_headers_and_bodies_are_not_shown():
    request = Request("GET", "/x", {"Cookie": "explorer_token=secret"}, b"secret")
    assert "secret" not in repr(request) + repr(Response(200, {"Set-Cookie": "secret"}, b"secret"))


@pytest.mark.parametrize(
    "error",
    [
        NebulaExplorerApiError("text", code=1, message="m", http_status=2),
        NebulaExplorerServerError("text", code=50004003),
        NebulaExplorerConnectionError("text", sent=False, transient=False),
        exceptions.NebulaExplorerJobError("text", None),
        exceptions.NebulaExplorerAmbiguousSubmitError("text", ()),
        exceptions.NebulaExplorerTimeoutError("text"),
    ],
)
def test_errors_survive_pickling(error):
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.__dict__) == (type(error), str(error), error.__dict__)
    assert isinstance(copy, exceptions.NebulaExplorerError)


def test_every_documented_code_is_in_the_table():
    assert sorted(json.loads(json.dumps(list(exceptions.CODES)))) == [
        40004000, 40004001, 40104000, 40104001, 40304000, 40404000,
        50004000, 50004001, 50004002, 50004003, 90004000,
    ]  # fmt: skip
