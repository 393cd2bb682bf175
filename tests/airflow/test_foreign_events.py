# SPDX-License-Identifier: Apache-2.0
"""What resumes a task is believed only if it is about what the task waits for, and can be read."""

from __future__ import annotations

import json

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
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
    arguments = {"job_id": 7} if name in ("run", "cancel") else {}
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
    """Defer a task of the given kind; return what resumes it with an error, in an attempt of its own."""
    emulator.plan(5, JobPlan(running=1000, stopping=1000))
    emulator.start_job(5)

    def defer(name):
        with pytest.raises(TaskDeferred) as deferred:
            BEGUN[name]().execute(context)
        pause = deferred.value
        (subject,) = {"job_id", "workflow_id"} & set(pause.trigger.serialize()[1])
        wait = {subject: getattr(pause.trigger, subject)}
        error = error_event(wait, NebulaExplorerConnectionError("Explorer is away"))
        stored = json.loads(json.dumps({**pause.kwargs, "event": error}))
        return lambda: BEGUN[name]().resume_execution(pause.method_name, stored, context)

    return defer


@pytest.mark.parametrize("name", BEGUN)
def test_an_attempt_ends_in_the_error_that_it_waited_for(deferred_task, name):
    resume_it = deferred_task(name)
    with pytest.raises(NebulaExplorerConnectionError, match="Explorer is away"):
        resume_it()


@pytest.mark.parametrize("name", BEGUN)
def test_an_attempt_with_the_event_of_an_earlier_one_begins_anew(deferred_task, ti, caplog, name):
    caplog.set_level("INFO")
    resume_it = deferred_task(name)
    ti.try_number = 2
    with pytest.raises(TaskDeferred) as again:
        resume_it()
    assert again.value.kwargs["attempt"] == 2
    assert "Airflow resumed attempt 2 with the event of attempt 1. It begins anew." in caplog.text
