"""Successes of workflows while Explorer fails and its clock is set: each is told once."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

from hurry import open_watcher
from scenes import Stage
from storms import REFUSALS_BUT_GONE, everything

from airflow_provider_nebula_explorer.emulator import JobPlan
from airflow_provider_nebula_explorer.exceptions import NebulaExplorerError
from airflow_provider_nebula_explorer.explorer.models import JobStatus
from airflow_provider_nebula_explorer.explorer.successes.bookmark import Bookmark
from airflow_provider_nebula_explorer.explorer.successes.stream import SuccessStream, first_success
from airflow_provider_nebula_explorer.explorer.waiting.watcher import Watcher

WORKFLOWS = 20
JOBS = 6
"""Of each workflow; every third fails."""

PATIENCE = 60.0
INTERVAL = 0.2
MOST = 4.0


class Listener:
    """Takes what a stream tells, and is restarted with what was kept, as a triggerer is, now and then."""

    def __init__(self, workflow_id: int) -> None:
        self.workflow_id = workflow_id
        self.heard: list[int] = []
        self.is_there = asyncio.Event()
        self._bookmark = Bookmark()

    async def listen(self, watcher: Watcher) -> None:
        while True:
            try:
                await self._listen_on(watcher)
            except NebulaExplorerError:
                await asyncio.sleep(INTERVAL)  # what it cannot observe now, it will

    async def _listen_on(self, watcher: Watcher) -> None:
        self._bookmark = (
            Bookmark.of(json.loads(json.dumps(self._bookmark.as_json))) if self.heard else (self._bookmark)
        )
        async with SuccessStream(watcher, self._bookmark, self.workflow_id, interval=INTERVAL) as stream:
            for _ in range(20):
                for job in await stream.next_batch():
                    self.heard.append(job.id)
                    self._bookmark.acknowledge(job.id)
                if self._bookmark.since is not None:
                    self.is_there.set()


async def start_jobs(stage: Stage, workflow_id: int) -> None:
    """Start a workflow's jobs, one after the other; some end at once, some later, some fail."""
    chance = stage.chance(workflow_id)
    for number in range(JOBS * stage.times):
        ends = JobStatus.FAILED if number % 3 == 2 else JobStatus.SUCCESS
        plan = JobPlan(running=chance.choice((0.0, 0.3, 2.0)), ends=ends)
        await asyncio.to_thread(stage.explorer.start_job, workflow_id, plan)
        await asyncio.sleep(chance.uniform(0.1, 0.7))


async def listen(stage: Stage) -> dict[int, Listener]:
    """Listen to workflows whose jobs are being started, until all has been heard."""
    watcher = open_watcher(stage)
    listeners = {number: Listener(number) for number in range(1, WORKFLOWS + 1)}
    tasks = [asyncio.ensure_future(listener.listen(watcher)) for listener in listeners.values()]
    await asyncio.gather(*(listener.is_there.wait() for listener in listeners.values()))
    await asyncio.gather(*(start_jobs(stage, number) for number in listeners))
    await wait_until_heard(list(listeners.values()), JOBS * stage.times * 2 // 3)
    await asyncio.sleep(5 * INTERVAL)  # what is told twice would be told now
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await watcher.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    return listeners


async def wait_until_heard(listeners: list[Listener], count: int) -> None:
    until = asyncio.get_running_loop().time() + PATIENCE
    while any(len(listener.heard) < count for listener in listeners):
        assert asyncio.get_running_loop().time() < until, {it.workflow_id: it.heard for it in listeners}
        await asyncio.sleep(INTERVAL)


def test_each_success_is_told_once(stage: Stage):
    stage.clear()
    asyncio.run(listen(stage))
    needed = stage.explorer.told().requests

    stage.clear()
    with stage.storm(
        f"successes of {WORKFLOWS} workflows",
        everything(REFUSALS_BUT_GONE),
        done=WORKFLOWS * JOBS * stage.times * 2 // 3,
        needed=lambda: needed,
        most=MOST,
        clients=1,
        every=30,
    ):
        listeners = asyncio.run(listen(stage))

    told = Counter(job_id for listener in listeners.values() for job_id in listener.heard)
    succeeded = [job["id"] for job in stage.explorer.jobs() if job["status"] == JobStatus.SUCCESS]
    assert told == Counter(succeeded), "nothing lost, nothing twice"


async def wait_for_firsts(stage: Stage) -> list[int]:
    """Wait for the first success of workflows whose jobs fail at first."""
    watcher = open_watcher(stage)

    async def first(workflow_id: int) -> int:
        job = await stage.insist.for_async(
            lambda: first_success(watcher, workflow_id, name=None, created_after=None, interval=INTERVAL)
        )
        return job.id

    for number in range(1, WORKFLOWS + 1):
        failing = [JobPlan(running=0.5, ends=JobStatus.FAILED)] * 2
        await asyncio.to_thread(
            stage.explorer.start_jobs, number, [*failing, JobPlan(running=1.0 + number / 5)]
        )
    firsts = await asyncio.gather(*(first(number) for number in range(1, WORKFLOWS + 1)))
    await watcher.close()
    return firsts


def test_the_first_success_of_each_workflow_is_found(stage: Stage):
    stage.clear()
    asyncio.run(wait_for_firsts(stage))
    needed = stage.explorer.told().requests

    stage.clear()
    with stage.storm(
        f"first successes of {WORKFLOWS} workflows",
        everything(),
        done=WORKFLOWS,
        needed=lambda: needed,
        most=MOST,
        clients=1,
        every=20,
    ):
        firsts = asyncio.run(wait_for_firsts(stage))
    assert firsts == [job["id"] for job in stage.explorer.jobs() if job["status"] == JobStatus.SUCCESS]
