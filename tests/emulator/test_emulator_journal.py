# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from airflow_provider_nebula_explorer.emulator import Emulator, JobPlan, TaskPlan
from airflow_provider_nebula_explorer.explorer.models import JobStatus

COMMAND = [sys.executable, "-m", "airflow_provider_nebula_explorer.emulator", "--port", "0"]
ROOT = Path(__file__).parents[2]
NOW = 1_700_000_000.0
LONG = JobPlan(running=3600, ends=JobStatus.FAILED, tasks=(TaskPlan("query_1", rows=(("a", "b"),)),))


def emulator(file: Path) -> Emulator:
    return Emulator(clock=lambda: NOW, journal=file)


@contextmanager
def killed_at_the_end(file: Path) -> Iterator[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [*COMMAND, "--journal", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            address = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
            assert address
            yield f"{address[0]}/_emulator"
        finally:
            process.send_signal(signal.SIGKILL)


def test_another_emulator_goes_on_with_its_jobs_workflows_and_clock(tmp_path: Path):
    first = emulator(tmp_path / "journal")
    first.plan(12, LONG, name="pagerank")
    first.start_job(12, {"query_1": {"limit": 10}})
    first.cancel(first.start_job(12, name="unwanted"))
    first.advance(60)
    first.set_clock(-7)
    first.start_job(12, plan=JobPlan(running=0))
    second = emulator(tmp_path / "journal")

    assert second.jobs == first.jobs
    assert second.input(101) == {"query_1": {"limit": 10}}
    ends = [JobStatus.RUNNING, JobStatus.INTERRUPTED, JobStatus.SUCCESS]
    assert [JobStatus(job["status"]) for job in second.jobs] == ends
    assert second.now() == NOW + 60 - 7
    assert second.job(second.start_job(12))["name"].startswith("pagerank_")


def test_plans_that_wait_for_their_jobs_wait_in_another_emulator_too(tmp_path: Path):
    first = emulator(tmp_path / "journal")
    first.plan(12, [JobPlan(running=0), JobPlan(running=0, ends=JobStatus.FAILED), LONG])
    first.start_job(12)
    second = emulator(tmp_path / "journal")
    jobs = [second.job(second.start_job(12)) for _ in range(3)]

    assert [job["status"] for job in jobs] == [JobStatus.FAILED, JobStatus.RUNNING, JobStatus.RUNNING]


def test_what_the_second_does_is_kept_for_a_third(tmp_path: Path):
    emulator(tmp_path / "journal").start_job(12)
    emulator(tmp_path / "journal").start_job(12)

    assert [job["id"] for job in emulator(tmp_path / "journal").jobs] == [101, 102]


def test_one_that_was_killed_has_its_jobs_when_it_is_started_again(tmp_path: Path):
    with killed_at_the_end(tmp_path / "journal") as control:
        started = requests.post(f"{control}/jobs", json={"workflow_id": 12}, timeout=5).json()
        before = requests.get(f"{control}/jobs", timeout=5).json()
    with killed_at_the_end(tmp_path / "journal") as control:
        after = requests.get(f"{control}/jobs", timeout=5).json()

    assert started == {"id": before[-1]["id"]}
    assert [job["id"] for job in after] == [job["id"] for job in before]


def test_a_line_that_was_not_finished_did_not_happen(tmp_path: Path):
    file = tmp_path / "journal"
    emulator(file).start_job(12)
    content = file.read_bytes()
    file.write_bytes(content + content[:40])
    emulator(file).start_job(13)

    assert [job["workflowId"] for job in emulator(file).jobs] == ["12", "13"]


@pytest.mark.parametrize("content", ['{"1": {"running": 60}}', '{\n "1": {}\n}', "[1, 2]"])
def test_a_file_that_is_no_journal_is_left_as_it_is(tmp_path: Path, content: str):
    file = tmp_path / "plans.json"
    file.write_text(content)

    with pytest.raises(ValueError, match="is not a journal's"):
        emulator(file)
    assert file.read_text() == content


@pytest.mark.parametrize("made", ["by the emulator", "readable by all"])
def test_nobody_else_may_read_it(tmp_path: Path, made: str):
    file = tmp_path / "journal"
    if made == "readable by all":
        file.touch(0o644)
        file.chmod(0o644)
    emulator(file).start_job(12)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_link_is_not_followed(tmp_path: Path):
    target, file = tmp_path / "other", tmp_path / "journal"
    target.touch()
    file.symlink_to(target)

    with pytest.raises(OSError, match="journal"):
        emulator(file)
    file.unlink()
    first = emulator(file)
    file.symlink_to(target)
    with pytest.raises(OSError, match="journal"):
        first.start_job(12)
    assert target.read_text() == ""


def test_another_name_of_a_file_is_no_journal(tmp_path: Path):
    target, file = tmp_path / "other", tmp_path / "journal"
    target.touch()
    file.hardlink_to(target)

    with pytest.raises(ValueError, match="not a file of its own"):
        emulator(file).start_job(12)
    assert target.read_text() == ""


def test_a_pipe_is_no_journal(tmp_path: Path):
    os.mkfifo(tmp_path / "journal")

    with pytest.raises(ValueError, match="not a file of its own"):
        emulator(tmp_path / "journal")


@pytest.mark.parametrize(
    "line", ["no json", '["burn", {}]', '["add", {}]', "[]", '["cancel", {"job_id": 7}]']
)
def test_what_is_no_journal_is_refused(tmp_path: Path, line: str):
    (tmp_path / "journal").write_text(f"{line}\n")

    with pytest.raises(ValueError, match="journal, line 1 is not a journal's"):
        emulator(tmp_path / "journal")
