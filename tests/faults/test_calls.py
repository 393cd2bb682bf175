"""Thousands of calls while a fifth of all requests goes wrong: each succeeds, with what is true."""

from __future__ import annotations

import asyncio
from typing import Any

from hurry import open_async_client, open_hook
from scenes import Stage, side_by_side, struck_for_good
from storms import everything

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
"""As many requests as without faults. 1.25 are the least where a fifth fails; and where a session ends, each
call that is in flight is made once more."""

Known = dict[int, dict[str, Any]]


def with_jobs(stage: Stage) -> Known:
    """Begin with final jobs of workflow 5, and return them as the API tells them."""
    stage.clear()
    stage.explorer.start_jobs(5, [JobPlan(running=0)] * JOBS)
    return {job["id"]: {key: job[key] for key in job if key != "input"} for job in stage.explorer.jobs()}


class Blocking:
    """Makes calls by chance, with a hook of its own, and looks at what comes back.

    :ivar needed: the requests that this takes where nothing goes wrong.
    """

    def __init__(self, stage: Stage, known: Known, number: int) -> None:
        self.needed = 1
        self.cancelled: list[int] = []
        self._stage = stage
        self._insist = stage.insist
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
        assert self._insist(lambda: self._hook.get_job(job_id)).data == self._known[job_id]
        return 1

    def _list(self) -> int:
        listed = self._insist(lambda: [job.id for job in self._hook.list_jobs(5)])
        assert sorted(listed) == list(self._known)
        return PAGES

    def _read(self) -> int:
        job_id = self._chance.choice(list(self._known))
        task_id = self._known[job_id]["tasks"][-1]["id"]
        assert self._insist(lambda: self._hook.get_task_result(job_id, task_id, 5)) == ROWS
        return 1

    def _cancel(self) -> int:
        job_id = self._stage.explorer.start_job(6, ENDLESS)
        self._insist(lambda: self._hook.cancel_job(job_id))
        self.cancelled.append(job_id)
        return 1


def test_calls_that_block(stage: Stage):
    calm = Blocking(stage, with_jobs(stage), 0)
    calm.call(CALLS // THREADS)
    assert stage.explorer.told().requests == calm.needed, "what a faultless run takes"

    known = with_jobs(stage)
    callers = [Blocking(stage, known, number) for number in range(THREADS)]
    calls = CALLS // THREADS * stage.times
    with stage.storm(
        "calls, blocking, 6 threads",
        everything(),
        done=calls * THREADS,
        needed=lambda: sum(caller.needed for caller in callers),
        most=MOST,
        clients=THREADS,
        at_once=THREADS,
    ):
        side_by_side(lambda caller: caller.call(calls), callers)
    assert_cancelled(stage, [job_id for caller in callers for job_id in caller.cancelled])
    assert stage.insist.refusals <= struck_for_good(stage.explorer.told())


class Asynchronous:
    """Makes calls by chance with a client that it shares, and looks at what comes back."""

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
        return await self._stage.insist.for_async(lambda: self._client.run(call))

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
    """Make calls with one client, many at once, and close it."""
    client = open_async_client(stage)
    callers = [Asynchronous(stage, known, number, client) for number in range(AT_ONCE)]
    await asyncio.gather(*(caller.call(count) for caller in callers))
    await client.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    return callers


def test_calls_on_an_event_loop(stage: Stage):
    calm = asyncio.run(call_at_once(stage, with_jobs(stage), 5))
    assert stage.explorer.told().requests == 1 + sum(caller.needed for caller in calm)

    known = with_jobs(stage)
    calls = CALLS // AT_ONCE * stage.times
    with stage.storm(
        f"calls, on an event loop, {AT_ONCE} at once",
        everything(),
        done=calls * AT_ONCE,
        needed=lambda: 1 + calls * AT_ONCE,
        most=MOST,
        clients=1,
    ):
        callers = asyncio.run(call_at_once(stage, known, calls))
    assert_cancelled(stage, [job_id for caller in callers for job_id in caller.cancelled])
    assert stage.insist.refusals <= struck_for_good(stage.explorer.told()) + AT_ONCE


def assert_cancelled(stage: Stage, job_ids: list[int]) -> None:
    stopping = [job["id"] for job in stage.explorer.jobs() if job["status"] == JobStatus.STOPPING]
    assert stopping == sorted(job_ids)
