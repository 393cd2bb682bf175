# SPDX-License-Identifier: Apache-2.0
"""Long waits while jobs come and go: memory, sockets, threads and asyncio tasks do not grow."""

from __future__ import annotations

import asyncio
import gc
import time
import tracemalloc
from collections.abc import Iterator

import psutil
import pytest
from figures import Resources
from hurry import open_hook, open_watcher
from scenes import Stage, assert_disturbed, side_by_side
from storms import transient_ones

from airflow_provider_nebula_explorer.emulator import JobPlan
from airflow_provider_nebula_explorer.explorer.waiting.pollers import JobPoller
from airflow_provider_nebula_explorer.explorer.waiting.watcher import Watcher
from airflow_provider_nebula_explorer.hooks.nebula_explorer import NebulaExplorerHook

POLLS = 72
"""With ``--times 10`` it is 720, as many as in an hour at an interval of 5 s."""

INTERVAL = 0.05
TOGETHER = 80
THREADS = 4
WARM = 0.3
"""Which part of the polls is made before memory is measured."""

GROWTH = 512 * 1024
"""How many bytes more may be in use at the end."""

MOMENTS = 5
"""Polls in a row, at each of which memory is measured. The least counts: requests in flight use some, too."""

KEPT_OF_A_CALL = 3 * 1024
KEPT_OF_A_JOB = 4 * 1024
"""Bytes: an emulator keeps its jobs and its latest calls, as tests query them."""

MOST_CONNECTIONS = 8
DISRUPTIONS = ("sessions", "restarts")
EVERY = 100


@pytest.fixture
def tracing() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def memory_in_use() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def polls(stage: Stage) -> int:
    requests = stage.explorer.traffic().by_endpoint
    return requests["list_jobs"] + requests["list_workflow_jobs"]


async def wait_for_ever(stage: Stage, watcher: Watcher, number: int) -> None:
    """Wait for one job after the other, as tasks do that come and go."""
    chance = stage.chance(number)
    while True:
        plan = JobPlan(running=chance.uniform(0.5, 4.0))
        job_id = await asyncio.to_thread(stage.explorer.start_job, 5, plan)
        job = await stage.repeat.for_async(lambda job_id=job_id: watcher.job(job_id, interval=INTERVAL))
        assert job.id == job_id
        assert job.status.is_success


async def until_polled(stage: Stage, count: int, waits: list[asyncio.Task[None]]) -> None:
    while await asyncio.to_thread(polls, stage) < count:
        done, _ = await asyncio.wait(waits, timeout=5 * INTERVAL, return_when=asyncio.FIRST_COMPLETED)
        for wait in done:
            wait.result()


async def least_in_use(stage: Stage, polled: int, waits: list[asyncio.Task[None]]) -> int:
    """Return the least memory in use at the last of so many polls."""
    moments = []
    for count in range(polled - MOMENTS + 1, polled + 1):
        await until_polled(stage, count, waits)
        moments.append(memory_in_use())
    return min(moments)


async def watch_long(stage: Stage) -> tuple[int, int, int]:
    """Return how much memory grew, and how many sockets and asyncio tasks there are at the end."""
    watcher = open_watcher(stage)
    waits = [asyncio.ensure_future(wait_for_ever(stage, watcher, number)) for number in range(TOGETHER)]
    before = await least_in_use(stage, int(POLLS * stage.times * WARM), waits)
    grown = await least_in_use(stage, POLLS * stage.times, waits) - before
    sockets, tasks = len(psutil.Process().net_connections()), len(asyncio.all_tasks())
    for wait in waits:
        wait.cancel()
    await asyncio.gather(*waits, return_exceptions=True)
    await watcher.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    return grown, sockets, tasks


def test_a_watcher_does_not_grow(stage: Stage, tracing: None):
    stage.clear()
    before, kept, begun = Resources.now(), stage.explorer.memory(), time.monotonic()
    stage.explorer.fail(transient_ones())
    stage.explorer.disrupt(stage.figures.seed, DISRUPTIONS, EVERY)
    grown, sockets, tasks = asyncio.run(watch_long(stage))
    stage.explorer.calm_down()
    assert_disturbed(stage.explorer.traffic(), DISRUPTIONS)

    record(stage, f"{TOGETHER} at once, one watcher", polls(stage), grown, sockets, tasks, begun)
    assert grown < GROWTH
    assert sockets - len(before.sockets) <= MOST_CONNECTIONS
    assert tasks <= 2 * TOGETHER
    assert Resources.now().left_open == before.left_open
    assert_emulator_keeps_little(stage, kept)


def poke_long(stage: Stage, hook: NebulaExplorerHook, pokes: int) -> int:
    """Poll one job after the other, as sensors do, and return how many ended."""
    ended = 0
    poller: JobPoller | None = None
    for number in range(pokes):
        if poller is None:
            plan = JobPlan(running=0.02 * (number % 7))
            job_id = stage.explorer.start_job(5, plan)
            poller = JobPoller(hook.get_conn(), job_id, max_failures=stage.settings.max_consecutive_failures)
        job = stage.repeat(poller.poll)
        if job is not None and job.status.is_final:
            assert job.status.is_success
            ended, poller = ended + 1, None
    return ended


def test_sensors_do_not_grow(stage: Stage, tracing: None):
    stage.clear()
    before, kept, begun = Resources.now(), stage.explorer.memory(), time.monotonic()
    stage.explorer.fail(transient_ones())
    stage.explorer.disrupt(stage.figures.seed, DISRUPTIONS, EVERY)
    hooks = [open_hook(stage) for _ in range(THREADS)]
    pokes = int(2 * POLLS * stage.times)
    side_by_side(lambda hook: poke_long(stage, hook, int(pokes * WARM)), hooks)
    warm = memory_in_use()
    side_by_side(lambda hook: poke_long(stage, hook, pokes - int(pokes * WARM)), hooks)
    grown = memory_in_use() - warm
    at_end = Resources.now()
    stage.explorer.calm_down()
    assert_disturbed(stage.explorer.traffic(), DISRUPTIONS)

    sockets = len(at_end.sockets)
    record(stage, f"{THREADS} sensors, poking", THREADS * pokes, grown, sockets, at_end.threads, begun)
    assert grown < GROWTH
    assert sockets - len(before.sockets) <= THREADS
    for hook in hooks:
        hook.close()
    assert Resources.now().left_open == before.left_open
    assert_emulator_keeps_little(stage, kept)


def record(stage: Stage, who: str, polled: int, grown: int, sockets: int, tasks: int, begun: float) -> None:
    requests, ended = stage.explorer.traffic().requests, len(stage.explorer.jobs())
    seconds = f"{time.monotonic() - begun:.0f}"
    stage.figures.long.append((who, polled, ended, requests, f"{grown / 1024:.0f}", sockets, tasks, seconds))


def assert_emulator_keeps_little(stage: Stage, before: int) -> None:
    calls, jobs = stage.explorer.traffic().requests, len(stage.explorer.jobs())
    grown = stage.explorer.memory() - before
    stage.figures.long.append(("its emulator", "", jobs, calls, f"{grown / 1024:.0f}", "", "", ""))
    assert grown < KEPT_OF_A_CALL * calls + KEPT_OF_A_JOB * jobs + 16 * 2**20
