# SPDX-License-Identifier: Apache-2.0
"""What the attempts of a task leave for each other: in Airflow's state store, or in a file."""

from __future__ import annotations

import errno
import os
import time

import pytest
import requests
from airflow.providers.common.compat.sdk import AirflowFailException
from stand_ins import CLAIM_KEY, Crash, TaskInstance, a_claim, crash_at, ids

from airflow_provider_nebula_explorer.emulator import Fault, JobPlan
from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerAmbiguousSubmitError,
    NebulaExplorerError,
    NebulaExplorerJobError,
    NebulaExplorerTaskKilledError,
)
from airflow_provider_nebula_explorer.operators.nebula_explorer import NebulaExplorerRunWorkflowOperator
from airflow_provider_nebula_explorer.operators.task_state import FolderMemory, TaskMemory

QUICK = JobPlan(running=3, stopping=0)
ENDLESS = JobPlan(ends=None, stopping=0)
IN_AIRFLOW = pytest.mark.parametrize("store", ["Airflow's store"], indirect=True)
IN_FOLDER = pytest.mark.parametrize("store", ["state_dir"], indirect=True)
MODES = pytest.mark.parametrize("deferrable", [False, True], ids=["in a worker", "deferrable"])


@MODES
def test_the_next_attempt_resumes_a_running_job(emulator, attempt, crashed, deferrable, caplog):
    job_id = crashed(JobPlan(running=6))
    assert attempt(2, deferrable=deferrable) == job_id
    assert ids(emulator) == [job_id]
    assert attempt.xcoms["job"] == emulator.job(job_id)
    assert attempt.xcoms["nebula_explorer_job_link"]
    assert f"Resuming Job {job_id}" in caplog.text
    assert "It is RUNNING; attempt 1 started it." in caplog.text


@MODES
def test_the_next_attempt_takes_a_job_that_succeeded_meanwhile(emulator, attempt, crashed, deferrable):
    job_id = crashed(QUICK)
    emulator.advance(10)
    polls = emulator.count("get_job")
    assert attempt(2, deferrable=deferrable) == job_id
    assert ids(emulator) == [job_id]
    assert emulator.count("get_job") == polls + 1
    assert attempt.xcoms["job"] == emulator.job(job_id)


@MODES
@pytest.mark.parametrize("ends", ["FAILED", "INTERRUPTED"])
def test_the_next_attempt_starts_a_new_job_if_the_first_ended_badly(
    emulator, attempt, crashed, deferrable, ends
):
    first = crashed(JobPlan(running=3, ends=ends))
    emulator.advance(10)
    emulator.plan(5, QUICK)
    assert attempt(2, deferrable=deferrable) == ids(emulator)[1] != first


def test_the_next_attempt_starts_a_new_job_if_the_first_is_gone(emulator, attempt, crashed, store):
    crashed(QUICK)
    note = store.get(TaskMemory.KEY)
    store.set(TaskMemory.KEY, {**note, "job_id": 4711})
    assert attempt(2) == ids(emulator)[1]


def with_the_id_of_anothers(emulator, store):
    """Put an id into the note that an Explorer which was set up anew has given to a job of workflow 6."""
    other = emulator.start_job(6, plan=ENDLESS)
    store.set(TaskMemory.KEY, {**store.get(TaskMemory.KEY), "job_id": other})
    return other


def test_an_id_that_another_workflows_job_has_now_is_not_resumed(emulator, attempt, crashed, store):
    crashed(QUICK)
    other = with_the_id_of_anothers(emulator, store)
    assert attempt(2) == ids(emulator)[2]
    assert emulator.job(other)["status"] == 1


def test_a_clear_does_not_cancel_another_workflows_job(emulator, attempt, crashed, store):
    crashed(QUICK)
    other = with_the_id_of_anothers(emulator, store)
    attempt(2, max_tries=6)
    assert emulator.job(other)["status"] == 1


@pytest.mark.parametrize("broken", [{"since": "noon"}, {"requested_at": "noon"}, {"requested_at": 1e30}])
def test_a_note_of_a_broken_intent_is_ignored_with_a_warning(emulator, attempt, store, caplog, broken):
    emulator.plan(5, QUICK)
    attempt(1)
    note = store.get(TaskMemory.KEY)
    store.set(TaskMemory.KEY, {**note, "job_id": None, "intent": {**note["intent"], **broken}})
    assert attempt(2) == ids(emulator)[1]
    assert "cannot be read and is ignored" in caplog.text


def test_a_failed_poll_of_the_first_job_is_repeated(emulator, attempt, crashed):
    job_id = crashed(QUICK)
    emulator.fail(Fault("status", "get_job", times=3))
    assert attempt(2) == job_id
    assert ids(emulator) == [job_id]


@MODES
@pytest.mark.parametrize("writing", [1, 2], ids=["the intent", "the id"])
def test_a_worker_that_dies_at_a_note_leaves_one_job(emulator, attempt, store, writing, pauses, deferrable):
    emulator.plan(5, QUICK)
    store.before_set = crash_at(writing)
    with pytest.raises(Crash):
        attempt(1, deferrable=deferrable)
    job_id = attempt(2, deferrable=deferrable)
    assert ids(emulator) == [job_id]


def test_a_worker_that_dies_before_its_start_is_sent_leaves_an_intent_that_is_settled(
    emulator, attempt, store, pauses, monkeypatch, caplog
):
    really_send = requests.Session.request

    def send(http, method, url, **arguments):
        if method == "POST" and url.endswith("/jobs"):
            raise Crash
        return really_send(http, method, url, **arguments)

    emulator.plan(5, QUICK)
    with monkeypatch.context() as patched:
        patched.setattr(requests.Session, "request", send)
        with pytest.raises(Crash):
            attempt(1)
    assert attempt(2) == ids(emulator)[0]
    assert len(emulator.jobs) == 1
    assert "Attempt 1 of this task ended while it requested a job of workflow 5, at 20" in caplog.text


@MODES
def test_a_clear_requests_a_new_job(emulator, attempt, deferrable):
    emulator.plan(5, QUICK)
    first = attempt(1, max_tries=5, deferrable=deferrable)
    second = attempt(2, max_tries=6, deferrable=deferrable)
    assert ids(emulator) == [first, second]


def test_a_clear_requests_a_new_job_though_the_worker_died_before_it_reported(emulator, attempt, store):
    emulator.plan(5, QUICK)
    first = attempt(1)
    assert attempt(2) == first, "this attempt is a retry: Airflow heard nothing of the first's success"
    second = attempt(3, max_tries=7)
    assert ids(emulator) == [first, second]
    store.before_set = crash_at(store.writings + 1)
    with pytest.raises(Crash):
        attempt(4, max_tries=9)
    store.before_set = lambda _: None
    assert ids(emulator) == [first, second]
    assert attempt(5, max_tries=9) == ids(emulator)[2]


@pytest.mark.parametrize(
    ("arguments", "status"),
    [({}, 4), ({"cancel_on_kill": False}, 1), ({"wait_for_completion": False}, 1)],
    ids=["as it is", "cancel_on_kill=False", "wait_for_completion=False"],
)
def test_a_clear_cancels_a_job_that_nobody_waits_for(emulator, attempt, crashed, arguments, status):
    first = crashed(ENDLESS)
    emulator.plan(5, QUICK)
    second = attempt(2, max_tries=6, **arguments)
    assert ids(emulator) == [first, second]
    assert emulator.job(first)["status"] == status


def test_another_input_is_another_job_and_ends_the_first(emulator, attempt, crashed, caplog):
    first = crashed(ENDLESS, input={"query_1": {"limit": 1}})
    emulator.plan(5, QUICK)
    second = attempt(2, input={"query_1": {"limit": 2}})
    assert ids(emulator) == [first, second]
    assert emulator.job(first)["status"] == 4
    assert "cancelled, as this attempt wants a different connection, workflow or input" in caplog.text


def test_another_input_starts_nothing_while_the_first_start_is_ambiguous(emulator, attempt, store, pauses):
    emulator.plan(5, ENDLESS)
    store.before_set = crash_at(2)
    with pytest.raises(Crash):
        attempt(1)
    with pytest.raises(
        NebulaExplorerAmbiguousSubmitError, match="wanted a different workflow or input"
    ) as raised:
        attempt(2, input={"query_1": {"limit": 2}})
    assert isinstance(raised.value, AirflowFailException)
    assert len(emulator.jobs) == 1


def test_the_ids_of_another_explorer_are_not_taken_for_those_of_this_one(
    emulator, attempt, crashed, store, caplog
):
    first = crashed(ENDLESS)
    note = store.get(TaskMemory.KEY)
    store.set(TaskMemory.KEY, {**note, "explorer": "http://old:7002\n\x1b[31mERROR"})
    emulator.plan(5, QUICK)
    assert attempt(2) == ids(emulator)[1]
    assert emulator.job(first)["status"] == 1
    assert f"At http://old:7002  [31mERROR, job {first} is left alone" in caplog.text


def test_without_durable_nothing_is_noted(emulator, attempt, store):
    emulator.plan(5, QUICK)
    first = attempt(1, durable=False)
    assert store.kept == {}
    assert attempt(2, durable=False) != first


def test_a_note_that_cannot_be_read_is_ignored_with_a_warning(emulator, attempt, store, caplog):
    store.set(TaskMemory.KEY, {"from": "a later version"})
    emulator.plan(5, QUICK)
    assert attempt(2) == ids(emulator)[0]
    assert "cannot be read and is ignored: {'from': 'a later version'}" in caplog.text


@IN_AIRFLOW
def test_without_a_noted_intent_nothing_is_started(emulator, attempt, store):
    def fail(number):
        raise RuntimeError("the API server is down")

    store.before_set = fail
    with pytest.raises(
        NebulaExplorerError, match="task state store .* failed: RuntimeError: the API server is down"
    ):
        attempt(1)
    assert emulator.jobs == []


@IN_AIRFLOW
def test_an_id_that_cannot_be_noted_does_not_end_the_wait(emulator, attempt, store, caplog, pauses):
    def fail(number):
        if number == 2:
            raise RuntimeError("the API server is down")

    store.before_set = fail
    emulator.plan(5, QUICK)
    job_id = attempt(1)
    assert f"would have to search for job {job_id}" in caplog.text
    assert attempt(2) == job_id


@MODES
def test_a_job_that_is_interrupted_by_the_end_of_its_attempt_is_replaced_once(
    emulator, attempt, crashed, deferrable, caplog
):
    first = crashed(JobPlan(running=6, ends="INTERRUPTED"))
    emulator.plan(5, JobPlan(running=3, ends="INTERRUPTED"))
    with pytest.raises(NebulaExplorerJobError, match="ended INTERRUPTED"):
        attempt(2, deferrable=deferrable)
    assert len(emulator.jobs) == 2
    assert attempt.xcoms[CLAIM_KEY] == a_claim(emulator, ids(emulator)[1])
    assert f"Job {first}" in caplog.text
    assert "was interrupted, perhaps by the end of the attempt that started it" in caplog.text


def test_a_task_that_does_not_wait_for_its_job_is_durable_too(emulator, attempt):
    first = attempt(1, wait_for_completion=False)
    assert attempt(2, wait_for_completion=False) == first
    assert ids(emulator) == [first]


def test_a_clear_is_not_held_up_by_a_job_that_cannot_be_polled(emulator, attempt, crashed, caplog):
    first = crashed(ENDLESS)
    emulator.plan(5, QUICK)
    emulator.fail(Fault("code", "get_job", code=40304000))
    assert attempt(2, max_tries=6) == ids(emulator)[1] != first
    assert "Its job may keep running, though a user cleared the task" in caplog.text


def test_a_job_that_is_stopping_is_not_resumed(emulator, attempt):
    emulator.plan(5, JobPlan(ends=None, stopping=1000))
    first = attempt(1, wait_for_completion=False)
    emulator.cancel(first)
    assert attempt(2, wait_for_completion=False) == ids(emulator)[1] != first


def killed_while_it_waits(task, context, monkeypatch):
    """Execute a task that is killed in its first pause; as in Airflow 3, its code continues after that."""

    def kill(seconds):
        task.on_kill()

    monkeypatch.setattr(time, "sleep", kill)
    with pytest.raises(NebulaExplorerTaskKilledError, match="The task was killed"):
        task.execute(context)


def test_a_killed_task_that_continues_for_a_while_starts_no_other_job(
    emulator, attempt, crashed, store, monkeypatch
):
    job_id = crashed(ENDLESS)
    task = NebulaExplorerRunWorkflowOperator(task_id="t", workflow_id=5, poll_interval=0.1)
    killed_while_it_waits(task, {"ti": TaskInstance(2, 5), **store.context}, monkeypatch)
    assert ids(emulator) == [job_id]
    assert emulator.job(job_id)["status"] == 4


def test_a_task_that_is_killed_before_it_polled_its_earlier_job_cancels_it(
    emulator, crashed, store, monkeypatch
):
    job_id = crashed(ENDLESS)
    emulator.fail(Fault("status", "get_job"))
    task = NebulaExplorerRunWorkflowOperator(task_id="t", workflow_id=5, poll_interval=0.1)
    killed_while_it_waits(task, {"ti": TaskInstance(2, 5), **store.context}, monkeypatch)
    assert emulator.job(job_id)["status"] == 4


def test_a_retry_logs_whether_it_found_a_note_and_where(attempt, crashed, store, caplog):
    where = (
        "Airflow's task state store"
        if store.reaches_every_attempt
        else f"state_dir '{store.file.parent}' on "
    )
    crashed(QUICK)
    assert "of this task found" not in caplog.text
    attempt(2)
    assert f"Attempt 2 of this task found attempt 1's note in {where}" in caplog.text


@IN_FOLDER
@MODES
def test_a_retry_on_a_machine_with_another_folder_starts_a_job_and_says_where_it_searched(
    emulator, attempt, crashed, monkeypatch, tmp_path, caplog, deferrable
):
    first = crashed(QUICK)
    monkeypatch.setenv("AIRFLOW__NEBULA_EXPLORER__STATE_DIR", str(tmp_path / "elsewhere"))
    assert attempt(2, deferrable=deferrable) == ids(emulator)[1] != first
    assert f"found no note in state_dir '{tmp_path / 'elsewhere'}' on " in caplog.text


@IN_FOLDER
@pytest.mark.parametrize("other", [{"dag_id": "e"}, {"run_id": "s"}, {"task_id": "u"}, {"map_index": 0}])
def test_each_task_instance_has_a_note_of_its_own(emulator, attempt, store, other):
    emulator.plan(5, QUICK)
    first = attempt(1)
    second = attempt(2, whose=other)
    assert (attempt(3), attempt(3, whose=other)) == (first, second)
    assert len(list(store.file.parent.glob("*.note"))) == 2


def test_a_dag_run_with_the_id_of_a_deleted_one_has_a_job_of_its_own(emulator, attempt, crashed):
    first = crashed(ENDLESS)
    emulator.plan(5, QUICK)
    assert attempt(1) == ids(emulator)[1] != first
    assert emulator.job(first)["status"] == 1, "it is left alone: it may be anybody's"


def test_a_dag_run_with_the_id_of_a_deleted_one_forgets_the_note_before_anything_can_fail(
    emulator, attempt, crashed
):
    first = crashed(QUICK)
    emulator.fail(Fault("code", "list_workflow_jobs", code=40004000))
    with pytest.raises(NebulaExplorerError):
        attempt(1)
    assert attempt(2) == ids(emulator)[1] != first


@IN_FOLDER
def test_a_note_is_a_private_file_that_names_nobody_and_holds_no_secret(emulator, attempt, store):
    emulator.plan(5, QUICK)
    attempt(1, input={"query_1": {"name": "a customer"}})
    assert store.file.stat().st_mode & 0o777 == 0o600
    assert set(store.get(None)) == {
        "attempt",
        "explorer",
        "generation",
        "input",
        "intent",
        "job_id",
        "not_started",
    }
    assert "a customer" not in store.file.read_text()


def made_readable(file):
    file.chmod(0o644)


def made_a_link(file):
    file.rename(file.with_name("another"))
    file.symlink_to("another")


def given_a_second_name(file):
    file.with_name("another").hardlink_to(file)


def put_into_a_folder_for_all(file):
    file.parent.chmod(0o777)


@IN_FOLDER
@pytest.mark.parametrize(
    "changed", [made_readable, made_a_link, given_a_second_name, put_into_a_folder_for_all]
)
def test_a_note_that_others_could_have_written_is_not_used(emulator, attempt, crashed, store, changed):
    first = crashed(QUICK)
    changed(store.file)
    assert attempt(2) == ids(emulator)[1] != first


@IN_FOLDER
def test_without_a_usable_folder_the_task_has_its_job_and_one_warning_says_why(
    emulator, attempt, store, caplog
):
    def fail(number):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    store.before_set = fail
    emulator.plan(5, QUICK)
    job_id = attempt(1)
    assert ids(emulator) == [job_id]
    warnings = [message for message in caplog.messages if "Nothing is shared through state_dir" in message]
    assert warnings == [
        f"Nothing is shared through state_dir '{store.file.parent}': No space left on device."
    ]


@IN_FOLDER
@pytest.mark.parametrize("content", [b"{", b"\xff", b"[" * 60_000], ids=["torn", "no text", "deep"])
def test_a_file_that_is_no_json_is_ignored_with_a_warning(emulator, attempt, store, caplog, content):
    emulator.plan(5, QUICK)
    attempt(1)
    store.file.write_bytes(content)
    assert attempt(2) == ids(emulator)[1]
    assert "The note of an earlier attempt cannot be read and is ignored" in caplog.text


@IN_FOLDER
def test_a_note_is_removed_when_it_has_been_kept_as_long_as_airflow_keeps_its_own(
    emulator, attempt, store, monkeypatch
):
    emulator.plan(5, QUICK)
    attempt(1)
    kept_until = store.file.stat().st_mtime
    assert kept_until == pytest.approx(time.time() + 30 * 86400, abs=60)
    other = TaskInstance()
    other.task_id = "u"
    for seconds, remains in [(-1, True), (2 * 3600, False)]:
        now = kept_until + seconds
        FolderMemory(str(store.file.parent), other, clock=lambda now=now: now).write({})
        assert store.file.exists() is remains
