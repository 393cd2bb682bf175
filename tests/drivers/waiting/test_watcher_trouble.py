# SPDX-License-Identifier: Apache-2.0
"""The watcher against a real server that refuses, fails and forgets."""

from __future__ import annotations

import asyncio
import json
import threading
from urllib.parse import parse_qs, urlsplit

import pytest
from factories import response_of
from watching import (
    INTERVAL,
    ScriptedClient,
    outcome,
    run,
    seconds_of_polls,
    start_jobs,
    watching,
    watching_scripted,
)

from airflow_provider_nebula_explorer.emulator import Emulator, Fault, JobPlan
from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerAuthError,
    NebulaExplorerConnectionError,
    NebulaExplorerForbiddenError,
    NebulaExplorerNotFoundError,
    NebulaExplorerServerError,
)
from airflow_provider_nebula_explorer.explorer.client import async_client
from airflow_provider_nebula_explorer.explorer.client.async_client import AsyncClient
from airflow_provider_nebula_explorer.explorer.client.limits import Budget
from airflow_provider_nebula_explorer.explorer.client.protocol import Response
from airflow_provider_nebula_explorer.explorer.models import JobStatus
from airflow_provider_nebula_explorer.explorer.settings import Account
from airflow_provider_nebula_explorer.explorer.waiting.planner import PollPlanner
from airflow_provider_nebula_explorer.explorer.waiting.watcher import Watcher


@pytest.fixture
def explorer():
    with Emulator(max_page_size=1000) as emulator:
        yield emulator


@pytest.mark.parametrize("code", [50004003, 40304000, 40404000])
def test_a_final_refusal_ends_the_wait_for_that_job_alone(explorer, code):
    good = start_jobs(explorer, 1, JobPlan(running=1))

    async def test():
        async with watching(explorer) as watcher:
            other = asyncio.ensure_future(watcher.job(good[0], interval=INTERVAL))
            while not explorer.count("get_job"):
                await seconds_of_polls(0.1)
            explorer.fail(Fault("code", "get_job", code=code))
            explorer.fail(Fault("code", "list_jobs", code=code))
            return await asyncio.gather(outcome(watcher.job(999, interval=INTERVAL)), outcome(other))

    errors = run(test())
    kinds = (NebulaExplorerServerError, NebulaExplorerForbiddenError, NebulaExplorerNotFoundError)
    assert sum(isinstance(error, kinds) for error in errors) >= 1


def test_refused_lists_leave_every_wait_whole(explorer):
    job_ids = start_jobs(explorer, 10, JobPlan(running=1.5))
    explorer.fail(Fault("code", "list_jobs", code=40304000, times=None))

    async def test():
        async with watching(explorer) as watcher:
            return await asyncio.gather(*(watcher.job(job_id, interval=INTERVAL) for job_id in job_ids))

    assert {job.status for job in run(test())} == {JobStatus.SUCCESS}
    assert explorer.count("list_jobs") <= 4, "each kind of list once"


def test_a_page_that_is_too_large_to_read_on_the_loop_is_made_smaller(explorer, monkeypatch):
    monkeypatch.setattr(async_client, "LOOP_BUDGET", Budget(2**20, values=1000))
    job_ids = start_jobs(explorer, 150, JobPlan(running=2))

    async def test():
        async with watching(explorer) as watcher:
            return await asyncio.gather(*(watcher.job(job_id, interval=INTERVAL) for job_id in job_ids))

    assert {job.status for job in run(test())} == {JobStatus.SUCCESS}
    sizes = [call.query["pageSize"] for call in explorer.calls if call.endpoint == "list_jobs"]
    assert sizes[0] == "1000"
    assert set(sizes[1:]) == {"100"}


@pytest.mark.parametrize("kind", ["list_jobs", "get_job"])
def test_a_session_that_one_request_is_refused_for_good_ends_no_other_wait(explorer, kind):
    job_ids = start_jobs(explorer, 5, JobPlan(running=3600))

    async def test():
        async with watching(explorer) as watcher:
            waits = [
                asyncio.ensure_future(outcome(watcher.job(job_id, interval=INTERVAL))) for job_id in job_ids
            ]
            while explorer.count("list_jobs") < 2:
                await seconds_of_polls(0.2)
            explorer.fail(Fault("code", kind, code=40104001, times=None))
            explorer.cancel(job_ids[0])
            explorer.advance(10)
            first = await waits[0]
            explorer.clear_faults()
            explorer.advance(7200)
            return first, await asyncio.gather(*waits[1:])

    first, others = run(test())
    assert isinstance(first, NebulaExplorerAuthError) == (kind == "get_job")
    assert {job.status for job in others} == {JobStatus.SUCCESS}


def test_waits_that_end_during_a_poll_are_not_planned_one_by_one(monkeypatch):
    plans, waits = [], []

    def respond(request):
        for wait in waits[:-1]:
            wait.cancel()
        return Response(404, {}, b'{"code": 40404000, "message": "ErrNotFound"}')

    plan = PollPlanner.plan
    monkeypatch.setattr(PollPlanner, "plan", lambda self, jobs: plans.append(len(jobs)) or plan(self, jobs))

    async def test():
        async with watching_scripted(respond, max_failures=3) as watcher:
            waits.extend(
                asyncio.ensure_future(watcher.job(job_id, interval=INTERVAL)) for job_id in range(1, 500)
            )
            return await outcome(waits[-1])

    assert isinstance(run(test()), NebulaExplorerNotFoundError)
    assert plans[0] == 499
    assert len(plans) < 20


def test_an_explorer_that_is_down_gets_no_request_for_each_new_wait(explorer):
    explorer.fail(Fault("status", times=None))

    async def test():
        async with watching(explorer, max_failures=3) as watcher:
            waits = [outcome(watcher.job(job_id, interval=INTERVAL)) for job_id in range(1, 101)]
            return await asyncio.gather(*waits)

    assert {type(error) for error in run(test())} == {NebulaExplorerConnectionError}
    assert explorer.count() <= 3 * 2 + 4


def test_a_job_that_cannot_be_shown_does_not_hold_up_those_that_can(explorer):
    job_ids = start_jobs(explorer, 20, JobPlan(running=1))
    broken = 99

    async def test():
        async with watching(explorer, max_failures=3) as watcher:
            explorer.fail(Fault("garbage", "get_job", times=1))
            waits = (outcome(watcher.job(job_id, interval=INTERVAL)) for job_id in (broken, *job_ids))
            return await asyncio.gather(*waits)

    first, *others = run(test())
    assert isinstance(first, NebulaExplorerNotFoundError)
    assert {job.status for job in others} == {JobStatus.SUCCESS}


def test_a_client_that_cannot_be_opened_ends_all_waits_and_is_opened_anew_for_later_ones():
    opened = []

    async def open_client():
        opened.append(1)
        raise NebulaExplorerForbiddenError(f"no client, {len(opened)}")

    async def test():
        watcher = Watcher(open_client, max_failures=3)
        first = await asyncio.gather(*(outcome(watcher.job(job_id, interval=1)) for job_id in range(5)))
        await seconds_of_polls(3)
        second = await outcome(watcher.job(9, interval=1))
        await watcher.close()
        return {str(error) for error in first}, str(second)

    assert run(test()) == ({"no client, 1"}, "no client, 2")


def test_lists_that_break_while_jobs_are_shown_leave_every_wait_whole(explorer):
    job_ids = start_jobs(explorer, 10, JobPlan(running=1.5))
    explorer.fail(Fault("status", "list_jobs", times=None))

    async def test():
        async with watching(explorer, max_failures=2) as watcher:
            return await asyncio.gather(*(watcher.job(job_id, interval=INTERVAL) for job_id in job_ids))

    assert {job.status for job in run(test())} == {JobStatus.SUCCESS}


def test_a_broken_poll_delays_every_wait_and_fails_none(explorer):
    job_ids = start_jobs(explorer, 30, JobPlan(running=1000))

    async def test():
        async with watching(explorer, max_failures=4) as watcher:
            waits = [asyncio.ensure_future(watcher.job(job_id, interval=INTERVAL)) for job_id in job_ids]
            while explorer.count("list_jobs") < 2:
                await seconds_of_polls(0.2)
            explorer.fail(Fault("reset", "*_job*", times=6))
            explorer.advance(1000)
            return await asyncio.gather(*waits)

    assert {job.status for job in run(test())} == {JobStatus.SUCCESS}


def test_too_many_broken_polls_end_every_wait_with_an_error_that_names_its_job(explorer):
    job_ids = start_jobs(explorer, 30)

    async def test():
        async with watching(explorer, max_failures=3) as watcher:
            waits = [
                asyncio.ensure_future(outcome(watcher.job(job_id, interval=INTERVAL))) for job_id in job_ids
            ]
            while explorer.count("list_jobs") < 2:
                await seconds_of_polls(0.2)
            explorer.fail(Fault("status", times=None))
            before = explorer.count()
            return await asyncio.gather(*waits), explorer.count() - before

    errors, requests = run(test())
    assert {type(error) for error in errors} == {NebulaExplorerConnectionError}
    for job_id, error in zip(job_ids, errors, strict=True):
        assert str(error).startswith(f"Cannot observe job {job_id}: 3 polls in a row failed.")
    assert requests <= 9, "no storm: at most a list and a job for each poll"


def test_polls_that_failed_in_another_process_count(explorer):
    explorer.fail(Fault("status", "get_job", times=None))

    async def test():
        async with watching(explorer, max_failures=3) as watcher:
            return await outcome(watcher.job(7, interval=INTERVAL, failed_polls=2))

    assert "3 polls in a row failed" in str(run(test()))
    assert explorer.count("get_job") == 1


def test_a_refused_account_ends_all_waits_after_one_login(explorer):
    account = Account("root", "wrong-password", "graphd")

    async def test():
        async with watching(explorer, account=account) as watcher:
            return await asyncio.gather(
                *(outcome(watcher.job(job_id, interval=INTERVAL)) for job_id in range(40))
            )

    assert all(isinstance(error, NebulaExplorerAuthError) for error in run(test()))
    assert explorer.count() <= 2, "one login in both encodings"


def test_a_lost_session_is_renewed_once_and_noticed_by_none(explorer):
    job_ids = start_jobs(explorer, 50, JobPlan(running=3600))

    async def test():
        async with watching(explorer) as watcher:
            waits = [asyncio.ensure_future(watcher.job(job_id, interval=INTERVAL)) for job_id in job_ids]
            while explorer.count("list_jobs") < 2:
                await seconds_of_polls(0.2)
            explorer.forget_sessions()
            explorer.advance(7200)
            return await asyncio.gather(*waits)

    assert len(run(test())) == 50
    assert explorer.logins == 2


def test_a_graphd_that_is_away_for_a_while_ends_no_wait(explorer):
    job_ids = start_jobs(explorer, 5, JobPlan(running=3600))

    async def test():
        async with watching(explorer, max_failures=50) as watcher:
            waits = [asyncio.ensure_future(watcher.job(job_id, interval=INTERVAL)) for job_id in job_ids]
            while explorer.count("list_jobs") < 2:
                await seconds_of_polls(0.2)
            graphd_is_at(explorer, "elsewhere")
            explorer.forget_sessions()
            before = explorer.count("connect")
            while explorer.count("connect") < before + 6 and not any(wait.done() for wait in waits):
                await seconds_of_polls(0.2)
            graphd_is_at(explorer, "graphd")
            explorer.advance(7200)
            return await asyncio.gather(*waits)

    assert [job.id for job in run(test())] == job_ids


def test_a_graphd_that_stays_away_ends_waits_as_failed_polls_do(explorer):
    (job_id,) = start_jobs(explorer, 1)

    async def test():
        async with watching(explorer, max_failures=3) as watcher:
            wait = asyncio.ensure_future(watcher.job(job_id, interval=INTERVAL))
            while explorer.count("get_job") < 1:
                await seconds_of_polls(0.2)
            graphd_is_at(explorer, "elsewhere")
            explorer.forget_sessions()
            return await outcome(wait)

    text = str(run(test()))
    assert f"Cannot observe job {job_id}: 3 polls in a row failed" in text
    assert "Explorer cannot reach graphd" in text


def graphd_is_at(explorer, address):
    explorer._sessions.graphd = (address, 9669)


class ManyJobs:
    """Twenty thousand jobs, of which every 2500th is waited for; those prepare and run in turn.

    From the ninth list on, one that shows preparing jobs makes them all run, and the next list is broken.
    """

    ours = range(1, 20001, 2500)
    begin = 17 * 10**11

    def __init__(self):
        self.lists = []
        self.all_run = False

    def __call__(self, request):
        if "/jobs?" not in request.target:
            return response_of(self._job(int(request.path.rsplit("/", 1)[1])))
        job_filter = json.loads(parse_qs(urlsplit(request.target).query)["filter"][0])
        status = job_filter.get("status")
        self.lists.append(status)
        if len(self.lists) > 8 and status == 1:
            self.all_run = True
        elif self.all_run and status is not None:
            return Response(503)
        first = max(1, job_filter["fromCreateTime"] - self.begin)
        jobs = (self._job(number) for number in range(first, 20000))
        items = [job for job in jobs if status in (None, job["status"])][:1000]
        return response_of({"items": items, "total": 20000 if status is None else len(items)})

    def _job(self, number):
        status = 1 if self.all_run else (number // 2500 + 1) % 2
        created = self.begin + number
        return {
            "id": number,
            "status": status if number in self.ours else 2,
            "workflowId": "7",
            "createTime": created,
        }


def test_a_list_whose_jobs_an_earlier_list_showed_is_not_requested():
    many = ManyJobs()

    async def test():
        async with watching_scripted(many) as watcher:
            waits = [asyncio.ensure_future(watcher.job(job_id, interval=INTERVAL)) for job_id in many.ours]
            while not many.all_run and not any(wait.done() for wait in waits):
                await seconds_of_polls(1)
            lists = len(many.lists)
            await seconds_of_polls(3)
            ended = [wait for wait in waits if wait.done()]
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
            return many.lists[lists : lists + 1], ended

    following, ended = run(test())
    assert ended == []
    assert following != [0], "the jobs that prepared were shown already, running"


class DownWhileOneLeaves(ScriptedClient):
    """From the first list on, everything fails; the wait for job 2 ends while that list is under way."""

    def __init__(self):
        super().__init__(self._respond_to)
        self.is_down = False
        self.fetched = []
        self.wait_for_2 = None

    async def run(self, call):
        if "/jobs?" in call.request.target and not self.is_down:
            self.is_down = True
            self.wait_for_2.cancel()
            await asyncio.sleep(0.01)
        return await super().run(call)

    def _respond_to(self, request):
        job_id = request.path.rsplit("/", 1)[1]
        if not self.is_down:
            return response_of({"id": int(job_id), "status": 1, "workflowId": "7", "createTime": 17 * 10**11})
        if job_id.isdigit():
            self.fetched.append(int(job_id))
        return Response(503)


def test_a_job_whose_wait_has_ended_does_not_say_that_jobs_can_be_fetched():
    client = DownWhileOneLeaves()

    async def open_client():
        return client

    async def test():
        watcher = Watcher(open_client, max_failures=99)
        # So long an interval that there is one poll alone.
        waits = [asyncio.ensure_future(watcher.job(job_id, interval=60)) for job_id in range(1, 7)]
        client.wait_for_2 = waits[1]
        while not client.fetched:
            await seconds_of_polls(0.1)
        await seconds_of_polls(0.5)
        fetched = list(client.fetched)
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
        await watcher.close()
        return fetched

    assert len(run(test())) == 1, "the first that fails speaks for all"


def test_an_error_of_no_known_kind_is_a_failed_poll_and_ends_no_wait(explorer):
    job_ids = start_jobs(explorer, 5, JobPlan(running=3600))
    bad = []

    class Client(AsyncClient):
        async def run(self, call):
            if bad and "/jobs" in call.request.target:
                raise ValueError(bad.pop())
            return await super().run(call)

    async def test():
        async with watching(explorer, client_class=Client) as watcher:
            waits = [asyncio.ensure_future(watcher.job(job_id, interval=INTERVAL)) for job_id in job_ids]
            while explorer.count("list_jobs") < 2:
                await seconds_of_polls(0.2)
            bad.extend(["a list", "and a job"])
            while bad:
                await seconds_of_polls(0.2)
            explorer.advance(7200)
            return await asyncio.gather(*waits)

    assert [job.status for job in run(test())] == [JobStatus.SUCCESS] * 5


@pytest.mark.parametrize("interval", [1e-6, 0.001])
def test_no_interval_stops_the_event_loop_or_storms_explorer(explorer, interval):
    (job_id,) = start_jobs(explorer, 1)

    async def test():
        async with watching(explorer) as watcher:
            wait = asyncio.ensure_future(watcher.job(job_id, interval=interval))
            await asyncio.sleep(1)
            wait.cancel()
            await asyncio.gather(wait, return_exceptions=True)

    # In a thread, as a loop that stands still would stop this test, too.
    thread = threading.Thread(target=lambda: run(test()), daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    assert explorer.count("get_job") <= 1 + 1 / 0.09


def test_a_date_of_thousands_of_digits_ends_no_wait():
    def respond(request):
        if "/jobs?" in request.target:
            return response_of({"items": [], "total": 0})
        number = int(request.path.rsplit("/", 1)[1])
        return response_of({"id": number, "status": 1, "workflowId": "7", "createTime": 10**4299})

    async def test():
        async with watching_scripted(respond) as watcher:
            waits = [asyncio.ensure_future(watcher.job(number, interval=INTERVAL)) for number in range(1, 6)]
            await seconds_of_polls(5)
            ended = [wait for wait in waits if wait.done()]
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
            return ended

    assert run(test()) == []
