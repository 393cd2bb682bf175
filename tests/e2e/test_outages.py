# SPDX-License-Identifier: Apache-2.0
"""Parts of Airflow that end while a task waits neither end its job nor start a second one."""

from __future__ import annotations

import pytest
from parts import Part
from runs import Run, Scenario, assert_one_job_came_of

from airflow_provider_nebula_explorer.explorer.models import JobStatus


def starts_and_waits(run: Run) -> None:
    run.start()
    run.wait_until_waiting(attempt=1)


@pytest.mark.parametrize(
    ("run", "end"),
    [
        pytest.param(Scenario("deferred", starts_and_waits, label="stop"), Part.stop, id="stopped"),
        pytest.param(Scenario("deferred", starts_and_waits, label="kill"), Part.kill, id="killed"),
    ],
    indirect=["run"],
)
def test_a_triggerer_that_ends_leaves_its_jobs_alone_and_the_next_one_goes_on(run, end, alone):
    end(alone.parts["triggerer"])
    polls = run.explorer.count("get_job")
    alone.parts["triggerer"].start()
    run.wait_until("the next triggerer polls the job", lambda: run.explorer.count("get_job") > polls)
    assert run.statuses == [JobStatus.RUNNING], run.evidence()
    run.let_jobs_end()
    run.wait_until_over()
    assert_one_job_came_of(run, attempts=1)


@pytest.mark.parametrize("run", [Scenario("in_worker", starts_and_waits)], ids=str, indirect=True)
def test_the_next_attempt_takes_up_the_job_of_a_scheduler_and_workers_that_were_killed(run, alone):
    alone.parts["scheduler"].kill()
    alone.parts["scheduler"].start()
    run.wait_until_waiting(attempt=2)
    assert run.statuses == [JobStatus.RUNNING], run.evidence()
    run.let_jobs_end()
    run.wait_until_over()
    assert_one_job_came_of(run, attempts=2)


@pytest.mark.parametrize("run", [Scenario("deferred", starts_and_waits)], ids=str, indirect=True)
def test_a_job_that_ends_while_there_is_no_scheduler_is_reported_to_the_next_one(run, alone):
    alone.parts["scheduler"].kill()
    polls = run.explorer.count("get_job")
    run.let_jobs_end()
    run.wait_until("the triggerer polls the job", lambda: run.explorer.count("get_job") > polls)
    alone.parts["scheduler"].start()
    run.wait_until_over()
    assert_one_job_came_of(run, attempts=1)
