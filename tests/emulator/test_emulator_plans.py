# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from airflow_provider_nebula_explorer.emulator import Fault, JobPlan, TaskPlan
from airflow_provider_nebula_explorer.emulator.plans import read_workflow
from airflow_provider_nebula_explorer.explorer.models import JobStatus


def test_a_plan_succeeds_with_two_tasks_by_default():
    plan = JobPlan()

    assert (plan.ends, len(plan.tasks)) == (JobStatus.SUCCESS, 2)


def test_a_plan_is_read_from_json():
    data = {"running": 5, "ends": "failed", "tasks": [{"name": "q", "rows": [["a", "b"]], "fails": True}]}

    expected = JobPlan(running=5, ends=JobStatus.FAILED, tasks=(TaskPlan("q", (("a", "b"),), fails=True),))
    assert JobPlan.from_json(data) == expected


@pytest.mark.parametrize("end", ["INTERRUPTED", "interrupted", 4, JobStatus.INTERRUPTED])
def test_an_end_is_a_status_a_number_or_a_name_in_any_case(end: object):
    assert JobPlan.from_json({"ends": end}).ends is JobStatus.INTERRUPTED


def test_a_job_that_never_ends_is_null_in_json():
    assert JobPlan.from_json({"ends": None}).ends is None


def test_a_workflow_is_a_plan_with_a_name():
    assert read_workflow({"name": "pagerank", "running": 2}) == ("pagerank", (JobPlan(running=2),))


def test_a_workflow_may_have_a_plan_for_each_of_its_next_jobs():
    plans = (JobPlan(ends=JobStatus.FAILED), JobPlan(running=2))

    assert read_workflow({"name": "pagerank", "plans": [{"ends": 3}, {"running": 2}]}) == ("pagerank", plans)


@pytest.mark.parametrize(
    ("data", "named"),
    [
        ({"plans": []}, "'plans' is []"),
        ({"plans": {"running": 2}}, "'plans' is {'running': 2}"),
        ({"plans": [2]}, "a job's plan is a JSON object"),
        ({"plans": [{}], "running": 2}, "no 'plans'"),
    ],
)
def test_wrong_plans_are_refused_with_what_is_wrong(data: object, named: str):
    with pytest.raises(ValueError) as refusal:  # noqa: PT011 - the text is checked below
        read_workflow(data)

    assert named in str(refusal.value)


@pytest.mark.parametrize(
    ("data", "named"),
    [
        ([], "a JSON object"),
        ({"runing": 1}, "'runing'"),
        ({"running": -1}, "'running' is -1"),
        ({"preparing": "1"}, "'preparing' is '1'"),
        ({"stopping": True}, "'stopping' is True"),
        ({"running": float("inf")}, "'running' is inf"),
        ({"ends": "DONE"}, "'ends' is 'DONE'"),
        ({"ends": "RUNNING"}, "'ends' is 'RUNNING'"),
        ({"ends": 7}, "'ends' is 7"),
        ({"runs_as": 2}, "'runs_as' is 2"),
        ({"runs_as": "RUNNING"}, "'runs_as' is 'RUNNING'"),
        ({"tasks": "query_1"}, "'tasks' is 'query_1'"),
        ({"tasks": ["query_1"]}, "a task's plan is a JSON object"),
        ({"tasks": [{}]}, "name"),
        ({"tasks": [{"name": ""}]}, "'name' is ''"),
        ({"tasks": [{"name": "q", "rows": [["a"]]}]}, "'rows' is [['a']]"),
        ({"tasks": [{"name": "q", "rows": [["a", 1]]}]}, "'rows'"),
        ({"tasks": [{"name": "q", "rows": [["a", "b"], ["a", "b", "c"]]}]}, "'rows'"),
        ({"tasks": [{"name": "q", "rows": "ab"}]}, "'rows' is 'ab'"),
        ({"tasks": [{"name": "q", "fails": 1}]}, "'fails' is 1"),
        ({"tasks": [{"name": "q", "fails": True}]}, "ends FAILED"),
        ({"ends": 3, "tasks": [{"name": "q", "fails": True}] * 2}, "at most one"),
    ],
)
def test_a_wrong_plan_is_refused_with_what_is_wrong(data: object, named: str):
    with pytest.raises(ValueError) as refusal:  # noqa: PT011 - the text is checked below
        JobPlan.from_json(data)

    assert named in str(refusal.value)


@pytest.mark.parametrize("name", ["", 5])
def test_a_workflow_s_name_is_a_text(name: object):
    with pytest.raises(ValueError, match="'name'"):
        read_workflow({"name": name})


@pytest.mark.parametrize(
    ("data", "named"),
    [
        ("reset", "a JSON object"),
        ({}, "kind"),
        ({"kind": "explode"}, "'kind' is 'explode'"),
        ({"kind": "reset", "endpoint": "get_jbo"}, "'endpoint' is 'get_jbo'"),
        ({"kind": "reset", "times": 0}, "'times' is 0"),
        ({"kind": "reset", "after": -1}, "'after' is -1"),
        ({"kind": "reset", "probability": 2}, "'probability' is 2"),
        ({"kind": "reset", "processed": True}, "'processed' is True"),
        ({"kind": "status", "status": 100}, "'status' is 100"),
        ({"kind": "code"}, "'code' is None"),
        ({"kind": "code", "code": 404}, "'code' is 404"),
        ({"kind": "status", "code": 40404000}, "'code' is 40404000"),
        ({"kind": "status", "message": "no"}, "'message' is 'no'"),
        ({"kind": "code", "code": 40404000, "message": 1}, "'message' is 1"),
        ({"kind": "status", "details": "no"}, "'details' is 'no'"),
        ({"kind": "another_job"}, "'job_id' is None"),
        ({"kind": "another_job", "job_id": 0}, "'job_id' is 0"),
        ({"kind": "reset", "job_id": 101}, "'job_id' is 101"),
        ({"kind": "slow", "seconds": -1}, "'seconds' is -1"),
        ({"kind": "slow", "second": 1}, "'second'"),
    ],
)
def test_a_wrong_fault_is_refused_with_what_is_wrong(data: object, named: str):
    with pytest.raises(ValueError) as refusal:  # noqa: PT011 - the text is checked below
        Fault.from_json(data)

    assert named in str(refusal.value)
