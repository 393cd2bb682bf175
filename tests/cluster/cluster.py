# SPDX-License-Identifier: Apache-2.0
"""Airflow on Celery with all that it needs, an Explorer that can be killed, and the state of both."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
from parts import Part, end_of, wait_for
from servers import Servers
from whole_airflow import Airflow, free_ports

DAGS = Path(__file__).with_name("dags")
DAG_IDS = {"run_in_worker", "run_deferred", "wait"}
MACHINES, TRIGGERERS = 1, 2
SLOTS = 8
"""How many tasks a worker runs at a time."""

SETTINGS = {
    "CELERY__WORKER_CONCURRENCY": str(SLOTS),
    "CELERY__WORKER_ENABLE_REMOTE_CONTROL": "True",
    "CORE__EXECUTOR": "CeleryExecutor",
    "CORE__PARALLELISM": str(4 * SLOTS),
    "LOGGING__WORKER_LOG_SERVER_PORT": "0",
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "SCHEDULER__TASK_QUEUED_TIMEOUT": "90",  # until then nobody misses tasks that a killed worker had queued
    "SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "5",
}

_CALL = re.compile(r"^\d\d:\d\d:\d\d (GET|POST|PUT) (/api-open\S+) (.+)$", re.MULTILINE)


class Explorer:
    """An emulator in a process of its own, which keeps its jobs in a file."""

    def __init__(self, home: Path, environment: dict[str, str]) -> None:
        (port,) = free_ports(1)
        module = "airflow_provider_nebula_explorer.emulator"
        command = (sys.executable, "-m", module, "--port", str(port), "--journal", str(home / "journal"))
        self.part = Part("explorer", command, environment, home)
        self.connection = {
            "connection_id": "nebula_explorer_default",
            "conn_type": "nebula_explorer",
            "host": "127.0.0.1",
            "port": port,
            "schema": "http",
            "login": "root",
            "password": "stand-in-secret",
            "extra": '{"nebula_address": "graphd"}',
        }
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}/_emulator", timeout=30)

    def start(self) -> None:
        """Start it, for the first time or again, and wait until it responds."""
        self.part.start()
        wait_for("the emulator's start", self._is_up, 60, lambda: end_of(self.part.log, 25))

    def kill(self) -> None:
        """Kill it."""
        self.part.kill()

    def close(self) -> None:
        """End it for good."""
        self.part.kill()
        self._http.close()

    def plan(self, workflow_id: int, seconds: float) -> None:
        """Set how long the later jobs of a workflow take."""
        self._http.post(f"/plans/{workflow_id}", json={"running": seconds}).raise_for_status()

    def start_job(self, workflow_id: int, seconds: float) -> int:
        """Start a job that takes so long."""
        body = {"workflow_id": workflow_id, "plan": {"running": seconds}}
        job: int = self._http.post("/jobs", json=body).raise_for_status().json()["id"]
        return job

    def advance(self, seconds: float) -> None:
        """Set its clock forward."""
        self._http.post("/advance", json={"seconds": seconds}).raise_for_status()

    @property
    def jobs(self) -> list[dict[str, Any]]:
        """All its jobs, each with its input."""
        jobs: list[dict[str, Any]] = self._http.get("/jobs").raise_for_status().json()
        return jobs

    def calls(self) -> Counter[str]:
        """Return how many requests of each kind it served, over all its restarts."""
        kinds = Counter[str]()
        for method, path, status in _CALL.findall(self.part.log.read_text(errors="replace")):
            kinds[_kind(method, path) if status == "200" else "refused or failed"] += 1
        return kinds

    def _is_up(self) -> bool:
        assert self.part.is_running, end_of(self.part.log, 25)
        try:
            return self._http.get("/jobs").is_success
        except httpx.TransportError:
            return False


def _kind(method: str, path: str) -> str:
    known = {"GET": "details", "POST": "runs", "PUT": "cancels"}
    ends = {"connect": "logins", "jobs": "lists"}
    last = path.rpartition("/")[2]
    return "runs" if method == "POST" and last == "jobs" else ends.get(last, known[method])


class Cluster:
    """Airflow with two Celery workers and two triggerers, and its Explorer."""

    def __init__(self, servers: Servers) -> None:
        self.servers = servers
        self.airflow = Airflow(
            DAGS,
            DAG_IDS,
            {
                "triggerer-2": ("triggerer", "--skip-serve-logs"),
                "worker-1": _worker("one"),
                "worker-2": _worker("two"),
            },
            CELERY__BROKER_URL=servers.broker,
            CELERY__RESULT_BACKEND=f"db+{servers.database}",
            DATABASE__SQL_ALCHEMY_CONN=servers.database,
            **SETTINGS,
        )
        self.explorer = Explorer(
            self.airflow.home, dict(os.environ) | {"AIRFLOW_HOME": str(self.airflow.home)}
        )

    def start(self) -> None:
        """Start everything, and wait until it works."""
        self.explorer.start()
        self.airflow.start()
        wait_for("the workers' start", self._workers_are_ready, 120, self.airflow.evidence)
        self.airflow.request("POST", "/connections", json=self.explorer.connection)

    def stop(self) -> None:
        """End everything that it started."""
        self.airflow.stop()
        self.explorer.close()

    @property
    def workers(self) -> list[Part]:
        """The processes that run tasks."""
        return [self.part("worker-1"), self.part("worker-2")]

    def part(self, name: str) -> Part:
        """Return one of Airflow's processes."""
        return self.airflow.parts[name]

    def run(self, dag_id: str, run_id: str, **conf: Any) -> None:
        """Have the scheduler run a DAG."""
        body = {"dag_run_id": run_id, "logical_date": None, "conf": conf}
        self.airflow.request("POST", f"/dags/{dag_id}/dagRuns", json=body)

    def query(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query of Airflow's database."""
        with contextlib.closing(self.servers.connect()) as database, database.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall()

    def states(self, dag_id: str = "%", task_id: str = "%") -> Counter[str]:
        """Return how many task instances are in each state."""
        statement = (
            "SELECT coalesce(state, 'none'), count(*) FROM task_instance"
            " WHERE dag_id LIKE %s AND task_id LIKE %s GROUP BY 1"
        )
        return Counter(dict(self.query(statement, dag_id, task_id)))

    def triggers_of_triggerers(self) -> Counter[str | None]:
        """Return how many triggers each triggerer has, by its name; ``None`` counts those without one."""
        statement = "SELECT unixname, count(*) FROM trigger LEFT JOIN job ON job.id = triggerer_id GROUP BY 1"
        return Counter(dict(self.query(statement)))

    def has_orphans(self, since: Any) -> bool:
        """Whether there are triggers of triggerers that sent no heartbeat since then."""
        statement = (
            "SELECT count(*) FROM trigger JOIN job ON job.id = triggerer_id WHERE latest_heartbeat < %s"
        )
        return bool(self.query(statement, since)[0][0])

    def wait_until(self, what: str, condition: Any, seconds: float = 300) -> float:
        """Wait until a condition is true, and return how many seconds it took."""
        begun = time.monotonic()
        wait_for(what, condition, seconds, self.evidence)
        return time.monotonic() - begun

    def evidence(self) -> str:
        """Return what helps to understand the state of the cluster."""
        states = self.query("SELECT dag_id, task_id, state, count(*) FROM task_instance GROUP BY 1, 2, 3")
        return "\n".join([f"states: {states}", self.airflow.evidence(), end_of(self.explorer.part.log, 10)])

    def _workers_are_ready(self) -> bool:
        return all(" ready." in worker.log.read_text(errors="replace") for worker in self.workers)


def _worker(name: str) -> tuple[str, ...]:
    pid_file = f"{name}.pid"
    return (
        "celery",
        "worker",
        "--celery-hostname",
        f"{name}@127.0.0.1",
        "--pid",
        pid_file,
        "--skip-serve-logs",
    )
