# SPDX-License-Identifier: Apache-2.0
"""One login for all processes that share a folder: real processes, and both drivers."""

from __future__ import annotations

import asyncio
import base64
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from asgiref.sync import sync_to_async
from factories import settings, settings_of
from login_processes import get_job, in_processes, start
from raw_server import OK, RawServer, logged_in_with

from airflow_provider_nebula_explorer.emulator import Fault
from airflow_provider_nebula_explorer.exceptions import NebulaExplorerLoginError
from airflow_provider_nebula_explorer.explorer.client import api
from airflow_provider_nebula_explorer.explorer.client.async_client import AsyncClient
from airflow_provider_nebula_explorer.explorer.client.login_store import LoginStore
from airflow_provider_nebula_explorer.explorer.client.logins import Login
from airflow_provider_nebula_explorer.explorer.client.sync_client import Client
from airflow_provider_nebula_explorer.explorer.settings import Account


@pytest.fixture
def sharing(explorer, tmp_path):
    """Settings of an Explorer that has job 101."""
    explorer.start_job(5)
    return settings_of(explorer, state_dir=str(tmp_path / "state"))


def contents(path):
    return [file.read_bytes() for file in path.glob("*") if file.suffix != ".lock"]


def test_sixty_processes_make_one_login_and_one_more_when_explorer_restarts_meanwhile(
    explorer, sharing, tmp_path
):
    seen, tokens, is_over = set(), set(), threading.Event()

    def read_folder():
        while not is_over.wait(0.01):
            try:
                seen.update(contents(tmp_path / "state"))
            except OSError:  # replaced meanwhile
                continue

    def restart():
        while explorer.count("get_job") < 30:
            time.sleep(0.01)
        tokens.update(explorer._sessions.tokens)
        explorer.forget_sessions()

    others = [threading.Thread(target=read_folder), threading.Thread(target=restart)]
    for other in others:
        other.start()
    assert in_processes(get_job, sharing, times=60, at_once=8) == [101] * 60
    assert (explorer.logins, explorer.count("connect")) == (2, 2)
    tokens.update(explorer._sessions.tokens)
    is_over.set()
    for other in others:
        other.join()
    assert len(tokens) == 2
    assert len(seen) >= 2
    account = sharing.account
    secrets = [account.password, base64.b64encode(account.password.encode()).decode()]
    secrets += [account.encoded("json"), account.encoded("colon"), "explorer_token"]
    secrets += [part for token in tokens for part in (token, *token.split("."))]
    assert not [secret for secret in secrets for content in seen if secret.encode() in content]


def test_an_account_that_is_refused_is_tried_by_one_process(explorer, sharing):
    wrong = replace(sharing, account=Account("root", "wrong-password", "graphd"))
    errors = in_processes(get_job, wrong, times=16, at_once=8)
    assert len(set(errors)) == 1
    assert "Check three things" in errors[0]
    assert explorer.count("connect") == 2, "one in each account encoding"
    assert get_job(sharing) == 101


def test_accounts_and_graphds_each_have_their_own(explorer, sharing):
    others = [
        sharing,
        replace(sharing, account=replace(sharing.account, nebula_address="other")),
        replace(sharing, account=replace(sharing.account, nebula_port=9670)),
    ]
    for _ in range(2):
        assert [get_job(other) for other in others] == [101] * 3
    assert explorer.logins == 3


def test_the_encoding_that_worked_is_shared(open_client, tmp_path):
    from airflow_provider_nebula_explorer.emulator import Emulator

    with Emulator(encoding="colon") as explorer:
        explorer.start_job(5)
        shared = settings_of(explorer, state_dir=str(tmp_path / "state"))
        for _ in range(3):
            open_client(shared).run(api.get_job(101))
            explorer.forget_sessions()
        assert explorer.logins == 3
        assert explorer.count("connect") == 4


def wait_for_connection(explorer):
    """Wait until a process has connected, to log in."""
    while not explorer.connections:
        time.sleep(0.01)


def test_a_process_that_is_killed_while_it_logs_in_holds_up_nobody(explorer, sharing):
    explorer.fail(Fault("slow", "connect", seconds=60))
    killed = start(sharing)
    wait_for_connection(explorer)
    others = [threading.Thread(target=get_job, args=(sharing,)) for _ in range(3)]
    for other in others:
        other.start()
    time.sleep(0.3)
    assert explorer.connections == 1, "they wait for the first one"
    killed.kill()
    killed.join()
    begun = time.monotonic()
    for other in others:
        other.join()
    assert time.monotonic() - begun < 10
    assert (explorer.logins, explorer.count("get_job")) == (1, 3)


def test_a_process_that_hangs_while_it_logs_in_is_waited_for_no_longer_than_the_timeout(explorer, sharing):
    explorer.fail(Fault("slow", "connect", seconds=60))
    hanging = start(sharing)
    try:
        wait_for_connection(explorer)
        begun = time.monotonic()
        assert get_job(replace(sharing, timeout=1)) == 101
        assert 1 <= time.monotonic() - begun < 10
    finally:
        hanging.kill()
        hanging.join()


def test_a_second_client_makes_no_login(open_client, explorer, sharing):
    for _ in range(3):
        open_client(sharing).run(api.get_job(101))
    assert explorer.logins == 1
    open_client(replace(sharing, share_login=False)).run(api.get_job(101))
    open_client(replace(sharing, state_dir=None)).run(api.get_job(101))
    assert explorer.logins == 3


def test_a_client_that_has_its_login_lets_others_have_their_turn(open_client, explorer, sharing):
    open_client(sharing).run(api.get_job(101))
    turns = []

    def begin(refused):
        turns.append(LoginStore.of(sharing).turn(refused))
        return list(turns[-1].attempts())

    with ThreadPoolExecutor(1) as other:
        assert other.submit(begin, None).result() == []
        token = turns[0].found.token
        assert other.submit(begin, token).result() == [], "no pause: the lock is free"
        assert turns[1].found is None
        turns[1].end()


def test_a_client_that_is_told_to_log_in_does_not_use_a_shared_login(open_client, explorer, sharing):
    open_client(sharing).run(api.get_job(101))
    open_client(sharing).login()
    assert explorer.logins == 2
    wrong = replace(sharing, account=Account("root", "wrong-password", "graphd"))
    for number in range(1, 3):
        with pytest.raises(NebulaExplorerLoginError):
            open_client(wrong).login()
        assert explorer.count("connect") == 2 + 2 * number


def test_a_found_login_is_masked_before_it_is_used(open_client, explorer, sharing):
    first, second = [], []
    open_client(sharing, on_secret=first.append).run(api.get_job(101))
    open_client(sharing, on_secret=second.append).run(api.get_job(101))
    assert second == first[1:], "the token, but not the account, which was not needed"


def test_a_folder_that_cannot_be_used_costs_a_login_and_a_warning(
    open_client, explorer, sharing, tmp_path, caplog
):
    (tmp_path / "state").write_text("")
    for _ in range(2):
        open_client(sharing).run(api.get_job(101))
    assert explorer.logins == 2
    (warning,) = [it for it in caplog.messages if "state_dir" in it]
    assert warning.endswith(f"{tmp_path / 'state'}': it is not a folder, or it is a link to one.")


def test_what_the_login_set_beside_the_token_goes_back_with_calls_of_other_processes(open_client, tmp_path):
    # As a balancer does that has several Explorers behind it, each of which knows its own logins alone.
    cookies = logged_in_with(b"explorer_token=header.payload.signature; Path=/").replace(
        b"\r\n\r\n", b"\r\nSet-Cookie: AWSALB=0; Expires=Fri, 04 Dec 2026 22:00:00 GMT; Path=/\r\n\r\n"
    )
    with RawServer(cookies, OK) as server:
        shared = settings(base_url=server.url, state_dir=str(tmp_path / "state"))
        for _ in range(2):
            open_client(shared).run(api.cancel_job(1))
        sent = [line for lines in server.headers for line in lines if line.startswith("Cookie")]
    assert sent == ["Cookie: explorer_token=header.payload.signature; AWSALB=0"] * 2


@pytest.fixture
def turn(sharing):
    """Another thread's turn to log in, which this one waits for."""
    turns = []

    def begin():
        turns.append(LoginStore.of(sharing).turn(None))
        assert list(turns[0].attempts()) == []

    thread = threading.Thread(target=begin)
    thread.start()
    thread.join()
    yield turns[0]
    turns[0].end()


def test_an_event_loop_goes_on_while_others_log_in(explorer, sharing, turn):
    answered = []

    async def act():
        client = AsyncClient(sharing)
        try:
            call = asyncio.ensure_future(client.run(api.get_job(101)))
            for _ in range(5):  # as Airflow does, in its one thread
                answered.append(await sync_to_async(threading.get_ident)())
                await asyncio.sleep(0.05)
            assert not call.done()
            turn.end()
            return await call
        finally:
            await client.close()

    job = asyncio.run(act())
    assert job.id == 101
    assert len(answered) == 5
    assert explorer.logins == 1


def test_a_client_that_is_closed_while_it_waits_leaves_no_lock_behind(explorer, sharing, turn):
    async def act():
        client = AsyncClient(sharing)
        call = asyncio.ensure_future(client.run(api.get_job(101)))
        await asyncio.sleep(0.2)
        await client.close()
        await asyncio.gather(call, return_exceptions=True)

    asyncio.run(act())
    turn.end()
    assert get_job(replace(sharing, timeout=0.2)) == 101
    assert explorer.logins == 1


def test_a_client_that_is_closed_while_it_logs_in_leaves_no_lock_behind(explorer, sharing):
    explorer.fail(Fault("slow", "connect", seconds=60))

    async def act():
        client = AsyncClient(sharing)
        call = asyncio.ensure_future(client.run(api.get_job(101)))
        await asyncio.to_thread(wait_for_connection, explorer)
        await client.close()
        await asyncio.gather(call, return_exceptions=True)

    asyncio.run(act())
    begun = time.monotonic()
    assert get_job(sharing) == 101
    assert time.monotonic() - begun < 5


def test_a_login_that_fails_gives_the_next_one_its_turn(explorer, sharing):
    explorer.fail(Fault("status", "connect", status=503))
    with pytest.raises(Exception, match="503"):
        Client(replace(sharing, max_retries=0)).run(api.get_job(101))
    begun = time.monotonic()
    assert get_job(sharing) == 101
    assert time.monotonic() - begun < 5


def test_a_client_used_by_a_signal_handler_does_not_wait_for_the_call_that_it_interrupts(explorer, sharing):
    outer = Client(sharing)
    inner = outer.clone()
    begun = time.monotonic()
    store = LoginStore.of(sharing)
    interrupted = store.turn(None)
    assert list(interrupted.attempts()) == []
    assert inner.run(api.get_job(101)).id == 101
    assert time.monotonic() - begun < 5
    interrupted.keep(Login("late.token", "json"))
    interrupted.end()
    assert outer.run(api.get_job(101)).id == 101
    assert explorer.logins == 1, "what the handler learnt is shared"
