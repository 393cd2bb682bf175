# SPDX-License-Identifier: Apache-2.0
"""One DAG run with an Explorer of its own: what a person can do with it, and its state."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import airflow
import pytest
from airflow.sdk import Connection
from parts import end_of, wait_for
from whole_airflow import Airflow

from airflow_provider_nebula_explorer.connection.reading import read_connection
from airflow_provider_nebula_explorer.emulator import Emulator, Fault, JobPlan
from airflow_provider_nebula_explorer.explorer.models import JobStatus
from airflow_provider_nebula_explorer.explorer.settings import Settings

AIRFLOW_VERSION = tuple(map(int, re.findall("[0-9]+", airflow.__version__)[:3]))

needs_33 = pytest.mark.skipif(
    AIRFLOW_VERSION < (3, 3),
    reason="Airflow before 3.3 has no store for bookmarks, and no retry policies",
)
RETRIES_KILLED_TASKS = AIRFLOW_VERSION >= (3, 1, 2)
"""Airflow before 3.1.2 fails a task, without a retry, if its process is killed and its supervisor is not
(its issue 55753)."""

RESTARTS_CLEARED_TASKS = AIRFLOW_VERSION >= (3, 1)
"""Airflow 3.0 ends a running task that is cleared, but leaves it ``restarting`` until it is cleared once more
(its issue 55045)."""

WORKFLOW_ID = 3992429968
CLAIM_KEY = "nebula_explorer_claim"
JOB_SECONDS = 1000.0
"""How long a job takes, on Explorer's clock: so long that none ends before a test sets that clock forward."""

LASTING = JobPlan(running=JOB_SECONDS)
FAILING = JobPlan(running=JOB_SECONDS, ends=JobStatus.FAILED)

SECONDS_TO_ACT = 150.0
"""How long any single wait here may take, on a busy machine and with all runs at once."""


@dataclass(frozen=True)
class Scenario:
    """What happens to a run.

    :param play: makes it happen, and returns when it is over.
    :param death: when the first attempt dies, in the words of ``dags/deaths.py``.
    :param takes_parent: whether the attempt's supervisor process dies with it.
    :param label: distinguishes scenarios that are equal otherwise.
    :param faults: what goes wrong with Explorer's responses.
    """

    dag_id: str
    play: Callable[[Run], None]
    death: str = ""
    takes_parent: bool = False
    label: str = ""
    faults: tuple[Fault, ...] = ()

    @property
    def name(self) -> str:
        """A unique text, for the run's id."""
        words = [
            self.play.__name__,
            self.death,
            "with its supervisor" if self.takes_parent else "",
            self.label,
        ]
        return re.sub(r"\W+", "-", " ".join([self.dag_id, *words]).strip())

    def __str__(self) -> str:
        return self.dag_id


class Run:
    """A DAG run of one task, which runs a workflow."""

    def __init__(self, airflow: Airflow, scenario: Scenario) -> None:
        self.scenario = scenario
        self.id = scenario.name
        self.explorer = Emulator()
        self._airflow = airflow
        self._is_to_defer = scenario.dag_id.startswith("deferred")
        self._path = f"/dags/{scenario.dag_id}/dagRuns/{self.id}"
        self._certificate = airflow.home / f"{self.id}.died"

    def start(self, first_job: JobPlan = LASTING) -> None:
        """Start the Explorer, and have the scheduler run the DAG."""
        self.explorer.start()
        self.explorer.plan(WORKFLOW_ID, first_job)
        self.explorer.fail(*self.scenario.faults)
        self._add_connection()
        conf = {
            "workflow_id": WORKFLOW_ID,
            "connection": self.id,
            "death": self.scenario.death,
            "takes_parent": self.scenario.takes_parent,
            "certificate": str(self._certificate),
        }
        body = {"dag_run_id": self.id, "logical_date": None, "conf": conf}
        self._airflow.request("POST", f"/dags/{self.scenario.dag_id}/dagRuns", json=body)

    def plan_next_job(self, plan: JobPlan) -> None:
        """Decide how later jobs go."""
        self.explorer.plan(WORKFLOW_ID, plan)

    def clear(self) -> None:
        """Clear the task, so that it runs again."""
        body = {"dry_run": False, "dag_run_id": self.id, "only_failed": False}
        self._airflow.request("POST", f"/dags/{self.scenario.dag_id}/clearTaskInstances", json=body)

    def mark_failed(self) -> None:
        """Mark the task as failed."""
        self._airflow.request("PATCH", f"{self._path}/taskInstances/run", json={"new_state": "failed"})

    def let_jobs_end(self) -> None:
        """Set Explorer's clock to a time when each of its present jobs is over."""
        self.explorer.advance(JOB_SECONDS)

    def wait_until_waiting(self, attempt: int, jobs: int = 1) -> None:
        """Wait until an attempt of the task waits for its job, which is the last of so many."""
        self.wait_until(f"attempt {attempt} has job {jobs}", lambda: self._has_job(attempt, jobs))
        if self._is_to_defer:
            polls = self.explorer.count("get_job")
            self.wait_until("the triggerer polls", lambda: self.explorer.count("get_job") > polls)

    def wait_until_over(self) -> None:
        """Wait until the run, not only its task, is over."""
        self.wait_until("the run is over", lambda: self._airflow.is_over(self.id))

    def wait_until_interrupted(self, job: int) -> None:
        """Wait until a job, counted from 0, has been cancelled and has stopped."""
        self.wait_until(f"job {job} is interrupted", lambda: self.statuses[job] == JobStatus.INTERRUPTED)

    def wait_until(self, what: str, condition: Callable[[], object]) -> None:
        """Wait until a condition is true; fail with the logs if that takes too long."""
        wait_for(f"{self.id}: {what}", condition, SECONDS_TO_ACT, self.evidence)

    @property
    def state(self) -> str | None:
        """The task's state."""
        return self._airflow.task(self.id).get("state")

    @property
    def attempts(self) -> int:
        """How many attempts the task has made."""
        return self._airflow.task(self.id).get("try_number", 0)

    @property
    def died(self) -> str:
        """When the first attempt died, in the words of the scenario; empty if it did not."""
        return self._certificate.read_text() if self._certificate.exists() else ""

    @property
    def settings(self) -> Settings:
        """What the task's hook makes of the run's connection."""
        connection = Connection(conn_id=self.id, **self._connection())
        return replace(read_connection(connection), state_dir=str(self._airflow.home / "nebula_explorer"))

    @property
    def jobs(self) -> list[dict[str, Any]]:
        """The jobs that Explorer has, oldest first."""
        return self.explorer.jobs

    @property
    def xcoms(self) -> dict[str, Any]:
        """The task's XComs, by key."""
        entries = self._airflow.request("GET", f"{self._path}/taskInstances/run/xcomEntries")["xcom_entries"]
        keys = [entry["key"] for entry in entries]
        return {key: self._xcom(key) for key in keys}

    @property
    def statuses(self) -> list[JobStatus]:
        """The statuses of the jobs, oldest first."""
        return [JobStatus(job["status"]) for job in self.jobs]

    def has_as_result(self, job: dict[str, Any]) -> bool:
        """Whether all XComs of the task are about this job."""
        xcoms = self.xcoms
        found = (xcoms.get("return_value"), (xcoms.get(CLAIM_KEY) or {}).get("job_id"), xcoms.get("job"))
        return found == (job["id"], job["id"], job)

    def evidence(self) -> str:
        """Return what helps to understand how the run went."""
        task = self._airflow.task(self.id)
        calls = [
            f"{call.time:.1f} {call.endpoint} {call.status} {call.fault or ''}"
            for call in self.explorer.calls
        ]
        logs = sorted((self._airflow.home / "logs").glob(f"dag_id=*/run_id={self.id}/task_id=run/*.log*"))
        return "\n".join(
            [
                f"{self.id}: state {task.get('state')}, attempt {task.get('try_number')}, died {self.died!r}",
                f"jobs: {[(job['id'], job['status']) for job in self.jobs]}",
                f"the last of {len(calls)} calls: {calls[-15:]}",
                *(_readable(end_of(log, 25)) for log in logs),
                self._airflow.evidence(),
            ]
        )

    def _add_connection(self) -> None:
        self._airflow.request("POST", "/connections", json={"connection_id": self.id, **self._connection()})

    def _connection(self) -> dict[str, Any]:
        connection = json.loads(self.explorer.airflow_connection)
        return {**connection, "extra": json.dumps(connection["extra"])}

    def _has_job(self, attempt: int, jobs: int) -> bool:
        if self.attempts != attempt or len(self.jobs) != jobs:
            return False
        if self._is_to_defer:
            return self.state == "deferred" and self._airflow.knows_end_of_process(self.id, attempt)
        if self.state != "running":
            return False
        return bool((self._xcom(CLAIM_KEY) or {}).get("job_id") == self.jobs[-1]["id"])

    def _xcom(self, key: str) -> Any:
        path = f"{self._path}/taskInstances/run/xcomEntries/{key}"
        entry = self._airflow.request("GET", path, params={"deserialize": True, "stringify": False})
        return entry and entry["value"]


def assert_one_job_came_of(run: Run, *, attempts: int) -> None:
    """Assert that a run succeeded with so many attempts and a single job, which its XComs are about."""
    assert (run.state, run.attempts) == ("success", attempts), run.evidence()
    assert run.statuses == [JobStatus.SUCCESS], run.evidence()
    assert run.has_as_result(run.jobs[0]), run.evidence()


def _readable(log: str) -> str:
    """Shorten the lines of a task's log, which are JSON, to what a person needs."""

    def shorten(line: str) -> str:
        try:
            entry = json.loads(line)
        except ValueError:
            return line
        errors = [f"{error['exc_type']}: {error['exc_value']}" for error in entry.get("error_detail", ())]
        return " ".join([entry.get("timestamp", ""), entry.get("level", ""), entry.get("event", ""), *errors])

    return "\n".join(map(shorten, log.splitlines()))
