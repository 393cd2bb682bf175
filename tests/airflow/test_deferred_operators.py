# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
import time
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import airflow
import pytest
from airflow.providers.common.compat.sdk import AirflowTaskTimeout, TaskDeferred
from deferral import first_event, run_to_its_end, stored
from stand_ins import CLAIM_KEY, a_claim

from airflow_provider_nebula_explorer.emulator import Fault, JobPlan
from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerConfigError,
    NebulaExplorerConnectionError,
)
from airflow_provider_nebula_explorer.operators.nebula_explorer import (
    NebulaExplorerCancelJobOperator,
    NebulaExplorerRunWorkflowOperator,
)
from airflow_provider_nebula_explorer.sensors.nebula_explorer import NebulaExplorerJobSensor

DONE = JobPlan(running=0)
ENDLESS = JobPlan(ends=None)


def a_run(**arguments):
    arguments = {"task_id": "t", "workflow_id": 5, "poll_interval": 0.1, "deferrable": True, **arguments}
    return NebulaExplorerRunWorkflowOperator(**arguments)


def deferral_of(task, context):
    with pytest.raises(TaskDeferred) as raised:
        task.execute(context)
    return raised.value


def test_a_job_that_is_final_at_the_first_poll_does_not_defer(emulator, context, ti):
    emulator.plan(5, DONE)
    job_id = a_run().execute(context)
    assert ti.xcoms["job"] == emulator.job(job_id)
    sensor = NebulaExplorerJobSensor(task_id="t", job_id=job_id, deferrable=True)
    assert sensor.execute(context) == emulator.job(job_id)
    cancel = NebulaExplorerCancelJobOperator(
        task_id="t", job_id=job_id, wait_for_completion=True, deferrable=True
    )
    assert cancel.execute(context) == emulator.job(job_id)


def test_the_link_is_there_while_the_task_is_deferred(emulator, context, ti):
    emulator.plan(5, ENDLESS)
    deferral_of(a_run(), context)
    page = f"{emulator.url}/"
    assert ti.xcoms == {
        "nebula_explorer_job_link": page,
        "job_url": page,
        "job_id": 101,
        CLAIM_KEY: a_claim(emulator, 101),
    }


def test_the_resumed_task_makes_no_request(emulator, context, ti):
    emulator.plan(5, JobPlan(running=8))
    pause = deferral_of(a_run(), context)
    event = first_event(pause.trigger)
    before = emulator.count()
    job_id = a_run().resume_execution(pause.method_name, {"event": event}, context)
    assert emulator.count() == before
    assert ti.xcoms["job"] == emulator.job(job_id)

    sensor = NebulaExplorerJobSensor(task_id="t", job_id=job_id, deferrable=True)
    assert sensor.resume_execution("execute_complete", {"event": event}, context) == emulator.job(job_id)
    assert emulator.count() == before


def test_a_job_runs_once_and_its_id_is_what_the_task_returns(emulator, context):
    emulator.plan(5, JobPlan(running=8))
    job_id = run_to_its_end(a_run, context)
    assert [job["id"] for job in emulator.jobs] == [job_id]


@pytest.mark.parametrize(("cancel_on_kill", "status"), [(True, 4), (False, 1)])
def test_an_execution_timeout_cancels_the_job_and_says_so(
    emulator, context, monkeypatch, cancel_on_kill, status
):
    monkeypatch.setattr("airflow_provider_nebula_explorer.triggers.limits._LEAST_SECONDS", 0.1)
    emulator.plan(5, JobPlan(ends=None, stopping=0))
    limits = {"execution_timeout": timedelta(seconds=1), "cancel_on_kill": cancel_on_kill}
    with pytest.raises(AirflowTaskTimeout, match="Timeout, PID: "):
        run_to_its_end(lambda: a_run(**limits), context)
    assert emulator.jobs[0]["status"] == status


def test_airflow_ends_the_deferral_itself_where_no_triggerer_runs(emulator, context):
    emulator.plan(5, ENDLESS)
    pause = deferral_of(a_run(execution_timeout=timedelta(hours=1)), context)
    assert timedelta(hours=1) < pause.timeout < timedelta(hours=1, minutes=2)
    assert deferral_of(a_run(), context).timeout is None
    job_id = emulator.jobs[0]["id"]
    pause = deferral_of(
        NebulaExplorerJobSensor(task_id="t", job_id=job_id, timeout=600, deferrable=True), context
    )
    assert timedelta(minutes=10) < pause.timeout < timedelta(minutes=12)


def test_the_trigger_gets_what_the_first_poll_saw(emulator, context):
    emulator.plan(5, ENDLESS)
    _, arguments = deferral_of(a_run(), context).trigger.serialize()
    (job,) = emulator.jobs
    assert arguments["seen"] == {key: job[key] for key in ("id", "status", "workflowId", "createTime")}
    assert arguments["failed_polls"] == 0


def test_a_first_poll_that_fails_counts(explorer, emulator, context):
    explorer.set_connection(extra={"max_consecutive_failures": 3})
    emulator.plan(5, ENDLESS)
    emulator.fail(Fault("status", "get_job", times=None))
    with pytest.raises(NebulaExplorerConnectionError, match="Cannot observe job 101: 3 polls in a row"):
        run_to_its_end(a_run, context)
    assert emulator.count("get_job") == 3


def test_a_deferral_takes_no_longer_than_its_polls(emulator, context):
    emulator.plan(5, JobPlan(running=3))
    begun = time.monotonic()
    run_to_its_end(a_run, context)
    assert time.monotonic() - begun < 10


def test_a_wrong_argument_is_refused_before_the_job_runs(emulator, context):
    with pytest.raises(NebulaExplorerConfigError):
        a_run(workflow_id="x").execute(context)
    assert emulator.count() == 0


@pytest.mark.parametrize(("cancel_on_kill", "status"), [(True, 4), (False, 1)])
def test_a_user_who_ends_the_deferred_task_ends_its_job(emulator, context, cancel_on_kill, status):
    emulator.plan(5, JobPlan(ends=None, stopping=0))
    pause = deferral_of(a_run(cancel_on_kill=cancel_on_kill), context)
    asyncio.run(stored(pause.trigger).on_kill())
    assert emulator.jobs[0]["status"] == status


def test_a_cancel_that_fails_names_the_job(emulator, context, caplog):
    emulator.plan(5, ENDLESS)
    pause = deferral_of(a_run(), context)
    emulator.fail(Fault("code", "cancel_job", code=40304000))
    asyncio.run(stored(pause.trigger).on_kill())
    assert "Job 101 was not cancelled and may keep running, though its deferred task was ended" in caplog.text


needs_states = pytest.mark.skipif(
    airflow.__version__.startswith("2."), reason="Airflow 2 has no task states that a trigger could request"
)


def trigger_of_a_task(pause, monkeypatch, state, map_index=-1):
    """Return the trigger of a task that Airflow says is in a state."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    name = "t" if map_index < 0 else f"t_{map_index}"
    monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", lambda **_: {"r": {name: state}})
    trigger = stored(pause.trigger)
    trigger.task_instance = SimpleNamespace(dag_id="d", task_id="t", run_id="r", map_index=map_index)
    return trigger


@needs_states
@pytest.mark.parametrize("map_index", [-1, 3])
@pytest.mark.parametrize(("state", "status"), [("deferred", 1), ("failed", 4), (None, 4)])
def test_a_task_that_waits_on_in_another_triggerer_keeps_its_job(
    emulator, context, monkeypatch, state, status, map_index
):
    emulator.plan(5, JobPlan(ends=None, stopping=0))
    pause = deferral_of(a_run(), context)
    asyncio.run(trigger_of_a_task(pause, monkeypatch, state, map_index).on_kill())
    assert emulator.jobs[0]["status"] == status


def test_a_cancel_is_done_though_airflow_cancels_it_anew(emulator, context):
    emulator.plan(5, JobPlan(ends=None, stopping=0))
    pause = deferral_of(a_run(), context)
    emulator.latency = 0.3

    async def kill():
        killing = asyncio.create_task(stored(pause.trigger).on_kill())
        while not killing.done():
            await asyncio.sleep(0.1)
            killing.cancel()
        await killing

    asyncio.run(kill())
    assert emulator.jobs[0]["status"] == 4


def test_a_cancel_that_hangs_is_given_up_and_logged(emulator, context, caplog, monkeypatch):
    monkeypatch.setattr("airflow_provider_nebula_explorer.triggers.kill.KILL_SECONDS", 0.3)
    emulator.plan(5, ENDLESS)
    pause = deferral_of(a_run(), context)
    emulator.latency = 30
    asyncio.run(stored(pause.trigger).on_kill())
    assert (
        "Job 101 was not cancelled and may keep running, though its deferred task was ended: cancel it in "
        f"Explorer, {emulator.url}/. No response came within 0.3 s."
    ) in caplog.text


@needs_states
def test_a_kill_during_which_airflow_fails_names_the_job(emulator, context, caplog, monkeypatch):
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    emulator.plan(5, ENDLESS)
    trigger = trigger_of_a_task(deferral_of(a_run(), context), monkeypatch, "failed")

    def get_task_states(**_):
        raise RuntimeError("the API server is down")

    monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", get_task_states)
    asyncio.run(trigger.on_kill())
    assert (
        "Job 101 was not cancelled and may keep running, though its deferred task was ended: cancel it in "
        "Explorer. RuntimeError: the API server is down"
    ) in caplog.text
    assert emulator.count("cancel_job") == 0


def cancel_while_it_waits(trigger, emulator):
    """Cancel a trigger as a triggerer does; before 3.3 that is all it does when a user ends a task."""

    async def run():
        waiting = asyncio.ensure_future(anext(trigger.run()))
        begun = emulator.count()
        while emulator.count() < begun + 3:  # noqa: ASYNC110 - the emulator has no event to wait for
            await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()

    asyncio.run(run())


@needs_states
@pytest.mark.parametrize(("state", "status"), [("deferred", 1), ("failed", 4), (None, 4)])
def test_an_airflow_without_on_kill_shows_a_kill_by_the_state(emulator, context, monkeypatch, state, status):
    monkeypatch.setattr("airflow_provider_nebula_explorer.triggers.nebula_explorer.HAS_ON_KILL", False)
    emulator.plan(5, JobPlan(ends=None, stopping=0))
    trigger = trigger_of_a_task(deferral_of(a_run(), context), monkeypatch, state)
    cancel_while_it_waits(trigger, emulator)
    assert emulator.jobs[0]["status"] == status


def test_a_trigger_that_is_cancelled_for_no_known_task_leaves_the_job_alone(emulator, context):
    emulator.plan(5, JobPlan(ends=None, stopping=0))
    cancel_while_it_waits(stored(deferral_of(a_run(), context).trigger), emulator)
    assert emulator.jobs[0]["status"] == 1


@pytest.mark.skipif(not airflow.__version__.startswith("2."), reason="for Airflow 3, see above")
@pytest.mark.parametrize(
    ("found", "status"), [(("deferred", 7), 1), (("deferred", 8), 4), (("failed", None), 4), (None, 4)]
)
def test_airflow_2_shows_a_kill_by_state_and_trigger(emulator, context, monkeypatch, found, status):
    class Session:
        """What a trigger uses of a database session."""

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def query(self, *columns):
            return self

        def filter_by(self, **keys):
            assert keys == {"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": -1}
            return self

        def one_or_none(self):
            return found

    monkeypatch.setattr("airflow.utils.session.create_session", Session)
    emulator.plan(5, JobPlan(ends=None, stopping=0))
    trigger = stored(deferral_of(a_run(), context).trigger)
    trigger.task_instance = SimpleNamespace(dag_id="d", task_id="t", run_id="r", map_index=-1)
    trigger.trigger_id = 7
    cancel_while_it_waits(trigger, emulator)
    assert emulator.jobs[0]["status"] == status


def test_a_late_triggerer_cancels_a_run_whose_time_is_over(emulator, context, monkeypatch):
    monkeypatch.setattr("airflow_provider_nebula_explorer.triggers.limits._LEAST_SECONDS", 0.3)
    emulator.plan(5, JobPlan(ends=None, stopping=0))
    pause = deferral_of(a_run(execution_timeout=timedelta(seconds=0.1)), context)
    trigger = stored(pause.trigger)
    trigger.timeout_after = datetime.now(timezone.utc) + timedelta(seconds=50)

    async def run():
        return [event.payload async for event in trigger.run()]

    assert asyncio.run(run()) == [{"job_id": 101, "timed_out": "execution_timeout"}]
    assert emulator.jobs[0]["status"] == 4


def test_a_sensor_cancels_nothing(emulator, context):
    job_id = emulator.start_job(5, plan=ENDLESS)
    pause = deferral_of(NebulaExplorerJobSensor(task_id="t", job_id=job_id, deferrable=True), context)
    asyncio.run(stored(pause.trigger).on_kill())
    assert emulator.count("cancel_job") == 0
