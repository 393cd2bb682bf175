# SPDX-License-Identifier: Apache-2.0
"""The workflow trigger that starts DAGs: each success is one event, over restarts of the triggerer."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import aclosing, asynccontextmanager

import pytest
from deferral import stored

from airflow_provider_nebula_explorer.emulator import Emulator, Fault, JobPlan
from airflow_provider_nebula_explorer.triggers import watchers
from airflow_provider_nebula_explorer.triggers.nebula_explorer import NebulaExplorerWorkflowTrigger
from airflow_provider_nebula_explorer.triggers.workflow_events import WorkflowEvents, WorkflowSpec

try:
    from airflow.triggers.shared_stream import SharedStreamManager
except ImportError:
    SharedStreamManager = None

needs_streams = pytest.mark.skipif(
    SharedStreamManager is None, reason="Airflow before 3.3 does not say when an event is stored"
)

CONNECTION = "nebula_explorer_default"
INTERVAL = 0.1
DONE = JobPlan(running=0)


class Bookmarks:
    """An asset's state store: what goes through it goes through JSON."""

    def __init__(self):
        self.values = {}
        self.is_broken = False
        self.has_failed = asyncio.Event()

    async def aget(self, key, default=None):
        if self.is_broken:
            self.has_failed.set()
            raise RuntimeError("the store is broken")
        return json.loads(self.values[key]) if key in self.values else default

    async def aset(self, key, value):
        if self.is_broken:
            raise RuntimeError("the store is broken")
        self.values[key] = json.dumps(value)


@pytest.fixture
def bookmarks():
    return Bookmarks()


def trigger_for(workflow_id, bookmarks, *, interval=INTERVAL, **arguments):
    trigger = stored(NebulaExplorerWorkflowTrigger(workflow_id, CONNECTION, interval, **arguments))
    trigger.asset_state_store = bookmarks
    return trigger


class Triggerer:
    """Runs a trigger as a triggerer before Airflow 3.3 does: each event counts as stored when it comes."""

    def __init__(self, trigger):
        self.trigger = trigger
        self.events = []
        self._changed = asyncio.Condition()

    async def stream(self):
        async for event in self.trigger.run():
            yield event

    async def take(self):
        async for event in self.stream():
            self.events.append(event.payload)
            async with self._changed:
                self._changed.notify_all()

    async def has_events(self, count):
        async with self._changed:
            await asyncio.wait_for(self._changed.wait_for(lambda: len(self.events) >= count), timeout=30)


class StreamingTriggerer(Triggerer):
    """Runs a trigger as Airflow 3.3's triggerer does; ``stores`` says whether events are stored."""

    stores = True

    def __init__(self, trigger, *, number=1, streams=None):
        super().__init__(trigger)
        self.number = number
        self.streams = streams or SharedStreamManager(log=_Silent())

    async def stream(self):
        key = self.trigger.shared_stream_key()
        raw = self.streams.subscribe(trigger_id=self.number, trigger=self.trigger, key=key)
        try:
            async for event in self.trigger.filter_shared_stream(raw):
                event_id = self.streams.bind_pending_event(trigger_id=self.number, key=key)
                yield event
                if self.stores:
                    self.streams.confirm_persisted([event_id])
        finally:
            await self.streams.unsubscribe(self.number, key)


class ForgetfulTriggerer(StreamingTriggerer):
    """One that dies before it has stored the events."""

    stores = False


class _Silent:
    def __getattr__(self, name):
        return lambda *_, **__: None


@asynccontextmanager
async def running(triggerer):
    task = asyncio.ensure_future(triggerer.take())
    try:
        yield triggerer
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled(), task


each_triggerer = pytest.mark.parametrize(
    "kind", [Triggerer, pytest.param(StreamingTriggerer, marks=needs_streams)]
)


async def polls(emulator, count=8):  # the first poll takes four requests
    until = emulator.count("list_workflow_jobs") + count
    while emulator.count("list_workflow_jobs") < until:  # noqa: ASYNC110 - the emulator runs in a thread
        await asyncio.sleep(0.02)


@each_triggerer
def test_the_payload_is_the_jobs_object(kind, emulator, bookmarks):
    async def test():
        async with running(kind(trigger_for(5, bookmarks))) as triggerer:
            await polls(emulator)
            job_id = emulator.start_job(5, plan=DONE)
            await triggerer.has_events(1)
            return job_id, triggerer.events

    job_id, events = asyncio.run(test())
    assert events == [emulator.job(job_id)]
    assert events[0]["tasks"]


@each_triggerer
def test_over_a_restart_nothing_is_lost_and_nothing_comes_twice(kind, emulator, bookmarks):
    async def test():
        running_job = emulator.start_job(5, plan=JobPlan(running=1000))
        async with running(kind(trigger_for(5, bookmarks))) as first:
            await polls(emulator)
            first_job = emulator.start_job(5, plan=DONE)
            await first.has_events(1)
            await polls(emulator)
        emulator.advance(5000)
        meanwhile = emulator.start_job(5, plan=DONE)
        async with running(kind(trigger_for(5, bookmarks))) as second:
            await second.has_events(2)
            await polls(emulator)
        assert [job["id"] for job in first.events] == [first_job]
        assert sorted(job["id"] for job in second.events) == sorted([running_job, meanwhile])

    asyncio.run(test())


def test_without_a_store_as_before_airflow_3_3_a_job_between_two_triggerers_gets_no_event(emulator):
    async def test():
        async with running(Triggerer(trigger_for(5, None))) as first:
            await polls(emulator)
            emulator.start_job(5, plan=DONE)
            await first.has_events(1)
        emulator.start_job(5, plan=DONE)
        async with running(Triggerer(trigger_for(5, None))) as second:
            await polls(emulator)
            later = emulator.start_job(5, plan=DONE)
            await second.has_events(1)
        assert [job["id"] for job in second.events] == [later]

    asyncio.run(test())


@needs_streams
def test_an_event_that_airflow_did_not_store_is_made_again(emulator, bookmarks):
    async def test():
        async with running(ForgetfulTriggerer(trigger_for(5, bookmarks))) as first:
            await polls(emulator)
            job_id = emulator.start_job(5, plan=DONE)
            await first.has_events(1)
            await polls(emulator)
        assert len(first.events) == 1, "not while it may still be stored"
        async with running(StreamingTriggerer(trigger_for(5, bookmarks))) as second:
            await second.has_events(1)
            await polls(emulator)
        assert [job["id"] for job in second.events] == [job_id]

    asyncio.run(test())


@needs_streams
def test_a_backlog_longer_than_airflows_queue_comes_whole(emulator, bookmarks, monkeypatch):
    from airflow_provider_nebula_explorer.triggers import shared_stream

    monkeypatch.setattr(shared_stream, "_MOST_IN_FLIGHT", 3)
    jobs = [emulator.start_job(5, plan=DONE) for _ in range(60)]
    emulator.advance(1)
    jobs += [emulator.start_job(5, plan=DONE) for _ in range(60)]

    async def test():
        trigger = trigger_for(5, bookmarks, created_after="2020-01-01T00:00:00Z")
        async with running(StreamingTriggerer(trigger)) as triggerer:
            await triggerer.has_events(120)
            return sorted(job["id"] for job in triggerer.events)

    assert asyncio.run(test()) == jobs


@needs_streams
def test_a_trigger_that_joins_a_stream_gets_its_events_as_the_first_one_does(emulator, bookmarks):
    jobs = [emulator.start_job(5, plan=DONE) for _ in range(2)]

    async def test():
        streams = SharedStreamManager(log=_Silent())
        triggers = [trigger_for(5, bookmarks, created_after="2020-01-01T00:00:00Z") for _ in range(2)]
        first, second = (
            StreamingTriggerer(trigger, number=number, streams=streams)
            for number, trigger in enumerate(triggers)
        )
        async with running(first), running(second):
            await first.has_events(2)
            await second.has_events(2)
            return [sorted(job["id"] for job in it.events) for it in (first, second)]

    assert asyncio.run(test()) == [jobs, jobs]


@each_triggerer
def test_trouble_with_explorer_delays_an_event(kind, emulator, bookmarks):
    async def test():
        async with running(kind(trigger_for(5, bookmarks))) as triggerer:
            await polls(emulator)
            emulator.fail(Fault("status", times=3))
            job_id = emulator.start_job(5, plan=DONE)
            await triggerer.has_events(1)
            return job_id, [job["id"] for job in triggerer.events]

    job_id, events = asyncio.run(test())
    assert events == [job_id]


def test_a_bookmark_is_for_the_specified_jobs_of_one_explorer_at_any_interval():
    def key(explorer="http://one", **arguments):
        trigger = NebulaExplorerWorkflowTrigger(**{"workflow_id": 5, **arguments})
        return trigger._spec.bookmark_key(explorer)

    assert key() == key(workflow_id="5") == key(poll_interval=5)
    others = [
        {"workflow_id": 6},
        {"name": "n"},
        {"nebula_explorer_conn_id": "c"},
        {"created_after": "2026-01-01T00:00:00Z"},
        {"explorer": "http://two"},
    ]
    assert len({key(), *(key(**other) for other in others)}) == 6


def test_a_store_that_does_not_respond_delays_the_beginning_and_loses_nothing(emulator, bookmarks, caplog):
    async def test():
        async with running(Triggerer(trigger_for(5, bookmarks))):
            await polls(emulator)
        job_id = emulator.start_job(5, plan=DONE)
        bookmarks.is_broken = True
        async with running(Triggerer(trigger_for(5, bookmarks))) as triggerer:
            await bookmarks.has_failed.wait()
            bookmarks.is_broken = False
            await triggerer.has_events(1)
            assert "cannot be read from Airflow: RuntimeError: the store is broken" in caplog.text
            return job_id, [job["id"] for job in triggerer.events]

    job_id, events = asyncio.run(test())
    assert events == [job_id]


def test_a_bookmark_that_could_not_be_kept_is_kept_later(emulator, bookmarks, caplog):
    async def test():
        async with running(Triggerer(trigger_for(5, bookmarks))) as triggerer:
            await polls(emulator)
            bookmarks.is_broken = True
            emulator.start_job(5, plan=DONE)
            await triggerer.has_events(1)
            await polls(emulator, 2)
            bookmarks.is_broken = False
            await polls(emulator, 4)
        async with running(Triggerer(trigger_for(5, bookmarks))) as second:
            await polls(emulator)
            return second.events

    assert asyncio.run(test()) == []
    assert "cannot be stored, will try again: RuntimeError: the store is broken" in caplog.text


def test_a_trigger_for_several_assets_has_no_bookmark_and_says_so(emulator, caplog):
    class Several:
        async def aget(self, key, default=None):
            raise ValueError("Task has 2 concrete inlets and outlets")

    async def test():
        async with running(Triggerer(trigger_for(5, Several()))) as triggerer:
            await polls(emulator)
            emulator.start_job(5, plan=DONE)
            await triggerer.has_events(1)

    asyncio.run(test())
    assert "No bookmark is stored, so a restart may lose events: Task has 2" in caplog.text


def test_another_explorer_behind_the_connection_has_a_bookmark_of_its_own(
    explorer, emulator, bookmarks, monkeypatch
):
    monkeypatch.setattr(watchers, "LOOKUP_SECONDS", 0)
    with Emulator() as other:
        theirs = json.loads(other.airflow_connection)

        async def test():
            lasting = emulator.start_job(5, plan=JobPlan(running=1000))
            async with running(Triggerer(trigger_for(5, bookmarks))) as triggerer:
                await polls(emulator)
                explorer.set_connection(host=theirs["host"], port=theirs["port"])
                await polls(other)
                emulator.advance(2000)
                job_id = other.start_job(5, plan=DONE)
                await triggerer.has_events(1)
                explorer.set_connection()
                await triggerer.has_events(2)
            return [job_id, lasting], [job["id"] for job in triggerer.events]

        expected, events = asyncio.run(test())
    assert events == expected


def test_the_last_event_of_a_batch_comes_later_so_that_it_starts_a_run_with_the_others(emulator, bookmarks):
    for _ in range(3):
        emulator.start_job(5, plan=DONE)
    spec = trigger_for(5, bookmarks, created_after="2020-01-01T00:00:00Z")._spec

    async def test():
        times = []
        async with aclosing(WorkflowEvents(spec, bookmarks, spacing=1.5).jobs()) as jobs:
            for _ in range(3):
                await anext(jobs)
                times.append(time.monotonic())
        return times

    _, second, last = asyncio.run(test())
    assert last - second >= 1.5


@pytest.mark.parametrize("value", ["text", 7, {"since": 1}, {"since": "x", "at": 1, "known": [], "open": []}])
def test_a_bookmark_that_is_none_is_a_warning_and_a_new_beginning(value, emulator, bookmarks, caplog):
    trigger = trigger_for(5, bookmarks)
    bookmarks.values[trigger._spec.bookmark_key(emulator.url)] = json.dumps(value)

    async def test():
        async with running(Triggerer(trigger)) as triggerer:
            await polls(emulator)
            emulator.start_job(5, plan=DONE)
            await triggerer.has_events(1)

    asyncio.run(test())
    assert "cannot be read" in caplog.text
    kept = json.loads(bookmarks.values[trigger._spec.bookmark_key(emulator.url)])
    assert set(kept) == {"since", "at", "known", "open"}


def test_a_new_bookmark_is_kept_at_once_however_long_the_interval(emulator, bookmarks):
    running_job = emulator.start_job(5, plan=JobPlan(running=1000))
    trigger = trigger_for(5, bookmarks, interval=3600)
    kept = asyncio.Event()
    keep = bookmarks.aset

    async def aset(key, value):
        await keep(key, value)
        kept.set()

    bookmarks.aset = aset

    async def test():
        async with running(Triggerer(trigger)):
            await asyncio.wait_for(kept.wait(), timeout=30)

    asyncio.run(test())
    (value,) = bookmarks.values.values()
    assert json.loads(value)["open"] == [running_job]


def test_a_bookmark_is_not_written_at_each_poll(emulator, bookmarks):
    written = []
    keep = bookmarks.aset

    async def aset(key, value):
        written.append(value)
        await keep(key, value)

    bookmarks.aset = aset

    async def test():
        async with running(Triggerer(trigger_for(5, bookmarks))) as triggerer:
            await polls(emulator, 12)
            quiet = len(written)
            emulator.start_job(5, plan=DONE)
            await triggerer.has_events(1)
            await polls(emulator, 4)
            return quiet, len(written)

    quiet, after = asyncio.run(test())
    assert quiet == 1
    assert after <= 3, "when the job is new, and when its event is acknowledged"


def test_an_event_is_acknowledged_while_the_connection_changes(emulator, bookmarks, monkeypatch):
    """Airflow 3.3 acknowledges in another task than the one that observes the workflow."""
    monkeypatch.setattr(watchers, "LOOKUP_SECONDS", 0)
    events = WorkflowEvents(WorkflowSpec(5, CONNECTION, INTERVAL, None, None), bookmarks, spacing=0.0)
    keep, tasks = bookmarks.aset, []

    async def test(other):
        others_is_kept = asyncio.Event()

        async def aset(key, value):
            if tasks:
                others_is_kept.set()
            else:
                monkeypatch.setenv("AIRFLOW_CONN_NEBULA_EXPLORER_DEFAULT", other.airflow_connection)
                tasks.append(asyncio.create_task(anext(jobs)))
                await asyncio.wait_for(others_is_kept.wait(), timeout=30)
            await keep(key, value)

        jobs = events.jobs()
        first = asyncio.create_task(anext(jobs))
        await polls(emulator)
        job_id = emulator.start_job(5, plan=DONE)
        assert (await first).id == job_id
        bookmarks.aset = aset
        await events.acknowledge(job_id)
        tasks[0].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    with Emulator() as other:
        asyncio.run(test(other))
    assert [json.loads(value)["open"] for value in bookmarks.values.values()] == [[], []]
