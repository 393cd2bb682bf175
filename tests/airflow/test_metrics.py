# SPDX-License-Identifier: Apache-2.0
"""The metrics that Airflow gets."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import get_args

import pytest
from airflow.providers.common.compat import sdk
from deferral import first_event, run_to_its_end

from airflow_provider_nebula_explorer.emulator import Fault, JobPlan
from airflow_provider_nebula_explorer.explorer.metrics import Metric
from airflow_provider_nebula_explorer.hooks import clients
from airflow_provider_nebula_explorer.hooks.nebula_explorer import NebulaExplorerHook
from airflow_provider_nebula_explorer.operators.nebula_explorer import (
    NebulaExplorerCancelJobOperator,
    NebulaExplorerGetJobOperator,
    NebulaExplorerGetTaskResultOperator,
    NebulaExplorerListJobsOperator,
    NebulaExplorerRunWorkflowOperator,
)
from airflow_provider_nebula_explorer.sensors.nebula_explorer import (
    NebulaExplorerJobSensor,
    NebulaExplorerWorkflowSensor,
)
from airflow_provider_nebula_explorer.triggers.nebula_explorer import (
    NebulaExplorerJobTrigger,
    NebulaExplorerWorkflowTrigger,
)

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
CONNECTION = "nebula_explorer_default"


@pytest.fixture
def metrics(monkeypatch):
    """Collect what Airflow's metrics get."""
    collected = Counter()

    class Stats:
        @staticmethod
        def incr(name, count=1):
            collected[name] += count

    monkeypatch.setattr(sdk, "Stats", Stats, raising=False)
    clients.load_metrics.cache_clear()
    yield collected
    clients.load_metrics.cache_clear()


def test_a_hook_counts_logins_retries_and_cancels(explorer, metrics, pauses):
    explorer.set_connection(extra={"max_retries": 2})
    job_id = explorer.emulator.start_job(5, plan=JobPlan(running=100))
    explorer.emulator.fail(Fault("status", "get_job"))
    with NebulaExplorerHook() as hook:
        hook.get_job(job_id)
        hook.cancel_job(job_id)
        explorer.emulator.forget_sessions()
        hook.get_job(job_id)
    assert metrics == {
        "nebula_explorer.logins": 2,
        "nebula_explorer.retries": 1,
        "nebula_explorer.cancels": 1,
        "nebula_explorer.details": 3,  # one of them after the cancel, whether there is such a job
    }


def test_a_refused_cancel_is_not_counted(emulator, metrics):
    job_id = emulator.start_job(5, plan=JobPlan(running=0))
    with NebulaExplorerHook() as hook, pytest.raises(Exception, match="40004000"):
        hook.cancel_job(job_id)
    assert "nebula_explorer.cancels" not in metrics


def test_a_wait_in_a_worker_counts_its_polls(emulator, metrics):
    job_id = emulator.start_job(5, plan=JobPlan(running=0))
    with NebulaExplorerHook() as hook:
        hook.wait_for_job(job_id, poll_interval=0.1)
    assert metrics["nebula_explorer.polls"] == 1


def test_a_lost_response_counts_as_a_reconciliation(emulator, metrics, pauses):
    emulator.fail(Fault("lost", "run_workflow"))
    with NebulaExplorerHook() as hook:
        hook.run_workflow(5)
    assert metrics["nebula_explorer.reconciliations"] == 1


def test_a_triggerer_counts_waits_and_the_polls_that_they_share(emulator, metrics):
    job_ids = [emulator.start_job(5, plan=JobPlan(running=2)) for _ in range(20)]

    async def wait():
        triggers = [NebulaExplorerJobTrigger(job_id, CONNECTION, 0.1) for job_id in job_ids]
        await asyncio.gather(*(anext(trigger.run()) for trigger in triggers))

    asyncio.run(wait())
    assert metrics["nebula_explorer.waits.started"] == metrics["nebula_explorer.waits.ended"] == 20
    assert metrics["nebula_explorer.logins"] == 1
    assert 1 <= metrics["nebula_explorer.polls"] < 200


def test_an_event_of_a_workflow_is_counted_when_it_is_acknowledged(emulator, metrics):
    emulator.start_job(5, plan=JobPlan(running=0))
    trigger = NebulaExplorerWorkflowTrigger(5, CONNECTION, 0.1, created_after="2020-01-01T00:00:00Z")

    async def take():
        events = trigger.run()
        await anext(events)
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.wait([waiting], timeout=1)
        waiting.cancel()
        await asyncio.wait([waiting])

    asyncio.run(take())
    assert metrics["nebula_explorer.events"] == 1


def test_an_airflow_without_metrics_is_as_quiet_as_before(emulator):
    job_id = emulator.start_job(5, plan=JobPlan(running=0))
    assert first_event(NebulaExplorerJobTrigger(job_id, CONNECTION, 0.1))["job_id"] == job_id


OF_TASKS = [
    (NebulaExplorerGetJobOperator, {"job_id": 101}, "details"),
    (NebulaExplorerListJobsOperator, {}, "lists"),
    (NebulaExplorerRunWorkflowOperator, {"workflow_id": 5}, "starts"),
    (NebulaExplorerCancelJobOperator, {"job_id": 102}, "cancels"),
    (NebulaExplorerGetTaskResultOperator, {"job_id": 101, "explorer_task_name": "query_1"}, "results"),
    (NebulaExplorerJobSensor, {"job_id": 101}, "polls"),
    (NebulaExplorerWorkflowSensor, {"workflow_id": 5, "created_after": "2020-01-01T00:00:00Z"}, "polls"),
]


@pytest.mark.parametrize(("kind", "arguments", "metric"), OF_TASKS)
def test_each_operator_and_sensor_is_counted(emulator, metrics, context, kind, arguments, metric):
    emulator.plan(5, JobPlan(running=0))
    assert emulator.start_job(5, plan=JobPlan(running=0)) == 101
    assert emulator.start_job(5, plan=JobPlan(running=1000)) == 102
    kind(task_id="t", **arguments).execute(context)
    assert metrics[f"nebula_explorer.{metric}"] == 1


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize("kind", [NebulaExplorerRunWorkflowOperator, NebulaExplorerJobSensor])
def test_a_failed_job_is_counted_once_wherever_the_task_waited(emulator, metrics, context, kind, deferrable):
    plan = JobPlan(running=1, ends="FAILED")
    emulator.plan(5, plan)
    sensor = {"job_id": emulator.start_job(5, plan=plan), "poke_interval": 0.1}
    arguments = sensor if kind is NebulaExplorerJobSensor else {"workflow_id": 5, "poll_interval": 0.1}
    with pytest.raises(Exception, match="ended FAILED"):
        run_to_its_end(lambda: kind(task_id="t", deferrable=deferrable, **arguments), context)
    assert metrics["nebula_explorer.jobs.failed"] == 1


@pytest.mark.parametrize("metric", get_args(Metric))
def test_the_page_of_operations_names_every_metric(metric):
    assert f"`nebula_explorer.{metric}`" in PAGE.read_text(encoding="utf-8")
