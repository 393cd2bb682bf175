# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import copy
import pickle
from datetime import datetime, timedelta, timezone

import pytest
from factories import PUBLISHED_JOB, a_job

from airflow_provider_nebula_explorer.explorer.models import (
    JobStatus,
    number_in,
    one_line,
    parse_job,
    parse_time,
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("PageRank 图", "PageRank 图"),
        ("a\r\nERROR forged\x1b[31m\u2028\u202e\ud800", "a  ERROR forged [31m   "),
        ("x" * 200, "x" * 200),
        ("x" * 3_000_000, "x" * 200),
    ],
)
def test_text_from_outside_is_shown_as_one_line(text, shown):
    assert one_line(text) == shown


@pytest.mark.parametrize(
    ("text", "number"), [("3992429968", 3992429968), ("", None), ("²", None), ("٣", None), ("9" * 5000, None)]
)
def test_an_id_is_digits(text, number):
    assert number_in(text) == number


def test_the_published_example_is_read():
    job = parse_job(PUBLISHED_JOB)
    assert (job.id, job.name, job.status) == (1964, "workflow_xkkjf_20220712103332", JobStatus.SUCCESS)
    assert (job.workflow_id, job.workflow_name) == ("3992429968", "workflow_xkkjf")
    assert job.create_time == datetime(2022, 7, 12, 2, 33, 32, 505000, tzinfo=timezone.utc)
    assert job.duration == timedelta(seconds=3)
    (task,) = job.tasks
    assert (task.id, task.name, task.status) == ("f93dea90fc3a11ecac7e6da0662c195b", "BFS", JobStatus.SUCCESS)
    assert task.run_begin_time == datetime(2022, 7, 12, 2, 33, 35, tzinfo=timezone.utc)
    assert task.duration == timedelta(seconds=3)


def test_data_is_the_api_object_unchanged():
    data = {**PUBLISHED_JOB, "somethingNew": {"deep": [1, None]}}
    before = copy.deepcopy(data)
    assert parse_job(data).data == before


@pytest.mark.parametrize(
    ("code", "name", "is_final", "is_success"),
    [
        (0, "PREPARING", False, False),
        (1, "RUNNING", False, False),
        (2, "SUCCESS", True, True),
        (3, "FAILED", True, False),
        (4, "INTERRUPTED", True, False),
        (5, "STOPPING", False, False),
    ],
)
def test_every_documented_status(code, name, is_final, is_success):
    status = JobStatus(code)
    assert (status.name, status.is_final, status.is_success) == (name, is_final, is_success)
    assert status.is_known
    assert status is JobStatus[name]


@pytest.mark.parametrize("code", [9, -1, "9"])
def test_an_unknown_status_is_neither_final_nor_a_failure_nor_an_error(code):
    status = parse_job({**PUBLISHED_JOB, "status": code}).status
    assert (status, status.name) == (int(code), f"UNKNOWN_{code}")
    assert not status.is_final
    assert not status.is_success
    assert not status.is_known
    assert pickle.loads(pickle.dumps(status)) == status
    assert len(JobStatus) == 6, "an unknown code must not become a member"


@pytest.mark.parametrize("value", ["SUCCESS", None, 2.5])
def test_a_status_is_a_number(value):
    with pytest.raises(ValueError, match="not a valid JobStatus"):
        JobStatus(value)


@pytest.mark.parametrize("value", [0, None, "", "0001-01-01T00:00:00Z", "0", -62135596800000, [], "soon"])
def test_a_time_that_has_not_come_is_none(value):
    assert parse_time(value) is None


@pytest.mark.parametrize(
    "value", [10**30, float("inf"), float("nan"), "9" * 5000, "²", "99999-01-01T00:00:00Z"]
)
def test_an_impossible_time_is_none(value):
    assert parse_time(value) is None


@pytest.mark.parametrize(
    "value",
    [
        1657593215123,
        "1657593215123",
        "2022-07-12T10:33:35.123+08:00",
        "2022-07-12T02:33:35.123Z",
        "2022-07-12T02:33:35.123000000Z",
        "2022-07-12T02:33:35.123",
    ],
)
def test_times_are_read_in_all_their_forms(value):
    assert parse_time(value) == datetime(2022, 7, 12, 2, 33, 35, 123000, tzinfo=timezone.utc)


@pytest.mark.parametrize("job_id", [107, "107"])
def test_an_id_may_be_text_or_number(job_id):
    assert a_job(id=job_id).id == 107


@pytest.mark.parametrize("tasks", [None, [], "nonsense", [None, 7]])
def test_a_job_without_usable_tasks_has_none(tasks):
    assert a_job(tasks=tasks).tasks == ()


def test_a_task_that_lacks_fields_has_not_started():
    (task,) = a_job(tasks=[{}]).tasks
    assert (task.status, task.id, task.name, task.duration) == (JobStatus.PREPARING, "", "", None)


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "text",
        {},
        {"id": 1},
        {"status": 1},
        {"id": 1, "status": True},
        {"id": -1, "status": 2},
        {"id": 10**20, "status": 2},
    ],
)
def test_an_object_that_is_no_job_is_a_value_error(data):
    with pytest.raises(ValueError, match="job|whole number|out of range"):
        parse_job(data)


def test_failed_tasks_are_those_that_ended_without_success():
    tasks = [{"name": str(code), "status": code} for code in range(7)]
    assert [task.name for task in a_job(tasks=tasks).failed_tasks] == ["3", "4"]


def test_jobs_are_frozen_and_comparable():
    assert a_job() == a_job()
    assert hash(a_job()) == hash(a_job())
    with pytest.raises(AttributeError):
        a_job().status = JobStatus.FAILED
