"""The watcher against a real server: what it asks, and what it leaves."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
import warnings
from contextlib import asynccontextmanager

import pytest
from factories import settings_of

from airflow_provider_nebula_explorer.emulator import Emulator, Fault, JobPlan
from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerAuthError,
    NebulaExplorerConnectionError,
    NebulaExplorerForbiddenError,
    NebulaExplorerNotFoundError,
    NebulaExplorerServerError,
    NebulaExplorerTimeoutError,
)
from airflow_provider_nebula_explorer.explorer.api import glimpse_of
from airflow_provider_nebula_explorer.explorer.async_transport import AsyncClient
from airflow_provider_nebula_explorer.explorer.models import JobStatus
from airflow_provider_nebula_explorer.explorer.settings import Account
from airflow_provider_nebula_explorer.explorer.watcher import Watcher

INTERVAL = 0.1
ENDLESS = JobPlan(ends=None)
DONE = JobPlan(running=0)


@pytest.fixture
def explorer():
    with Emulator(max_page_size=1000) as emulator:
        yield emulator


@asynccontextmanager
async def watching(explorer, *, max_failures=5, **changes):
    settings = settings_of(explorer, **{"max_retries": 0, **changes})

    async def open_client():
        return AsyncClient(settings)

    watcher = Watcher(open_client, max_failures=max_failures)
    try:
        yield watcher
    finally:
        await watcher.close()


def run(test):
    """Run a test's coroutine, and fail where it leaves a task, a socket or a warning."""

    async def run_and_look_back():
        result = await test
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return result

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = asyncio.run(run_and_look_back(), debug=True)
        gc.collect()
    return result


async def outcome(wait):
    try:
        return await wait
    except Exception as error:
        return error


async def seconds_of_polls(polls):
    await asyncio.sleep(polls * INTERVAL)


def start_jobs(explorer, count, plan=ENDLESS):
    return [explorer.start_job(5, plan=plan) for _ in range(count)]


def test_many_waits_take_one_login_and_a_request_for_each_poll(explorer):
    job_ids = start_jobs(explorer, 300)

    async def test():
        async with watching(explorer) as watcher:
            waits = [asyncio.ensure_future(watcher.job(job_id, interval=INTERVAL)) for job_id in job_ids]
            while explorer.count("list_jobs") < 6:
                await seconds_of_polls(1)
            assert explorer.count("get_job") <= 1, "the one that shows where the list begins"
            for job_id in job_ids:
                explorer.cancel(job_id)
            explorer.advance(10)
            return await asyncio.gather(*waits)

    jobs = run(test())
    assert [job.data for job in jobs] == [explorer.job(job_id) for job_id in job_ids]
    assert explorer.logins == 1
    assert explorer.connections <= 8
    assert explorer.count("get_job") <= 301, "the details of each once, and the one before the first list"


def test_a_wait_that_is_alone_asks_for_its_job_only(explorer):
    (job_id,) = start_jobs(explorer, 1, JobPlan(running=0.5))

    async def test():
        async with watching(explorer) as watcher:
            return await watcher.job(job_id, interval=INTERVAL)

    assert run(test()).status is JobStatus.SUCCESS
    assert explorer.count("list_jobs") == 0


def test_waits_on_one_job_share_its_looks_and_its_details(explorer):
    (job_id,) = start_jobs(explorer, 1, DONE)

    async def test():
        async with watching(explorer) as watcher:
            return await asyncio.gather(*(watcher.job(job_id, interval=INTERVAL) for _ in range(50)))

    assert len({id(job) for job in run(test())}) == 1
    assert explorer.count("get_job") == 1


def test_waits_that_begin_at_different_times_fall_into_one_rhythm(explorer):
    job_ids = start_jobs(explorer, 20)

    async def test():
        async with watching(explorer) as watcher:
            waits = []
            for job_id in job_ids:
                waits.append(asyncio.ensure_future(watcher.job(job_id, interval=1)))
                await asyncio.sleep(0.05)
            await asyncio.sleep(1.2)
            before, begun = explorer.count(), time.monotonic()
            await asyncio.sleep(2)
            polls = (time.monotonic() - begun) / 0.9 + 1
            asked = explorer.count() - before
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
            return asked, polls

    asked, polls = run(test())
    assert 1 <= asked <= polls


def test_a_hint_saves_the_first_look(explorer):
    (job_id,) = start_jobs(explorer, 1)
    seen = glimpse_of(explorer.job(job_id))

    async def test():
        async with watching(explorer) as watcher:
            await outcome(asyncio.wait_for(watcher.job(job_id, interval=60, seen=seen), 0.3))

    run(test())
    assert explorer.count() == 0


def test_a_target_that_is_not_final_ends_its_own_wait_alone(explorer):
    job_ids = start_jobs(explorer, 5, JobPlan(running=3600))

    async def test():
        async with watching(explorer) as watcher:
            endless = asyncio.ensure_future(watcher.job(job_ids[0], interval=INTERVAL))
            jobs = await asyncio.gather(
                *(watcher.job(job_id, targets={JobStatus.RUNNING}, interval=INTERVAL) for job_id in job_ids)
            )
            assert not endless.done()
            explorer.advance(7200)
            return jobs, await endless

    running, ended = run(test())
    assert {job.status for job in running} == {JobStatus.RUNNING}
    assert ended.status is JobStatus.SUCCESS


@pytest.mark.parametrize("code", [50004003, 40304000, 40404000])
def test_a_final_refusal_is_told_to_that_jobs_waiter_alone(explorer, code):
    good = start_jobs(explorer, 1, JobPlan(running=1))

    async def test():
        async with watching(explorer) as watcher:
            other = asyncio.ensure_future(watcher.job(good[0], interval=INTERVAL))
            while not explorer.count("get_job"):
                await seconds_of_polls(0.1)
            explorer.fail(Fault("code", "get_job", code=code))
            explorer.fail(Fault("code", "list_jobs", code=code))
            return await asyncio.gather(outcome(watcher.job(999, interval=INTERVAL)), outcome(other))

    errors = run(test())
    kinds = (NebulaExplorerServerError, NebulaExplorerForbiddenError, NebulaExplorerNotFoundError)
    assert sum(isinstance(error, kinds) for error in errors) >= 1


def test_refused_lists_leave_every_wait_whole(explorer):
    job_ids = start_jobs(explorer, 10, JobPlan(running=1.5))
    explorer.fail(Fault("code", "list_jobs", code=40304000, times=None))

    async def test():
        async with watching(explorer) as watcher:
            return await asyncio.gather(*(watcher.job(job_id, interval=INTERVAL) for job_id in job_ids))

    assert {job.status for job in run(test())} == {JobStatus.SUCCESS}
    assert explorer.count("list_jobs") <= 4, "each kind of list once"


def test_a_shorter_wait_that_leaves_its_job_does_not_touch_the_others(explorer):
    first, second = start_jobs(explorer, 2, JobPlan(running=3600))

    async def test():
        async with watching(explorer) as watcher:
            slow = [asyncio.ensure_future(watcher.job(job_id, interval=1)) for job_id in (first, second)]
            await watcher.job(first, interval=INTERVAL, targets={JobStatus.RUNNING})
            explorer.advance(7200)
            return await asyncio.gather(*slow)

    assert {job.status for job in run(test())} == {JobStatus.SUCCESS}


@pytest.mark.parametrize("kind", ["list_jobs", "get_job"])
def test_a_session_that_one_request_is_refused_for_good_ends_no_other_wait(explorer, kind):
    job_ids = start_jobs(explorer, 5, JobPlan(running=3600))

    async def test():
        async with watching(explorer) as watcher:
            waits = [
                asyncio.ensure_future(outcome(watcher.job(job_id, interval=INTERVAL))) for job_id in job_ids
            ]
            while explorer.count("list_jobs") < 2:
                await seconds_of_polls(0.2)
            # A call that is refused is made again after a renewal, so two refusals are one call's.
            explorer.fail(Fault("code", kind, code=40104001, times=2))
            explorer.cancel(job_ids[0])
            explorer.advance(10)
            first = await waits[0]
            explorer.advance(7200)
            return first, await asyncio.gather(*waits[1:])

    first, others = run(test())
    assert isinstance(first, NebulaExplorerAuthError) == (kind == "get_job")
    assert {job.status for job in others} == {JobStatus.SUCCESS}


def test_an_explorer_that_is_down_is_not_asked_for_each_new_wait(explorer):
    explorer.fail(Fault("status", times=None))

    async def test():
        async with watching(explorer, max_failures=3) as watcher:
            waits = [outcome(watcher.job(job_id, interval=INTERVAL)) for job_id in range(1, 101)]
            return await asyncio.gather(*waits)

    assert {type(error) for error in run(test())} == {NebulaExplorerConnectionError}
    assert explorer.count() <= 3 * 2 + 4


def test_a_job_that_cannot_be_shown_does_not_hold_up_those_that_can(explorer):
    job_ids = start_jobs(explorer, 20, JobPlan(running=1))
    broken = 99

    async def test():
        async with watching(explorer, max_failures=3) as watcher:
            explorer.fail(Fault("garbage", "get_job", times=1))
            waits = (outcome(watcher.job(job_id, interval=INTERVAL)) for job_id in (broken, *job_ids))
            return await asyncio.gather(*waits)

    first, *others = run(test())
    assert isinstance(first, NebulaExplorerNotFoundError)
    assert {job.status for job in others} == {JobStatus.SUCCESS}


def test_a_deadline_holds_though_explorer_hangs(explorer, monkeypatch):
    monkeypatch.setattr("airflow_provider_nebula_explorer.explorer.watcher._LAST_LOOK_SECONDS", 0.2)
    explorer.latency = 30

    async def test():
        async with watching(explorer) as watcher:
            begun = time.monotonic()
            late = await outcome(watcher.job(1, interval=INTERVAL, deadline=begun + 0.2))
            return late, time.monotonic() - begun

    late, waited = run(test())
    assert isinstance(late, NebulaExplorerTimeoutError)
    assert waited < 10


def test_a_client_that_cannot_be_opened_is_told_to_all_and_tried_anew_for_those_who_come_later():
    opened = []

    async def open_client():
        opened.append(1)
        raise NebulaExplorerForbiddenError(f"no client, {len(opened)}")

    async def test():
        watcher = Watcher(open_client, max_failures=3)
        first = await asyncio.gather(*(outcome(watcher.job(job_id, interval=1)) for job_id in range(5)))
        await seconds_of_polls(3)
        second = await outcome(watcher.job(9, interval=1))
        await watcher.close()
        return {str(error) for error in first}, str(second)

    assert run(test()) == ({"no client, 1"}, "no client, 2")


def test_lists_that_break_while_jobs_are_shown_leave_every_wait_whole(explorer):
    job_ids = start_jobs(explorer, 10, JobPlan(running=1.5))
    explorer.fail(Fault("status", "list_jobs", times=None))

    async def test():
        async with watching(explorer, max_failures=2) as watcher:
            return await asyncio.gather(*(watcher.job(job_id, interval=INTERVAL) for job_id in job_ids))

    assert {job.status for job in run(test())} == {JobStatus.SUCCESS}


def test_a_broken_poll_delays_every_wait_and_fails_none(explorer):
    job_ids = start_jobs(explorer, 30, JobPlan(running=1))

    async def test():
        async with watching(explorer, max_failures=4) as watcher:
            waits = [asyncio.ensure_future(watcher.job(job_id, interval=INTERVAL)) for job_id in job_ids]
            while explorer.count("list_jobs") < 2:
                await seconds_of_polls(0.2)
            explorer.fail(Fault("reset", "*_job*", times=6))
            return await asyncio.gather(*waits)

    assert {job.status for job in run(test())} == {JobStatus.SUCCESS}


def test_too_many_broken_polls_end_every_wait_with_an_error_that_names_its_job(explorer):
    job_ids = start_jobs(explorer, 30)

    async def test():
        async with watching(explorer, max_failures=3) as watcher:
            waits = [
                asyncio.ensure_future(outcome(watcher.job(job_id, interval=INTERVAL))) for job_id in job_ids
            ]
            while explorer.count("list_jobs") < 2:
                await seconds_of_polls(0.2)
            explorer.fail(Fault("status", times=None))
            before = explorer.count()
            return await asyncio.gather(*waits), explorer.count() - before

    errors, requests = run(test())
    assert {type(error) for error in errors} == {NebulaExplorerConnectionError}
    for job_id, error in zip(job_ids, errors, strict=True):
        assert str(error).startswith(f"Cannot observe job {job_id}: 3 looks in a row failed.")
    assert requests <= 9, "no storm: at most a list and a job for each poll"


def test_looks_that_failed_in_another_process_count(explorer):
    explorer.fail(Fault("status", "get_job", times=None))

    async def test():
        async with watching(explorer, max_failures=3) as watcher:
            return await outcome(watcher.job(7, interval=INTERVAL, failed_looks=2))

    assert "3 looks in a row failed" in str(run(test()))
    assert explorer.count("get_job") == 1


def test_a_refused_account_is_told_to_all_and_asked_once(explorer):
    account = Account("root", "wrong-password", "graphd")

    async def test():
        async with watching(explorer, account=account) as watcher:
            return await asyncio.gather(
                *(outcome(watcher.job(job_id, interval=INTERVAL)) for job_id in range(40))
            )

    assert all(isinstance(error, NebulaExplorerAuthError) for error in run(test()))
    assert explorer.count() <= 2, "one login in both encodings"


def test_a_lost_session_is_renewed_once_and_noticed_by_none(explorer):
    job_ids = start_jobs(explorer, 50, JobPlan(running=3600))

    async def test():
        async with watching(explorer) as watcher:
            waits = [asyncio.ensure_future(watcher.job(job_id, interval=INTERVAL)) for job_id in job_ids]
            while explorer.count("list_jobs") < 2:
                await seconds_of_polls(0.2)
            explorer.forget_sessions()
            explorer.advance(7200)
            return await asyncio.gather(*waits)

    assert len(run(test())) == 50
    assert explorer.logins == 2


def test_a_deadline_ends_a_wait_after_a_last_look(explorer):
    running, done = start_jobs(explorer, 2, JobPlan(running=3600))

    async def test():
        async with watching(explorer) as watcher:
            seen = glimpse_of(explorer.job(running))
            explorer.cancel(done)
            explorer.advance(10)
            deadline = time.monotonic() + 0.2
            return await asyncio.gather(
                *(
                    outcome(
                        watcher.job(job_id, interval=3600, deadline=deadline, seen=seen._replace(id=job_id))
                    )
                    for job_id in (running, done)
                )
            )

    late, ended = run(test())
    assert isinstance(late, NebulaExplorerTimeoutError)
    assert ended.status is JobStatus.INTERRUPTED, "the last look saw it"


def test_a_wait_that_is_cancelled_leaves_the_others_alone(explorer):
    job_ids = start_jobs(explorer, 10, JobPlan(running=1))

    async def test():
        async with watching(explorer) as watcher:
            waits = [asyncio.ensure_future(watcher.job(job_id, interval=INTERVAL)) for job_id in job_ids]
            await seconds_of_polls(2)
            for wait in waits[::2]:
                wait.cancel()
            return await asyncio.gather(*waits[1::2])

    assert len(run(test())) == 5


def test_closing_while_looks_are_in_flight_leaves_nothing(explorer):
    job_ids = start_jobs(explorer, 40, DONE)
    explorer.latency = 5

    async def test():
        async with watching(explorer) as watcher:
            waits = [asyncio.ensure_future(watcher.job(job_id, interval=INTERVAL)) for job_id in job_ids]
            await seconds_of_polls(3)
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    run(test())


def test_one_who_leaves_as_another_joins_leaves_nothing(explorer):
    job_ids = start_jobs(explorer, 2)

    async def test():
        for turns in range(30):
            async with watching(explorer) as watcher:
                first = asyncio.ensure_future(watcher.job(job_ids[0], interval=INTERVAL))
                await asyncio.sleep(0.01)
                second = asyncio.ensure_future(watcher.job(job_ids[1], interval=INTERVAL))
                for _ in range(turns % 5):
                    await asyncio.sleep(0)
                first.cancel()
                second.cancel()
                await asyncio.gather(first, second, return_exceptions=True)

    run(asyncio.wait_for(test(), 60))


def test_changes_are_logged_once_and_not_each_poll(explorer, caplog):
    caplog.set_level(logging.INFO)
    (job_id,) = start_jobs(explorer, 1, JobPlan(running=1, runs_as=9))

    async def test():
        async with watching(explorer) as watcher:
            await watcher.job(job_id, interval=INTERVAL)

    run(test())
    lines = [record.getMessage() for record in caplog.records if "watcher" in record.name]
    assert lines[:2] == [
        f"Job {job_id} is UNKNOWN_9.",
        "Status 9 is not known to this version; the wait goes on.",
    ]
    assert lines[2].startswith(f"Job {job_id} is SUCCESS, after ")
    assert len(lines) == 3
