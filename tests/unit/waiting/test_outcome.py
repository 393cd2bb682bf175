# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from factories import a_job

from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerConnectionError,
    NebulaExplorerJobError,
    NebulaExplorerNotFoundError,
    NebulaExplorerServerError,
)
from airflow_provider_nebula_explorer.explorer.models import JobStatus
from airflow_provider_nebula_explorer.explorer.waiting.outcome import FailedPolls, has_reached
from airflow_provider_nebula_explorer.explorer.waiting.progress import JobProgress

FAILED_TASKS = [
    {"id": "a" * 32, "name": "query_1", "status": 2},
    {"id": "b" * 32, "name": "bfs_1", "status": 3},
]


@pytest.mark.parametrize("code", [0, 1, 5, 9])
def test_a_job_that_is_not_final_is_waited_for(code):
    assert not has_reached(a_job(code), {JobStatus.SUCCESS})


@pytest.mark.parametrize("code", range(6))
def test_a_target_ends_the_wait_whatever_it_is(code):
    assert has_reached(a_job(code), {JobStatus(code)})


FORGING = "a\nERROR forged\x1b[31m" + "n" * 3_000_000


def test_names_from_outside_are_shown_in_one_line_each():
    job = a_job(3, name=FORGING, tasks=[{"id": FORGING, "name": FORGING, "status": 3}])
    lines = [line for _, line in JobProgress().lines(job, 0.0, 0.0)]
    with pytest.raises(NebulaExplorerJobError) as raised:
        has_reached(job, {JobStatus.SUCCESS})
    for line in (*lines, str(raised.value)):
        assert line.isprintable()
        assert len(line) < 1000
    assert lines[0].startswith("Job 1964 (a ERROR forged [31mnnn")
    assert job.name == job.data["name"] == FORGING, "a name is compared as it is"


def test_no_more_of_a_jobs_tasks_are_shown_than_a_screen_holds():
    tasks = [{"id": f"{number:032x}", "name": f"query_{number}", "status": 3} for number in range(60)]
    job = a_job(3, tasks=tasks)
    lines = [line for _, line in JobProgress().lines(job, 0.0, 0.0)]
    assert len([line for line in lines if line.startswith("  task ")]) == 50
    assert lines[-1] == "  and 10 more tasks"
    with pytest.raises(NebulaExplorerJobError, match=r"query_49 \(\w+\): FAILED, and 10 more\.$"):
        has_reached(job, {JobStatus.SUCCESS})


@pytest.mark.parametrize("code", [2, 3, 4])
def test_a_final_status_outside_the_targets_is_an_error_with_the_job(code):
    job = a_job(code, tasks=FAILED_TASKS)
    with pytest.raises(NebulaExplorerJobError) as raised:
        has_reached(job, {JobStatus.RUNNING})
    assert raised.value.job is job
    assert f"ended {JobStatus(code).name}, not RUNNING" in str(raised.value)


def test_the_error_names_the_tasks_that_failed():
    with pytest.raises(NebulaExplorerJobError, match=rf"did not succeed: bfs_1 \({'b' * 32}\): FAILED\.$"):
        has_reached(a_job(3, tasks=FAILED_TASKS), {JobStatus.SUCCESS})


PASSING = NebulaExplorerServerError("no response", http_status=503)


def test_failed_polls_in_a_row_end_the_wait_at_the_limit():
    failed_polls = FailedPolls("job 7", 3)
    assert "Poll 1 of 3 for job 7 failed" in failed_polls.failed(PASSING)
    assert "Poll 2 of 3" in failed_polls.failed(PASSING)
    with pytest.raises(
        NebulaExplorerConnectionError, match="Cannot observe job 7: 3 polls in a row failed"
    ) as raised:
        failed_polls.failed(PASSING)
    assert raised.value.__cause__ is PASSING


def test_a_poll_that_gets_a_response_starts_the_count_again():
    failed_polls = FailedPolls("job 7", 2)
    failed_polls.failed(PASSING)
    failed_polls.succeeded()
    assert "Poll 1 of 2" in failed_polls.failed(PASSING)


def test_an_error_that_time_does_not_mend_ends_the_wait_at_once():
    gone = NebulaExplorerNotFoundError("gone", code=40404000)
    with pytest.raises(NebulaExplorerNotFoundError) as raised:
        FailedPolls("job 7", 3).failed(gone)
    assert raised.value is gone
