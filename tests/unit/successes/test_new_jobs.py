"""When the lists of new jobs are due: pure, with the clock given."""

from __future__ import annotations

import pytest

from airflow_provider_nebula_explorer.explorer.successes.new_jobs import NewJobs


@pytest.mark.parametrize("interval", [0.1, 30, 3600])
def test_polls_with_the_same_interval_come_at_the_same_moment(interval):
    now = 1000.0
    new_jobs = NewJobs(None, clock=lambda: now)
    due = new_jobs.next_poll(interval)
    assert now < due <= now + interval
    now = due - interval / 4
    assert new_jobs.next_poll(interval) == pytest.approx(due)
    now = due + interval / 4
    assert new_jobs.next_poll(interval) == pytest.approx(due + interval)
