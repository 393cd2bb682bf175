# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import airflow
import pytest
from airflow.providers.common.compat.sdk import DAG, Asset
from deferral import of_task

from airflow_provider_nebula_explorer.emulator import JobPlan
from airflow_provider_nebula_explorer.operators.nebula_explorer import NebulaExplorerRunWorkflowOperator
from airflow_provider_nebula_explorer.sensors.nebula_explorer import NebulaExplorerJobSensor
from airflow_provider_nebula_explorer.triggers.nebula_explorer import NebulaExplorerJobTrigger

IS_ABLE = tuple(int(part) for part in airflow.__version__.split(".")[:2]) >= (3, 3)
needs_33 = pytest.mark.skipif(not IS_ABLE, reason="Airflow before 3.3 cannot start a task in the triggerer")


@pytest.fixture
def dag():
    with DAG("d", start_date=datetime(2024, 1, 1, tzinfo=timezone.utc), schedule=None) as dag:
        yield dag


def a_sensor(job_id=7, **arguments):
    return NebulaExplorerJobSensor(
        task_id="wait", job_id=job_id, deferrable=True, start_from_trigger=True, **arguments
    )


def a_run(**arguments):
    return NebulaExplorerRunWorkflowOperator(
        task_id="run", workflow_id=5, wait_for_completion=False, **arguments
    )


def trigger_of(sensor):
    """Return the trigger as Airflow makes it, from what it serialized of the DAG."""
    given = sensor.start_trigger_args
    return NebulaExplorerJobTrigger(**json.loads(json.dumps(given.trigger_kwargs)))


@needs_33
def test_a_literal_id_starts_in_the_triggerer_with_the_sensors_limits(dag):
    sensor = a_sensor("7", poke_interval=5, timeout=600, target_statuses=["failed", 2])
    assert sensor.start_from_trigger
    _, arguments = trigger_of(sensor).serialize()
    assert arguments["job_id"] == "7"
    assert arguments["target_statuses"] == [2, 3]
    assert arguments["poll_interval"] == 5
    assert sensor.start_trigger_args.next_method == "execute_complete"
    assert sensor.start_trigger_args.timeout == timedelta(seconds=660)


@needs_33
def test_without_a_poke_interval_its_trigger_follows_the_age_of_the_job(dag):
    _, arguments = trigger_of(a_sensor("7")).serialize()
    assert (arguments["poll_interval"], arguments["longest_interval"]) == (None, 60)


@needs_33
def test_the_output_of_a_task_is_pulled_in_the_form_that_does_not_hang_there(dag):
    run = a_run()
    sensor = a_sensor(run.output)
    assert sensor.start_trigger_args.trigger_kwargs["job_id"] == (
        "{{ ti.xcom_pull(task_ids='run', key='return_value', map_indexes=-1) }}"
    )
    assert sensor.upstream_task_ids == {"run"}


@needs_33
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"outlets": [Asset("a")]}, "it has outlets"),
        ({"job_id": "{{ params.job }}"}, "job_id is neither digits nor"),
        ({"nebula_explorer_conn_id": "{{ params.conn }}"}, "another argument is a template"),
        ({"target_statuses": "{{ params.status }}"}, "another argument is a template"),
        ({"target_statuses": ["NOPE"]}, "target_statuses is invalid"),
        ({"pre_execute": lambda context: None}, "it has a pre_execute or a post_execute"),
        ({"deferrable": False}, "deferrable is not set"),
        ({"execution_timeout": timedelta(hours=1)}, "it has an execution_timeout"),
        ({"do_xcom_push": False}, "do_xcom_push is off"),
        ({"on_execute_callback": lambda context: None}, "it has an on_execute_callback"),
        ({"on_success_callback": lambda context: None}, "it has an on_execute_callback or an on_success"),
    ],
)
def test_where_a_worker_is_needed_it_begins_there_and_says_why(
    dag, emulator, context, caplog, arguments, reason
):
    job_id = emulator.start_job(5, plan=JobPlan(running=0))
    sensor = NebulaExplorerJobSensor(
        **{
            "task_id": "wait",
            "job_id": job_id,
            "deferrable": True,
            "start_from_trigger": True,
            **arguments,
        }
    )
    assert not sensor.start_from_trigger
    sensor.job_id, sensor.target_statuses = job_id, "SUCCESS"
    sensor.nebula_explorer_conn_id = "nebula_explorer_default"
    assert sensor.execute(context)["status"] == 2
    assert f"start_from_trigger has no effect, as {reason}" in caplog.text


@needs_33
def test_a_mapped_upstream_or_group_needs_a_worker(dag):
    mapped = NebulaExplorerRunWorkflowOperator.partial(task_id="mapped", wait_for_completion=False).expand(
        workflow_id=[1, 2]
    )
    assert not a_sensor(mapped.output).start_from_trigger


@needs_33
def test_a_mapped_sensor_says_that_it_is(dag, emulator, context, caplog):
    job_id = emulator.start_job(5, plan=JobPlan(running=0))
    sensor = a_sensor(job_id)
    sensor.execute(context)
    assert "start_from_trigger has no effect, as no scheduler runs it, as in dag.test()." in caplog.text
    context["ti"].map_index = 3
    sensor.execute(context)
    assert "start_from_trigger has no effect, as it is mapped." in caplog.text


@pytest.mark.skipif(IS_ABLE, reason="this Airflow can start a task in the triggerer")
def test_an_older_airflow_begins_in_a_worker_and_says_why(dag, emulator, context, caplog):
    job_id = emulator.start_job(5, plan=JobPlan(running=0))
    a_sensor(job_id).execute(context)
    assert "start_from_trigger has no effect, as this Airflow is older than 3.3." in caplog.text


def test_by_default_nothing_starts_in_the_triggerer(dag):
    sensor = NebulaExplorerJobSensor(task_id="wait", job_id=7, deferrable=True)
    assert not sensor.start_from_trigger


@needs_33
@pytest.mark.parametrize(("ends", "ends_task"), [("SUCCESS", True), ("FAILED", False)])
def test_a_success_ends_the_task_there_and_a_failure_goes_through_the_worker(
    emulator, dag, pushed, ends, ends_task
):
    job_id = emulator.start_job(5, plan=JobPlan(running=2, ends=ends))
    trigger = trigger_of(a_sensor(job_id, poke_interval=0.1))
    payload = first_event_of(of_task(trigger))
    if ends_task:
        assert payload == "success"
        assert pushed == {
            "return_value": emulator.job(job_id),
            "nebula_explorer_job_link": f"{emulator.url}/",
            "job_url": f"{emulator.url}/",
        }
    else:
        assert pushed == {}
        assert payload["job"] == emulator.job(job_id)


@needs_33
def test_the_limit_is_the_one_that_airflow_keeps(emulator, dag):
    job_id = emulator.start_job(5, plan=JobPlan(ends=None))
    trigger = trigger_of(a_sensor(job_id, poke_interval=0.1))
    trigger.timeout_after = datetime.now(timezone.utc) + timedelta(seconds=60.5)
    assert first_event_of(trigger) == {"job_id": job_id, "timed_out": "timeout"}


def first_event_of(trigger):
    import asyncio

    async def run():
        return [event.payload async for event in trigger.run()]

    (payload,) = asyncio.run(run())
    return payload
