"""Waits that go on and on while jobs come and go: memory, sockets, threads and tasks stay what they were."""

from __future__ import annotations

import asyncio
import gc
import time
import tracemalloc
from collections.abc import Iterator

import psutil
import pytest
from figures import Room
from hurry import open_hook, open_watcher
from scenes import Stage, assert_struck, side_by_side
from storms import that_pass

from airflow_provider_nebula_explorer.emulator import JobPlan
from airflow_provider_nebula_explorer.explorer.waiting.watcher import Watcher
from airflow_provider_nebula_explorer.hooks.nebula_explorer import JobPoller, NebulaExplorerHook

LOOKS = 72
"""With ``--times 10`` it is 720, as many as in an hour at 5 s."""

INTERVAL = 0.05
TOGETHER = 80
THREADS = 4
WARM = 0.3
"""Which part of the looks is made before memory is measured."""

HELD = 512 * 1024
"""Bytes that may be held more in the end."""

MOMENTS = 5
"""Looks in a row, at each of which memory is measured: what is under way differs, what leaks stays."""

KEPT_OF_A_CALL = 3 * 1024
KEPT_OF_A_JOB = 4 * 1024
"""Bytes: an emulator keeps its jobs, and its latest calls, to be asked for them."""

MOST_CONNECTIONS = 8
PLAGUES = ("sessions", "restarts")
EVERY = 100


@pytest.fixture
def tracing() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def held() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def looks(stage: Stage) -> int:
    asked = stage.explorer.told().asked
    return asked["list_jobs"] + asked["list_workflow_jobs"]


async def wait_for_ever(stage: Stage, watcher: Watcher, number: int) -> None:
    """Wait for one job after the other, as tasks do that come and go."""
    chance = stage.chance(number)
    while True:
        plan = JobPlan(running=chance.uniform(0.5, 4.0))
        job_id = await asyncio.to_thread(stage.explorer.start_job, 5, plan)
        job = await stage.insist.for_async(lambda job_id=job_id: watcher.job(job_id, interval=INTERVAL))
        assert job.id == job_id
        assert job.status.is_success


async def until_looked(stage: Stage, count: int, waits: list[asyncio.Task[None]]) -> None:
    while await asyncio.to_thread(looks, stage) < count:
        done, _ = await asyncio.wait(waits, timeout=5 * INTERVAL, return_when=asyncio.FIRST_COMPLETED)
        for wait in done:
            wait.result()


async def least_held(stage: Stage, looked: int, waits: list[asyncio.Task[None]]) -> int:
    """Return what is held at the least, in the moments until there have been so many looks."""
    moments = []
    for count in range(looked - MOMENTS + 1, looked + 1):
        await until_looked(stage, count, waits)
        moments.append(held())
    return min(moments)


async def watch_long(stage: Stage) -> tuple[int, int, int]:
    """Return how much is held more in the end, and the most sockets and tasks."""
    watcher = open_watcher(stage)
    waits = [asyncio.ensure_future(wait_for_ever(stage, watcher, number)) for number in range(TOGETHER)]
    before = await least_held(stage, int(LOOKS * stage.times * WARM), waits)
    grown = await least_held(stage, LOOKS * stage.times, waits) - before
    sockets, tasks = len(psutil.Process().net_connections()), len(asyncio.all_tasks())
    for wait in waits:
        wait.cancel()
    await asyncio.gather(*waits, return_exceptions=True)
    await watcher.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    return grown, sockets, tasks


def test_a_watcher_stays_what_it_is(stage: Stage, tracing: None):
    stage.clear()
    before, kept, begun = Room.now(), stage.explorer.memory(), time.monotonic()
    stage.explorer.fail(that_pass())
    stage.explorer.plague(stage.figures.seed, PLAGUES, EVERY)
    grown, sockets, tasks = asyncio.run(watch_long(stage))
    stage.explorer.leave_alone()
    assert_struck(stage.explorer.told(), PLAGUES)

    write_down(stage, f"{TOGETHER} at once, one watcher", looks(stage), grown, sockets, tasks, begun)
    assert grown < HELD
    assert sockets - len(before.sockets) <= MOST_CONNECTIONS
    assert tasks <= 2 * TOGETHER
    assert Room.now().left_open == before.left_open
    assert_emulator_keeps_little(stage, kept)


def poke_long(stage: Stage, hook: NebulaExplorerHook, pokes: int) -> int:
    """Poke at one job after the other, as sensors do, and return how many ended."""
    ended = 0
    watch = None
    for number in range(pokes):
        if watch is None:
            plan = JobPlan(running=0.02 * (number % 7))
            watch = JobPoller(hook, stage.explorer.start_job(5, plan))
        job = stage.insist(watch.look)
        if job is not None and job.status.is_final:
            assert job.status.is_success
            ended, watch = ended + 1, None
    return ended


def test_sensors_stay_what_they_are(stage: Stage, tracing: None):
    stage.clear()
    before, kept, begun = Room.now(), stage.explorer.memory(), time.monotonic()
    stage.explorer.fail(that_pass())
    stage.explorer.plague(stage.figures.seed, PLAGUES, EVERY)
    hooks = [open_hook(stage) for _ in range(THREADS)]
    pokes = int(2 * LOOKS * stage.times)
    side_by_side(lambda hook: poke_long(stage, hook, int(pokes * WARM)), hooks)
    warm = held()
    side_by_side(lambda hook: poke_long(stage, hook, pokes - int(pokes * WARM)), hooks)
    grown = held() - warm
    room = Room.now()
    stage.explorer.leave_alone()
    assert_struck(stage.explorer.told(), PLAGUES)

    write_down(
        stage, f"{THREADS} sensors, poking", THREADS * pokes, grown, len(room.sockets), room.threads, begun
    )
    assert grown < HELD
    assert len(room.sockets) - len(before.sockets) <= THREADS
    for hook in hooks:
        hook.close()
    assert Room.now().left_open == before.left_open
    assert_emulator_keeps_little(stage, kept)


def write_down(
    stage: Stage, who: str, looked: int, grown: int, sockets: int, tasks: int, begun: float
) -> None:
    told, ended = stage.explorer.told(), len(stage.explorer.jobs())
    seconds = f"{time.monotonic() - begun:.0f}"
    stage.figures.long.append(
        (who, looked, ended, told.requests, f"{grown / 1024:.0f}", sockets, tasks, seconds)
    )


def assert_emulator_keeps_little(stage: Stage, before: int) -> None:
    calls, jobs = stage.explorer.told().requests, len(stage.explorer.jobs())
    grown = stage.explorer.memory() - before
    stage.figures.long.append(("its emulator", "", jobs, calls, f"{grown / 1024:.0f}", "", "", ""))
    assert grown < KEPT_OF_A_CALL * calls + KEPT_OF_A_JOB * jobs + 16 * 2**20
