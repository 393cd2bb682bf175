# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import traceback

import pytest
from factories import (
    PUBLISHED_JOB,
    TOKEN,
    Played,
    broken,
    logged_in,
    no_jitter,
    refusal,
    response_of,
    settings,
)

from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerAmbiguousSubmitError,
    NebulaExplorerApiError,
    NebulaExplorerAuthError,
    NebulaExplorerConnectionError,
    NebulaExplorerError,
    NebulaExplorerNotFoundError,
    NebulaExplorerServerError,
)
from airflow_provider_nebula_explorer.explorer.client import api
from airflow_provider_nebula_explorer.explorer.client.protocol import Response, SingleFlight
from airflow_provider_nebula_explorer.explorer.client.session import Session
from airflow_provider_nebula_explorer.explorer.settings import Account

JOB = response_of(PUBLISHED_JOB)
REFUSED = refusal(40004000, "ErrBadRequest::failed to authenticate")
EXPIRED = refusal(40104001, "ErrSession")


def a_session(**changes):
    return Session(settings(**changes), jitter=no_jitter)


def get_job(session, *responses):
    return Played(session.call(api.get_job(1964)), *responses)


def a_session_with_token(**changes):
    session = a_session(**changes)
    assert get_job(session, logged_in(), JOB).value
    return session


def test_the_first_call_logs_in_and_the_next_does_not():
    session = a_session()
    assert get_job(session, logged_in(), JOB).sent == ["POST connect", "GET jobs/1964"]
    assert get_job(session, JOB).sent == ["GET jobs/1964"]


def test_calls_carry_the_token_in_a_cookie_and_nothing_of_the_account():
    played = get_job(a_session(), logged_in(), JOB)
    assert played.requests[1].headers == {"Cookie": f"explorer_token={TOKEN}"}
    assert "Cookie" not in played.requests[0].headers


@pytest.mark.parametrize(
    "cookie",
    [
        "explorer_token={}; Path=/; Max-Age=259200; HttpOnly",
        "explorer_token={}; Path=/; # Max-Age=259200; HttpOnly",
        "explorer_token={}",
        "explorer_token={}; Path=/; Max-Age=259200; HttpOnly; Secure; SameSite=None",
        "explorer_token={}; Max-Age=0",
        'explorer_token="{}"; Path=/',
        "lang=en; Path=/, explorer_token={}; Path=/",
        "explorer_token=; Max-Age=0, explorer_token={}; Path=/",
        "explorer_token=old; Path=/, explorer_token={}; Path=/",
        "x_explorer_token=wrong, explorer_token={}; expires=Tue, 12 Jul 2022 02:00:00 GMT",
    ],
)
def test_the_token_is_found_in_every_form_of_the_cookie(cookie):
    played = get_job(a_session(), logged_in(cookie=cookie), JOB)
    assert played.requests[1].headers["Cookie"].removesuffix("; lang=en") == f"explorer_token={TOKEN}"


@pytest.mark.parametrize("cookie", ["", "other=1", "explorer_token=; Path=/"])
def test_a_login_without_a_token_is_an_error_that_says_so(cookie):
    played = get_job(a_session(max_retries=0), logged_in(cookie=cookie))
    assert isinstance(played.error, NebulaExplorerConnectionError)
    assert "no usable 'explorer_token' cookie" in str(played.error)


@pytest.mark.parametrize("expired", [EXPIRED, refusal(40104000), Response(401)])
def test_a_session_that_ended_is_renewed_once_and_the_call_repeated(expired):
    played = get_job(a_session_with_token(), expired, logged_in("second"), JOB)
    assert played.sent == ["GET jobs/1964", "POST connect", "GET jobs/1964"]
    assert played.requests[2].headers["Cookie"] == "explorer_token=second"
    assert played.value.id == 1964
    assert played.pauses == []


def test_a_session_that_ends_right_after_the_login_is_renewed_too():
    played = get_job(a_session(), logged_in(), EXPIRED, logged_in("second"), JOB)
    assert played.sent == ["POST connect", "GET jobs/1964", "POST connect", "GET jobs/1964"]


GRAPHD_FORGOT = [
    refusal(code, f"ErrBadRequest::{text}")
    for code in (40004000, 50004001)
    for text in (
        "Get sessionId[1657593212000001] failed: Session not existed!",
        "Get sessionId[1657593212000001] failed",
        "Session not existed!",
        "session expired",
        "The session was expired",
        "an error occurred when executing: SessionId 5 is invalid",
    )
]


@pytest.mark.parametrize("refused", GRAPHD_FORGOT, ids=lambda it: it.body.decode())
def test_a_session_that_ended_at_graphd_is_renewed_once_and_the_call_repeated(refused):
    session = a_session_with_token()
    played = get_job(session, refused, logged_in("second"), JOB)
    assert played.sent == ["GET jobs/1964", "POST connect", "GET jobs/1964"]
    assert (played.value.id, played.pauses) == (1964, [])
    start = Played(session.call(api.add_job(5)), refused, logged_in("third"), response_of({"id": 107}))
    assert start.value == 107


@pytest.mark.parametrize(
    "refused",
    [
        refusal(40004000, "ErrBadRequest::Create Session failed: Too many sessions created"),
        refusal(40004000, "ErrBadRequest::component session_1 is invalid"),
        refusal(40304000, "ErrForbidden::Session not existed"),
        refusal(50004003, "ErrInternalLicense::session expired"),
    ],
    ids=lambda it: it.body.decode(),
)
def test_a_refusal_that_is_not_of_the_session_is_no_reason_for_a_login(refused):
    assert "POST connect" not in get_job(a_session_with_token(), refused).sent


def test_a_graphd_that_keeps_forgetting_is_the_same_error_as_before():
    refused = refusal(50004001, "ErrInternalDatabase::Session not existed")
    played = get_job(a_session_with_token(), refused, logged_in("second"), refused)
    assert isinstance(played.error, NebulaExplorerServerError)
    assert played.error.is_transient, "a wait takes it for a failed poll"


def test_a_second_refusal_is_an_error():
    played = get_job(a_session_with_token(), EXPIRED, logged_in("second"), EXPIRED)
    assert isinstance(played.error, NebulaExplorerAuthError)
    assert played.error.code == 40104001
    assert "renewed and refused again" in str(played.error)


@pytest.mark.parametrize("between", [broken(), Response(503)])
def test_a_session_that_ends_again_after_other_trouble_is_renewed_again(between):
    played = get_job(a_session_with_token(), EXPIRED, logged_in("second"), between, EXPIRED, logged_in(), JOB)
    assert played.sent.count("POST connect") == 2
    assert played.value.id == 1964


def test_a_session_that_served_others_and_ends_again_is_renewed_again():
    session = a_session_with_token()
    waiting = session.call(api.get_job(1964))
    next(waiting)
    renewal = waiting.send(EXPIRED)
    get_job(session, EXPIRED, logged_in("second"), JOB)
    second = Played(renewal.begin()).value
    assert second.token == "second"
    waiting.send(second)
    assert isinstance(waiting.send(EXPIRED), SingleFlight)


def test_a_session_that_is_renewed_again_and_again_does_not_grow():
    session = a_session_with_token()

    def size_after_renewals(begin):
        for number in range(begin, begin + 50):
            assert get_job(session, EXPIRED, logged_in(f"token-{number}"), JOB).value
        return len(repr(vars(session)))

    assert size_after_renewals(100) == size_after_renewals(200)
    leaking = refusal(40304000, "ErrForbidden::token-248 and token-249 may not")
    assert "token-" not in str(get_job(session, leaking).error)


def test_a_login_is_renewed_no_more_than_twice_for_one_call():
    trouble = (Response(503), EXPIRED)
    logins = [response for number in range(3) for response in (logged_in(f"token-{number}"), *trouble)]
    played = get_job(a_session_with_token(), EXPIRED, *logins)
    assert isinstance(played.error, NebulaExplorerAuthError)
    assert played.sent.count("POST connect") == 2


def test_adding_a_job_is_repeated_after_a_renewal_as_it_was_refused():
    session = a_session_with_token()
    played = Played(session.call(api.add_job(5)), EXPIRED, logged_in("second"), response_of({"id": 107}))
    assert (played.sent, played.value) == (
        ["POST workflows/5/jobs", "POST connect", "POST workflows/5/jobs"],
        107,
    )


def test_auto_tries_json_and_then_colon_and_remembers_what_worked():
    session = a_session()
    played = get_job(session, REFUSED, logged_in(), JOB)
    sent = [request.headers["Authorization"] for request in played.requests[:2]]
    account = settings().account
    assert sent == [f"Bearer {account.encoded('json')}", f"Bearer {account.encoded('colon')}"]
    renewed = get_job(session, EXPIRED, logged_in(), JOB)
    assert renewed.requests[1].headers["Authorization"] == f"Bearer {account.encoded('colon')}"


def test_what_worked_before_is_only_tried_first():
    session = a_session()
    get_job(session, REFUSED, logged_in(), JOB)
    played = get_job(session, EXPIRED, REFUSED, logged_in(), JOB)
    assert played.value, "an upgraded Explorer may want the other encoding"


@pytest.mark.parametrize("code", [40004000, 40004001, 40104000, 40004999])
def test_both_encodings_refused_is_an_error_with_three_things_to_check(code):
    played = get_job(a_session(), refusal(code, "ErrX::no"), refusal(code, "ErrX::no"))
    assert isinstance(played.error, NebulaExplorerAuthError)
    assert played.error.code == code
    assert played.pauses == []
    for part in (
        "'root'",
        "login and password",
        "nebula_address '10.0.0.9'",
        "not localhost",
        "account_encoding",
    ):
        assert part in str(played.error)


@pytest.mark.parametrize(
    "detail",
    [
        "dial tcp 10.0.0.9:9669: connect: connection refused",
        "failed to open transport",
        "dial tcp: i/o timeout",
    ],
)
def test_an_unreachable_graphd_is_named(detail):
    response = refusal(40004000, f"ErrBadRequest::{detail}")
    played = get_job(a_session(), response, response)
    assert "Explorer cannot reach graphd: check nebula_address '10.0.0.9', nebula_port 9669" in str(
        played.error
    )


def test_a_graphd_that_is_unreachable_may_pass_only_where_the_login_worked_before():
    unreachable = refusal(40004000, "ErrBadRequest::dial tcp 10.0.0.9:9669: connect: connection refused")
    session = a_session()
    assert not get_job(session, unreachable, unreachable).error.is_transient
    get_job(session, logged_in(), JOB)
    assert get_job(session, EXPIRED, unreachable, unreachable).error.is_transient
    assert not get_job(session, EXPIRED, REFUSED, REFUSED).error.is_transient


@pytest.mark.parametrize("encoding", ["json", "colon"])
def test_a_fixed_encoding_is_the_only_one_tried(encoding):
    account = Account("root", "nebula-password", "10.0.0.9", encodings=(encoding,))
    played = get_job(a_session(account=account), REFUSED)
    assert played.sent == ["POST connect"]
    assert isinstance(played.error, NebulaExplorerAuthError)


@pytest.mark.parametrize(
    "response",
    [
        refusal(50004000),
        refusal(90004000, status=500),
        Response(503),
        Response(429),
        Response(200, {}, b"<html>"),
    ]
    + [
        broken(),
        Response(401),
        refusal(40004000, status=429),
        refusal(40004000, status=503),
        refusal(40304000),
        refusal(40404000),
        refusal(50004003),
    ],
    ids=str,
)
def test_the_other_encoding_is_tried_on_nothing_but_a_refused_account(response):
    played = get_job(a_session(max_retries=0), response)
    assert played.sent == ["POST connect"]
    assert isinstance(played.error, (NebulaExplorerApiError, NebulaExplorerConnectionError))


PASSING = [
    broken(),
    Response(503),
    Response(502, {}, b"<html>bad gateway"),
    Response(429),
    refusal(50004000),
    refusal(50004001),
    refusal(90004000, status=500),
    refusal(40004000, status=429),
    Response(200, {}, b"<html>"),
    Response(200, {}, b'{"code": 0, "da'),
    Response(404, {}, b"404 page not found"),
]


@pytest.mark.parametrize("response", PASSING, ids=str)
@pytest.mark.parametrize(
    ("call", "data"),
    [
        (api.get_job(1964), PUBLISHED_JOB),
        (api.cancel_job(1), {"success": True}),
        (api.list_jobs(None, {}, 1, 10), {"items": []}),
        (api.get_task_result(1, "f" * 32), {"items": []}),
    ],
    ids=["get", "cancel", "list", "result"],
)
def test_what_is_safe_is_repeated_with_growing_pauses(response, call, data):
    session = a_session_with_token()
    played = Played(session.call(call), response, response, response_of(data))
    assert played.error is None
    assert len(played.requests) == 3
    assert played.pauses == [0.5, 1.0]


@pytest.mark.parametrize("response", PASSING, ids=str)
def test_a_login_is_repeated_too(response):
    assert get_job(a_session(), response, response, logged_in(), JOB).pauses == [0.5, 1.0]


@pytest.mark.parametrize("response", PASSING, ids=str)
def test_retries_end_with_the_error(response):
    played = get_job(a_session_with_token(), *[response] * 3)
    assert len(played.requests) == 3, "max_retries is 2"
    assert isinstance(played.error, (NebulaExplorerApiError, NebulaExplorerConnectionError))


@pytest.mark.parametrize(
    "response",
    [refusal(40004000), refusal(40304000), refusal(40404000), refusal(50004003), refusal(41804000)]
    + [Response(302), response_of({"id": 1})],
    ids=str,
)
def test_what_time_does_not_mend_is_not_repeated(response):
    assert len(get_job(a_session_with_token(), response).requests) == 1


def test_retry_after_makes_the_pause():
    limited = Response(429, {"Retry-After": "7"})
    assert get_job(a_session_with_token(), limited, JOB).pauses == [7]


@pytest.mark.parametrize("response", PASSING, ids=str)
def test_adding_a_job_is_never_repeated_when_it_may_have_arrived(response):
    played = Played(a_session_with_token().call(api.add_job(5)), response)
    assert played.sent == ["POST workflows/5/jobs"]
    body = response.body if isinstance(response, Response) else b""
    was_refused = b'"code"' in body and b'"code": 0' not in body
    assert isinstance(played.error, NebulaExplorerAmbiguousSubmitError) is not was_refused


@pytest.mark.parametrize("response", [broken(), Response(503), Response(200, {}, b"<html>")], ids=str)
def test_a_login_that_fails_before_a_job_is_added_is_not_ambiguous(response):
    for session, responses in (
        (a_session(max_retries=0), [response]),
        (a_session_with_token(), [EXPIRED, *[response] * 3]),
    ):
        played = Played(session.call(api.add_job(5)), *responses)
        assert not isinstance(played.error, NebulaExplorerAmbiguousSubmitError)
        assert "/connect" in str(played.error) or played.error is response


def test_adding_a_job_is_repeated_when_it_certainly_never_left():
    played = Played(a_session_with_token().call(api.add_job(5)), broken(sent=False), response_of({"id": 107}))
    assert (played.value, played.pauses) == (107, [0.5])


def test_a_response_of_another_shape_is_an_error_of_ours():
    played = get_job(a_session_with_token(), response_of({"id": 1}))
    assert isinstance(played.error, NebulaExplorerConnectionError)
    assert "GET http://graph:7002/api-open/v1/jobs/1964" in str(played.error)
    assert "'status'" in str(played.error)


def test_a_response_about_another_job_is_sent_for_again_and_then_an_error_that_names_both():
    other = response_of({**PUBLISHED_JOB, "id": 7})
    session = a_session_with_token()
    assert get_job(session, other, JOB).value.id == 1964
    played = get_job(session, other, other, other)
    assert isinstance(played.error, NebulaExplorerConnectionError)
    assert played.error.is_transient
    assert "it is about job 7, not about job 1964" in str(played.error)
    assert len(played.requests) == 3


@pytest.mark.parametrize("data", [None, {"id": 0, "status": 0, "name": "", "tasks": None}])
def test_a_job_of_zero_values_does_not_exist(data):
    played = get_job(a_session_with_token(), response_of(data))
    assert isinstance(played.error, NebulaExplorerNotFoundError)
    assert not played.error.is_transient
    assert "jobs/1964: Explorer reports success, but the response holds no job. Check the id" in str(
        played.error
    )


def test_a_start_that_is_answered_with_no_id_is_ambiguous():
    played = Played(a_session_with_token().call(api.add_job(5)), response_of({"id": 0}))
    assert isinstance(played.error, NebulaExplorerAmbiguousSubmitError)
    assert "'id' is out of range" in str(played.error)


def test_secrets_are_yielded_before_they_are_used():
    played = get_job(a_session(), REFUSED, logged_in(), EXPIRED, logged_in("second"), JOB)
    account = settings().account
    assert played.secrets == [account.encoded("json"), account.encoded("colon"), TOKEN, "second"]


def test_no_error_text_holds_a_secret_that_the_server_sends_back():
    account = settings().account
    session = a_session_with_token()
    leaks = f"{account.password} {account.encoded('json')} {account.encoded('colon')} {TOKEN}"
    for response in (
        refusal(40004000, f"ErrBadRequest::{leaks}"),
        response_of(leaks),
        response_of({"id": leaks}),
    ):
        played = get_job(session, response)
        assert isinstance(played.error, NebulaExplorerError)
        shown = "".join(traceback.format_exception(played.error)) + getattr(played.error, "message", "")
        assert not [secret for secret in leaks.split() if secret in shown]


def test_a_password_of_digits_that_comes_back_as_an_id_is_not_shown():
    session = a_session_with_token(account=Account("root", "87654321", "10.0.0.9"))
    played = get_job(session, *[response_of({**PUBLISHED_JOB, "id": 87654321})] * 3)
    assert "it is about job ***, not about job 1964" in str(played.error)


def test_a_refused_login_does_not_show_the_password():
    played = get_job(a_session(), *[refusal(40004000, "ErrBadRequest::root:nebula-password")] * 2)
    assert "nebula-password" not in str(played.error) + played.error.message


def test_settings_do_not_show_the_password():
    assert "nebula-password" not in repr(settings(proxy="http://u:proxy-password@proxy:1"))
    assert "proxy-password" not in repr(settings(proxy="http://u:proxy-password@proxy:1"))


@pytest.mark.parametrize(
    ("password", "written"),
    [
        ('a:b "c" \\', '["root","a:b \\"c\\" \\\\"]'),
        ("pä ß 图", '["root","pä ß 图"]'),
        ("\n\x01", '["root","\\n\\u0001"]'),
    ],
)
def test_json_accounts_are_written_as_javascript_does(password, written):
    import base64

    encoded = Account("root", password, "x").encoded("json")
    assert base64.b64decode(encoded).decode() == written
    assert json.loads(written) == ["root", password]


def test_two_exchanges_of_one_session_do_not_undo_each_others_renewal():
    session = a_session_with_token()
    first, second = session.call(api.get_job(1964)), session.call(api.get_job(2))
    next(first), next(second)
    renewals = first.send(EXPIRED), second.send(EXPIRED)
    played = [Played(renewal.begin(), logged_in("renewed")) for renewal in renewals]
    assert [len(one.requests) for one in played] == [1, 0], "the second login is not made"
    assert [one.value.token for one in played] == ["renewed", "renewed"]


def test_a_licence_error_says_what_to_do():
    played = get_job(a_session_with_token(), refusal(50004003, "ErrInternalLicense"))
    assert isinstance(played.error, NebulaExplorerServerError)
    assert "Renew Explorer's license" in str(played.error)
