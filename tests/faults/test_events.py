# SPDX-License-Identifier: Apache-2.0
"""Successes of workflows while Explorer fails and its clock is set: each is reported once."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

from hurry import open_watcher
from scenes import Stage
from storms import REFUSALS_BUT_NOT_FOUND, all_kinds

from airflow_provider_nebula_explorer.emulator import JobPlan
from airflow_provider_nebula_explorer.exceptions import NebulaExplorerError
from airflow_provider_nebula_explorer.explorer.interval import Interval
from airflow_provider_nebula_explorer.explorer.models import JobStatus
from airflow_provider_nebula_explorer.explorer.successes.bookmark import Bookmark
from airflow_provider_nebula_explorer.explorer.successes.new_jobs import NewJobs
from airflow_provider_nebula_explorer.explorer.successes.stream import SuccessStream, first_success
from airflow_provider_nebula_explorer.explorer.waiting.watcher import Watcher

WORKFLOWS = 20
JOBS = 6
"""Of each workflow; every third job fails."""

PATIENCE = 60.0
INTERVAL = 0.2
MOST = 4.0


class Observer:
    """Records what a stream reports; now and then it restarts from its bookmark, as a triggerer does."""

    def __init__(self, workflow_id: int) -> None:
        self.workflow_id = workflow_id
        self.reported: list[int] = []
        self.has_begun = asyncio.Event()
        self._bookmark = Bookmark()

    async def observe(self, watcher: Watcher, new_jobs: NewJobs) -> None:
        while True:
            try:
                await self._observe(watcher, new_jobs)
            except NebulaExplorerError:
                await asyncio.sleep(INTERVAL)  # nothing is lost: it goes on from its bookmark

    async def _observe(self, watcher: Watcher, new_jobs: NewJobs) -> None:
        if self.reported:
            self._bookmark = Bookmark.of(json.loads(json.dumps(self._bookmark.as_json)))
        async with SuccessStream(
            watcher, new_jobs, self._bookmark, self.workflow_id, interval=INTERVAL
        ) as stream:
            for _ in range(20):
                for job in await stream.next_batch():
                    self.reported.append(job.id)
                    self._bookmark.acknowledge(job.id)
                if self._bookmark.since is not None:
                    self.has_begun.set()


async def start_jobs(stage: Stage, workflow_id: int) -> None:
    """Start a workflow's jobs, one after the other; some end at once, some later, some fail."""
    chance = stage.chance(workflow_id)
    for number in range(JOBS * stage.times):
        ends = JobStatus.FAILED if number % 3 == 2 else JobStatus.SUCCESS
        plan = JobPlan(running=chance.choice((0.0, 0.3, 2.0)), ends=ends)
        await asyncio.to_thread(stage.explorer.start_job, workflow_id, plan)
        await asyncio.sleep(chance.uniform(0.1, 0.7))


async def observe_all(stage: Stage) -> dict[int, Observer]:
    """Observe workflows while their jobs are started, until each success has been reported."""
    watcher = open_watcher(stage)
    new_jobs = NewJobs(watcher.client)
    observers = {number: Observer(number) for number in range(1, WORKFLOWS + 1)}
    tasks = [asyncio.ensure_future(observer.observe(watcher, new_jobs)) for observer in observers.values()]
    await asyncio.gather(*(observer.has_begun.wait() for observer in observers.values()))
    await asyncio.gather(*(start_jobs(stage, number) for number in observers))
    await wait_until_reported(list(observers.values()), JOBS * stage.times * 2 // 3, PATIENCE * stage.times)
    await asyncio.sleep(5 * INTERVAL)  # a second report of a success would come now
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await new_jobs.close()
    await watcher.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    return observers


async def wait_until_reported(observers: list[Observer], count: int, seconds: float) -> None:
    until = asyncio.get_running_loop().time() + seconds
    while any(len(observer.reported) < count for observer in observers):
        assert asyncio.get_running_loop().time() < until, {it.workflow_id: it.reported for it in observers}
        await asyncio.sleep(INTERVAL)


def test_each_success_is_reported_once(stage: Stage):
    stage.clear()
    asyncio.run(observe_all(stage))
    needed = stage.explorer.traffic().requests

    stage.clear()
    with stage.storm(
        f"successes of {WORKFLOWS} workflows",
        all_kinds(REFUSALS_BUT_NOT_FOUND),
        done=WORKFLOWS * JOBS * stage.times * 2 // 3,
        needed=lambda: needed,
        most=MOST,
        every=30,
    ):
        observers = asyncio.run(observe_all(stage))

    reported = Counter(job_id for observer in observers.values() for job_id in observer.reported)
    succeeded = [job["id"] for job in stage.explorer.jobs() if job["status"] == JobStatus.SUCCESS]
    assert reported == Counter(succeeded), "nothing lost, nothing twice"


async def wait_for_firsts(stage: Stage) -> list[int]:
    """Wait for the first success of workflows whose jobs fail at first."""
    watcher = open_watcher(stage)

    async def first(workflow_id: int) -> int:
        job = await stage.repeat.for_async(
            lambda: first_success(
                watcher, workflow_id, name=None, created_after=None, interval=Interval.of(INTERVAL)
            )
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
    needed = stage.explorer.traffic().requests

    stage.clear()
    with stage.storm(
        f"first successes of {WORKFLOWS} workflows",
        all_kinds(),
        done=WORKFLOWS,
        needed=lambda: needed,
        most=MOST,
        every=20,
    ):
        firsts = asyncio.run(wait_for_firsts(stage))
    assert firsts == [job["id"] for job in stage.explorer.jobs() if job["status"] == JobStatus.SUCCESS]
