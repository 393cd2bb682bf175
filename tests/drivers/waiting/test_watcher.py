# SPDX-License-Identifier: Apache-2.0
"""The watcher against a real server: what it requests, and what it leaves behind."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest
from watching import DONE, INTERVAL, Clock, outcome, run, seconds_of_polls, start_jobs, watching

from airflow_provider_nebula_explorer.emulator import Emulator, Fault, JobPlan
from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerTimeoutError,
)
from airflow_provider_nebula_explorer.explorer.client.api import summary_of
from airflow_provider_nebula_explorer.explorer.models import JobStatus


@pytest.fixture
def explorer():
    with Emulator(max_page_size=1000) as emulator:
        yield emulator


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


def test_a_wait_that_is_alone_fetches_its_job_only(explorer):
    (job_id,) = start_jobs(explorer, 1, JobPlan(running=0.5))

    async def test():
        async with watching(explorer) as watcher:
            return await watcher.job(job_id, interval=INTERVAL)

    assert run(test()).status is JobStatus.SUCCESS
    assert explorer.count("list_jobs") == 0


def test_waits_on_one_job_share_its_polls_and_its_details(explorer):
    (job_id,) = start_jobs(explorer, 1, DONE)

    async def test():
        async with watching(explorer) as watcher:
            return await asyncio.gather(*(watcher.job(job_id, interval=INTERVAL) for _ in range(50)))

    assert len({id(job) for job in run(test())}) == 1
    assert explorer.count("get_job") == 1


def test_waits_that_begin_at_different_times_share_their_polls(explorer):
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
            requests = explorer.count() - before
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
            return requests, polls

    requests, polls = run(test())
    assert 1 <= requests <= polls


def test_a_poll_just_before_saves_the_first_one(explorer):
    (job_id,) = start_jobs(explorer, 1)
    seen = summary_of(explorer.job(job_id))

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


def test_a_shorter_wait_that_leaves_its_job_does_not_touch_the_others(explorer):
    first, second = start_jobs(explorer, 2, JobPlan(running=3600))

    async def test():
        async with watching(explorer) as watcher:
            slow = [asyncio.ensure_future(watcher.job(job_id, interval=1)) for job_id in (first, second)]
            await watcher.job(first, interval=INTERVAL, targets={JobStatus.RUNNING})
            explorer.advance(7200)
            return await asyncio.gather(*slow)

    assert {job.status for job in run(test())} == {JobStatus.SUCCESS}


def test_a_deadline_holds_though_explorer_hangs(explorer, monkeypatch):
    monkeypatch.setattr("airflow_provider_nebula_explorer.explorer.waiting.watcher._LAST_POLL_SECONDS", 0.2)
    explorer.latency = 30

    async def test():
        async with watching(explorer) as watcher:
            begun = time.monotonic()
            late = await outcome(watcher.job(1, interval=INTERVAL, deadline=begun + 0.2))
            return late, time.monotonic() - begun

    late, waited = run(test())
    assert isinstance(late, NebulaExplorerTimeoutError)
    assert waited < 10


def test_a_deadline_ends_a_wait_after_a_last_poll(explorer):
    running, done = start_jobs(explorer, 2, JobPlan(running=3600))

    async def test():
        async with watching(explorer) as watcher:
            seen = summary_of(explorer.job(running))
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
    assert ended.status is JobStatus.INTERRUPTED, "the last poll showed it"


def test_a_deadline_ends_a_wait_in_time_though_no_other_poll_is_near(explorer):
    (job_id,) = start_jobs(explorer, 1)

    async def test():
        async with watching(explorer) as watcher:
            begun = time.monotonic()
            late = await outcome(watcher.job(job_id, interval=3600, deadline=begun + 1))
            return late, time.monotonic() - begun

    late, waited = run(test())
    assert isinstance(late, NebulaExplorerTimeoutError)
    assert explorer.count("get_job") == 2, "one at once, and the last"
    assert waited < 8


def test_the_tasks_of_a_watcher_have_names(explorer):
    (job_id,) = start_jobs(explorer, 1)
    explorer.latency = 2

    async def test():
        async with watching(explorer) as watcher:
            wait = asyncio.ensure_future(watcher.job(job_id, interval=INTERVAL))
            await seconds_of_polls(10)  # while the login waits for its response
            names = {task.get_name() for task in asyncio.all_tasks()}
            wait.cancel()
            await asyncio.gather(wait, return_exceptions=True)
            return names

    assert run(test()) >= {"nebula_explorer watcher: polls", "nebula_explorer watcher: fetches jobs"}


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


def test_closing_while_fetches_are_in_flight_leaves_nothing(explorer):
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
    (job_id,) = start_jobs(explorer, 1, JobPlan(running=1000, runs_as=9))

    async def test():
        async with watching(explorer) as watcher:
            wait = asyncio.ensure_future(watcher.job(job_id, interval=INTERVAL))
            while explorer.count("get_job") < 4:
                await seconds_of_polls(1)
            explorer.advance(1000)
            await wait

    run(test())
    assert lines(caplog) == [
        f"Job {job_id} is UNKNOWN_9.",
        "Status 9 is unknown to this version; the wait continues.",
        f"Job {job_id}, task query_1: RUNNING; 0 of 2 done, after 0 s",
    ]


def lines(caplog):
    return [record.getMessage() for record in caplog.records if record.name.endswith(".waiters")]


class Waits:
    """Waits for jobs that have been seen before, on a clock that the test puts forward."""

    def __init__(self, explorer, job_ids, watcher, clock):
        self._explorer = explorer
        self._clock = clock
        self._waits = [
            asyncio.ensure_future(
                watcher.job(job_id, interval=INTERVAL, seen=summary_of(explorer.job(job_id)))
            )
            for job_id in job_ids
        ]

    async def later(self, seconds):
        """Let time pass, and several polls happen after it."""
        await asyncio.sleep(0)  # the waits begin before
        self._clock.advance(seconds)
        polls = self._explorer.count("list_jobs")
        while self._explorer.count("list_jobs") < polls + 4:
            await seconds_of_polls(0.5)

    async def end(self):
        for wait in self._waits:
            wait.cancel()
        return await asyncio.gather(*self._waits, return_exceptions=True)


def test_every_ten_minutes_a_request_for_each_job_shows_its_tasks(explorer, caplog):
    caplog.set_level(logging.INFO)
    job_ids = start_jobs(explorer, 3, JobPlan(running=1500))
    clock = Clock(explorer)

    async def test():
        async with watching(explorer, clock=clock) as watcher:
            waits = Waits(explorer, job_ids, watcher, clock)
            counts = []
            for seconds in (500, 110, 200, 410):
                await waits.later(seconds)
                counts.append(explorer.count("get_job"))
            await waits.end()
            return counts

    assert run(test()) == [0, 3, 3, 6]
    for job_id in job_ids:
        assert [line for line in lines(caplog) if line.startswith(f"Job {job_id}, ")] == [
            f"Job {job_id}, task query_1: RUNNING; 0 of 2 done, after 10 min",
            f"Job {job_id}, task query_1: SUCCESS; 1 of 2 done, after 20 min",
            f"Job {job_id}, task pagerank_1: RUNNING; 1 of 2 done, after 20 min",
        ]


def test_tasks_that_cannot_be_fetched_are_no_failed_poll(explorer, caplog):
    job_ids = start_jobs(explorer, 3, JobPlan(running=1500))
    clock = Clock(explorer)
    explorer.fail(Fault("code", "get_job", code=40304000, times=None))

    async def test():
        async with watching(explorer, max_failures=1, clock=clock) as watcher:
            waits = Waits(explorer, job_ids, watcher, clock)
            await waits.later(610)
            return await waits.end()

    assert {type(end) for end in run(test())} == {asyncio.CancelledError}
    assert explorer.count("get_job") == 3
    assert lines(caplog) == []


def test_a_job_that_nothing_runs_is_warned_of_once_and_without_a_request(explorer, caplog):
    caplog.set_level(logging.WARNING)
    job_ids = start_jobs(explorer, 2, JobPlan(preparing=10_000))
    clock = Clock(explorer)

    async def test():
        async with watching(explorer, clock=clock) as watcher:
            waits = Waits(explorer, job_ids, watcher, clock)
            for seconds in (590, 20, 700):
                await waits.later(seconds)
                caplog.records.append(logging.makeLogRecord({"name": "x.waiters", "msg": f"{seconds} later"}))
            await waits.end()

    run(test())
    first, second, *rest = lines(caplog)[1:]
    assert lines(caplog)[0] == "590 later"
    assert {first.split(" has")[0], second.split(" has")[0]} == {f"Job {job_id}" for job_id in job_ids}
    assert "PREPARING for 10 min: nothing runs it" in first
    assert rest == ["20 later", "700 later"]
    assert explorer.count("get_job") == 0
