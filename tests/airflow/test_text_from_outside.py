# SPDX-License-Identifier: Apache-2.0
"""Whoever names a workflow, a job or a task forges no line of a log, and no error, link or lineage."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from deferral import first_event, run_to_its_end
from hostile_server import LOGGED_IN, HostileServer, a_job, success

from airflow_provider_nebula_explorer.emulator import Fault, JobPlan, TaskPlan
from airflow_provider_nebula_explorer.exceptions import (
    LONGEST_TEXT,
    NebulaExplorerConfigError,
    NebulaExplorerError,
)
from airflow_provider_nebula_explorer.explorer.models import LONGEST_MESSAGE, LONGEST_NAME
from airflow_provider_nebula_explorer.hooks.nebula_explorer import NebulaExplorerHook
from airflow_provider_nebula_explorer.operators.nebula_explorer import (
    NebulaExplorerCancelJobOperator,
    NebulaExplorerGetJobOperator,
    NebulaExplorerGetTaskResultOperator,
    NebulaExplorerListJobsOperator,
    NebulaExplorerRunWorkflowOperator,
)
from airflow_provider_nebula_explorer.sensors.nebula_explorer import (
    NebulaExplorerJobSensor,
    NebulaExplorerWorkflowSensor,
)
from airflow_provider_nebula_explorer.triggers.nebula_explorer import NebulaExplorerWorkflowTrigger

NAME = "a\r\n[2026-01-01] ERROR forged \x1b[31m\u2028\u202e" + "x" * 3000
LONG_AGO = "2020-01-01T00:00:00Z"


def named(ends="SUCCESS", running=1.0):
    return JobPlan(preparing=0, running=running, ends=ends, tasks=(TaskPlan(NAME), TaskPlan("other")))


@pytest.fixture
def ours(caplog):
    """Return what this package has logged, and make sure that something was and that no line is forged."""
    caplog.set_level("DEBUG")

    def ours(longest=LONGEST_NAME):
        lines = [it.getMessage() for it in caplog.records if it.name.startswith("airflow_provider_nebula")]
        assert lines
        assert [line for line in lines if not is_fine(line, longest)] == []
        return lines

    return ours


def is_fine(text, longest=LONGEST_NAME):
    """Say whether a text is one line in which a name of outside is cut."""
    return text.isprintable() and "x" * (longest + 1) not in text


WITH_A_JOB = {
    "get": (NebulaExplorerGetJobOperator, {}),
    "cancel": (NebulaExplorerCancelJobOperator, {"wait_for_completion": True, "poll_interval": 0.1}),
    "wait": (NebulaExplorerJobSensor, {"poke_interval": 0.1}),
    "result": (NebulaExplorerGetTaskResultOperator, {"explorer_task_name": NAME}),
}
WITH_A_WORKFLOW = {
    "run": (NebulaExplorerRunWorkflowOperator, {"poll_interval": 0.1}),
    "list": (NebulaExplorerListJobsOperator, {}),
    "wait for any": (NebulaExplorerWorkflowSensor, {"created_after": LONG_AGO, "fail_on_failed_job": True}),
}
CANNOT_DEFER = ("get", "result", "list")


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize("ends", ["SUCCESS", "FAILED"])
@pytest.mark.parametrize("what", [*WITH_A_JOB, *WITH_A_WORKFLOW])
def test_a_name_forges_no_line_and_no_error_of_any_task(emulator, context, ti, ours, what, ends, deferrable):
    emulator.plan(5, named(ends), name=NAME)
    job_id = emulator.start_job(
        5, plan=named(ends, running=0.0 if what == "wait for any" else 1.0), name=NAME
    )
    kind, arguments = {**WITH_A_JOB, **WITH_A_WORKFLOW}[what]
    subject = {"job_id": job_id} if what in WITH_A_JOB else {"workflow_id": 5}
    mode = {} if what in CANNOT_DEFER else {"deferrable": deferrable}
    try:
        run_to_its_end(lambda: kind(task_id="t", **subject, **arguments, **mode), context)
    except NebulaExplorerError as error:
        assert is_fine(str(error)), str(error)
    ours()
    assert is_fine(str(ti.xcoms.get("job_url")))


def test_a_name_forges_no_line_while_a_job_runs_and_none_of_an_asset(emulator, ours):
    emulator.start_job(5, plan=named(running=6.0), name=NAME)
    with NebulaExplorerHook() as hook:
        hook.wait_for_job(101, poll_interval=0.1)
    trigger = NebulaExplorerWorkflowTrigger(5, poll_interval=0.1, created_after=LONG_AGO)
    assert first_event(trigger)["name"] == NAME, "an event is what Explorer returned"
    assert [line for line in ours() if line.startswith("Job 101, task a  [2026-01-01] ERROR forged")]


def test_errors_that_list_names_are_in_one_line_each(emulator, pauses, ours):
    emulator.plan(5, named(), name=NAME)
    emulator.start_job(5, name=NAME)
    with NebulaExplorerHook() as hook:
        with pytest.raises(NebulaExplorerConfigError, match="matches 0 tasks of Job 101") as unknown:
            hook.get_task_result(101, name=NAME + "y")
        emulator.fail(Fault("lost", "run_workflow"))
        hook.run_workflow(5)
    assert is_fine(str(unknown.value))
    assert [line for line in ours() if "adopting it" in line]


def test_of_many_tasks_a_screen_full_is_listed(emulator, hook):
    tasks = tuple(TaskPlan(f"task_{number}") for number in range(60))
    emulator.start_job(5, plan=JobPlan(tasks=tasks))
    with pytest.raises(NebulaExplorerConfigError, match=r"task_49 \(\w+\), and 10 more\. Otherwise"):
        hook.get_task_result(101, name="none")


ODD = {**a_job(1), "workflowId": NAME, "workflowName": NAME, "name": NAME}


def test_an_odd_id_of_a_workflow_forges_no_link_and_no_lineage(explorer, context, ti, ours):
    with HostileServer([LOGGED_IN, success(ODD)]) as server:
        explorer.set_connection(host=server.url, port=None, extra={"job_url": "{base_url}/{workflow_id}"})
        task = NebulaExplorerGetJobOperator(task_id="t", job_id=1)
        asset = SimpleNamespace(uri="nebula-explorer://default/workflows/5")
        task.outlets, context["outlet_events"] = [asset], Events()
        assert task.execute(context) == json.loads(json.dumps(ODD)), "an XCom is what Explorer returned"
    ours()
    name, facts = task._run_facet
    for told in (facts, context["outlet_events"].extra):
        assert [text for text in told.values() if not is_fine(str(text))] == []
    assert (name, facts["jobId"]) == ("nebulaExplorerJob", 1)
    assert ti.xcoms["job_url"].startswith(f"{server.url}/a%20%20%5B")
    assert len(ti.xcoms["job_url"]) < 4 * LONGEST_NAME


class Events:
    """What Airflow gives a task for its outlets: here, all of them share one."""

    def __init__(self):
        self.extra = {}

    def __getitem__(self, outlet):
        return self


class Broken:
    """What Airflow gives a task for its outlets, if Airflow cannot find them."""

    def __getitem__(self, outlet):
        raise RuntimeError(f"no such row: {NAME}")


def test_what_airflow_quotes_in_its_errors_is_in_one_line(emulator, context, ti, ours):
    def push(key, value):
        raise RuntimeError(f"cannot be stored: {NAME}")

    emulator.plan(5, named())
    ti.xcom_push = push
    task = NebulaExplorerRunWorkflowOperator(task_id="t", workflow_id=5, wait_for_completion=False)
    task.outlets = [SimpleNamespace(uri="nebula-explorer://default/workflows/5")]
    task.execute({**context, "outlet_events": Broken()})
    for words in ("will not name its job: RuntimeError: no such row", "XComs failed: RuntimeError: cannot"):
        assert [line for line in ours(LONGEST_MESSAGE) if words in line]


def test_an_error_of_any_length_is_one_line_that_is_cut():
    text = str(NebulaExplorerError(NAME * 1000))
    assert text.isprintable()
    assert len(text) == LONGEST_TEXT
