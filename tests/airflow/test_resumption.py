# SPDX-License-Identifier: Apache-2.0
"""How a deferred task ends: in the triggerer, or in a worker that it does not resume in too early."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import datetime, timedelta, timezone

import airflow
import pytest
from airflow.providers.common.compat.sdk import DAG, Asset, BaseOperator, TaskDeferred
from deferral import of_task, run_to_its_end, stored

from airflow_provider_nebula_explorer.emulator import Fault, JobPlan
from airflow_provider_nebula_explorer.operators.nebula_explorer import (
    NebulaExplorerCancelJobOperator,
    NebulaExplorerRunWorkflowOperator,
)
from airflow_provider_nebula_explorer.sensors.nebula_explorer import (
    NebulaExplorerJobSensor,
    NebulaExplorerWorkflowSensor,
)
from airflow_provider_nebula_explorer.triggers.limits import TimeLimits
from airflow_provider_nebula_explorer.triggers.nebula_explorer import NebulaExplorerJobTrigger
from airflow_provider_nebula_explorer.triggers.resumption import (
    can_end_in_triggerer,
    seconds_before_resumption,
    why_a_worker_is_needed,
)

VERSION = tuple(int(part) for part in airflow.__version__.split(".")[:2])
needs_33 = pytest.mark.skipif(
    VERSION < (3, 3), reason="Airflow before 3.3 cannot end a task in the triggerer"
)
CONNECTION = "nebula_explorer_default"
LASTING = JobPlan(running=4)
HOLD = 1.0


def a_trigger(job_id, **arguments):
    return NebulaExplorerJobTrigger(job_id, CONNECTION, 0.1, resume_not_before=HOLD, **arguments)


async def first_payload(trigger):
    return (await anext(trigger.run())).payload


def timed(trigger):
    """Return a trigger's payload, and after how many seconds it came."""
    begun = time.monotonic()
    return asyncio.run(first_payload(trigger)), time.monotonic() - begun


def deferral_of(task, context):
    with pytest.raises(TaskDeferred) as raised:
        task.execute(context)
    return raised.value


def with_version(monkeypatch, version):
    monkeypatch.setattr(airflow, "__version__", version)


@pytest.mark.parametrize(
    ("version", "seconds"),
    [("2.11.2", 0), ("3.0.6", 20), ("3.3.2", 20), ("3.4.0b2", 0), ("3.10.0", 0), ("4.0.0", 0)],
)
def test_a_worker_is_resumed_late_where_the_scheduler_has_the_race(monkeypatch, version, seconds):
    with_version(monkeypatch, version)
    monkeypatch.delenv("AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL", raising=False)
    assert seconds_before_resumption() == seconds


def test_the_time_follows_the_setting_of_the_supervisor(monkeypatch):
    with_version(monkeypatch, "3.3.2")
    monkeypatch.setenv("AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL", "40")
    assert seconds_before_resumption() == 55
    assert TimeLimits(timeout_at=time.time()).of_deferral > timedelta(seconds=114)


@needs_33
def test_every_deferral_passes_the_time_on(emulator, context, monkeypatch):
    emulator.plan(5, JobPlan(ends=None))
    with_version(monkeypatch, "3.3.2")
    monkeypatch.setenv("AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL", "7")
    job_id = emulator.start_job(6, plan=JobPlan(ends=None, stopping=99))
    for task in (
        NebulaExplorerRunWorkflowOperator(task_id="t", workflow_id=5, deferrable=True),
        NebulaExplorerJobSensor(task_id="t", job_id=job_id, deferrable=True),
        NebulaExplorerWorkflowSensor(
            task_id="t", workflow_id=7, created_after="2020-01-01T00:00:00Z", deferrable=True
        ),
        NebulaExplorerCancelJobOperator(
            task_id="t", job_id=job_id, wait_for_completion=True, deferrable=True
        ),
    ):
        _, arguments = deferral_of(task, context).trigger.serialize()
        assert arguments["resume_not_before"] == 22


def test_what_resumes_in_a_worker_comes_no_sooner_and_is_what_would_have_come(emulator):
    job_id = emulator.start_job(5, plan=JobPlan(running=0))
    event, seconds = timed(of_task(a_trigger(job_id)))
    assert event["job"] == emulator.job(job_id)
    assert seconds >= HOLD


def test_the_wait_goes_on_meanwhile_so_that_a_long_one_is_not_prolonged(emulator):
    job_id = emulator.start_job(5, plan=JobPlan(ends=None))

    async def run():
        waiting = asyncio.ensure_future(first_payload(of_task(a_trigger(job_id))))
        await asyncio.sleep(HOLD)
        assert not waiting.done()
        emulator.cancel(job_id)
        begun = time.monotonic()
        await waiting
        return time.monotonic() - begun

    assert asyncio.run(run()) < HOLD


@pytest.mark.parametrize("limit", ["timeout_at", "execution_timeout_at"])
def test_a_limit_cancels_at_once_and_is_reported_no_sooner(emulator, monkeypatch, limit):
    monkeypatch.setattr("airflow_provider_nebula_explorer.triggers.limits._LEAST_SECONDS", 0.1)
    job_id = emulator.start_job(5, plan=JobPlan(ends=None, stopping=0))
    trigger = a_trigger(job_id, cancel_on_kill=True, **{limit: time.time() + 0.1})
    event, seconds = timed(of_task(trigger))
    assert event == {"job_id": job_id, "timed_out": limit.removesuffix("_at")}
    assert seconds >= HOLD
    assert emulator.count("cancel_job") == (limit == "execution_timeout_at")


def test_an_error_is_held_back_too(emulator):
    event, seconds = timed(of_task(a_trigger(404)))
    assert event["error"]["class"] == "NebulaExplorerNotFoundError"
    assert seconds >= HOLD


@pytest.mark.parametrize("ends_task", [False, True])
def test_without_a_task_the_plain_event_comes_at_once(emulator, ends_task):
    job_id = emulator.start_job(5, plan=JobPlan(running=0))
    trigger = NebulaExplorerJobTrigger(
        job_id, CONNECTION, 0.1, target_statuses=[2], ends_task=ends_task, resume_not_before=3600
    )
    assert asyncio.run(first_payload(stored(trigger)))["job"] == emulator.job(job_id)


@pytest.mark.parametrize("has_on_kill", [True, False])
def test_a_task_that_is_ended_meanwhile_ends(emulator, monkeypatch, has_on_kill):
    module = "airflow_provider_nebula_explorer.triggers.nebula_explorer"
    monkeypatch.setattr(f"{module}.HAS_ON_KILL", has_on_kill)

    async def is_still_deferred(_trigger):
        return False

    monkeypatch.setattr(f"{module}.is_still_deferred", is_still_deferred)
    job_id = emulator.start_job(5, plan=JobPlan(ends=None))
    emulator.fail(Fault("code", "get_job", code=40304000, times=None))

    async def run():
        trigger = of_task(
            NebulaExplorerJobTrigger(job_id, CONNECTION, 0.1, cancel_on_kill=True, resume_not_before=3600)
        )
        waiting = asyncio.ensure_future(first_payload(trigger))
        while not emulator.count("get_job"):  # noqa: ASYNC110 - the emulator has no event to wait for
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        assert not waiting.done()
        waiting.cancel("the message")
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        if has_on_kill:
            await trigger.on_kill()

    asyncio.run(run())
    assert emulator.count("cancel_job") == 1


def in_worker_and_triggerer(make, context, ti, pushed):
    """Return what a task leaves if it ends in a worker, and if it ends in the triggerer: its XComs."""
    in_worker = {"return_value": run_to_its_end(make, context), **ti.xcoms}
    ti.xcoms.clear()
    pause = deferral_of(make(), context)
    assert asyncio.run(first_payload(of_task(pause.trigger))) == "success"
    return in_worker, {**ti.xcoms, **pushed}


@needs_33
@pytest.mark.usefixtures("no_listeners")
def test_a_sensor_leaves_the_xcoms_that_a_worker_would(emulator, context, ti, pushed):
    job_id = emulator.start_job(5, plan=JobPlan(ends=None))

    def make():
        return NebulaExplorerJobSensor(
            task_id="t", job_id=job_id, target_statuses=["INTERRUPTED"], poke_interval=0.1, deferrable=True
        )

    pause = deferral_of(make(), context)
    emulator.cancel(job_id)
    assert asyncio.run(first_payload(of_task(pause.trigger))) == "success"
    assert {**ti.xcoms, **pushed} == {
        "return_value": emulator.job(job_id),
        "nebula_explorer_job_link": f"{emulator.url}/",
        "job_url": f"{emulator.url}/",
    }


@needs_33
@pytest.mark.usefixtures("no_listeners")
def test_the_sensor_of_a_workflow_leaves_its_jobs_link(emulator, context, pushed, caplog):
    def make():
        return NebulaExplorerWorkflowSensor(
            task_id="t",
            workflow_id=5,
            created_after="2020-01-01T00:00:00Z",
            poke_interval=0.1,
            deferrable=True,
        )

    pause = deferral_of(make(), context)
    job_id = emulator.start_job(5, plan=JobPlan(running=0))
    caplog.set_level(logging.INFO)
    assert asyncio.run(first_payload(of_task(pause.trigger))) == "success"
    link = f"{emulator.url}/"
    pages = {"nebula_explorer_job_link": link, "job_url": link}
    assert pushed == {"return_value": emulator.job(job_id), **pages}
    assert f"Job {job_id} of workflow 5: {link}" in caplog.text


@needs_33
@pytest.mark.usefixtures("no_listeners")
def test_a_run_leaves_the_xcoms_that_a_worker_would(emulator, context, ti, pushed):
    emulator.plan(5, LASTING)

    def make():
        return NebulaExplorerRunWorkflowOperator(
            task_id="t", workflow_id=5, poll_interval=0.1, deferrable=True
        )

    in_worker, in_triggerer = in_worker_and_triggerer(make, context, ti, pushed)
    first, second = (job["id"] for job in emulator.jobs)
    assert in_worker["return_value"] == first
    assert pushed == {"return_value": second, "job": emulator.job(second)}
    assert set(in_triggerer) == set(in_worker)


@needs_33
@pytest.mark.usefixtures("no_listeners")
def test_a_cancel_succeeds_there_with_any_final_job(emulator, context, pushed):
    job_id = emulator.start_job(5, plan=JobPlan(ends=None, stopping=3))
    task = NebulaExplorerCancelJobOperator(
        task_id="t", job_id=job_id, poll_interval=0.1, wait_for_completion=True, deferrable=True
    )
    assert asyncio.run(first_payload(of_task(deferral_of(task, context).trigger))) == "success"
    assert pushed["return_value"] == emulator.job(job_id)
    assert pushed["return_value"]["status"] == 4


@needs_33
@pytest.mark.usefixtures("no_listeners")
def test_a_run_whose_job_fails_resumes_in_a_worker(emulator, context, pushed, monkeypatch):
    monkeypatch.setattr("airflow_provider_nebula_explorer.triggers.resumption.SCHEDULER_SECONDS", -4.0)
    emulator.plan(5, JobPlan(running=4, ends="FAILED"))
    task = NebulaExplorerRunWorkflowOperator(task_id="t", workflow_id=5, poll_interval=0.1, deferrable=True)
    event = asyncio.run(first_payload(of_task(deferral_of(task, context).trigger)))
    assert event["job"]["status"] == 3
    assert pushed == {}


@needs_33
def test_xcoms_that_cannot_be_stored_there_are_left_to_a_worker(emulator, monkeypatch, caplog):
    from airflow.sdk.execution_time.xcom import XCom

    async def refuse(**_):
        raise RuntimeError("the API server is down")

    monkeypatch.setattr(XCom, "aset", refuse)
    job_id = emulator.start_job(5, plan=JobPlan(running=0))
    event, seconds = timed(of_task(a_trigger(job_id, target_statuses=[2], ends_task=True)))
    assert event["job"] == emulator.job(job_id)
    assert seconds >= HOLD
    assert (
        "The task ends in a worker, as storing its XComs failed: RuntimeError: the API server is down"
        in caplog.text
    )


class OfSomebody(NebulaExplorerJobSensor):
    """A sensor whose own code only a worker runs."""

    def execute_complete(self, context, event):
        return super().execute_complete(context, event)["id"]


@needs_33
@pytest.mark.usefixtures("no_listeners")
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({}, None),
        ({"execution_timeout": timedelta(hours=1)}, None),
        ({"on_failure_callback": lambda context: None}, None),
        ({"outlets": [Asset("a")]}, "it has outlets"),
        ({"on_execute_callback": lambda context: None}, "it has an on_execute_callback or an on_success"),
        ({"on_success_callback": lambda context: None}, "it has an on_execute_callback or an on_success"),
        ({"pre_execute": lambda context: None}, "it has a pre_execute or a post_execute"),
        ({"post_execute": lambda context, result: None}, "it has a pre_execute or a post_execute"),
        ({"run_as_user": "u"}, "it has run_as_user"),
        ({"do_xcom_push": False}, "do_xcom_push is off"),
        ({"multiple_outputs": True}, "do_xcom_push is off, or multiple_outputs on"),
    ],
)
@pytest.mark.parametrize(
    "make",
    [
        lambda **arguments: NebulaExplorerJobSensor(job_id=7, **arguments),
        lambda **arguments: NebulaExplorerRunWorkflowOperator(workflow_id=5, **arguments),
    ],
    ids=["sensor", "run"],
)
def test_what_needs_a_worker_is_the_same_for_all(make, arguments, reason, caplog):
    caplog.set_level(logging.DEBUG)
    task = make(task_id="t", deferrable=True, **arguments)
    assert can_end_in_triggerer(task) == (reason is None)
    assert (why_a_worker_is_needed(task) or "").startswith(reason or "")
    assert caplog.text.count("The task will end in a worker, as ") == (reason is not None)


@needs_33
@pytest.mark.usefixtures("no_listeners")
def test_own_code_needs_a_worker():
    assert why_a_worker_is_needed(OfSomebody(task_id="t", job_id=7)) == (
        "its class is not one of this package's"
    )


@needs_33
@pytest.mark.usefixtures("no_listeners")
def test_a_task_that_is_mapped_over_the_result_needs_a_worker():
    with DAG("d", start_date=datetime(2024, 1, 1, tzinfo=timezone.utc), schedule=None):
        task = NebulaExplorerJobSensor(task_id="t", job_id=7)
        BaseOperator.partial(task_id="next").expand(email=task.output)
    assert why_a_worker_is_needed(task) == "a task is mapped over its result"


@needs_33
def test_a_listener_needs_a_worker(monkeypatch):
    from airflow.sdk.listener import ListenerManager

    monkeypatch.setattr(ListenerManager, "has_listeners", property(lambda _: True))
    task = NebulaExplorerJobSensor(task_id="t", job_id=7)
    assert why_a_worker_is_needed(task) == "a plugin listens to tasks"


def test_an_older_airflow_needs_a_worker(monkeypatch):
    with_version(monkeypatch, "3.2.2")
    task = NebulaExplorerJobSensor(task_id="t", job_id=7)
    assert why_a_worker_is_needed(task) == "this Airflow is older than 3.3"
