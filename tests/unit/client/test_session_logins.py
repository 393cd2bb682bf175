# SPDX-License-Identifier: Apache-2.0
"""Which login a session uses: another process's, its own, or none, and what it says then."""

from __future__ import annotations

import pytest
from factories import (
    PUBLISHED_JOB,
    TOKEN,
    Played,
    logged_in,
    no_jitter,
    refusal,
    response_of,
    settings,
)

from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerAuthError,
    NebulaExplorerForbiddenError,
    NebulaExplorerLoginError,
)
from airflow_provider_nebula_explorer.explorer import metrics
from airflow_provider_nebula_explorer.explorer.client import api
from airflow_provider_nebula_explorer.explorer.client.logins import Login, Refusal
from airflow_provider_nebula_explorer.explorer.client.session import Session
from airflow_provider_nebula_explorer.explorer.waiting.outcome import FailedPolls

JOB = response_of(PUBLISHED_JOB)
EXPIRED = refusal(40104001, "ErrSession")
REFUSED = refusal(40004000, "ErrBadRequest::failed to authenticate")
NO_IDLE_CONNECTION = "ErrBadRequest::There is no idle connection now, please try it later"
TOO_MANY_SESSIONS = (
    "ErrBadRequest::Create Session failed: Too many sessions created from 10.0.0.7 by user root. "
    "the threshold is 300. Change it by 'max_sessions_per_ip_per_user' in nebula-graphd.conf"
)
UNREACHABLE = "ErrBadRequest::failed to open transport, error: dial tcp 10.0.0.9:9669: connection refused"
THEIRS = Login("their.token.here", "colon", ("AWSALB=0123456789",))


def a_session(**changes):
    return Session(settings(**changes), jitter=no_jitter)


def get_job(session, *responses, shared=()):
    return Played(session.call(api.get_job(1964)), *responses, shared=shared)


@pytest.fixture
def counted():
    seen = []
    metrics.install(seen.append)
    yield seen
    metrics.install(lambda metric: None)


def test_a_login_of_another_process_is_used_with_its_cookies_and_no_login_is_made(counted):
    played = get_job(a_session(), JOB, shared=[THEIRS])
    assert played.sent == ["GET jobs/1964"]
    assert played.requests[0].headers == {"Cookie": "explorer_token=their.token.here; AWSALB=0123456789"}
    assert played.kept == []
    assert counted == ["details"]


def test_what_is_learnt_of_another_process_is_masked_before_it_is_used():
    exchange = a_session().call(api.get_job(1964))
    played = Played(exchange, JOB, shared=[THEIRS])
    assert played.secrets == ["their.token.here", "0123456789"]
    leaking = refusal(40304000, "ErrForbidden::their.token.here with 0123456789 may not")
    session = a_session()
    assert get_job(session, JOB, shared=[THEIRS]).value
    error = get_job(session, leaking).error
    assert isinstance(error, NebulaExplorerForbiddenError)
    assert "their" not in str(error)
    assert "0123" not in str(error)


def test_the_first_search_is_for_any_login_and_the_next_for_another_than_the_refused_one():
    session = a_session()
    assert get_job(session, logged_in("mine"), JOB).refused == [None]
    played = get_job(session, EXPIRED, JOB, shared=[THEIRS])
    assert played.refused == ["mine"]
    assert [request.headers["Cookie"].partition(";")[0] for request in played.requests] == [
        "explorer_token=mine",
        "explorer_token=their.token.here",
    ]


def test_an_outdated_login_of_another_process_costs_one_refused_call():
    played = get_job(a_session(), EXPIRED, logged_in("mine"), JOB, shared=[THEIRS])
    assert played.sent == ["GET jobs/1964", "POST connect", "GET jobs/1964"]
    assert played.refused == [None, THEIRS.token]
    assert [login.token for login in played.kept] == ["mine"]


def test_outdated_logins_of_others_and_then_a_refused_one_of_its_own_are_an_error_soon():
    second = Login("second.token", "json")
    played = get_job(a_session(), EXPIRED, EXPIRED, logged_in("mine"), EXPIRED, shared=[THEIRS, second])
    assert isinstance(played.error, NebulaExplorerAuthError)
    assert played.sent.count("POST connect") == 1
    assert played.sent.count("GET jobs/1964") == 3


def test_the_encoding_of_another_process_is_tried_first():
    session = a_session()
    assert get_job(session, JOB, shared=[THEIRS]).value
    played = get_job(session, EXPIRED, logged_in(), JOB)
    assert played.sent.count("POST connect") == 1
    encoded = settings().account.encoded("colon")
    assert played.requests[1].headers["Authorization"] == f"Bearer {encoded}"


def test_a_refused_account_is_what_others_learn_and_the_error_is_the_same_for_all():
    own = get_job(a_session(), REFUSED, REFUSED)
    assert own.kept == [Refusal(40004000, "ErrBadRequest::failed to authenticate", "", 400)]
    other = get_job(a_session(), shared=own.kept)
    assert other.sent == []
    assert type(other.error) is type(own.error) is NebulaExplorerLoginError
    assert str(other.error) == str(own.error)
    assert vars(other.error) == vars(own.error)
    assert not other.error.is_transient


@pytest.mark.parametrize("message", [UNREACHABLE, NO_IDLE_CONNECTION, TOO_MANY_SESSIONS])
def test_what_is_not_about_the_account_is_not_shared(message):
    played = get_job(a_session(), *[refusal(40004000, message)] * 3)
    assert isinstance(played.error, NebulaExplorerLoginError)
    assert played.kept == []


def test_a_login_that_is_asked_for_is_made_no_matter_what_others_know():
    played = Played(a_session().login(), logged_in())
    assert (played.sent, played.refused) == (["POST connect"], [])
    refused = Played(a_session().login(), REFUSED, REFUSED)
    assert isinstance(refused.error, NebulaExplorerLoginError)


NO_ROOM = [
    (NO_IDLE_CONNECTION, "", 40004000, None),
    (TOO_MANY_SESSIONS, "", 40004000, None),
    (NO_IDLE_CONNECTION.upper(), "", 40004000, None),
    (f"ErrBadRequest::failed to authenticate, dial tcp: {TOO_MANY_SESSIONS.lower()}", "", 40004000, None),
    ("ErrBadRequest", f"goroutine 1: {NO_IDLE_CONNECTION}", 40004000, None),
    ("ErrUnauthorized::no\nidle  connection", "", 40104000, None),
    (NO_IDLE_CONNECTION, "", 50004000, 500),
    (NO_IDLE_CONNECTION, "", 40304000, None),
]


@pytest.mark.parametrize(("message", "details", "code", "status"), NO_ROOM)
def test_a_lack_of_room_is_tried_again_with_one_encoding_and_growing_pauses(
    message, details, code, status, counted
):
    full = refusal(code, message, status=status, details=details)
    played = get_job(a_session(max_retries=4), *[full] * 5)
    assert isinstance(played.error, NebulaExplorerLoginError)
    assert played.error.is_transient
    assert (played.error.code, played.error.message, played.error.details) == (
        code,
        message.replace("\n", " "),
        details,
    )
    assert played.sent == ["POST connect"] * 5
    assert len({request.headers["Authorization"] for request in played.requests}) == 1
    assert played.pauses == [0.5, 1, 2, 4]
    assert counted.count("logins.refused") == 5
    assert "Check three things" not in str(played.error)


def test_room_that_comes_back_is_used(counted):
    full = refusal(40004000, NO_IDLE_CONNECTION)
    played = get_job(a_session(), full, full, logged_in(), JOB)
    assert played.value.id == 1964
    assert counted == ["logins.refused", "retries", "logins.refused", "retries", "logins", "details"]


def test_a_lack_of_room_is_a_failed_poll():
    error = get_job(a_session(), *[refusal(40004000, NO_IDLE_CONNECTION)] * 3).error
    assert "will poll again" in FailedPolls("job 1", 12).failed(error)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            NO_IDLE_CONNECTION,
            (
                "Explorer has no room for another login, of anybody",
                "within that time",
                "share_login",
                "state_dir",
            ),
        ),
        (
            TOO_MANY_SESSIONS,
            (
                "graphd has no room",
                "session_idle_timeout_secs",
                "share_login",
                "fewer machines",
                "max_sessions_per_ip_per_user",
            ),
        ),
    ],
)
def test_the_text_says_what_is_full_until_when_and_what_to_do(message, words):
    error = get_job(a_session(max_retries=0), refusal(40004000, message)).error
    assert not [word for word in words if word not in str(error)]


def test_each_refused_account_is_counted_once_and_an_encoding_that_was_only_tried_is_not(counted):
    get_job(a_session(), REFUSED, REFUSED)
    assert counted == ["logins.refused"]
    counted.clear()
    get_job(a_session(), REFUSED, logged_in(), JOB)
    assert counted == ["logins", "details"]


STACK = "goroutine 7 [running]:\nmain.login(nebula-password)\n\t/app/main.go:7"


@pytest.mark.parametrize(
    ("message", "details", "shown"),
    [
        ("ErrForbidden", STACK, "Details: goroutine 7 [running]: main.login(***)  /app/main.go:7."),
        ("ErrForbidden::not yours", "ErrForbidden::not yours: job 7", "Details: job 7."),
        ("ErrForbidden::not yours", "not yours", None),
        ("ErrForbidden::not yours", "ErrForbidden::not yours", None),
        ("ErrForbidden", "", None),
        ("ErrForbidden", None, None),
        ("ErrForbidden", ["a", "list"], None),
        ("ErrForbidden", "x" * 5000, f"Details: {'x' * 1000}."),
    ],
)
def test_details_are_shown_after_the_message_as_it_is(message, details, shown):
    session = a_session()
    assert get_job(session, logged_in(), JOB).value
    error = get_job(session, refusal(40304000, message, details=details)).error
    assert error.message == message
    assert f"{message} (denied)." in str(error)
    assert error.details == (shown.removeprefix("Details: ").removesuffix(".") if shown else "")
    assert ("Details" in str(error)) == bool(shown)
    assert (shown or "") in str(error)


def test_details_of_a_refused_login_are_shown_without_secrets():
    leaking = refusal(40004000, "ErrBadRequest", details=f"root:nebula-password {TOKEN}")
    error = get_job(a_session(), leaking, leaking).error
    assert "details: root:***" in str(error)
    assert "nebula-password" not in str(error) + error.details
