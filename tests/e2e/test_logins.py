# SPDX-License-Identifier: Apache-2.0
"""A worker that is killed while it logs in: its task's next attempt has one job, and nobody waits for it."""

from __future__ import annotations

import time

import pytest
from runs import WORKFLOW_ID, Run, Scenario, assert_one_job_came_of

from airflow_provider_nebula_explorer.emulator import Fault
from airflow_provider_nebula_explorer.explorer.client import api
from airflow_provider_nebula_explorer.explorer.client.sync_client import Client

HELD = Fault("slow", "connect", seconds=20)
"""Explorer takes so long to accept the login, and does so although its worker is dead."""


def dies_alone(run: Run) -> None:
    run.start()
    run.wait_until_waiting(attempt=2)
    run.let_jobs_end()
    run.wait_until_over()


def dies_while_another_process_needs_the_login(run: Run) -> None:
    run.start()
    run.wait_until("the worker logs in", lambda: run.explorer.connections)
    begun = time.monotonic()
    client = Client(run.settings)
    client.run(api.list_summaries(WORKFLOW_ID, status=None, created_from=0, page_size=1))
    client.close()
    waited = time.monotonic() - begun
    assert run.died, f"{run.evidence()}\nThe worker still lived after {waited:.1f} s."
    assert waited < HELD.seconds, f"{waited:.1f} s: as long as the login of the dead worker takes"
    run.wait_until_waiting(attempt=2)
    run.let_jobs_end()
    run.wait_until_over()


@pytest.mark.parametrize(
    "run",
    [
        Scenario(dag_id, dies_alone, f"{moment} login")
        for dag_id in ("in_worker", "deferred")
        for moment in ("before", "after")
    ],
    ids=lambda scenario: f"{scenario.dag_id}: {scenario.death}",
    indirect=True,
)
def test_one_job_comes_of_a_task_whose_first_attempt_dies_around_its_login(run):
    lost = run.died == "after login"
    assert run.died == run.scenario.death, run.evidence()
    assert_one_job_came_of(run, attempts=2)
    assert run.explorer.logins == 1 + lost, run.evidence()


@pytest.mark.parametrize(
    "run",
    [
        Scenario(dag_id, dies_while_another_process_needs_the_login, "amid login", faults=(HELD,))
        for dag_id in ("in_worker", "deferred")
    ],
    ids=str,
    indirect=True,
)
def test_a_worker_that_dies_while_it_logs_in_holds_up_no_other_process(run):
    assert_one_job_came_of(run, attempts=2)
    lost = 1
    assert run.explorer.logins <= lost + 1, "the next attempt uses the login of the process that did not wait"
