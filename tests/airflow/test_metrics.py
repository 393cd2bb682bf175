"""The metrics that Airflow gets."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from airflow.providers.common.compat import sdk
from deferral import first_event

from airflow_provider_nebula_explorer.emulator import Fault, JobPlan
from airflow_provider_nebula_explorer.hooks import clients
from airflow_provider_nebula_explorer.hooks.nebula_explorer import NebulaExplorerHook
from airflow_provider_nebula_explorer.triggers.nebula_explorer import (
    NebulaExplorerJobTrigger,
    NebulaExplorerWorkflowTrigger,
)

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
