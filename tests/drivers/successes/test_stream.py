"""Feeds of successes against a real server: what they tell, what they ask, and how another one goes on."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from watching import DONE, ENDLESS, INTERVAL, run, watching

from airflow_provider_nebula_explorer.emulator import Emulator, Fault, JobPlan, wire
from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerError,
    NebulaExplorerNotFoundError,
    NebulaExplorerServerError,
)
from airflow_provider_nebula_explorer.explorer.client.async_client import AsyncClient
from airflow_provider_nebula_explorer.explorer.models import Job, JobStatus, parse_job
from airflow_provider_nebula_explorer.explorer.successes import stream as stream_module
from airflow_provider_nebula_explorer.explorer.successes.bookmark import Bookmark
from airflow_provider_nebula_explorer.explorer.successes.stream import SuccessStream


@pytest.fixture
def explorer():
    with Emulator() as emulator:
        yield emulator


def now_ms():
    return int(time.time() * 1000)


class Listener:
    """Takes what a stream tells, as one who is restarted at times does."""

    def __init__(self, workflow_id=5, bookmark=None, *, name=None):
        self.workflow_id = workflow_id
        self.bookmark = bookmark or Bookmark()
        self.name = name
        self.heard = []
        self.looks = 0
        self._changed = asyncio.Condition()

    async def listen(self, watcher):
        stream = SuccessStream(watcher, self.bookmark, self.workflow_id, name=self.name, interval=INTERVAL)
        async with stream:
            while True:
                for job in await stream.next_batch():
                    self.heard.append(job.id)
                    self.bookmark.acknowledge(job.id)
                self.looks += 1
                async with self._changed:
                    self._changed.notify_all()

    async def has_heard(self, count):
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.heard) >= count)

    async def has_looked(self, times):
        until = self.looks + times
        async with self._changed:
            await self._changed.wait_for(lambda: self.looks >= until)

    def restarted(self):
        """Return one that knows only what was saved."""
        saved = Bookmark.of(json.loads(json.dumps(self.bookmark.as_json)))
        return Listener(self.workflow_id, saved, name=self.name)


async def during(watcher, listeners, act):
    """Have listeners listen while something happens; what they fail with, fails the test."""
    tasks = [asyncio.ensure_future(listener.listen(watcher)) for listener in listeners]
    acting = asyncio.ensure_future(act)
    await asyncio.wait([acting, *tasks], return_when=asyncio.FIRST_COMPLETED, timeout=30)
    for task in tasks:
        task.cancel()
    assert acting.done(), [task for task in tasks if task.done()]
    await asyncio.gather(*tasks, return_exceptions=True)
    return acting.result()


async def first_batch(stream):
    while not (jobs := await stream.next_batch()):
        pass
    return [job.id for job in jobs]


def listen(explorer, act, *listeners, **changes):
    async def test():
        async with watching(explorer, **changes) as watcher:
            return await during(watcher, listeners, act)

    return run(test())


def test_a_stream_begins_with_the_jobs_that_have_not_succeeded_yet(explorer):
    explorer.start_job(5, plan=DONE)
    running = explorer.start_job(5, plan=JobPlan(running=1000))
    listener = Listener()

    async def act():
        await listener.has_looked(2)
        new = explorer.start_job(5, plan=DONE)
        await listener.has_heard(1)
        explorer.advance(2000)
        await listener.has_heard(2)
        await listener.has_looked(3)
        return [new, running]

    assert listen(explorer, act(), listener) == listener.heard


def test_streams_of_many_workflows_share_one_login_and_one_list(explorer):
    listeners = [Listener(number) for number in range(1, 41)]

    async def act():
        await asyncio.gather(*(listener.has_looked(1) for listener in listeners))
        before, looks = explorer.count(), listeners[0].looks
        await listeners[0].has_looked(10)
        asked, looked = explorer.count() - before, listeners[0].looks - looks
        started = [explorer.start_job(listener.workflow_id, plan=DONE) for listener in listeners]
        await asyncio.gather(*(listener.has_heard(1) for listener in listeners))
        return asked / looked, started

    requests_per_look, started = listen(explorer, act(), *listeners)
    assert requests_per_look <= 2, "one, and one more where a look came between the two counts"
    assert explorer.logins == 1
    assert [listener.heard for listener in listeners] == [[job_id] for job_id in started]


def test_jobs_that_run_are_looked_at_with_all_that_somebody_waits_for(explorer):
    jobs = [explorer.start_job(number, plan=ENDLESS) for number in range(1, 31)]
    listeners = [Listener(number) for number in range(1, 31)]

    async def act():
        await asyncio.gather(*(listener.has_looked(1) for listener in listeners))
        await listeners[0].has_looked(10)
        before = explorer.count("get_job")
        await listeners[0].has_looked(5)
        return explorer.count("get_job") - before

    assert listen(explorer, act(), *listeners) <= 5, "not one for each of the jobs"
    assert len(jobs) == 30


def test_what_succeeds_while_nobody_listens_is_told_once_afterwards(explorer):
    first = Listener()
    running = explorer.start_job(5, plan=JobPlan(running=1000))

    async def hear_one():
        await first.has_looked(1)
        told = explorer.start_job(5, plan=DONE)
        await first.has_heard(1)
        return told

    told = listen(explorer, hear_one(), first)
    explorer.advance(5000)
    meanwhile = explorer.start_job(5, plan=DONE)
    explorer.start_job(5, plan=JobPlan(running=0, ends="FAILED"))
    second = first.restarted()

    async def hear_the_rest():
        await second.has_heard(2)
        await second.has_looked(3)

    listen(explorer, hear_the_rest(), second)
    assert first.heard == [told]
    assert sorted(second.heard) == sorted([running, meanwhile])


def test_a_job_that_was_handed_out_but_not_told_is_told_by_the_next(explorer):
    job_id = explorer.start_job(5, plan=DONE)
    bookmark = Bookmark(since=0, at=now_ms())

    async def test():
        async with watching(explorer) as watcher:
            stream = SuccessStream(watcher, bookmark, 5, interval=INTERVAL)
            async with stream:
                first = await first_batch(stream)
                again = [await stream.next_batch() for _ in range(3)]
            return first, again

    assert run(test()) == ([job_id], [[], [], []])
    following = Listener(bookmark=Bookmark.of(bookmark.as_json))
    listen(explorer, following.has_heard(1), following)
    assert following.heard == [job_id]


def test_a_workflow_that_is_refused_disturbs_no_other(explorer):
    good = Listener(5)
    explorer.start_job(5, plan=ENDLESS)

    async def refused(watcher):
        stream = SuccessStream(watcher, Bookmark(), 6, interval=INTERVAL)
        async with stream:
            await stream.next_batch()

    async def test():
        # Refused are the list of all jobs and, in the order of the requests, that of one of the workflows.
        explorer.fail(Fault("code", "list_jobs", code=40304000, times=None))
        async with watching(explorer) as watcher:
            bad = asyncio.ensure_future(refused(watcher))

            async def act():
                await good.has_looked(2)
                new = explorer.start_job(5, plan=DONE)
                await good.has_heard(1)
                return new

            new = await during(watcher, [good], act())
            bad.cancel()
            await asyncio.wait([bad])
            return new

    assert run(test()) == good.heard[0]
    assert explorer.count("list_workflow_jobs") > 0, "lists of the workflows are asked for instead"


def test_what_is_not_found_ends_the_stream_that_asked(explorer):
    explorer.fail(Fault("code", "list_workflow_jobs", code=40404000, times=None))

    async def test():
        async with watching(explorer) as watcher:
            stream = SuccessStream(watcher, Bookmark(), 6, interval=INTERVAL)
            async with stream:
                await stream.next_batch()

    with pytest.raises(NebulaExplorerNotFoundError):
        run(test())


def test_a_backlog_of_many_pages_is_told_whole(explorer):
    jobs = []
    for _ in range(130):  # an Explorer that shows at most 100 on a page
        jobs.append(explorer.start_job(5, plan=DONE))
        explorer.advance(1)
    listener = Listener(bookmark=Bookmark(since=0, at=now_ms()))
    listen(explorer, listener.has_heard(130), listener)
    assert sorted(listener.heard) == jobs


def test_a_name_is_explorers_own_search(explorer):
    explorer.start_job(5, plan=DONE, name="other_20260101")
    wanted = explorer.start_job(5, plan=DONE, name="nightly_20260101")
    listener = Listener(bookmark=Bookmark(since=0, at=now_ms()), name="nightly_20260101")

    async def act():
        await listener.has_heard(1)
        await listener.has_looked(3)

    listen(explorer, act(), listener)
    assert listener.heard == [wanted]


def test_trouble_with_a_waiting_job_leaves_it_in_the_bookmark(explorer):
    job_id = explorer.start_job(5, plan=DONE)
    bookmark = Bookmark(since=0, at=now_ms())
    explorer.fail(Fault("status", "get_job", times=1))

    async def test():
        async with watching(explorer) as watcher:
            stream = SuccessStream(watcher, bookmark, 5, interval=INTERVAL)
            async with stream:
                with pytest.raises(NebulaExplorerServerError):
                    await first_batch(stream)
                left = set(bookmark.open)
                return left, await first_batch(stream)

    assert run(test()) == ({job_id}, [job_id])


@pytest.mark.parametrize("code", [50004003, 40304000])
def test_a_refusal_that_passes_loses_no_job(explorer, monkeypatch, code):
    monkeypatch.setattr(stream_module, "_REFUSED_SECONDS", 0.2)
    jobs = [explorer.start_job(5, plan=JobPlan(running=1000)) for _ in range(3)]
    listener = Listener()

    async def act():
        await listener.has_looked(2)
        explorer.fail(Fault("code", code=code, times=6))
        explorer.advance(2000)
        await listener.has_heard(3)

    listen_through_trouble(explorer, act(), listener)
    assert sorted(listener.heard) == jobs


def test_a_job_that_is_gone_is_left_out(explorer, caplog):
    explorer.start_job(5, plan=DONE)
    shown = explorer.start_job(5, plan=DONE)
    explorer.fail(Fault("code", "get_job", code=40404000))
    listener = Listener(bookmark=Bookmark(since=0, at=now_ms()))
    listen(explorer, listener.has_heard(1), listener)
    assert listener.heard == [shown]
    assert "Job 101 is skipped, as it is gone" in caplog.text


@pytest.mark.parametrize("count", [10, 15, 25])
def test_jobs_of_one_millisecond_fill_pages_and_are_told_all_the_same(count):
    with Emulator(max_page_size=10) as explorer:
        moment = explorer.now()
        jobs = [explorer.start_job(5, plan=DONE, created=moment) for _ in range(count)]
        jobs += [explorer.start_job(5, plan=DONE, created=moment + 0.01) for _ in range(3)]
        listener = Listener(bookmark=Bookmark(since=0, at=now_ms()))
        listen(explorer, listener.has_heard(len(jobs)), listener)
    assert sorted(listener.heard) == jobs


def test_jobs_a_millisecond_apart_on_pages_of_one_are_told_all_the_same():
    with Emulator(max_page_size=1) as explorer:
        moment = explorer.now()
        jobs = [explorer.start_job(5, plan=DONE, created=moment + count / 1000) for count in range(8)]
        listener = Listener(bookmark=Bookmark(since=0, at=now_ms()))
        listen(explorer, listener.has_heard(len(jobs)), listener)
    assert sorted(listener.heard) == jobs


@pytest.mark.parametrize("older", [None, 7200, 90 * 86_400])
@pytest.mark.parametrize("ahead", [-7200, 120, 7200])
def test_a_gateway_whose_clock_is_wrong_hides_no_success(explorer, monkeypatch, ahead, older):
    tell = wire.formatdate
    monkeypatch.setattr(wire, "formatdate", lambda now, **how: tell(now + ahead, **how))
    if older is not None:
        explorer.start_job(5, plan=DONE, created=explorer.now() - older - 30)
        explorer.start_job(5, plan=DONE, created=explorer.now() - older)
    listener = Listener()

    async def act():
        await listener.has_looked(2)
        started = []
        for count in range(1, 4):
            started.append(explorer.start_job(5, plan=DONE))
            await listener.has_heard(count)
        return started

    assert listen(explorer, act(), listener) == listener.heard


class BehindItsLists(AsyncClient):
    """An Explorer whose details lag behind its lists, once."""

    lags = 1

    async def run(self, call):
        answer = await super().run(call)
        if isinstance(answer, Job) and self.lags:
            self.lags -= 1
            return parse_job({**answer.data, "status": int(JobStatus.RUNNING)})
        return answer


def test_a_success_whose_details_lag_behind_its_list_is_told(explorer):
    job_id = explorer.start_job(5, plan=DONE)
    listener = Listener(bookmark=Bookmark(since=0, at=now_ms()))
    listen(explorer, listener.has_heard(1), listener, client_class=BehindItsLists)
    assert listener.heard == [job_id]


def test_a_refusal_of_the_list_of_all_jobs_that_passes_is_trouble_and_no_more(explorer):
    listeners = [Listener(number) for number in (1, 2)]

    async def act():
        await asyncio.gather(*(listener.has_looked(1) for listener in listeners))
        explorer.fail(Fault("code", "list_jobs", code=50004003))
        await asyncio.gather(*(listener.has_looked(3) for listener in listeners))
        before = explorer.count("list_workflow_jobs")
        await listeners[0].has_looked(3)
        return explorer.count("list_workflow_jobs") - before

    assert listen_through_trouble(explorer, act(), *listeners) == 0


def listen_through_trouble(explorer, act, *listeners):
    """Listen as a trigger does, which begins anew where Explorer cannot be observed."""

    async def test():
        async with watching(explorer) as watcher:

            async def listen_on(listener):
                while True:
                    try:
                        await listener.listen(watcher)
                    except NebulaExplorerError:
                        await asyncio.sleep(INTERVAL)

            tasks = [asyncio.ensure_future(listen_on(listener)) for listener in listeners]
            try:
                return await asyncio.wait_for(act, timeout=30)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    return run(test())
