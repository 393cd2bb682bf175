# SPDX-License-Identifier: Apache-2.0
"""The hook of operators and sensors, and its parameters."""

from __future__ import annotations

import copy
import logging
from datetime import timedelta

import pytest

from airflow_provider_nebula_explorer.emulator import Fault, JobPlan
from airflow_provider_nebula_explorer.exceptions import NebulaExplorerConfigError, NebulaExplorerServerError
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

ALL = [
    (NebulaExplorerGetJobOperator, {"job_id": 101}),
    (NebulaExplorerListJobsOperator, {}),
    (NebulaExplorerRunWorkflowOperator, {"workflow_id": 5}),
    (NebulaExplorerCancelJobOperator, {"job_id": 101}),
    (NebulaExplorerGetTaskResultOperator, {"job_id": 101, "explorer_task_name": "query_1"}),
    (NebulaExplorerJobSensor, {"job_id": 101}),
    (NebulaExplorerWorkflowSensor, {"workflow_id": 5}),
]
TASKS = pytest.mark.parametrize(("kind", "arguments"), ALL)
VALUES = {"timeout": 7, "max_retries": 1, "max_consecutive_failures": 3}


@TASKS
def test_a_task_has_one_hook_which_it_uses(explorer, context, caplog, kind, arguments):
    explorer.set_connection(extra={"max_retries": 0})
    explorer.emulator.fail(Fault("status", times=None))
    task = kind(task_id="t", hook_params={"max_retries": 1}, **arguments)
    assert isinstance(task.hook, NebulaExplorerHook)
    assert task.hook is task.hook
    with pytest.raises(NebulaExplorerServerError):
        task.hook.list_workflows()
    assert explorer.emulator.count() == 2


@TASKS
def test_the_hooks_parameters_replace_the_connections(explorer, kind, arguments):
    settings = kind(task_id="t", hook_params=VALUES, **arguments).hook.settings
    assert {name: getattr(settings, name) for name in VALUES} == VALUES


@TASKS
def test_the_calls_of_a_task_are_made_with_the_parameters(explorer, context, pauses, kind, arguments):
    explorer.set_connection(extra={"max_retries": 0})
    explorer.emulator.start_job(5, plan=JobPlan(running=0))
    explorer.emulator.plan(5, JobPlan(running=0))
    explorer.emulator.fail(Fault("status", "connect"))
    if kind is NebulaExplorerWorkflowSensor:
        arguments = {**arguments, "created_after": "2020-01-01T00:00:00Z"}
    kind(task_id="t", hook_params={"max_retries": 1}, **arguments).execute(context)
    assert explorer.emulator.count("connect") == 2


@TASKS
def test_without_parameters_the_connection_decides(explorer, kind, arguments):
    explorer.set_connection(extra={"timeout": 11})
    assert kind(task_id="t", **arguments).hook.settings.timeout == 11


@TASKS
def test_a_hook_that_was_used_is_no_hindrance_to_a_copy_of_the_task(emulator, kind, arguments):
    task = kind(task_id="t", **arguments)
    with task.hook as hook:
        hook.list_workflows()
    assert copy.copy(task).hook is task.hook
    assert copy.deepcopy(kind(task_id="t", **arguments)).hook is not task.hook


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("timeout", 0, "a number of seconds above 0, up to 3600"),
        ("max_retries", "many", "a whole number from 0 to 100"),
        ("max_consecutive_failures", True, "a whole number from 1 to 100000"),
    ],
)
def test_a_wrong_parameter_is_refused_before_any_request(emulator, name, value, allowed):
    with pytest.raises(NebulaExplorerConfigError, match=f"{name} is {value!r}; allowed: {allowed}"):
        NebulaExplorerHook(**{name: value}).get_job(1)
    assert emulator.count() == 0


def test_a_timeout_may_be_a_timedelta(explorer):
    assert NebulaExplorerHook(timeout=timedelta(minutes=2)).settings.timeout == 120


POINTLESS = "deferrable=True has no effect, as wait_for_completion is False"


@pytest.mark.parametrize(
    ("arguments", "is_warned_of"),
    [
        ({"deferrable": True, "wait_for_completion": False}, True),
        ({"deferrable": False, "wait_for_completion": False}, False),
        ({"wait_for_completion": False}, False),
    ],
)
@pytest.mark.parametrize("kind", [NebulaExplorerRunWorkflowOperator, NebulaExplorerCancelJobOperator])
def test_deferrable_without_a_wait_is_warned_of(emulator, context, caplog, kind, arguments, is_warned_of):
    caplog.set_level(logging.WARNING)
    subject = (
        {"job_id": emulator.start_job(5)} if kind is NebulaExplorerCancelJobOperator else {"workflow_id": 5}
    )
    kind(task_id="t", **subject, **arguments).execute(context)
    assert (POINTLESS in caplog.text) is is_warned_of
