# SPDX-License-Identifier: Apache-2.0
"""What 0.1 stored of a task in flight, as docs/support.md promises that each later version reads it."""

from __future__ import annotations

import asyncio
import json
from importlib import import_module

import pytest
from stand_ins import TaskInstance

from airflow_provider_nebula_explorer.explorer.starting.attempts import Note
from airflow_provider_nebula_explorer.explorer.successes.bookmark import Bookmark
from airflow_provider_nebula_explorer.operators.task_state import FolderMemory

TRIGGERS = "airflow_provider_nebula_explorer.triggers"
COMMON = {
    "nebula_explorer_conn_id": "nebula_explorer_default",
    "poll_interval": 0.1,
    "timeout_at": None,
    "execution_timeout_at": None,
    "failed_polls": 0,
}
OF_JOB = {
    **COMMON,
    "target_statuses": [2],
    "seen": {"id": 1, "status": 1, "workflowId": "5", "createTime": 1657593212505},
    "cancel_on_kill": True,
    "ends_task": False,
}
OF_WORKFLOW = {**COMMON, "workflow_id": 5, "name": None, "created_after": None}
NOTE = {
    "attempt": 1,
    "generation": 0,
    "explorer": "http://graph.example.com:7002",
    "input": "74234e98afe7498fb5daf1f36ac2d78acc339464f950703b8c019892f982b90b",
    "intent": {
        "workflow_id": 5,
        "known": [1, 2],
        "since": 1657593212505,
        "requested_at": 1657593215.0,
        "noted_at": 1657593215.5,
    },
    "job_id": 3,
    "not_started": False,
}


@pytest.mark.parametrize(
    ("module", "name"),
    [("nebula_explorer", "NebulaExplorerJobTrigger"), ("workflow_success", "WorkflowSuccessTrigger")],
)
def test_a_trigger_that_was_stored_by_0_1_still_waits(emulator, module, name):
    job_id = emulator.start_job(5)
    emulator.advance(60)
    arguments = OF_WORKFLOW if module == "workflow_success" else {**OF_JOB, "job_id": job_id}

    async def first_event():
        return await anext(getattr(import_module(f"{TRIGGERS}.{module}"), name)(**arguments).run())

    event = asyncio.run(first_event()).payload
    assert (event["job_id"], event["job"]) == (job_id, emulator.job(job_id))


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("operators", "NebulaExplorerRunWorkflowOperator"),
        ("operators", "NebulaExplorerCancelJobOperator"),
        ("sensors", "NebulaExplorerJobSensor"),
        ("sensors", "NebulaExplorerWorkflowSensor"),
    ],
)
def test_the_method_in_which_a_task_of_0_1_resumes_is_still_there(module, name):
    found = import_module(f"airflow_provider_nebula_explorer.{module}.nebula_explorer")
    assert callable(getattr(found, name).execute_complete)


def test_a_note_that_was_left_by_0_1_is_still_read():
    assert Note.from_json(NOTE).job_id == 3


def test_the_file_of_a_note_that_was_left_by_0_1_is_still_found(tmp_path):
    tmp_path.chmod(0o700)
    file = tmp_path / "75f4cf6c0163583e67e28c283cd3ae8b442b5d37445a1506f947081ffc50a069.note"
    file.touch(mode=0o600)
    file.write_text(json.dumps(NOTE))
    assert FolderMemory(str(tmp_path), TaskInstance()).read() == NOTE


def test_a_bookmark_that_was_left_by_0_1_is_still_read():
    known = [[1, 1657593212505], [2, 0]]
    bookmark = Bookmark.of({"since": 1657593212505, "at": 1657593215000, "known": known, "open": [2]})
    assert (bookmark.open, len(bookmark.known)) == ({2}, 2)
