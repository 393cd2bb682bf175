# SPDX-License-Identifier: Apache-2.0
"""Streams of successes against a real server: what they return, what they request, and how others resume."""

from __future__ import annotations

import asyncio
import time

import pytest
from streaming import Consumer, during, streaming
from watching import DONE, ENDLESS, INTERVAL, run

from airflow_provider_nebula_explorer.emulator import Emulator, Fault, JobPlan, wire
from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerError,
    NebulaExplorerNotFoundError,
    NebulaExplorerServerError,
)
from airflow_provider_nebula_explorer.explorer.client.async_client import AsyncClient
from airflow_provider_nebula_explorer.explorer.models import Job, JobStatus, parse_job
from airflow_provider_nebula_explorer.explorer.successes import stream as streams
from airflow_provider_nebula_explorer.explorer.successes.bookmark import Bookmark


@pytest.fixture
def explorer():
    with Emulator() as emulator:
        yield emulator


def now_ms():
    return int(time.time() * 1000)


class Clock:
    """A monotonic clock that a test sets ahead."""

    ahead = 0

    def __call__(self):
        return time.monotonic() + self.ahead


async def first_batch(stream):
    while not (jobs := await stream.next_batch()):
        pass
    return [job.id for job in jobs]


def consume(explorer, act, *consumers, **changes):
    async def test():
        async with streaming(explorer, **changes) as open_stream:
            return await during(open_stream, consumers, act)

    return run(test())


def test_a_stream_begins_with_the_jobs_that_have_not_succeeded_yet(explorer):
    explorer.start_job(5, plan=DONE)
    running = explorer.start_job(5, plan=JobPlan(running=1000))
    consumer = Consumer()

    async def act():
        await consumer.has_polled(2)
        new = explorer.start_job(5, plan=DONE)
        await consumer.has_taken(1)
        explorer.advance(2000)
        await consumer.has_taken(2)
        await consumer.has_polled(3)
        return [new, running]

    assert consume(explorer, act(), consumer) == consumer.taken


def test_streams_of_many_workflows_share_one_login_and_one_list(explorer):
    consumers = [Consumer(number) for number in range(1, 41)]

    async def act():
        await asyncio.gather(*(consumer.has_polled(1) for consumer in consumers))
        before, polls_before = explorer.count(), consumers[0].polls
        await consumers[0].has_polled(10)
        requests, polls = explorer.count() - before, consumers[0].polls - polls_before
        started = [explorer.start_job(consumer.workflow_id, plan=DONE) for consumer in consumers]
        await asyncio.gather(*(consumer.has_taken(1) for consumer in consumers))
        return requests / polls, started

    requests_per_poll, started = consume(explorer, act(), *consumers)
    assert requests_per_poll <= 2, "one, and one more if a poll came between the two counts"
    assert explorer.logins == 1
    assert [consumer.taken for consumer in consumers] == [[job_id] for job_id in started]


def test_running_jobs_are_polled_with_all_that_somebody_waits_for(explorer):
    jobs = [explorer.start_job(number, plan=ENDLESS) for number in range(1, 31)]
    consumers = [Consumer(number) for number in range(1, 31)]

    async def act():
        await asyncio.gather(*(consumer.has_polled(1) for consumer in consumers))
        await consumers[0].has_polled(10)
        before = explorer.count("get_job")
        await consumers[0].has_polled(5)
        return explorer.count("get_job") - before

    assert consume(explorer, act(), *consumers) <= 5, "not one for each of the jobs"
    assert len(jobs) == 30


def test_jobs_that_do_not_end_keep_no_newer_one_from_being_waited_for(explorer, monkeypatch, caplog):
    monkeypatch.setattr(streams, "MOST_WAITS", 3)
    consumer = Consumer()

    async def act():
        await consumer.has_polled(2)
        stuck = [explorer.start_job(5, plan=JobPlan(running=1000)) for _ in range(5)]
        await consumer.has_polled(2)
        newer = [explorer.start_job(5, plan=JobPlan(running=0.3)) for _ in range(4)]
        await consumer.has_taken(4)
        taken = set(consumer.taken)
        explorer.advance(2000)
        await consumer.has_taken(9)
        return taken == set(newer) and set(consumer.taken) == {*stuck, *newer}

    assert consume(explorer, act(), consumer)
    assert [it.args[1:] for it in caplog.records if "waited for first" in it.msg] == [(5, 3, 20_000)]


def test_what_succeeds_while_no_stream_is_open_comes_once_afterwards(explorer):
    first = Consumer()
    running = explorer.start_job(5, plan=JobPlan(running=1000))

    async def take_one():
        await first.has_polled(1)
        taken = explorer.start_job(5, plan=DONE)
        await first.has_taken(1)
        return taken

    taken = consume(explorer, take_one(), first)
    explorer.advance(5000)
    meanwhile = explorer.start_job(5, plan=DONE)
    explorer.start_job(5, plan=JobPlan(running=0, ends="FAILED"))
    second = first.restarted()

    async def take_the_rest():
        await second.has_taken(2)
        await second.has_polled(3)

    consume(explorer, take_the_rest(), second)
    assert first.taken == [taken]
    assert sorted(second.taken) == sorted([running, meanwhile])


def test_a_job_that_was_in_flight_but_not_acknowledged_comes_from_the_next_stream(explorer):
    job_id = explorer.start_job(5, plan=DONE)
    bookmark = Bookmark(since=0, at=now_ms())

    async def test():
        async with streaming(explorer) as open_stream:
            async with open_stream(bookmark, 5) as stream:
                first = await first_batch(stream)
                again = [await stream.next_batch() for _ in range(3)]
            return first, again

    assert run(test()) == ([job_id], [[], [], []])
    following = Consumer(bookmark=Bookmark.of(bookmark.as_json))
    consume(explorer, following.has_taken(1), following)
    assert following.taken == [job_id]


def test_a_workflow_that_is_refused_disturbs_no_other(explorer):
    good = Consumer(5)
    explorer.start_job(5, plan=ENDLESS)

    async def refused(open_stream):
        async with open_stream(Bookmark(), 6) as stream:
            await stream.next_batch()

    async def test():
        # Refused are the list of all jobs and, in the order of the requests, that of one of the workflows.
        explorer.fail(Fault("code", "list_jobs", code=40304000, times=None))
        async with streaming(explorer) as open_stream:
            bad = asyncio.ensure_future(refused(open_stream))

            async def act():
                await good.has_polled(2)
                new = explorer.start_job(5, plan=DONE)
                await good.has_taken(1)
                return new

            new = await during(open_stream, [good], act())
            bad.cancel()
            await asyncio.wait([bad])
            return new

    assert run(test()) == good.taken[0]
    assert explorer.count("list_workflow_jobs") > 0, "the workflows' own lists are requested instead"


def test_a_list_of_all_jobs_that_was_refused_is_tried_again_after_ten_minutes(explorer):
    clock, consumers = Clock(), [Consumer(5), Consumer(6)]
    explorer.fail(Fault("code", "list_jobs", code=40304000))

    async def act():
        await asyncio.gather(*(consumer.has_polled(3) for consumer in consumers))
        refused = explorer.count("list_jobs")
        clock.ahead += 600
        await asyncio.gather(*(consumer.has_polled(2) for consumer in consumers))
        return refused, explorer.count("list_jobs")

    refused, later = consume(explorer, act(), *consumers, clock=clock)
    assert refused == 1
    assert later > refused


def test_a_workflow_that_is_not_found_ends_its_stream(explorer):
    explorer.fail(Fault("code", "list_workflow_jobs", code=40404000, times=None))

    async def test():
        async with streaming(explorer) as open_stream, open_stream(Bookmark(), 6) as stream:
            await stream.next_batch()

    with pytest.raises(NebulaExplorerNotFoundError):
        run(test())


def test_a_backlog_of_many_pages_comes_whole(explorer):
    jobs = []
    for _ in range(130):  # an Explorer that shows at most 100 on a page
        jobs.append(explorer.start_job(5, plan=DONE))
        explorer.advance(1)
    consumer = Consumer(bookmark=Bookmark(since=0, at=now_ms()))
    consume(explorer, consumer.has_taken(130), consumer)
    assert sorted(consumer.taken) == jobs


def test_a_name_is_explorers_own_search(explorer):
    explorer.start_job(5, plan=DONE, name="other_20260101")
    nightly = explorer.start_job(5, plan=DONE, name="nightly_20260101")
    consumer = Consumer(bookmark=Bookmark(since=0, at=now_ms()), name="nightly_20260101")

    async def act():
        await consumer.has_taken(1)
        await consumer.has_polled(3)

    consume(explorer, act(), consumer)
    assert consumer.taken == [nightly]


def test_trouble_with_a_waiting_job_leaves_it_in_the_bookmark(explorer):
    job_id = explorer.start_job(5, plan=DONE)
    bookmark = Bookmark(since=0, at=now_ms())
    explorer.fail(Fault("status", "get_job", times=1))

    async def test():
        async with streaming(explorer) as open_stream, open_stream(bookmark, 5) as stream:
            with pytest.raises(NebulaExplorerServerError):
                await first_batch(stream)
            left = set(bookmark.open)
            return left, await first_batch(stream)

    assert run(test()) == ({job_id}, [job_id])


@pytest.mark.parametrize("code", [50004003, 40304000])
def test_a_refusal_that_passes_loses_no_job(explorer, code):
    clock = Clock()
    jobs = [explorer.start_job(5, plan=JobPlan(running=1000)) for _ in range(3)]
    consumer = Consumer()

    async def act():
        await consumer.has_polled(2)
        explorer.fail(Fault("code", code=code, times=6))
        explorer.advance(2000)
        while len(consumer.taken) < 3:
            await consumer.has_polled(1)
            clock.ahead += 60

    consume_through_trouble(explorer, act(), consumer, clock=clock)
    assert sorted(consumer.taken) == jobs


def test_a_job_that_is_gone_is_left_out(explorer, caplog):
    explorer.start_job(5, plan=DONE)
    shown = explorer.start_job(5, plan=DONE)
    explorer.fail(Fault("code", "get_job", code=40404000))
    consumer = Consumer(bookmark=Bookmark(since=0, at=now_ms()))
    consume(explorer, consumer.has_taken(1), consumer)
    assert consumer.taken == [shown]
    assert "Job 101 is skipped, as it is gone" in caplog.text


@pytest.mark.parametrize("count", [10, 15, 25])
def test_jobs_of_one_millisecond_fill_pages_and_come_all_the_same(count):
    with Emulator(max_page_size=10) as explorer:
        moment = explorer.now()
        jobs = [explorer.start_job(5, plan=DONE, created=moment) for _ in range(count)]
        jobs += [explorer.start_job(5, plan=DONE, created=moment + 0.01) for _ in range(3)]
        consumer = Consumer(bookmark=Bookmark(since=0, at=now_ms()))
        consume(explorer, consumer.has_taken(len(jobs)), consumer)
    assert sorted(consumer.taken) == jobs


def test_jobs_one_millisecond_after_another_on_pages_of_one_come_all_the_same():
    with Emulator(max_page_size=1) as explorer:
        moment = explorer.now()
        jobs = [explorer.start_job(5, plan=DONE, created=moment + count / 1000) for count in range(8)]
        consumer = Consumer(bookmark=Bookmark(since=0, at=now_ms()))
        consume(explorer, consumer.has_taken(len(jobs)), consumer)
    assert sorted(consumer.taken) == jobs


@pytest.mark.parametrize("older", [None, 7200, 90 * 86_400])
@pytest.mark.parametrize("ahead", [-7200, 120, 7200])
def test_a_gateway_whose_clock_is_wrong_loses_no_success(explorer, monkeypatch, ahead, older):
    formatdate = wire.formatdate
    monkeypatch.setattr(wire, "formatdate", lambda now, **how: formatdate(now + ahead, **how))
    if older is not None:
        explorer.start_job(5, plan=DONE, created=explorer.now() - older - 30)
        explorer.start_job(5, plan=DONE, created=explorer.now() - older)
    consumer = Consumer()

    async def act():
        await consumer.has_polled(2)
        started = []
        for count in range(1, 4):
            started.append(explorer.start_job(5, plan=DONE))
            await consumer.has_taken(count)
        return started

    assert consume(explorer, act(), consumer) == consumer.taken


class BehindItsLists(AsyncClient):
    """An Explorer whose details lag behind its lists, once."""

    lags = 1

    async def run(self, call):
        result = await super().run(call)
        if isinstance(result, Job) and self.lags:
            self.lags -= 1
            return parse_job({**result.data, "status": int(JobStatus.RUNNING)})
        return result


def test_a_success_whose_details_lag_behind_its_list_comes(explorer):
    job_id = explorer.start_job(5, plan=DONE)
    consumer = Consumer(bookmark=Bookmark(since=0, at=now_ms()))
    consume(explorer, consumer.has_taken(1), consumer, client_class=BehindItsLists)
    assert consumer.taken == [job_id]


def test_a_refusal_of_the_list_of_all_jobs_that_passes_is_trouble_and_no_more(explorer):
    consumers = [Consumer(number) for number in (1, 2)]

    async def act():
        await asyncio.gather(*(consumer.has_polled(1) for consumer in consumers))
        explorer.fail(Fault("code", "list_jobs", code=50004003))
        await asyncio.gather(*(consumer.has_polled(3) for consumer in consumers))
        before = explorer.count("list_workflow_jobs")
        await consumers[0].has_polled(3)
        return explorer.count("list_workflow_jobs") - before

    assert consume_through_trouble(explorer, act(), *consumers) == 0


def consume_through_trouble(explorer, act, *consumers, **changes):
    """Consume as a trigger does, which opens another stream if Explorer cannot be observed."""

    async def test():
        async with streaming(explorer, **changes) as open_stream:

            async def consume_on(consumer):
                while True:
                    try:
                        await consumer.consume(open_stream)
                    except NebulaExplorerError:
                        await asyncio.sleep(INTERVAL)

            tasks = [asyncio.ensure_future(consume_on(consumer)) for consumer in consumers]
            try:
                return await asyncio.wait_for(act, timeout=30)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    return run(test())
