# SPDX-License-Identifier: Apache-2.0
"""What Airflow makes of values of ours that a task returns."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace

import pytest
from factories import a_job, settings

try:
    from airflow.sdk.serde import deserialize, serialize
except ImportError:
    from airflow.serialization.serde import deserialize, serialize

from airflow_provider_nebula_explorer.explorer.models import JobStatus


@pytest.mark.parametrize("wrap", [lambda it: it, lambda it: [it], lambda it: {"settings": it}])
@pytest.mark.parametrize("value", [settings(), settings().account], ids=["Settings", "Account"])
def test_settings_cannot_be_returned_from_a_task(value, wrap):
    with pytest.raises(TypeError, match="holds a password and cannot be serialized"):
        serialize(wrap(value))


PAGE = Path(__file__).parents[2] / "docs" / "reference" / "hook.md"
ROWS = [["player110", "0.150000"]]

RETURNED = {
    "job.data": a_job().data,
    "[task.name for task in job.tasks]": ["BFS"],
    "job.status": JobStatus.SUCCESS,
    "job.status.name": "SUCCESS",
    "job.id": 1964,
    "job.workflow_id": "3992429968",
    "job.create_time": datetime(2022, 7, 12, 2, 33, 32, 505000, timezone.utc),
    'hook.get_task_result(job.id, name="BFS")': ROWS,
}


@pytest.mark.parametrize("value", [a_job(), a_job().tasks, [a_job()]], ids=["job", "tasks", "jobs"])
def test_a_job_cannot_be_returned_from_a_task(value):
    with pytest.raises(ImportError, match="was not found in allow list for deserialization imports"):
        deserialize(serialize(value))


def test_the_page_of_the_hook_says_what_can_be_returned():
    section = (
        PAGE.read_text(encoding="utf-8").partition("## What a task can return\n")[2].partition("\n## ")[0]
    )
    assert set(re.findall(r"^\| `(.+?)` \|", section, re.MULTILINE)) == set(RETURNED)


@pytest.mark.parametrize("expression", RETURNED)
def test_what_the_page_says_can_be_returned_is_the_same_in_the_next_task(expression):
    hook = SimpleNamespace(get_task_result=lambda job_id, name: ROWS)
    value = eval(expression, {"job": a_job(), "hook": hook})
    assert deserialize(serialize(value)) == value == RETURNED[expression]
