# SPDX-License-Identifier: Apache-2.0
"""What resumes a task is believed only if it is about what the task waits for, and can be read."""

from __future__ import annotations

import json

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from deferral import first_event
from factories import a_job

from airflow_provider_nebula_explorer.emulator import JobPlan
from airflow_provider_nebula_explorer.exceptions import NebulaExplorerConnectionError, NebulaExplorerError
from airflow_provider_nebula_explorer.explorer.waiting.events import (
    error_event,
    job_event,
    limits_in,
    timeout_event,
)
from airflow_provider_nebula_explorer.operators.nebula_explorer import (
    NebulaExplorerCancelJobOperator,
    NebulaExplorerRunWorkflowOperator,
)
from airflow_provider_nebula_explorer.sensors.nebula_explorer import (
    NebulaExplorerJobSensor,
    NebulaExplorerWorkflowSensor,
)

TASKS = {
    "run": lambda: NebulaExplorerRunWorkflowOperator(task_id="t", workflow_id=5, deferrable=True),
    "cancel": lambda: NebulaExplorerCancelJobOperator(task_id="t", job_id="7", deferrable=True),
    "job sensor": lambda: NebulaExplorerJobSensor(task_id="t", job_id="7", deferrable=True),
    "workflow sensor": lambda: NebulaExplorerWorkflowSensor(task_id="t", workflow_id="5", deferrable=True),
}
OURS = a_job(2, id=7, workflowId="5")
FOREIGN = a_job(2, id=8, workflowId="6")


def resume(name, event, context):
    """Resume a task as Airflow does, in a process of its own."""
    arguments = {"nebula_explorer_job_id": 7} if name in ("run", "cancel") else {}
    event = json.loads(json.dumps(event))
    return TASKS[name]().resume_execution("execute_complete", {**arguments, "event": event}, context)


def foreign_events(name):
    kind, number = ("workflow", "6") if name == "workflow sensor" else ("job", 8)
    subject = {f"{kind}_id": number}
    return [
        job_event(FOREIGN, "http://graph/"),
        error_event(subject, NebulaExplorerError("something else failed")),
        timeout_event(subject, "timeout"),
        timeout_event(subject, "execution_timeout"),
    ]


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("which", range(4), ids=["job", "error", "timeout", "execution_timeout"])
def test_an_event_about_something_else_is_refused(explorer, context, ti, name, which):
    with pytest.raises(NebulaExplorerError) as raised:
        resume(name, foreign_events(name)[which], context)
    about, wanted = ("workflow 6", "workflow 5") if name == "workflow sensor" else ("job 8", "job 7")
    assert f"event is about {about}, but the task waits for {wanted}: " in str(raised.value)
    assert ti.xcoms == {}
    assert explorer.emulator.count() == 0


@pytest.mark.parametrize("name", TASKS)
def test_an_event_about_what_the_task_waits_for_is_believed(explorer, context, name):
    assert resume(name, job_event(OURS, "http://graph/"), context) == (7 if name == "run" else OURS.data)


@pytest.mark.parametrize("name", TASKS)
def test_an_error_about_no_id_at_all_keeps_its_words(explorer, context, name):
    with pytest.raises(NebulaExplorerError, match="^job_id is 'None'$"):
        resume(name, error_event({"job_id": "None"}, NebulaExplorerError("job_id is 'None'")), context)


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize(
    "event",
    [
        None,
        "done",
        [],
        {},
        {"job_id": 7},
        {"job_id": 7, "job": None},
        {"job_id": 7, "job": {"id": 7}},
        {"job_id": 7, "job": {"id": 7, "status": "2x"}},
        {"job_id": 9, "job": OURS.data},
        {"job": OURS.data},
        {"job_id": 7, "error": "it failed"},
        {"job_id": 7, "timed_out": "tomorrow"},
    ],
    ids=str,
)
def test_an_event_that_cannot_be_read_is_refused(explorer, context, ti, name, event):
    with pytest.raises(NebulaExplorerError, match="which this version cannot read"):
        resume(name, event, context)
    assert ti.xcoms == {}


@pytest.mark.parametrize("limits", [5, [1], [1, 2, 3], ["1", None], [True, None], {"0": 1}])
def test_limits_that_cannot_be_read_are_an_error(limits):
    with pytest.raises(NebulaExplorerError, match="cannot read"):
        limits_in({"limits": limits})
    assert limits_in({"limits": [1.5, None]}) == (1.5, None)
    assert limits_in({}) == (None, None)


BEGUN = {
    "run": lambda: NebulaExplorerRunWorkflowOperator(task_id="t", workflow_id=5, deferrable=True),
    "cancel": lambda: NebulaExplorerCancelJobOperator(
        task_id="t", job_id=101, deferrable=True, wait_for_completion=True
    ),
    "job sensor": lambda: NebulaExplorerJobSensor(task_id="t", job_id=101, deferrable=True),
    "workflow sensor": lambda: NebulaExplorerWorkflowSensor(
        task_id="t", workflow_id="5", created_after="2020-01-01", deferrable=True
    ),
}


@pytest.fixture
def deferred_task(emulator, context):
    """Defer a task of the given kind; return what resumes it, as its trigger or with an error."""
    emulator.plan(5, JobPlan(running=1000, stopping=1000))
    emulator.start_job(5)

    def defer(name, error=None):
        with pytest.raises(TaskDeferred) as deferred:
            BEGUN[name]().execute(context)
        pause = deferred.value
        (subject,) = {"job_id", "workflow_id"} & set(pause.trigger.serialize()[1])
        emulator.advance(3000)
        subject = {subject: getattr(pause.trigger, subject)}
        event = error_event(subject, error) if error else first_event(pause.trigger)
        stored = json.loads(json.dumps({**pause.kwargs, "event": event}))
        return lambda: BEGUN[name]().resume_execution(pause.method_name, stored, context)

    return defer


AWAY = NebulaExplorerConnectionError("Explorer is away")


@pytest.mark.parametrize("name", BEGUN)
@pytest.mark.parametrize(("version", "attempt"), [("3.0.6", 1), ("3.1.1", 2), ("2.11.2", 2)])
def test_an_attempt_ends_in_the_error_that_it_is_resumed_with(
    deferred_task, ti, monkeypatch, name, version, attempt
):
    monkeypatch.setattr("airflow.__version__", version)
    resume_it = deferred_task(name, AWAY)
    ti.try_number = attempt
    with pytest.raises(NebulaExplorerConnectionError, match="Explorer is away"):
        resume_it()


@pytest.mark.parametrize("name", BEGUN)
@pytest.mark.parametrize("version", ["3.0.0", "3.0.6", "3.1.0"])
def test_a_retry_that_airflow_resumes_with_an_earlier_error_begins_anew(
    emulator, deferred_task, ti, monkeypatch, caplog, name, version
):
    monkeypatch.setattr("airflow.__version__", version)
    caplog.set_level("INFO")
    resume_it = deferred_task(name, AWAY)
    ti.try_number = 2
    calls = emulator.count()
    assert resume_it()
    assert emulator.count() > calls
    assert "Airflow resumed attempt 2 with the event of attempt 1. It begins anew." in caplog.text


@pytest.mark.parametrize("name", BEGUN)
def test_an_earlier_success_ends_a_retry_that_airflow_resumes_with_it(
    emulator, deferred_task, ti, monkeypatch, name
):
    monkeypatch.setattr("airflow.__version__", "3.0.6")
    resume_it = deferred_task(name)
    ti.try_number = 2
    calls = emulator.count()
    assert resume_it()
    assert emulator.count() == calls
