# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from stand_ins import CLAIM_KEY, Crash, TaskInstance, a_claim, crash_at, ids

from airflow_provider_nebula_explorer.emulator import Fault, JobPlan
from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerAmbiguousSubmitError,
    NebulaExplorerConfigError,
    NebulaExplorerServerError,
)
from airflow_provider_nebula_explorer.explorer.waiting.outcome import MOST_SHOWN
from airflow_provider_nebula_explorer.operators.nebula_explorer import NebulaExplorerRunWorkflowOperator

QUICK = JobPlan(running=3, stopping=0)
ENDLESS = JobPlan(ends=None, stopping=0)


@pytest.mark.parametrize("store", ["Airflow's store"], indirect=True)
def test_a_refusal_that_cannot_be_noted_says_what_the_next_attempt_will_do(emulator, attempt, store, caplog):
    def fail(number):
        if number == 2:
            raise RuntimeError("the API server is down")

    store.before_set = fail
    emulator.fail(Fault("code", "run_workflow", code=50004002))
    with pytest.raises(NebulaExplorerServerError):
        attempt(1)
    assert "would have to search for a job that does not exist" in caplog.text


def test_a_refused_start_leaves_nothing_to_search_for(emulator, attempt, pauses):
    emulator.plan(5, QUICK)
    emulator.fail(Fault("code", "run_workflow", code=50004002))
    with pytest.raises(NebulaExplorerServerError):
        attempt(1)
    other = emulator.start_job(5)
    assert attempt(2) != other
    assert set(pauses) == {0.1}, "nothing was searched for"


def test_several_jobs_that_fit_end_the_task_for_good(emulator, attempt, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda _: len(emulator.jobs) < 2 and emulator.start_job(5))
    emulator.fail(Fault("lost", "run_workflow"))
    with pytest.raises(NebulaExplorerAmbiguousSubmitError, match="Clear it to request a new job") as raised:
        attempt(1)
    assert isinstance(raised.value, AirflowFailException)
    assert {job.id for job in raised.value.candidates} == set(ids(emulator))


@pytest.mark.parametrize("fault", [Fault("lost", "run_workflow"), Fault("reset", "run_workflow")])
def test_a_lost_response_may_be_left_to_a_person(emulator, attempt, fault, pauses):
    emulator.fail(fault)
    with pytest.raises(NebulaExplorerAmbiguousSubmitError) as raised:
        attempt(1, on_ambiguous_submit="fail")
    assert isinstance(raised.value, AirflowFailException)
    assert [job.id for job in raised.value.candidates] == ids(emulator)
    assert emulator.count("run_workflow") == 1


def test_other_words_for_an_ambiguous_submit_are_refused_when_the_dag_is_read():
    with pytest.raises(
        NebulaExplorerConfigError, match="on_ambiguous_submit is 'retry'; allowed: 'reconcile' or"
    ):
        NebulaExplorerRunWorkflowOperator(task_id="t", workflow_id=5, on_ambiguous_submit="retry")


@pytest.mark.parametrize("durable", [True, False])
def test_what_cannot_be_determined_now_is_left_to_a_retry_that_certainly_can(
    explorer, emulator, attempt, store, pauses, durable
):
    explorer.set_connection(extra={"max_consecutive_failures": 2})
    emulator.plan(5, QUICK)
    emulator.fail(Fault("lost", "run_workflow"), Fault("status", "list_workflow_jobs", after=1, times=2))
    with pytest.raises(NebulaExplorerAmbiguousSubmitError, match="cannot be determined") as raised:
        attempt(1, durable=durable)
    is_left_to_a_retry = durable and store.reaches_every_attempt
    assert isinstance(raised.value, AirflowFailException) is not is_left_to_a_retry
    if is_left_to_a_retry:
        assert attempt(2) == ids(emulator)[0]
        assert len(emulator.jobs) == 1


def test_the_jobs_of_mapped_siblings_are_not_adopted(emulator, store, pauses):
    def pull(task_ids, key):
        assert (task_ids, key) == (["t", "other"], CLAIM_KEY)
        return [None, a_claim(emulator, 101), {"explorer": "http://other", "job_id": 102}, ti.xcoms.get(key)]

    ti = TaskInstance()
    ti.xcom_pull = pull
    task = NebulaExplorerRunWorkflowOperator(task_id="t", workflow_id=5, poll_interval=0.1)
    task.get_dag = lambda: SimpleNamespace(task_ids=["t", "other"])
    emulator.plan(5, QUICK)

    def sibling(number):
        if number == 1:
            assert emulator.start_job(5) == 101

    store.before_set = sibling
    emulator.fail(Fault("lost", "run_workflow"))
    assert task.execute({"ti": ti, **store.context}) == 102


@pytest.mark.parametrize("others", [0, 1])
def test_a_clear_after_a_worker_died_at_its_start_cancels_the_job_if_it_is_the_only_one(
    emulator, attempt, store, pauses, caplog, others
):
    emulator.plan(5, ENDLESS)
    store.before_set = crash_at(2)
    with pytest.raises(Crash):
        attempt(1)
    for _ in range(others):
        emulator.start_job(5, plan=ENDLESS)
    emulator.plan(5, QUICK)
    assert attempt(2, max_tries=6) == ids(emulator)[-1]
    assert [job["status"] for job in emulator.jobs] == ([1, 1, 2] if others else [4, 2])
    assert ("is RUNNING and is left alone, though a user cleared the task" in caplog.text) == bool(others)


def test_a_clear_names_a_screen_full_of_the_jobs_that_it_leaves_alone(
    emulator, attempt, store, pauses, caplog
):
    caplog.set_level("INFO")
    emulator.plan(5, ENDLESS)
    store.before_set = crash_at(2)
    with pytest.raises(Crash):
        attempt(1)
    for _ in range(MOST_SHOWN + 1):
        emulator.start_job(5, plan=ENDLESS)
    emulator.plan(5, QUICK)
    attempt(2, max_tries=6)
    assert sum("and is left alone" in message for message in caplog.messages) == MOST_SHOWN
    assert "  and 2 more jobs" in caplog.messages


@pytest.mark.parametrize("arguments", [{"on_ambiguous_submit": "fail"}, {}], ids=["fail", "another ended"])
def test_a_clear_cancels_no_job_whose_owner_a_person_is_to_determine(
    emulator, attempt, store, pauses, arguments
):
    emulator.plan(5, ENDLESS)
    store.before_set = crash_at(2)
    with pytest.raises(Crash):
        attempt(1)
    if not arguments:
        emulator.start_job(5, plan=JobPlan(running=0))
    emulator.plan(5, QUICK)
    attempt(2, max_tries=6, **arguments)
    assert emulator.jobs[0]["status"] == 1
    assert emulator.count("cancel_job") == 0


def test_a_clear_long_after_a_worker_died_at_its_start_cancels_nothing(
    emulator, attempt, store, pauses, monkeypatch
):
    emulator.plan(5, ENDLESS)
    store.before_set = crash_at(2)
    with pytest.raises(Crash):
        attempt(1)
    emulator.advance(1200)
    later = time.time() + 1200
    monkeypatch.setattr(time, "time", lambda: later)
    emulator.plan(5, QUICK)
    attempt(2, max_tries=6)
    assert [job["status"] for job in emulator.jobs] == [1, 2]


def test_an_airflow_that_takes_no_xcoms_does_not_cost_the_job(emulator, store, caplog):
    ti = TaskInstance()
    pushed = ti.xcom_push

    def push(key, value):
        if key != "job":
            raise RuntimeError("the API server is down")
        pushed(key, value)

    ti.xcom_push = push
    emulator.plan(5, QUICK)
    task = NebulaExplorerRunWorkflowOperator(task_id="t", workflow_id=5, poll_interval=0.1)
    assert task.execute({"ti": ti, **store.context}) == ids(emulator)[0]
    assert "Airflow's XComs failed: RuntimeError: the API server is down" in caplog.text


def test_claims_that_cannot_be_read_leave_a_start_ambiguous(emulator, pauses):
    ti = TaskInstance()
    task = NebulaExplorerRunWorkflowOperator(task_id="t", workflow_id=5, poll_interval=0.1)
    task.get_dag = lambda: SimpleNamespace(task_ids=["t"])
    emulator.fail(Fault("lost", "run_workflow"))
    with pytest.raises(NebulaExplorerAmbiguousSubmitError, match="XComs failed: AttributeError") as raised:
        task.execute({"ti": ti})
    assert isinstance(raised.value, AirflowFailException), "without notes a retry could start a second job"
