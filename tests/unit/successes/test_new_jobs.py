"""New jobs are listed right, whatever Explorer obeys, and at little cost."""

from __future__ import annotations

import asyncio

import pytest
from odd_server import FIVE_OCLOCK, MINUTE, ODD, OddServer

from airflow_provider_nebula_explorer.explorer.models import JobStatus
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
