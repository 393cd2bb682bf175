"""One DAG run with an Explorer of its own: what a person may do with it, and what can be seen of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from parts import end_of, wait_for
from whole_airflow import Airflow

from airflow_provider_nebula_explorer.emulator import Emulator, Fault, JobPlan
from airflow_provider_nebula_explorer.explorer.models import JobStatus

WORKFLOW_ID = 3992429968
CLAIM_KEY = "nebula_explorer_claim"
JOB_SECONDS = 1000.0
"""How long a job takes, on Explorer's clock: so long that none ends before a test puts that clock forward."""

LASTING = JobPlan(running=JOB_SECONDS)
FAILING = JobPlan(running=JOB_SECONDS, ends=JobStatus.FAILED)

SECONDS_TO_ACT = 150.0
"""What Airflow may take for anything that is waited for here, on a busy machine and with all runs at once."""


@dataclass(frozen=True)
class Story:
    """What happens to a run.

    :param tell: makes it happen, and comes back when it is over.
    :param death: when the first attempt dies, in the words of ``dags/deaths.py``.
    :param takes_parent: whether the process that watches over the attempt dies with it.
    :param label: tells it from others that are the same so far.
    :param faults: what befalls Explorer's answers.
    """

    dag_id: str
    tell: Callable[[Run], None]
    death: str = ""
    takes_parent: bool = False
    label: str = ""
    faults: tuple[Fault, ...] = ()

    @property
    def name(self) -> str:
        """A text of its own, for a run's id."""
        words = [
            self.tell.__name__,
            self.death,
            "with its supervisor" if self.takes_parent else "",
            self.label,
        ]
        return re.sub(r"\W+", "-", " ".join([self.dag_id, *words]).strip())

    def __str__(self) -> str:
        return self.dag_id


class Run:
    """A DAG run of one task, which runs a workflow."""

    def __init__(self, airflow: Airflow, story: Story) -> None:
        self.story = story
        self.id = story.name
        self.explorer = Emulator()
        self._airflow = airflow
        self._is_to_defer = story.dag_id.startswith("deferred")
        self._path = f"/dags/{story.dag_id}/dagRuns/{self.id}"
        self._certificate = airflow.home / f"{self.id}.died"

    def start(self, first_job: JobPlan = LASTING) -> None:
        """Start the Explorer, and have the scheduler run the DAG."""
        self.explorer.start()
        self.explorer.plan(WORKFLOW_ID, first_job)
        self.explorer.fail(*self.story.faults)
        self._add_connection()
        conf = {
            "workflow_id": WORKFLOW_ID,
            "connection": self.id,
            "death": self.story.death,
            "takes_parent": self.story.takes_parent,
            "certificate": str(self._certificate),
        }
        body = {"dag_run_id": self.id, "logical_date": None, "conf": conf}
        self._airflow.ask("POST", f"/dags/{self.story.dag_id}/dagRuns", json=body)

    def plan_next_job(self, plan: JobPlan) -> None:
        """Settle how the jobs to come go."""
        self.explorer.plan(WORKFLOW_ID, plan)

    def clear(self) -> None:
        """Ask for the task to run again, as a person does."""
        body = {"dry_run": False, "dag_run_id": self.id, "only_failed": False}
        self._airflow.ask("POST", f"/dags/{self.story.dag_id}/clearTaskInstances", json=body)

    def mark_failed(self) -> None:
        """Call the task failed, as a person does."""
        self._airflow.ask("PATCH", f"{self._path}/taskInstances/run", json={"new_state": "failed"})

    def let_jobs_end(self) -> None:
        """Put Explorer's clock to a time when each job that it has now is over."""
        self.explorer.advance(JOB_SECONDS)

    def wait_until_waiting(self, attempt: int, jobs: int = 1) -> None:
        """Wait until an attempt of the task waits for its job, the last of so many."""
        self.wait_until(f"attempt {attempt} holds job {jobs}", lambda: self._holds_job(attempt, jobs))
        if self._is_to_defer:
            looks = self.explorer.count("get_job")
            self.wait_until("the triggerer looks", lambda: self.explorer.count("get_job") > looks)

    def wait_until_over(self) -> None:
        """Wait until the run, not only its task, is over."""
        self.wait_until("the run is over", lambda: self._airflow.is_over(self.id))

    def wait_until_interrupted(self, job: int) -> None:
        """Wait until a job, counted from 0, has been cancelled and has stopped."""
        self.wait_until(f"job {job} is interrupted", lambda: self.statuses[job] == JobStatus.INTERRUPTED)

    def wait_until(self, what: str, holds: Callable[[], object]) -> None:
        """Wait until something holds; fail with the logs where it does not in time."""
        wait_for(f"{self.id}: {what}", holds, SECONDS_TO_ACT, self.evidence)

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
        """When the first attempt died; nothing where it did not."""
        return self._certificate.read_text() if self._certificate.exists() else ""

    @property
    def jobs(self) -> list[dict[str, Any]]:
        """The jobs that Explorer has, oldest first."""
        return self.explorer.jobs

    @property
    def xcoms(self) -> dict[str, Any]:
        """What the task left in XCom, by key."""
        entries = self._airflow.ask("GET", f"{self._path}/taskInstances/run/xcomEntries")["xcom_entries"]
        keys = [entry["key"] for entry in entries]
        return {key: self._xcom(key) for key in keys}

    @property
    def statuses(self) -> list[JobStatus]:
        """How the jobs are, oldest first."""
        return [JobStatus(job["status"]) for job in self.jobs]

    def has_as_result(self, job: dict[str, Any]) -> bool:
        """Whether just this job is what the task left for others."""
        xcoms = self.xcoms
        found = (xcoms.get("return_value"), (xcoms.get(CLAIM_KEY) or {}).get("job_id"), xcoms.get("job"))
        return found == (job["id"], job["id"], job)

    def evidence(self) -> str:
        """Return what tells why the run went as it did."""
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
        connection = json.loads(self.explorer.airflow_connection)
        extra = json.dumps(connection.pop("extra"))
        self._airflow.ask(
            "POST", "/connections", json={"connection_id": self.id, **connection, "extra": extra}
        )

    def _holds_job(self, attempt: int, jobs: int) -> bool:
        if self.attempts != attempt or len(self.jobs) != jobs:
            return False
        if self._is_to_defer:
            return self.state == "deferred" and self._airflow.knows_end_of_process(self.id, attempt)
        if self.state != "running":
            return False
        return bool((self._xcom(CLAIM_KEY) or {}).get("job_id") == self.jobs[-1]["id"])

    def _xcom(self, key: str) -> Any:
        path = f"{self._path}/taskInstances/run/xcomEntries/{key}"
        entry = self._airflow.ask("GET", path, params={"deserialize": True, "stringify": False})
        return entry and entry["value"]


def assert_one_job_came_of(run: Run, *, attempts: int) -> None:
    """Assert that a run succeeded with so many attempts and a single job, and left that for others."""
    assert (run.state, run.attempts) == ("success", attempts), run.evidence()
    assert run.statuses == [JobStatus.SUCCESS], run.evidence()
    assert run.has_as_result(run.jobs[0]), run.evidence()


def _readable(log: str) -> str:
    """Shorten the lines of a task's log, which are JSON, to what a person looks for."""

    def shorten(line: str) -> str:
        try:
            entry = json.loads(line)
        except ValueError:
            return line
        errors = [f"{error['exc_type']}: {error['exc_value']}" for error in entry.get("error_detail", ())]
        return " ".join([entry.get("timestamp", ""), entry.get("level", ""), entry.get("event", ""), *errors])

    return "\n".join(map(shorten, log.splitlines()))
