# SPDX-License-Identifier: Apache-2.0
"""Hundreds of waits while Explorer fails, restarts and loses sessions: each ends once, with its job's end."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import pytest
from figures import MEBIBYTE
from hurry import open_hook, open_watcher
from scenes import Stage, side_by_side
from storms import TIMEOUT, all_kinds, transient_ones

from airflow_provider_nebula_explorer.emulator import JobPlan
from airflow_provider_nebula_explorer.explorer.models import Job, JobStatus
from airflow_provider_nebula_explorer.explorer.waiting.events import read_job
from airflow_provider_nebula_explorer.triggers.nebula_explorer import NebulaExplorerJobTrigger

ENDS = (JobStatus.SUCCESS, JobStatus.SUCCESS, JobStatus.FAILED, JobStatus.INTERRUPTED)
INTERVAL = 0.1
THREADS = 10
WAITS_OF_A_THREAD = 20
WAITS = 400
TRIGGERS = 200
FAILED_POLLS = 300
"""How many polls of a trigger may fail in a row: at ten a second, half a minute, as a restart may take a busy
machine. A trigger's client pauses in real time, so it makes no retries: the next poll comes soon enough."""

GROWTH_OF_TRIGGERS = 80 * MEBIBYTE
"""More than elsewhere stays with the allocator. What Python holds does not grow (tracemalloc)."""

EVERY = 60
"""The mean number of requests between two disruptions of Explorer."""

MOST_ALONE = 2.5
MOST_TOGETHER = 4.0
"""How many times as many requests as without faults. A poll of hundreds is one request; a failed one costs
more."""


def plans(chance: random.Random, count: int, longest: float) -> list[JobPlan]:
    """Return random plans of jobs: how long each runs, and how it ends."""
    return [JobPlan(running=chance.uniform(0, longest), ends=chance.choice(ENDS)) for _ in range(count)]


def final_jobs(stage: Stage) -> dict[int, dict[str, Any]]:
    """Return every job as the API returns it, by id; all of them have ended."""
    jobs = {job["id"]: {key: job[key] for key in job if key != "input"} for job in stage.explorer.jobs()}
    assert all(JobStatus(job["status"]).is_final for job in jobs.values())
    return jobs


def assert_right(stage: Stage, ended: list[tuple[int, Job]], waits: int) -> None:
    """Assert that each wait ended once, with the final state of its own job."""
    assert len(ended) == waits
    final = final_jobs(stage)
    assert [job.data for _, job in ended] == [final[job_id] for job_id, _ in ended]
    assert stage.repeat.refusals <= waits, "waits are refused again and again"


def wait_in_threads(stage: Stage, count: int) -> list[tuple[int, Job]]:
    """Wait for one job after the other, in several threads."""
    chance = stage.chance()

    def wait(job_ids: list[int]) -> list[tuple[int, Job]]:
        with open_hook(stage) as hook:
            return [
                (
                    job_id,
                    stage.repeat(lambda job_id=job_id: hook.wait_for_job(job_id, poll_interval=INTERVAL)),
                )
                for job_id in job_ids
            ]

    jobs = [stage.explorer.start_jobs(5, plans(chance, count, 0.05 * count)) for _ in range(THREADS)]
    return [one for ended in side_by_side(wait, jobs) for one in ended]


def test_waits_that_block(stage: Stage):
    stage.clear()
    wait_in_threads(stage, WAITS_OF_A_THREAD)
    needed = stage.explorer.traffic().requests

    stage.clear()
    waits = WAITS_OF_A_THREAD * THREADS
    with stage.storm(
        f"waits, blocking, {THREADS} threads",
        all_kinds(),
        done=waits * stage.times,
        needed=lambda: needed * stage.times,
        most=MOST_ALONE,
        every=EVERY,
    ):
        ended = [one for _ in range(stage.times) for one in wait_in_threads(stage, WAITS_OF_A_THREAD)]
    assert_right(stage, ended, waits * stage.times)


async def wait_together(stage: Stage, count: int) -> list[tuple[int, Job]]:
    """Wait for jobs with one watcher: two waits for each tenth job, and two intervals."""
    chance = stage.chance()
    job_ids = await asyncio.to_thread(stage.explorer.start_jobs, 5, plans(chance, count, 5.0))
    watcher = open_watcher(stage)

    async def wait(job_id: int) -> tuple[int, Job]:
        await asyncio.sleep(chance.uniform(0, 1))
        interval = chance.choice((INTERVAL, 2 * INTERVAL))
        return job_id, await stage.repeat.for_async(lambda: watcher.job(job_id, interval=interval))

    ended = await asyncio.gather(*(wait(job_id) for job_id in [*job_ids, *job_ids[::10]]))
    await watcher.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    return ended


def test_waits_that_share_a_watcher(stage: Stage):
    stage.clear()
    asyncio.run(wait_together(stage, WAITS))
    needed = stage.explorer.traffic().requests

    stage.clear()
    waits = (WAITS + WAITS // 10) * stage.times
    with stage.storm(
        "waits, one watcher",
        all_kinds(),
        done=waits,
        needed=lambda: needed * stage.times,
        most=MOST_TOGETHER,
        every=EVERY,
    ):
        ended = [one for _ in range(stage.times) for one in asyncio.run(wait_together(stage, WAITS))]
    assert_right(stage, ended, waits)


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch):
    """Point Airflow's connection at the emulator, without pauses, as those would be in real time."""

    def connect(stage: Stage) -> None:
        limits = {"max_retries": 0, "max_consecutive_failures": FAILED_POLLS, "timeout": TIMEOUT}
        connection = {
            "conn_type": "nebula_explorer",
            "host": stage.settings.base_url,
            "login": "root",
            "password": "stand-in-secret",
            "extra": {"nebula_address": "graphd", **limits},
        }
        monkeypatch.setenv("AIRFLOW_CONN_NEBULA_EXPLORER_DEFAULT", json.dumps(connection))
        monkeypatch.setenv("AIRFLOW__NEBULA_EXPLORER__STATE_DIR", str(stage.settings.state_dir))

    return connect


async def trigger_together(stage: Stage, count: int) -> list[tuple[int, Job]]:
    """Run triggers side by side, as a triggerer does; a trigger that ends in a permanent error runs again."""
    chance = stage.chance()
    job_ids = await asyncio.to_thread(stage.explorer.start_jobs, 5, plans(chance, count, 4.0))

    async def wait(job_id: int) -> Job:
        trigger = NebulaExplorerJobTrigger(
            job_id=job_id, nebula_explorer_conn_id="nebula_explorer_default", poll_interval=INTERVAL
        )
        (event,) = [event async for event in trigger.run()]
        return read_job(event.payload)

    async def wait_on(job_id: int) -> tuple[int, Job]:
        return job_id, await stage.repeat.for_async(lambda: wait(job_id))

    return await asyncio.gather(*(wait_on(job_id) for job_id in job_ids))


def test_each_trigger_sends_one_event(stage: Stage, connect: Any):
    stage.clear()
    connect(stage)
    asyncio.run(trigger_together(stage, TRIGGERS))
    needed = stage.explorer.traffic().requests

    stage.clear()
    connect(stage)
    with stage.storm(
        "triggers",
        transient_ones(),
        done=TRIGGERS * stage.times,
        needed=lambda: needed * stage.times,
        most=MOST_TOGETHER,
        every=EVERY,
        growth=GROWTH_OF_TRIGGERS,
    ):
        ended = [one for _ in range(stage.times) for one in asyncio.run(trigger_together(stage, TRIGGERS))]
    assert_right(stage, ended, TRIGGERS * stage.times)
