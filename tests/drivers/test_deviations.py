# SPDX-License-Identifier: Apache-2.0
"""Waits, starts and events with an Explorer that deviates as a report may say: right, only dearer."""

from __future__ import annotations

import asyncio
import time

import pytest
from factories import settings_of
from streaming import Consumer, during, streaming
from watching import DONE, ENDLESS, INTERVAL, run, watching

from airflow_provider_nebula_explorer.emulator import Emulator, Fault, JobPlan
from airflow_provider_nebula_explorer.explorer.client import api
from airflow_provider_nebula_explorer.explorer.client.lists import walk_list
from airflow_provider_nebula_explorer.explorer.client.sync_client import Client
from airflow_provider_nebula_explorer.explorer.models import JobStatus
from airflow_provider_nebula_explorer.explorer.starting.submit import Submitter
from airflow_provider_nebula_explorer.explorer.successes.stream import first_success
from airflow_provider_nebula_explorer.explorer.waiting.pollers import WorkflowPoller

WORKFLOW = 5
HOUR = 3600
DEVIATIONS = {
    "as documented": {},
    "no status filter": {"filter_by_status": False},
    "no time filter": {"filter_by_time": False},
    "pages of ten": {"page_cap": 10},
    "ids that do not grow": {"ids_grow": False},
    "pages of ten, ids that do not grow": {"page_cap": 10, "ids_grow": False},
    "always oldest first": {"order": False},
    "pages of ten, always oldest first": {"page_cap": 10, "order": False},
    "no total": {"total": "absent"},
    "all of these": {
        "filter_by_status": False,
        "filter_by_time": False,
        "page_cap": 10,
        "ids_grow": False,
        "order": False,
        "total": "absent",
    },
}
FAILED = JobPlan(running=0, ends="FAILED")


@pytest.fixture(params=DEVIATIONS.values(), ids=DEVIATIONS)
def explorer(request):
    """An Explorer with a past: 150 jobs of two workflows, which ended in all ways, one each six minutes."""
    with Emulator(like=request.param, max_page_size=100) as emulator:
        for number in range(150, 0, -1):
            plan = FAILED if number % 3 == 0 else DONE
            created = time.time() - HOUR - 360 * number
            emulator.start_job(WORKFLOW + number % 2, plan=plan, created=created)
        yield emulator


@pytest.fixture
def client(explorer):
    client = Client(settings_of(explorer), sleep=explorer.advance)
    yield client
    client.close()


def submitter(client, explorer):
    return Submitter(client, max_failures=3, sleep=explorer.advance, clock=explorer.now)


def test_each_of_many_waits_ends_with_its_own_job(explorer):
    plans = (JobPlan(running=60), JobPlan(running=60, ends="FAILED"), ENDLESS)
    job_ids = [explorer.start_job(WORKFLOW + number % 2, plan=plans[number % 3]) for number in range(36)]

    async def test():
        async with watching(explorer) as watcher:
            waits = [asyncio.ensure_future(watcher.job(job_id, interval=INTERVAL)) for job_id in job_ids]
            await asyncio.sleep(5 * INTERVAL)
            assert not any(wait.done() for wait in waits)
            explorer.advance(60)
            first = await asyncio.gather(*(wait for number, wait in enumerate(waits) if number % 3 < 2))
            assert not any(waits[number].done() for number in range(2, 36, 3))
            for number in range(2, 36, 3):
                explorer.cancel(job_ids[number])
            explorer.advance(60)
            return [*first, *await asyncio.gather(*waits[2::3])]

    ended = {job.id: job.status for job in run(test())}
    assert ended == {job_id: JobStatus(explorer.job(job_id)["status"]) for job_id in job_ids}
    assert set(ended.values()) == {JobStatus.SUCCESS, JobStatus.FAILED, JobStatus.INTERRUPTED}


@pytest.mark.parametrize("recent", [0, 25])
def test_the_job_of_a_lost_response_is_found_among_old_and_recent_ones(explorer, client, recent):
    for number in range(recent, 0, -1):
        explorer.start_job(WORKFLOW, plan=DONE, created=explorer.now() - 200 - 10 * number)
    explorer.fail(Fault("lost", endpoint="run_workflow"))
    starts = submitter(client, explorer)

    job_id = starts.submit(api.add_job(WORKFLOW), starts.intend(WORKFLOW))

    assert job_id == explorer.jobs[-1]["id"]
    assert explorer.count("run_workflow") == 1


def test_a_start_that_never_arrived_is_requested_again_and_no_old_job_is_taken_for_its(explorer, client):
    explorer.fail(Fault("reset", endpoint="run_workflow"))
    starts = submitter(client, explorer)
    before = len(explorer.jobs)

    job_id = starts.submit(api.add_job(WORKFLOW), starts.intend(WORKFLOW))

    assert len(explorer.jobs) == before + 1
    assert job_id == explorer.jobs[-1]["id"]


def two_successes_in_the_window(explorer):
    """Start jobs of which the third is the oldest success since a moment; return the moment and its id."""
    since = explorer.now() - 1800
    plans = (JobPlan(running=9 * HOUR), FAILED, DONE, DONE, JobPlan(running=9 * HOUR))
    ids = [
        explorer.start_job(WORKFLOW, plan=plan, created=since + 60 * number)
        for number, plan in enumerate(plans)
    ]
    return api.parse_time(int(since * 1000)), ids[2]


def test_a_sensors_poll_finds_the_oldest_success_of_the_window(explorer, client):
    since, expected = two_successes_in_the_window(explorer)
    poller = WorkflowPoller(client, WORKFLOW, name=None, created_after=since, max_failures=1)
    job = poller.poll()
    assert (job.id, job.status) == (expected, JobStatus.SUCCESS)


def test_a_sensors_poll_takes_no_running_job_for_a_success(explorer, client):
    explorer.start_job(WORKFLOW, plan=ENDLESS)
    explorer.start_job(WORKFLOW + 1, plan=DONE)
    since = api.parse_time(int((explorer.now() - 60) * 1000))
    poller = WorkflowPoller(client, WORKFLOW, name=None, created_after=since, max_failures=1)
    assert poller.poll() is None


def test_a_deferred_sensor_finds_the_same(explorer):
    since, expected = two_successes_in_the_window(explorer)

    async def test():
        async with watching(explorer) as watcher:
            return await first_success(watcher, WORKFLOW, name=None, created_after=since, interval=INTERVAL)

    assert run(test()).id == expected


def test_each_success_is_an_event_once_and_no_old_job_is_one(explorer):
    consumer = Consumer(WORKFLOW, name="workflow_")  # a name that all have: such lists wait for no others
    before = [explorer.start_job(WORKFLOW, plan=JobPlan(running=60)) for _ in range(3)]

    async def test():
        async with streaming(explorer) as open_stream:
            await during(open_stream, [consumer], act())

    async def act():
        await consumer.has_polled(1)
        new.extend(explorer.start_job(WORKFLOW, plan=DONE) for _ in range(25))
        explorer.start_job(WORKFLOW, plan=FAILED)
        explorer.start_job(WORKFLOW + 1, plan=DONE)
        await consumer.has_taken(25)
        explorer.advance(60)
        await consumer.has_taken(28)

    new = []
    run(test())
    assert sorted(consumer.taken) == sorted([*before, *new])


def test_a_list_shows_what_was_requested_alone(explorer, client):
    begin, end = explorer.now() - HOUR - 360 * 100.5, explorer.now() - HOUR - 360 * 50.5
    wanted = api.job_filter(
        status="SUCCESS",
        created_after=api.parse_time(int(begin * 1000)),
        created_before=api.parse_time(int(end * 1000)),
    )
    listed = sorted(job.id for job in walk_list(client.run, WORKFLOW, wanted, 100))
    assert listed == sorted(
        job["id"]
        for job in explorer.jobs
        if job["workflowId"] == str(WORKFLOW)
        and job["status"] == 2
        and begin * 1000 <= job["createTime"] <= end * 1000
    )
    assert len(listed) > 10
