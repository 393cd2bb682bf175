# SPDX-License-Identifier: Apache-2.0
"""Thousands of calls while a fifth of all requests fails: each succeeds, with a correct result."""

from __future__ import annotations

import asyncio
from typing import Any

from hurry import open_async_client, open_hook
from scenes import Stage, permanent_faults, side_by_side
from storms import all_kinds

from airflow_provider_nebula_explorer.emulator import JobPlan
from airflow_provider_nebula_explorer.explorer.client import api
from airflow_provider_nebula_explorer.explorer.models import JobStatus

JOBS = 250
PAGES = 3
ENDLESS = JobPlan(ends=None, stopping=1e6)
ROWS = [["player110", "0.150000"], ["player106", "0.120000"]]
THREADS = 6
AT_ONCE = 16
CALLS = 1500
MOST = 2.0
"""How many times as many requests as without faults. If a fifth fails, 1.25 is the minimum; and if a session
ends, each call that is in flight is made once more."""

Known = dict[int, dict[str, Any]]


def with_jobs(stage: Stage) -> Known:
    """Begin with final jobs of workflow 5, and return them as the API returns them, by id."""
    stage.clear()
    stage.explorer.start_jobs(5, [JobPlan(running=0)] * JOBS)
    return {job["id"]: {key: job[key] for key in job if key != "input"} for job in stage.explorer.jobs()}


class Blocking:
    """Makes random calls with a hook of its own, and checks the results.

    :ivar needed: how many requests that takes without faults, besides the login.
    """

    def __init__(self, stage: Stage, known: Known, number: int) -> None:
        self.needed = 0
        self.cancelled: list[int] = []
        self._stage = stage
        self._repeat = stage.repeat
        self._known = known
        self._chance = stage.chance(number)
        self._hook = open_hook(stage)

    def call(self, count: int) -> None:
        acts = [self._get] * 12 + [self._list] + [self._read] * 5 + [self._cancel] * 2
        with self._hook:
            for _ in range(count):
                self.needed += self._chance.choice(acts)()

    def _get(self) -> int:
        job_id = self._chance.choice(list(self._known))
        assert self._repeat(lambda: self._hook.get_job(job_id)).data == self._known[job_id]
        return 1

    def _list(self) -> int:
        listed = self._repeat(lambda: [job.id for job in self._hook.list_jobs(5)])
        assert sorted(listed) == list(self._known)
        return PAGES

    def _read(self) -> int:
        job_id = self._chance.choice(list(self._known))
        task_id = self._known[job_id]["tasks"][-1]["id"]
        assert self._repeat(lambda: self._hook.get_task_result(job_id, task_id, 5)) == ROWS
        return 1

    def _cancel(self) -> int:
        job_id = self._stage.explorer.start_job(6, ENDLESS)
        self._repeat(lambda: self._hook.cancel_job(job_id))
        self.cancelled.append(job_id)
        return 2  # the hook looks whether there is such a job


def test_calls_that_block(stage: Stage):
    calm = Blocking(stage, with_jobs(stage), 0)
    calm.call(CALLS // THREADS)
    assert stage.explorer.traffic().requests == 1 + calm.needed, "the requests of a run without faults"

    known = with_jobs(stage)
    callers = [Blocking(stage, known, number) for number in range(THREADS)]
    calls = CALLS // THREADS * stage.times
    with stage.storm(
        "calls, blocking, 6 threads",
        all_kinds(),
        done=calls * THREADS,
        needed=lambda: 1 + sum(caller.needed for caller in callers),
        most=MOST,
    ):
        side_by_side(lambda caller: caller.call(calls), callers)
    assert_cancelled(stage, [job_id for caller in callers for job_id in caller.cancelled])
    assert stage.repeat.refusals <= permanent_faults(stage.explorer.traffic())


class Asynchronous:
    """Makes random calls with a client that it shares, and checks the results.

    :ivar needed: how many requests that takes without faults, besides the login.
    """

    def __init__(self, stage: Stage, known: Known, number: int, client: Any) -> None:
        self.needed = 0
        self.cancelled: list[int] = []
        self._stage = stage
        self._known = known
        self._chance = stage.chance(number)
        self._client = client

    async def call(self, count: int) -> None:
        acts = [self._get] * 12 + [self._list] + [self._read] * 5 + [self._cancel] * 2
        for _ in range(count):
            await self._chance.choice(acts)()
            self.needed += 1

    async def _run(self, call: Any) -> Any:
        return await self._stage.repeat.for_async(lambda: self._client.run(call))

    async def _get(self) -> None:
        job_id = self._chance.choice(list(self._known))
        assert (await self._run(api.get_job(job_id))).data == self._known[job_id]

    async def _list(self) -> None:
        page = await self._run(api.list_summaries(5, status=None, created_from=0, page_size=1000))
        assert sorted(job.id for job in page.items) == list(self._known)

    async def _read(self) -> None:
        job_id = self._chance.choice(list(self._known))
        task_id = self._known[job_id]["tasks"][-1]["id"]
        assert await self._run(api.get_task_result(job_id, task_id, 5)) == ROWS

    async def _cancel(self) -> None:
        job_id = await asyncio.to_thread(self._stage.explorer.start_job, 6, ENDLESS)
        await self._run(api.cancel_job(job_id))
        self.cancelled.append(job_id)


async def call_at_once(stage: Stage, known: Known, count: int) -> list[Asynchronous]:
    """Make calls with one client, many at the same time, and close it."""
    client = open_async_client(stage)
    callers = [Asynchronous(stage, known, number, client) for number in range(AT_ONCE)]
    await asyncio.gather(*(caller.call(count) for caller in callers))
    await client.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    return callers


def test_calls_on_an_event_loop(stage: Stage):
    calm = asyncio.run(call_at_once(stage, with_jobs(stage), 5))
    assert stage.explorer.traffic().requests == 1 + sum(caller.needed for caller in calm)

    known = with_jobs(stage)
    calls = CALLS // AT_ONCE * stage.times
    with stage.storm(
        f"calls, on an event loop, {AT_ONCE} at once",
        all_kinds(),
        done=calls * AT_ONCE,
        needed=lambda: 1 + calls * AT_ONCE,
        most=MOST,
    ):
        callers = asyncio.run(call_at_once(stage, known, calls))
    assert_cancelled(stage, [job_id for caller in callers for job_id in caller.cancelled])
    assert stage.repeat.refusals <= permanent_faults(stage.explorer.traffic()) + AT_ONCE


def assert_cancelled(stage: Stage, job_ids: list[int]) -> None:
    stopping = [job["id"] for job in stage.explorer.jobs() if job["status"] == JobStatus.STOPPING]
    assert stopping == sorted(job_ids)
