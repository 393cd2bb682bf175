# SPDX-License-Identifier: Apache-2.0
"""Who waits for an honest Explorer does not feel a hostile one in the same triggerer."""

from __future__ import annotations

import asyncio
import time

import pytest
from bad_explorer import BadExplorer
from neighbours import INTERVAL, Neighbours, connections
from scenes import Stage

from airflow_provider_nebula_explorer.emulator import JobPlan

WAITS = 60
SECONDS = 12
LATE = 0.5
"""Seconds: ten times as long as the loop may be late at all, as slow machines collect garbage for longer."""


def test_a_hostile_explorer_costs_an_honest_ones_waits_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path
):
    stage.clear()
    ends = [1 + number * SECONDS / WAITS for number in range(WAITS)]
    with BadExplorer() as bad:
        for name, value in connections(stage.settings.base_url, bad.url, str(tmp_path)).items():
            monkeypatch.setenv(name, value)
        job_ids = stage.explorer.start_jobs(5, [JobPlan(preparing=0, running=end) for end in ends])
        begun = time.monotonic()
        neighbours = Neighbours()
        asyncio.run(neighbours.run({job_id: begun + end for job_id, end in zip(job_ids, ends, strict=True)}))
        counts = bad.counts()
    assert neighbours.unsuccessful == []
    assert neighbours.late.keys() == set(job_ids)
    assert max(neighbours.late.values()) < INTERVAL + 3, "one poll, and one request for the details"
    assert neighbours.lag.percentile(0.99) < LATE / 5
    assert neighbours.lag.longest < LATE
    assert counts["requests"] > 50, "it had no chance to do harm"
