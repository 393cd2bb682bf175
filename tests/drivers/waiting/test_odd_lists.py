# SPDX-License-Identifier: Apache-2.0
"""Waits end with their own job, whatever the lists of jobs show."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qsl, urlsplit

import pytest
from factories import response_of
from odd_server import ODD, OddServer
from watching import INTERVAL, run, seconds_of_polls, watching_scripted


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
@pytest.mark.parametrize("cap", [7, 1000])
def test_each_wait_ends_with_its_own_job(odd, cap):
    server = OddServer(**odd, cap=cap)
    jobs = {job["id"]: job for job in server.jobs}
    watched = range(105, 150, 2)
    ends = {job_id: jobs[job_id]["status"] for job_id in watched}
    for job in server.jobs[10:]:
        job["status"] = 1

    def respond(request):
        url = urlsplit(request.target)
        last = url.path.rpartition("/")[2]
        return response_of(
            server.page(dict(parse_qsl(url.query))) if last == "jobs" else dict(jobs[int(last)])
        )

    async def test():
        async with watching_scripted(respond) as watcher:
            waits = [asyncio.ensure_future(watcher.job(job_id, interval=INTERVAL)) for job_id in watched]
            await seconds_of_polls(3)
            assert [wait.done() for wait in waits] == [job_id < 110 for job_id in watched]
            for job_id in watched:
                jobs[job_id]["status"] = ends[job_id]
            return await asyncio.gather(*waits)

    assert {job.id: job.status for job in run(test())} == {
        job_id: ends[job_id] for job_id in range(105, 150, 2)
    }
    assert server.requests > 0
