# SPDX-License-Identifier: Apache-2.0
"""More machines than Explorer has room for, which share no login: each wait ends as room comes back."""

from __future__ import annotations

import asyncio

import pytest
from watching import run, start_jobs, watching

from airflow_provider_nebula_explorer.emulator import Emulator, JobPlan

MACHINES = 10
LIMITS = {
    "Explorer has no room for another login": {"max_clients": 5},
    "graphd has no room for another session": {"max_graphd_sessions": 5, "recycle_above": 0},
}


@pytest.mark.parametrize(("text", "limits"), LIMITS.items(), ids=["Explorer", "graphd"])
def test_every_wait_ends_well_as_room_comes_back_and_every_text_names_the_room(text, limits, caplog):
    with Emulator(client_idle=0.5, **limits) as explorer:
        job_ids = start_jobs(explorer, MACHINES, JobPlan(running=0.5))

        async def machine(job_id):
            async with watching(explorer, max_failures=1000) as watcher:
                return await watcher.job(job_id, interval=0.2)

        async def test():
            return await asyncio.gather(*map(machine, job_ids))

        jobs = run(test())
        assert [job.id for job in jobs] == job_ids
        assert all(job.status.is_success for job in jobs)
        assert explorer.most_clients <= 5
        refused = explorer.count("connect") - explorer.logins
    texts = [message for message in caplog.messages if "failed, will poll again" in message]
    assert len(texts) >= MACHINES - 5
    assert refused >= MACHINES - 5
    assert not [message for message in texts if text not in message]
