# SPDX-License-Identifier: Apache-2.0
"""Several run operators that one task executes: in a ``@task``, or in a subclass."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from stand_ins import CLAIM_KEY, Crash, TaskInstance, a_claim, crash_at, ids

from airflow_provider_nebula_explorer.emulator import Fault, JobPlan
from airflow_provider_nebula_explorer.operators.nebula_explorer import NebulaExplorerRunWorkflowOperator

DONE = JobPlan(running=0)
ENDLESS = JobPlan(ends=None, stopping=0)


@pytest.fixture
def a_task(store):
    """Return the context of one attempt of a ``@task``, whose own operator is not ours."""

    def a_task(number=1, max_tries=5):
        ti = TaskInstance(number, max_tries)
        ti.task = object()
        ti.xcom_pull = lambda task_ids, key: [ti.xcoms.get(key)]
        dag = SimpleNamespace(task_ids=["t", "other"])
        return {"ti": ti, "task_instance": ti, **store.context, "dag": dag}

    return a_task


def run(context, **arguments):
    arguments = {"task_id": "run", "workflow_id": 5, "poll_interval": 0.1, **arguments}
    return NebulaExplorerRunWorkflowOperator(**arguments).execute(context)


@pytest.mark.parametrize("inputs", [[None] * 3, [{"q": {"n": n}} for n in range(3)]], ids=["same", "other"])
def test_each_has_its_own_job(emulator, a_task, inputs):
    emulator.plan(5, DONE)
    context = a_task()
    assert [run(context, input=given) for given in inputs] == ids(emulator)
    assert len(emulator.jobs) == 3


def test_none_cancels_anothers_job(emulator, a_task, caplog):
    emulator.plan(5, ENDLESS)
    emulator.plan(6, DONE)
    context = a_task()
    run(context, wait_for_completion=False)
    run(context, workflow_id=6)
    run(context, workflow_id=6, input={"q": {"n": 1}})
    assert [job["status"] for job in emulator.jobs] == [1, 2, 2]
    assert "left alone" not in caplog.text


@pytest.mark.parametrize("order", [(5, 6, 5, 7), (7, 5, 6, 5)], ids=["same order", "another order"])
def test_a_retry_of_the_whole_task_finds_each_job(emulator, a_task, order):
    for workflow in (5, 6, 7):
        emulator.plan(workflow, ENDLESS)
    first, second = a_task(1), a_task(2)
    started = {
        (workflow, run(first, workflow_id=workflow, wait_for_completion=False)) for workflow in (5, 6, 5, 7)
    }
    found = {(workflow, run(second, workflow_id=workflow, wait_for_completion=False)) for workflow in order}
    assert found == started
    assert [job["status"] for job in emulator.jobs] == [1, 1, 1, 1]


def test_a_retry_in_the_process_of_the_attempt_before_finds_its_job(emulator, a_task):
    """So does ``dag.test()`` retry a task of Airflow 2: with the same task instance."""
    emulator.plan(5, DONE)
    context = a_task(1)
    job_id = run(context)
    context["ti"].try_number = 2
    assert run(context) == job_id
    assert ids(emulator) == [job_id]


def test_a_retry_after_a_crash_resumes_what_was_started_and_starts_the_rest(emulator, a_task, monkeypatch):
    def die(seconds):
        raise Crash

    emulator.plan(5, DONE)
    emulator.plan(6, JobPlan(running=100))
    context = a_task(1)
    run(context)
    with monkeypatch.context() as patched:
        patched.setattr(time, "sleep", die)
        with pytest.raises(Crash):
            run(context, workflow_id=6)
    emulator.advance(200)
    context = a_task(2)
    assert [run(context), run(context, workflow_id=6), run(context)] == ids(emulator)
    assert [job["workflowId"] for job in emulator.jobs] == ["5", "6", "5"]


def test_a_retry_finds_the_job_whose_id_was_lost_beside_the_others(emulator, a_task, store, pauses):
    emulator.plan(5, ENDLESS)
    context = a_task(1)
    run(context, wait_for_completion=False)
    store.before_set = crash_at(store.writings + 2)
    with pytest.raises(Crash):
        run(context, wait_for_completion=False)
    context = a_task(2)
    assert [run(context, wait_for_completion=False) for _ in range(2)] == ids(emulator)
    assert len(emulator.jobs) == 2


def test_a_clear_of_the_task_requests_each_job_anew(emulator, a_task):
    emulator.plan(5, DONE)
    context, cleared = a_task(1, 0), a_task(2, 1)
    before = [run(context) for _ in range(2)]
    assert before + [run(cleared) for _ in range(2)] == ids(emulator)
    assert len(emulator.jobs) == 4


def test_the_jobs_of_all_are_claimed_so_that_no_other_task_takes_one(emulator, a_task, store, pauses):
    emulator.plan(5, DONE)
    several, other = a_task(), a_task()
    other["task_state_store"] = SimpleNamespace(get=lambda key: None, set=lambda key, note: begin(several))
    other["ti"].xcom_pull = lambda task_ids, key: [
        context["ti"].xcoms.get(key) for context in (several, other)
    ]

    def begin(context):
        """Run two, between the other task's intent and its start, whose response is lost."""
        if not emulator.jobs:
            claimed.extend(run(context) for _ in range(2))
            emulator.fail(Fault("lost", "run_workflow"))

    claimed = []
    assert run(other) == 103
    assert claimed == [101, 102]
    assert several["ti"].xcoms[CLAIM_KEY] == [a_claim(emulator, 101), a_claim(emulator, 102)]


def test_a_subclass_may_run_several(emulator, store):
    class Each(NebulaExplorerRunWorkflowOperator):
        def execute(self, context):
            found = []
            for number in range(3):
                self.input = {"query_1": {"limit": number}}
                found.append(super().execute(context))
            return found

    emulator.plan(5, ENDLESS)
    found = []
    for number in (1, 2):
        task = Each(task_id="t", workflow_id=5, wait_for_completion=False)
        ti = TaskInstance(number, 5)
        ti.task = task
        found.append(task.execute({"ti": ti, **store.context}))
    assert found[0] == found[1] == ids(emulator)
    assert [job["status"] for job in emulator.jobs] == [1, 1, 1]
