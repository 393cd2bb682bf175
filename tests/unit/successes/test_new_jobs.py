# SPDX-License-Identifier: Apache-2.0
"""New jobs are listed right, whatever Explorer obeys, and at little cost."""

from __future__ import annotations

import asyncio

import pytest
from odd_server import FIVE_OCLOCK, MINUTE, ODD, OddServer, query

from airflow_provider_nebula_explorer.exceptions import NebulaExplorerConnectionError
from airflow_provider_nebula_explorer.explorer.client import api
from airflow_provider_nebula_explorer.explorer.client.limits import LONGEST_UNLIMITED_LIST, STALE_PAGES
from airflow_provider_nebula_explorer.explorer.models import JobStatus
from airflow_provider_nebula_explorer.explorer.successes.limits import MOST_NEW_JOBS
from airflow_provider_nebula_explorer.explorer.successes.new_jobs import NewJobs

SINCE = FIVE_OCLOCK + 30 * MINUTE
NEW = list(range(130, 150))


class Client:
    """Makes calls of an odd server."""

    server_time = None

    def __init__(self, server):
        self._server = server

    async def run(self, call):
        return self._server(call)


def listed(server, polls=1, **filters):
    """Return the ids that each of some polls shows; lists with a name are not shared, so do not wait."""

    async def client():
        return Client(server)

    async def poll():
        new_jobs = NewJobs(client)
        try:
            found = [
                await new_jobs.jobs(5, **{"since": SINCE, "name": "any", **filters}) for _ in range(polls)
            ]
        finally:
            await new_jobs.close()
        return [[job.id for job in jobs] for jobs in found]

    return asyncio.run(poll())


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
@pytest.mark.parametrize("cap", [7, 1000])
def test_new_jobs_are_listed_oldest_first_whatever_explorer_obeys(odd, cap):
    assert listed(OddServer(**odd, cap=cap), polls=2) == [NEW, NEW]


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_jobs_in_a_status_are_listed_alone(odd):
    failed = [job_id for job_id in NEW if (job_id - 100) % 3 == 0]
    assert listed(OddServer(**odd), status=JobStatus.FAILED) == [failed]


@pytest.mark.parametrize("odd", ["no time filter", "no filter", "always newest first"])
def test_jobs_from_before_are_not_read_again_at_each_poll(odd):
    server = OddServer(**ODD[odd], jobs=500, cap=10)
    lists = listed(server, polls=10, since=FIVE_OCLOCK + 480 * MINUTE)
    assert lists == [list(range(580, 600))] * 10
    assert server.requests <= 10 * 3 + 1, "two pages, the one behind them, and once the oldest jobs"


@pytest.mark.parametrize("filters", [{}, {"name": None}], ids=["alone", "shared"])
def test_an_error_of_no_known_kind_is_a_failed_poll(filters):
    def server(call):
        raise KeyError("odd")

    with pytest.raises(NebulaExplorerConnectionError, match="failed unexpectedly: KeyError: 'odd'"):
        listed(server, **filters)


class LyingServer:
    """Says that there are 10^18 jobs; ``item`` makes the one with a number, from 0, that no page ends."""

    def __init__(self, item, *, page_size=1000):
        self._item, self._page_size, self.requests = item, page_size, 0

    def __call__(self, call):
        first = self.requests * self._page_size
        self.requests += 1
        items = [self._item(number) for number in range(first, first + self._page_size)]
        return call.read({"items": items, "Page": 1, "PageSize": self._page_size, "total": 10**18})


def a_job(job_id, created, workflow_id="5"):
    return {"id": job_id, "workflowId": workflow_id, "status": 2, "createTime": created}


NEW_FOR_EVER = {
    "created together": lambda number: a_job(1 + number, SINCE),
    "each a millisecond later": lambda number: a_job(1 + number, SINCE + number),
    "without a time": lambda number: {"id": 1 + number, "workflowId": "5", "status": 2},
    "in no order": lambda number: a_job(1 + number, SINCE + 7 * number % 1000),
}


@pytest.mark.parametrize("item", NEW_FOR_EVER.values(), ids=NEW_FOR_EVER)
def test_a_list_that_is_always_new_ends_in_an_error_that_names_the_bound(item):
    server = LyingServer(item)
    with pytest.raises(NebulaExplorerConnectionError, match=f"more than {MOST_NEW_JOBS} new jobs") as raised:
        listed(server)
    assert not raised.value.is_transient
    assert server.requests <= MOST_NEW_JOBS / 1000 + 2


def test_so_does_one_of_jobs_that_are_older_than_requested():
    server = LyingServer(lambda number: a_job(1 + number, SINCE - 1 - 7 * number % 1000))
    with pytest.raises(NebulaExplorerConnectionError, match=f"{LONGEST_UNLIMITED_LIST} in all"):
        listed(server)
    assert server.requests <= LONGEST_UNLIMITED_LIST / 1000 + 2


STALE = {
    "the same": lambda _: a_job(1, SINCE),
    "the same, each time created later": lambda number: a_job(1, SINCE + number),
    "the same, older than requested": lambda _: a_job(1, SINCE - MINUTE),
}


@pytest.mark.parametrize("item", STALE.values(), ids=STALE)
@pytest.mark.parametrize("page_size", [1, 3])
def test_a_list_that_shows_nothing_new_ends_whatever_its_total_is(item, page_size):
    server = LyingServer(item, page_size=page_size)
    assert listed(server) in ([[1]], [[]])
    assert server.requests <= STALE_PAGES + 2


def test_an_id_of_a_workflow_that_is_none_is_cut():
    server = LyingServer(lambda number: a_job(1, SINCE, "5" * 10**6), page_size=1)
    call = api.list_summaries(None, status=None, created_from=0, page_size=1)
    assert len(server(call).items[0].workflow_id) < 100


class NarrowServer(OddServer):
    """Its pages may have few jobs, or they exceed what is read; it counts those that do."""

    def __init__(self, most, **odd):
        super().__init__(**odd, cap=1000)
        self.most, self.refused = most, 0

    def __call__(self, call):
        if int(query(call)["pageSize"]) > self.most:
            self.refused += 1
            raise NebulaExplorerConnectionError("too large", transient=False, too_large=True)
        return super().__call__(call)


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
@pytest.mark.parametrize(("most", "refused"), [(100, 1), (10, 2)])
def test_if_a_page_exceeds_its_bound_a_smaller_one_is_requested_from_then_on(odd, most, refused):
    server = NarrowServer(most, **odd)
    assert listed(server, polls=3) == [NEW] * 3
    assert server.refused == refused


def test_if_the_smallest_page_exceeds_its_bound_that_is_an_error():
    server = NarrowServer(9)
    with pytest.raises(NebulaExplorerConnectionError, match="too large"):
        listed(server)
    assert server.refused == 3


def test_pages_are_large_again_after_a_while():
    server, now = NarrowServer(100), [0.0]

    async def client():
        return Client(server)

    async def polls():
        new_jobs = NewJobs(client, clock=lambda: now[0])
        for now[0] in (0.0, 599.0, 601.0):
            await new_jobs.jobs(5, since=SINCE, name="any")

    asyncio.run(polls())
    assert server.refused == 2


def test_a_list_of_all_workflows_that_is_too_long_is_replaced_by_their_own():
    lying, honest = LyingServer(NEW_FOR_EVER["created together"]), OddServer()

    def server(call):
        return (honest if "workflows" in call.request.target else lying)(call)

    async def client():
        return Client(server)

    async def poll():
        new_jobs = NewJobs(client)
        return await asyncio.gather(*(new_jobs.jobs(number, since=SINCE) for number in (5, 6)))

    assert [[job.id for job in jobs] for jobs in asyncio.run(poll())] == [NEW, []]
