# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
import traceback
from dataclasses import replace
from datetime import timedelta

import pytest
from airflow.providers.common.compat.sdk import BaseHook
from deferral import first_event, stored
from factories import settings
from watching import run

from airflow_provider_nebula_explorer.emulator import Emulator, Fault, JobPlan
from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerConfigError,
    NebulaExplorerConnectionError,
    NebulaExplorerNotFoundError,
)
from airflow_provider_nebula_explorer.explorer.waiting.events import read_job, timed_out
from airflow_provider_nebula_explorer.triggers import nebula_explorer as job_triggers
from airflow_provider_nebula_explorer.triggers import watchers
from airflow_provider_nebula_explorer.triggers.nebula_explorer import (
    NebulaExplorerJobTrigger,
    NebulaExplorerWorkflowTrigger,
)
from airflow_provider_nebula_explorer.triggers.workflow_success import WorkflowSuccessTrigger

CONNECTION = "nebula_explorer_default"
INTERVAL = 0.1


def job_trigger(job_id, **arguments):
    return NebulaExplorerJobTrigger(job_id, CONNECTION, INTERVAL, **arguments)


async def payload(trigger):
    (event,) = [event async for event in stored(trigger).run()]
    return event.payload


@pytest.mark.parametrize(
    "trigger",
    [
        NebulaExplorerJobTrigger(7),
        NebulaExplorerJobTrigger("7", "conn", 5.5, target_statuses=[1, 2], timeout_at=9.5, failed_polls=2),
        NebulaExplorerWorkflowTrigger(7),
        NebulaExplorerWorkflowTrigger(7, "conn", 5, name="n", created_after="2026-01-01T00:00:00+00:00"),
        WorkflowSuccessTrigger(7, "conn", 5),
        WorkflowSuccessTrigger("7", "conn", 5, name="n", created_after="2026-01-01", failed_polls=2),
    ],
)
def test_a_trigger_is_made_anew_from_its_json(trigger):
    again = stored(trigger)
    assert type(again) is type(trigger)
    assert again.serialize() == trigger.serialize()


def test_the_event_is_the_jobs_object_with_its_tasks(emulator):
    job_id = emulator.start_job(5, plan=JobPlan(running=3))
    event = first_event(job_trigger(job_id))
    assert event == {"job_id": job_id, "job": emulator.job(job_id), "link": f"{emulator.url}/"}
    assert event["job"]["tasks"]


def test_the_event_comes_when_the_job_is_final_and_not_before(emulator):
    running = emulator.start_job(5, plan=JobPlan(preparing=4, running=4))
    event = first_event(job_trigger(running))
    assert event["job"]["status"] == 2
    assert emulator.count("get_job") > 4


def test_a_wrong_argument_is_an_error_in_words_and_sends_nothing(emulator):
    with pytest.raises(NebulaExplorerConfigError, match="job_id is 'None'; allowed"):
        read_job(first_event(job_trigger("None")))
    with pytest.raises(NebulaExplorerConfigError, match="poll_interval is 0; allowed"):
        read_job(first_event(NebulaExplorerJobTrigger(7, CONNECTION, 0)))
    assert emulator.count() == 0


def test_an_interval_may_be_a_timedelta_which_is_stored_as_seconds():
    for kind in (NebulaExplorerJobTrigger, NebulaExplorerWorkflowTrigger):
        _, arguments = kind(7, CONNECTION, timedelta(minutes=1)).serialize()
        assert arguments["poll_interval"] == 60


def test_without_an_interval_a_job_of_a_second_is_seen_to_end_within_three(emulator):
    job_id = emulator.start_job(5, plan=JobPlan(preparing=0, running=1))
    begun = time.monotonic()
    assert first_event(NebulaExplorerJobTrigger(job_id, CONNECTION))["job"]["status"] == 2
    assert time.monotonic() - begun < 20, "the longest interval is 30 s"
    assert emulator.count("get_job") <= 4


def test_an_error_keeps_its_class_its_text_and_its_code(emulator):
    with pytest.raises(NebulaExplorerNotFoundError, match="job 7 does not exist") as raised:
        read_job(first_event(job_trigger(7)))
    assert (raised.value.code, raised.value.http_status) == (40404000, 404)


def test_a_missing_connection_is_an_error_in_airflows_words(monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_NEBULA_EXPLORER_DEFAULT", raising=False)
    event = first_event(NebulaExplorerJobTrigger(7, "no_such_connection"))
    assert "no_such_connection" in event["error"]["text"]


def test_an_event_that_nobody_knows_is_an_error_that_says_so():
    with pytest.raises(Exception, match="same version of this package"):
        read_job({"status": "success"})


@pytest.mark.parametrize("limit", ["timeout", "execution_timeout"])
def test_a_limit_ends_the_wait(emulator, limit, monkeypatch):
    monkeypatch.setattr("airflow_provider_nebula_explorer.triggers.limits._LEAST_SECONDS", 0.1)
    job_id = emulator.start_job(5, plan=JobPlan(ends=None))
    begun = time.monotonic()
    event = first_event(job_trigger(job_id, **{f"{limit}_at": time.time() + 0.5}))
    assert event == {"job_id": job_id, "timed_out": limit}
    assert timed_out(event) == limit
    assert time.monotonic() - begun < 10


def test_a_limit_ends_the_wait_though_the_connection_is_gone_meanwhile(emulator, monkeypatch, caplog):
    monkeypatch.setattr("airflow_provider_nebula_explorer.triggers.limits._LEAST_SECONDS", 0.5)
    monkeypatch.setattr(watchers, "LOOKUP_SECONDS", 0)
    found = [BaseHook.get_connection(CONNECTION)]

    def get_connection(cls, *args, **kwargs):
        if found:
            return found.pop()
        raise RuntimeError("the secrets backend is down")

    monkeypatch.setattr(BaseHook, "get_connection", classmethod(get_connection))
    job_id = emulator.start_job(5, plan=JobPlan(ends=None))
    event = first_event(job_trigger(job_id, execution_timeout_at=time.time(), cancel_on_kill=True))
    assert event == {"job_id": job_id, "timed_out": "execution_timeout"}
    assert f"Job {job_id} was not cancelled and may keep running" in caplog.text
    assert "the secrets backend is down" in caplog.text


def test_a_limit_ends_the_wait_though_explorer_does_not_respond_to_the_cancel(emulator, monkeypatch, caplog):
    monkeypatch.setattr("airflow_provider_nebula_explorer.triggers.limits._LEAST_SECONDS", 0.5)
    monkeypatch.setattr(job_triggers, "CANCEL_SECONDS", 0.3)
    emulator.fail(Fault("slow", "cancel_job", seconds=3, times=None))
    job_id = emulator.start_job(5, plan=JobPlan(ends=None))
    event = first_event(job_trigger(job_id, execution_timeout_at=time.time(), cancel_on_kill=True))
    assert event == {"job_id": job_id, "timed_out": "execution_timeout"}
    assert "No response came within 0.3 s." in caplog.text


def test_a_triggerer_that_comes_after_the_limit_still_polls_once(emulator):
    job_id = emulator.start_job(5, plan=JobPlan(running=0))
    late = {"timeout_at": time.time() - 3600, "execution_timeout_at": time.time() - 3600}
    assert first_event(job_trigger(job_id, **late))["job"]["status"] == 2


def test_no_secret_is_in_arguments_or_events(emulator):
    job_id = emulator.start_job(5, plan=JobPlan(running=0))
    trigger = job_trigger(job_id)
    text = json.dumps([trigger.serialize(), first_event(trigger), first_event(job_trigger(99))])
    assert "stand-in-secret" not in text
    assert "c3RhbmQtaW4" not in text


def test_an_accounts_budget_outlives_its_watchers_until_it_is_as_good_as_new():
    async def test():
        ours = settings()
        async with watchers.SharedWatcher(ours):
            registry = watchers.REGISTRIES[asyncio.get_running_loop()]
        budget = registry.budget(ours)
        budget.count_login(time.monotonic())
        assert registry.budget(replace(ours, timeout=5)) is budget
        for number in range(3):
            assert registry.budget(replace(ours, base_url=f"http://other-{number}:7002")) is not budget
        assert len(registry.budgets) == 2, "the latest, and ours, which made a login"
        assert registry.budget(ours) is budget

    asyncio.run(test())


def test_triggers_of_one_loop_share_a_login_and_leave_nothing(emulator):
    job_ids = [emulator.start_job(5, plan=JobPlan(running=9)) for _ in range(40)]

    async def test():
        return await asyncio.gather(*(payload(job_trigger(job_id)) for job_id in job_ids))

    assert [event["job_id"] for event in run(test())] == job_ids
    assert emulator.logins == 1
    assert not any(of_loop.watchers for of_loop in watchers.REGISTRIES.values())


@pytest.fixture
def lookups(monkeypatch):
    """The look-ups of a connection."""
    lookups = []
    get_connection = BaseHook.get_connection.__func__
    monkeypatch.setattr(
        BaseHook,
        "get_connection",
        classmethod(
            lambda cls, *args, **kwargs: lookups.append(args) or get_connection(cls, *args, **kwargs)
        ),
    )
    return lookups


def test_a_thousand_waits_look_the_connection_up_once(emulator, lookups, monkeypatch):
    monkeypatch.setattr(watchers, "LOOKUP_SECONDS", 600)  # a slow machine is not what this is about
    job_id = emulator.start_job(5, plan=JobPlan(running=0))

    async def test():
        await asyncio.gather(*(payload(job_trigger(job_id)) for _ in range(1000)))

    run(test())
    assert len(lookups) == 1


@pytest.mark.parametrize("limits", [{}, {"execution_timeout_at": time.time() + 3600}], ids=["", "limited"])
@pytest.mark.parametrize("moment", ["while it looks the connection up", "while it polls"])
def test_airflows_message_for_a_users_kill_gets_through(emulator, monkeypatch, moment, limits):
    job_id = emulator.start_job(5, plan=JobPlan(ends=None))
    looking_up, really_get = threading.Event(), BaseHook.get_connection.__func__

    def get_connection(cls, *args, **kwargs):
        looking_up.set()
        if moment == "while it looks the connection up":
            time.sleep(0.5)
        return really_get(cls, *args, **kwargs)

    monkeypatch.setattr(BaseHook, "get_connection", classmethod(get_connection))

    async def kill():
        waiting = asyncio.ensure_future(anext(job_trigger(job_id, **limits).run()))
        for _ in range(1000):
            if emulator.count() > 2 if moment == "while it polls" else looking_up.is_set():
                break
            await asyncio.sleep(0.01)
        waiting.cancel("the message")
        with pytest.raises(asyncio.CancelledError) as raised:
            await waiting
        return raised.value

    # Before Python 3.11 the message does not reach those who await a task; Airflow catches it inside.
    cancelled = asyncio.run(kill())
    assert cancelled.args == ("the message",) or sys.version_info < (3, 11)


def test_the_error_of_a_look_up_reaches_all_who_wait_for_it(lookups, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_NEBULA_EXPLORER_DEFAULT", '{"conn_type": "nebula_explorer"}')

    async def test():
        return await asyncio.gather(*(payload(job_trigger(7)) for _ in range(100)))

    events = run(test())
    assert {event["error"]["class"] for event in events} == {"NebulaExplorerConfigError"}
    assert len(lookups) == 1


def test_each_wait_logs_the_error_of_a_shared_look_up_as_the_first_does(monkeypatch, caplog):
    def get_connection(cls, *args, **kwargs):
        raise RuntimeError("the secrets backend is down")

    monkeypatch.setattr(BaseHook, "get_connection", classmethod(get_connection))

    async def test():
        await asyncio.gather(*(payload(job_trigger(7)) for _ in range(20)))

    run(test())
    shown = [
        [frame.name for frame in traceback.extract_tb(record.exc_info[2])]
        for record in caplog.records
        if record.exc_info
    ]
    assert len(shown) == 20
    assert shown[0] == shown[-1]
    assert shown[0][-1] == "get_connection", "the place where it failed"


def test_a_new_wait_uses_a_changed_connection(explorer, monkeypatch):
    monkeypatch.setattr(watchers, "LOOKUP_SECONDS", 0)
    old = explorer.emulator.start_job(5, plan=JobPlan(ends=None))
    with Emulator() as other:
        new = other.start_job(5, plan=JobPlan(running=0))

        async def test():
            first = asyncio.create_task(payload(job_trigger(old)))
            await asyncio.to_thread(until, lambda: explorer.emulator.count("get_job"))
            monkeypatch.setenv("AIRFLOW_CONN_NEBULA_EXPLORER_DEFAULT", other.airflow_connection)
            event = await payload(job_trigger(new))
            assert not first.done()
            explorer.emulator.cancel(old)
            return event, await first

        event, first = run(test())
    assert event["job"]["status"] == 2
    assert first["job"]["status"] == 4, "it stayed with the account with which it began"


def test_a_wait_whose_account_is_refused_goes_on_with_the_connections_new_one(explorer, monkeypatch):
    job_id = explorer.emulator.start_job(5, plan=JobPlan(ends=None))
    with Emulator() as other:
        assert other.start_job(5, plan=JobPlan(running=0)) == job_id

        async def test():
            wait = asyncio.create_task(payload(job_trigger(job_id)))
            await asyncio.to_thread(until, lambda: explorer.emulator.count("get_job"))
            monkeypatch.setenv("AIRFLOW_CONN_NEBULA_EXPLORER_DEFAULT", other.airflow_connection)
            explorer.emulator.fail(Fault("code", "connect", code=40004000, times=None))
            explorer.emulator.forget_sessions()
            return await wait

        event = run(test())
    assert event["job"]["status"] == 2


def until(is_so):
    while not is_so():
        time.sleep(0.01)


def test_a_cancelled_wait_leaves_nothing(emulator):
    job_id = emulator.start_job(5, plan=JobPlan(ends=None))

    async def test():
        wait = asyncio.create_task(payload(job_trigger(job_id)))
        await asyncio.to_thread(until, lambda: emulator.count("get_job"))
        wait.cancel()
        await asyncio.gather(wait, return_exceptions=True)

    run(test())
    assert not any(of_loop.watchers for of_loop in watchers.REGISTRIES.values())
    assert emulator.job(job_id)["status"] == 1, "a wait that ends cancels nothing"


class TestWorkflowTrigger:
    def events_of(self, trigger, count, while_it_polls):
        """Return the first events of a trigger that runs in a loop; ``while_it_polls`` runs in a thread."""

        async def test():
            found = []
            acting = asyncio.create_task(asyncio.to_thread(while_it_polls))
            async for event in stored(trigger).run():
                found.append(event.payload["id"])
                if len(found) == count:
                    break
            await acting
            await asyncio.sleep(3 * INTERVAL)
            return found

        return asyncio.run(test())

    def test_each_success_is_one_event_whoever_ran_the_job(self, emulator):
        trigger = NebulaExplorerWorkflowTrigger(5, CONNECTION, INTERVAL)
        emulator.start_job(5, plan=JobPlan(running=0))
        long_running = emulator.start_job(5, plan=JobPlan(running=3600))
        emulator.start_job(5, plan=JobPlan(running=0, ends="FAILED"))
        new = []

        def act():
            until(lambda: emulator.count("list_workflow_jobs") >= 5)
            emulator.start_job(6, plan=JobPlan(running=0))
            new.append(emulator.start_job(5, plan=JobPlan(running=0)))
            until(lambda: emulator.count("list_workflow_jobs") >= 9)
            emulator.advance(7200)
            new.append(emulator.start_job(5, plan=JobPlan(running=2)))

        found = self.events_of(trigger, 3, act)
        assert found == [new[0], long_running, new[1]]

    def test_a_time_makes_earlier_successes_count(self, emulator):
        old = emulator.start_job(5, plan=JobPlan(running=0))
        trigger = NebulaExplorerWorkflowTrigger(5, CONNECTION, INTERVAL, created_after="2020-01-01T00:00:00Z")
        assert self.events_of(trigger, 1, lambda: None) == [old]

    def test_a_success_whose_details_are_refused_holds_up_no_other(self, emulator, caplog):
        trigger = NebulaExplorerWorkflowTrigger(5, CONNECTION, INTERVAL, created_after="2020-01-01T00:00:00Z")
        refused, shown = (emulator.start_job(5, plan=JobPlan(running=0)) for _ in range(2))
        emulator.fail(Fault("code", "get_job", code=40304000))
        assert self.events_of(trigger, 1, lambda: None) == [shown]
        assert f"The details of job {refused} cannot be read, will try again" in caplog.text

    def test_trouble_delays_an_event_and_loses_none(self, emulator, caplog):
        trigger = NebulaExplorerWorkflowTrigger(5, CONNECTION, INTERVAL)
        new = []

        def act():
            until(lambda: emulator.count("list_workflow_jobs") >= 6)
            emulator.fail(Fault("status", times=2), Fault("status", "get_job"))
            new.append(emulator.start_job(5, plan=JobPlan(running=0)))

        assert self.events_of(trigger, 1, act) == new
        assert "Cannot observe workflow 5, will poll again" in caplog.text


def test_a_timeout_of_something_else_is_no_limit_of_the_tasks(emulator, monkeypatch):
    def get_connection(*_):
        raise TimeoutError("the secrets backend is slow")

    monkeypatch.setattr(BaseHook, "get_connection", get_connection)
    event = first_event(job_trigger(7, execution_timeout_at=time.time() + 3600, cancel_on_kill=True))
    assert event["error"]["text"] == "the secrets backend is slow"
    assert emulator.count("cancel_job") == 0


def test_too_many_failed_polls_are_an_error_that_the_job_cannot_be_observed(explorer):
    explorer.set_connection(extra={"max_consecutive_failures": 3})
    explorer.emulator.fail(Fault("status", "get_job", times=None))
    with pytest.raises(NebulaExplorerConnectionError, match="Cannot observe job 7: 3 polls in a row failed"):
        read_job(first_event(job_trigger(7, failed_polls=1)))
    assert explorer.emulator.count("get_job") == 2
