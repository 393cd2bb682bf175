# SPDX-License-Identifier: Apache-2.0
"""What Explorer and graphd keep for each login, and when they refuse the next."""

from __future__ import annotations

import json

import pytest
from emulator_clients import START, DirectClient

from airflow_provider_nebula_explorer.emulator.limits import Limits
from airflow_provider_nebula_explorer.emulator.sessions import Sessions

NO_ROOM = "ErrBadRequest::There is no idle connection now, please try it later"
TOO_MANY = (
    "ErrBadRequest::Create Session failed: Too many sessions created from 127.0.0.1 by user root. "
    "the threshold is 2. You can change it by modifying 'max_sessions_per_ip_per_user' in nebula-graphd.conf"
)
WRONG = '["root","wrong"]'


def limited(**limits: float) -> DirectClient:
    return DirectClient(Sessions(limits=Limits(**limits)))  # type: ignore[arg-type]


def outcomes(explorer: DirectClient, logins: int) -> list[int]:
    return [explorer.connect().status for _ in range(logins)]


def refusal(explorer: DirectClient, **login: str) -> tuple[int, int, str]:
    response = explorer.connect(**login)
    envelope = json.loads(response.body)
    return response.status, envelope["code"], envelope["message"]


def cookies(explorer: DirectClient, logins: int) -> list[str]:
    """Log in some times, and return the cookie of each client."""
    clients = []
    for _ in range(logins):
        explorer.connect()
        clients.append(explorer.headers["cookie"])
    return clients


def use(explorer: DirectClient, cookie: str) -> object:
    explorer.headers = {"cookie": cookie}
    return explorer.call("GET", "/jobs") if cookie else None


def test_with_200_clients_every_login_is_refused():
    explorer = DirectClient()

    assert outcomes(explorer, 200) == [200] * 200
    assert refusal(explorer) == (400, 40004000, NO_ROOM)
    assert len(explorer.sessions.tokens) == explorer.sessions.most_clients == 200


def test_a_wrong_account_without_room_is_refused_for_want_of_room():
    explorer = limited(max_clients=1)
    explorer.connect()

    assert refusal(explorer, account=WRONG) == (400, 40004000, NO_ROOM)


def test_the_login_that_finds_no_room_makes_room_for_the_next_one_where_clients_are_idle():
    explorer = limited(max_clients=3, recycle_above=2)
    outcomes(explorer, 3)
    explorer.now += 3600
    assert outcomes(explorer, 2) == [400, 400]

    explorer.now += 1
    assert outcomes(explorer, 2) == [400, 200]
    assert len(explorer.sessions.tokens) == 1


def test_idle_clients_are_closed_by_a_login_that_finds_more_than_30():
    explorer = DirectClient()
    first, *_ = cookies(explorer, 30)
    explorer.now += 3601
    explorer.connect()
    assert len(explorer.sessions.tokens) == 31

    explorer.connect()
    assert len(explorer.sessions.tokens) == 2
    assert use(explorer, first) == 40104001


def test_a_client_that_makes_requests_is_not_closed():
    explorer = limited(recycle_above=1)
    idle, busy = cookies(explorer, 2)
    explorer.now += 3000
    use(explorer, busy)
    explorer.now += 3000
    explorer.connect()

    assert use(explorer, idle) == 40104001
    assert isinstance(use(explorer, busy), dict)


def test_a_full_explorer_closes_idle_clients_however_few_it_has():
    explorer = limited(max_clients=2)
    outcomes(explorer, 2)
    explorer.now += 3601

    assert outcomes(explorer, 2) == [400, 200]


@pytest.mark.parametrize("limit", ["max_clients", "max_graphd_sessions"])
def test_0_switches_a_limit_off(limit: str):
    others = {"max_clients": 0, "max_graphd_sessions": 0} | {limit: 0}

    assert outcomes(limited(**others), 400) == [200] * 400


def test_clients_that_are_never_idle_for_too_long_are_never_closed():
    explorer = limited(client_idle=0, max_clients=1)
    explorer.connect()
    explorer.now += 1e6

    assert outcomes(explorer, 2) == [400, 400]


def test_graphd_refuses_one_session_too_many():
    explorer = limited(max_graphd_sessions=2)
    outcomes(explorer, 2)

    assert refusal(explorer) == (400, 40004000, TOO_MANY)


def test_graphd_counts_only_sessions_of_accounts_that_it_accepted():
    explorer = limited(max_graphd_sessions=1)
    explorer.connect(WRONG)

    assert outcomes(explorer, 2) == [200, 400]


def test_a_client_that_is_closed_gives_its_session_back_to_graphd():
    explorer = limited(max_graphd_sessions=2, recycle_above=1)
    outcomes(explorer, 2)
    explorer.now += 3601

    assert outcomes(explorer, 2) == [200, 200]


def test_a_restart_of_explorer_leaves_its_sessions_at_graphd_for_eight_hours():
    explorer = limited(max_graphd_sessions=2)
    outcomes(explorer, 2)
    explorer.sessions.forget()
    explorer.now = START + 28_799
    assert refusal(explorer) == (400, 40004000, TOO_MANY)

    explorer.now = START + 28_800
    assert outcomes(explorer, 3) == [200, 200, 400]


def test_a_client_keeps_its_session_at_graphd_however_long_it_is_idle():
    explorer = limited(max_graphd_sessions=1)
    explorer.connect()
    explorer.now += 100_000
    assert explorer.listed() == []

    assert refusal(explorer)[0] == 400


@pytest.mark.parametrize(("code", "status"), [(40004000, 400), (50004001, 500)])
def test_whoever_logged_in_before_graphd_dropped_its_sessions_is_refused_until_the_next_login(
    code: int, status: int
):
    explorer = limited(max_graphd_sessions=1)
    explorer.connect()
    explorer.sessions.drop_graphd_sessions(code)

    response = explorer.send("GET", "/jobs")
    assert (response.status, json.loads(response.body)["code"]) == (status, code)
    assert b"Get sessionId[1657593212000001] failed: Session not existed!" in response.body
    assert explorer.connect().status == 200
    assert explorer.listed() == []


def test_wrong_passwords_in_a_row_lock_the_account_for_a_while():
    explorer = limited(failed_login_attempts=3, password_lock_time=60)
    failed = "ErrBadRequest::failed to authenticate"
    locked = "3 times consecutive incorrect passwords has been input, user name: root has been locked"

    assert [refusal(explorer, account=WRONG)[2] for _ in range(2)] == [failed, failed]
    assert refusal(explorer, account=WRONG)[2] == f"{failed}, error: {locked}, try again in 60 seconds"
    explorer.now += 59
    assert refusal(explorer)[2] == f"{failed}, error: {locked}, try again in 1 seconds"
    explorer.now += 1
    assert explorer.connect().status == 200


def test_a_login_that_succeeds_or_that_explorer_cannot_read_is_no_wrong_password():
    explorer = limited(failed_login_attempts=2, password_lock_time=60)
    for account in (WRONG, '["root","stand-in-secret"]', WRONG, "root:stand-in-secret", "[]"):
        explorer.connect(account)

    assert explorer.connect().status == 200
