# SPDX-License-Identifier: Apache-2.0
"""What only the asynchronous client does: concurrent calls."""

from __future__ import annotations

import asyncio
import gc
import threading
import time

import pytest
from factories import settings, settings_of
from hostile_server import LOGGED_IN, success
from raw_server import RawServer, logged_in_with

from airflow_provider_nebula_explorer.emulator import Fault, JobPlan
from airflow_provider_nebula_explorer.exceptions import NebulaExplorerAuthError, NebulaExplorerConnectionError
from airflow_provider_nebula_explorer.explorer.client import api, async_client
from airflow_provider_nebula_explorer.explorer.client.account_budget import AccountBudget
from airflow_provider_nebula_explorer.explorer.client.async_client import AsyncClient
from airflow_provider_nebula_explorer.explorer.client.limits import (
    FREE_LOGINS,
    REQUESTS_PER_SECOND,
    REQUESTS_SAVED_UP,
)
from airflow_provider_nebula_explorer.explorer.client.protocol import Call, Request
from airflow_provider_nebula_explorer.explorer.settings import Account
from airflow_provider_nebula_explorer.explorer.waiting.watcher import Watcher


def with_client(settings, use, **options):
    async def run():
        client = AsyncClient(settings, **options)
        try:
            return await use(client)
        finally:
            await client.close()

    return asyncio.run(run())


def get_all(job_ids):
    async def use(client):
        return await asyncio.gather(*(client.run(api.get_job(job_id)) for job_id in job_ids))

    return use


@pytest.fixture
def job_ids(explorer):
    return [explorer.start_job(5, plan=JobPlan(running=0)) for _ in range(40)]


def test_calls_that_begin_together_share_one_login_and_few_connections(explorer, job_ids):
    explorer.latency = 0.02
    jobs = with_client(settings_of(explorer), get_all(job_ids))
    assert [job.id for job in jobs] == job_ids
    assert explorer.logins == 1
    assert explorer.connections <= 8


@pytest.mark.parametrize("read_in_a_thread", [False, True])
def test_an_error_does_not_keep_the_response(monkeypatch, read_in_a_thread):
    monkeypatch.setattr(async_client, "READ_ON_LOOP_BYTES", 0 if read_in_a_thread else 10**6)
    items = 1987

    async def use(client):
        with pytest.raises(NebulaExplorerConnectionError) as caught:
            await client.run(api.get_job(7))
        return caught.value

    with RawServer(LOGGED_IN, success({"id": "x", "tasks": [0] * items})) as server:
        error = with_client(settings(base_url=server.url), use)
    gc.collect()  # else what only a cycle keeps would be found
    assert not [it for it in gc.get_objects() if type(it) is list and len(it) == items], error


def test_a_lost_session_is_renewed_once_for_all(explorer, job_ids):
    async def use(client):
        await get_all(job_ids)(client)
        explorer.forget_sessions()
        await get_all(job_ids)(client)

    with_client(settings_of(explorer), use)
    assert explorer.logins == 2


def test_a_refused_login_is_made_once_and_every_call_raises_it(explorer, job_ids):
    async def use(client):
        calls = (client.run(api.get_job(job_id)) for job_id in job_ids)
        return await asyncio.gather(*calls, return_exceptions=True)

    errors = with_client(settings_of(explorer, account=Account("root", "wrong-password", "graphd")), use)
    assert all(isinstance(error, NebulaExplorerAuthError) for error in errors)
    assert explorer.count("connect") == 2, "one login, in both encodings"


def test_a_cancelled_caller_does_not_take_the_others_login_with_it(explorer, job_ids):
    explorer.fail(Fault("slow", "connect", seconds=0.2))

    async def use(client):
        first = asyncio.create_task(client.run(api.get_job(job_ids[0])))
        second = asyncio.create_task(client.run(api.get_job(job_ids[1])))
        await asyncio.sleep(0.1)
        first.cancel()
        return await second

    assert with_client(settings_of(explorer), use).id == job_ids[1]
    assert explorer.logins == 1


def test_the_shared_login_is_a_task_with_a_name(explorer, job_ids):
    names = set()

    async def mask(secret):
        names.add(asyncio.current_task().get_name())

    with_client(settings_of(explorer), get_all(job_ids[:1]), on_secret=mask)
    assert names == {f"{AsyncClient.__module__}: login"}


def test_retry_after_delays_every_call(explorer, job_ids):
    explorer.fail(Fault("status", "get_job", status=429, retry_after=1))
    pausing = asyncio.Event()

    async def sleep(seconds):
        pausing.set()
        await asyncio.sleep(seconds)

    async def use(client):
        first = asyncio.create_task(client.run(api.get_job(job_ids[0])))
        await pausing.wait()
        begun = time.monotonic()
        await client.run(api.get_job(job_ids[1]))
        waited = time.monotonic() - begun
        await first
        return waited

    assert with_client(settings_of(explorer), use, sleep=sleep) > 0.8


class FastTime:
    """A clock that passes by what a client sleeps, and by nothing else."""

    def __init__(self):
        self.now = 0.0
        self.pauses = []

    def clock(self):
        return self.now

    async def sleep(self, seconds):
        self.pauses.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


def test_a_storm_of_lost_sessions_becomes_growing_pauses_and_not_logins(explorer, job_ids, caplog):
    time = FastTime()

    async def use(client):
        for _ in range(60):  # each session lasts for one call, so no login is refused at once
            await client.run(api.get_job(job_ids[0]))
            explorer.forget_sessions()

    with_client(settings_of(explorer), use, sleep=time.sleep, clock=time.clock)
    assert time.pauses[:8] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert explorer.logins == 60
    assert time.now > 40 * 60, "a minute for each"
    assert f"{explorer.url} ended many logins within an hour. The next one is in 60 s." in caplog.messages


def test_sessions_that_are_refused_at_once_are_errors_that_say_so_after_growing_pauses(
    explorer, job_ids, caplog
):
    time, errors = FastTime(), []
    explorer.fail(Fault("session_loss", "get_job", times=100))

    async def use(client):
        for _ in range(FREE_LOGINS + 2):
            with pytest.raises(NebulaExplorerAuthError) as raised:
                await client.run(api.get_job(job_ids[0]))
            errors.append(str(raised.value))

    with_client(settings_of(explorer), use, sleep=time.sleep, clock=time.clock)
    assert time.pauses == [1, 2, 4], "the first call makes two logins, each further one makes one"
    assert f"{explorer.url} ended many logins within an hour. The next one is in 1 s." in caplog.messages
    (error,) = set(errors)
    assert "code 40104001, ErrSession" in error
    assert "renewed and refused again, though Explorer accepts the account. Several Explorers" in error


def test_a_client_of_the_same_account_continues_with_its_budget(explorer, job_ids):
    time, budget = FastTime(), AccountBudget()
    for _ in range(FREE_LOGINS + 1):
        with_client(
            settings_of(explorer), get_all(job_ids[:1]), sleep=time.sleep, clock=time.clock, budget=budget
        )
    assert time.pauses == [1]


def test_requests_without_end_are_sent_at_the_rate_of_the_budget(explorer, job_ids):
    time = FastTime()

    async def use(client):
        for _ in range(REQUESTS_SAVED_UP):
            client._budget.pause_before_request(0.0)
        await get_all(job_ids)(client)
        await get_all(job_ids)(client)

    with_client(settings_of(explorer), use, sleep=time.sleep, clock=time.clock)
    assert time.now == pytest.approx(2 * len(job_ids) / REQUESTS_PER_SECOND, rel=0.2)


def test_a_thousand_waits_with_an_interval_of_a_second_never_pause(explorer):
    pauses = []

    async def sleep(seconds):
        pauses.append(seconds)

    async def use(client):
        async def opened():
            return client

        watcher = Watcher(opened, max_failures=1)
        waits = [asyncio.create_task(watcher.job(job_id, interval=1.0)) for job_id in waited]
        done, _ = await asyncio.wait(waits, timeout=60)
        await watcher.close()
        return len(done)

    waited = [explorer.start_job(5, plan=JobPlan(preparing=0, running=2)) for _ in range(1000)]
    assert with_client(settings_of(explorer), use, sleep=sleep) == 1000
    assert pauses == []


def test_a_pause_that_the_last_try_was_sent_delays_the_next_call(explorer, job_ids):
    explorer.fail(Fault("status", "get_job", status=429, retry_after=7))
    pauses = []

    async def sleep(seconds):
        pauses.append(round(seconds))

    async def use(client):
        first, *_ = await asyncio.gather(client.run(api.get_job(job_ids[0])), return_exceptions=True)
        assert first.http_status == 429
        assert pauses == [], "a call that gives up need not pause"
        return await client.run(api.get_job(job_ids[1]))

    assert with_client(settings_of(explorer, max_retries=0), use, sleep=sleep).id == job_ids[1]
    assert pauses in ([7], [8])


@pytest.mark.parametrize(("length", "is_on_loop"), [(1000, True), (100_000, False)])
def test_a_large_response_is_read_off_the_event_loop(length, is_on_loop):
    call = Call(Request("GET", "/api-open/v1/jobs"), lambda data: threading.get_ident())

    async def use(client):
        return await client.run(call) == threading.get_ident()

    body = b'{"code":0,"data":"%s"}' % (b"x" * length)
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    with RawServer(logged_in_with(b"explorer_token=a.b"), head + body) as server:
        assert with_client(settings(base_url=server.url), use) is is_on_loop


def test_no_request_is_logged_at_info(explorer, job_ids, caplog):
    caplog.set_level("INFO")
    with_client(settings_of(explorer), get_all(job_ids[:2]))
    assert "HTTP Request" not in caplog.text
