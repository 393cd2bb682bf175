# SPDX-License-Identifier: Apache-2.0
"""A whole Airflow in a folder of its own: API server, scheduler with workers, DAG processor, triggerer."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import secrets
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import psutil
from parts import Part, end_of, wait_for

DATABASE = "airflow.db"
SECONDS_TO_START = 180.0

SETTINGS = {
    "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
    "CORE__EXECUTOR": "LocalExecutor",
    "CORE__LOAD_EXAMPLES": "False",
    "CORE__MAX_ACTIVE_RUNS_PER_DAG": "100",
    "CORE__MAX_ACTIVE_TASKS_PER_DAG": "100",
    "CORE__PARALLELISM": "32",
    "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
    "API__ENABLE_XCOM_DESERIALIZE_SUPPORT": "True",  # Airflow 3.0 does not show the values of XComs otherwise
    "API__MAXIMUM_PAGE_LIMIT": "1000",
    "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",
    "DAG_PROCESSOR__PARSING_PROCESSES": "1",
    "DAG_PROCESSOR__STALE_DAG_THRESHOLD": "3600",  # Airflow 3.0 takes a file for broken after a callback
    "DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
    "DATABASE__SQL_ALCHEMY_POOL_SIZE": "100",  # a request can need two, so of 15 requests all might wait
    "SCHEDULER__JOB_HEARTBEAT_SEC": "1",
    "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",  # until then no one misses a dead scheduler's tasks
    "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "12",
    "SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
    "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",  # with less, tasks are killed on a busy machine
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    "TRIGGERER__JOB_HEARTBEAT_SEC": "1",
    "TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "12",
    "WORKERS__EXECUTION_API_TIMEOUT": "30",  # a worker that requests its start twice is refused
    "WORKERS__MIN_HEARTBEAT_INTERVAL": "2",
}

_ENDED = re.compile(r"executor event with state (?:success|failed) .*? run_id='([^']+)', try_number=(\d+),")


class Airflow:
    """Airflow's processes, and its REST API.

    :param dags: the folder of its DAGs.
    :param dag_ids: the DAGs that it must have found there before it counts as started.
    :param more: further processes: for each a name, and the arguments of ``airflow``.
    :param for_workers: settings of the scheduler and its workers alone.
    :param settings: settings of Airflow, which win over ``SETTINGS``.
    """

    def __init__(
        self,
        dags: Path,
        dag_ids: set[str],
        more: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
        *,
        for_workers: Mapping[str, str] = MappingProxyType({}),
        **settings: str,
    ) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="airflow-e2e-"))
        port, task_port = free_ports(2)
        self.url = f"http://127.0.0.1:{port}"
        self._environment = _environment(self.home, self.url, task_port, dags) | _as_variables(settings)
        self._dag_ids = dag_ids
        mine = {"scheduler": _as_variables(for_workers)}
        self.parts = {
            name: Part(
                name,
                (sys.executable, "-m", "airflow", *command),
                # Airflow stores each process's user in its database, so this name identifies the process.
                self._environment | mine.get(name, {}) | {"LOGNAME": name},
                self.home,
            )
            for name, command in (_commands(task_port) | more).items()
        }
        self._writing, self._refreshing = threading.Lock(), threading.Lock()
        self._next_refresh = 0.0
        self._tasks: dict[str, dict[str, Any]] = {}
        self._over: set[str] = set()
        self._ended: set[tuple[str, str]] = set()
        self._task_api = f"http://127.0.0.1:{task_port}/execution/health"
        self._http = httpx.Client(base_url=self.url, timeout=30)

    def start(self) -> None:
        """Set up its database, start all parts, and wait until they work and know the DAGs."""
        self._migrate()
        for part in self.parts.values():
            part.start()
        wait_for("Airflow's start", self._is_up, SECONDS_TO_START, self.evidence)

    def stop(self) -> None:
        """End every process and remove the folder."""
        for part in reversed(self.parts.values()):
            part.kill()
        self._http.close()
        shutil.rmtree(self.home, ignore_errors=True)

    def request(self, method: str, path: str, **arguments: Any) -> Any:
        """Call the REST API, and return its response; ``None`` if there is nothing at a path that is read."""
        # SQLite has one writer at a time.
        with contextlib.nullcontext() if method == "GET" else self._writing:
            response = self._http.request(method, f"/api/v2{path}", **arguments)
        if response.status_code == httpx.codes.NOT_FOUND and method == "GET":
            return None
        if response.is_error:
            text = f"{response.status_code} {response.text}"
            raise AssertionError(f"{method} {path}: {text}\n{self.evidence()}")
        return response.json()

    def database(self) -> contextlib.closing[sqlite3.Connection]:
        """Open its database, a file of SQLite's unless the settings name another."""
        return contextlib.closing(sqlite3.connect(self.home / DATABASE, timeout=30))

    def read(self, query: str) -> list[Any]:
        """Return the JSON values of a query's one column, for what the REST API does not return."""
        with self.database() as database:
            return [json.loads(value) for (value,) in database.execute(query)]

    @property
    def bookmarks(self) -> list[dict[str, list[int]]]:
        """The bookmarks of the triggers that watch workflows; a workflow has one as soon as it is watched."""
        return self.read("SELECT value FROM asset_state_store")

    def task(self, run_id: str) -> dict[str, Any]:
        """Return the task instance of a run as it was within the last second; empty if there is none."""
        self._refresh()
        return self._tasks.get(run_id, {})

    def is_over(self, run_id: str) -> bool:
        """Whether a run was over within the last second."""
        self._refresh()
        return run_id in self._over

    def knows_end_of_process(self, run_id: str, attempt: int) -> bool:
        """Whether the scheduler has seen the end of the process that made an attempt, or deferred it.

        If a trigger fires before that, the scheduler takes the task for failed.
        """
        self._refresh()
        return (run_id, str(attempt)) in self._ended

    @property
    def fernet_key(self) -> str:
        """The key that encrypts its connections, and the arguments of triggers."""
        return self._environment["AIRFLOW__CORE__FERNET_KEY"]

    def processes(self) -> list[psutil.Process]:
        """Return all processes that run now, those of tasks included."""
        return [process for part in self.parts.values() for process in part.family()]

    def evidence(self) -> str:
        """Return the ends of the parts' logs."""
        return "\n".join(end_of(self.home / f"{name}.log", 25) for name in ["db-migrate", *self.parts])

    def _refresh(self) -> None:
        # One request a second serves all that wait at the same time.
        with self._refreshing:
            if time.monotonic() < self._next_refresh:
                return
            every = {"limit": 1000}
            runs = self.request("GET", "/dags/~/dagRuns", params=every)["dag_runs"]
            tasks = self.request("GET", "/dags/~/dagRuns/~/taskInstances", params=every)["task_instances"]
            self._over = {run["dag_run_id"] for run in runs if run["state"] in ("success", "failed")}
            self._tasks = {task["dag_run_id"]: task for task in tasks}
            self._ended = set(_ENDED.findall(self.parts["scheduler"].log.read_text(errors="replace")))
            self._next_refresh = time.monotonic() + 1

    def _migrate(self) -> None:
        with (self.home / "db-migrate.log").open("wb") as log:
            command = [sys.executable, "-m", "airflow", "db", "migrate"]
            done = subprocess.run(
                command, env=self._environment, cwd=self.home, stdout=log, stderr=log, check=False
            )
        assert done.returncode == 0, self.evidence()
        if (self.home / DATABASE).exists():
            # Many processes use it at once; in this mode, readers do not block writers.
            with self.database() as database:
                database.execute("PRAGMA journal_mode=WAL")

    def _is_up(self) -> bool:
        for part in self.parts.values():
            assert part.is_running, f"The {part.name} ended.\n{self.evidence()}"
        try:
            if "Authorization" not in self._http.headers:
                token = self._http.get("/auth/token").raise_for_status().json()["access_token"]
                self._http.headers["Authorization"] = f"Bearer {token}"
            httpx.get(self._task_api).raise_for_status()
            health = self.request("GET", "/monitor/health")
            known = {dag["dag_id"] for dag in self.request("GET", "/dags")["dags"]}
        except httpx.HTTPError:
            return False
        parts = ("scheduler", "dag_processor", "triggerer")
        return known >= self._dag_ids and all(health[part]["status"] == "healthy" for part in parts)


def _commands(task_port: int) -> dict[str, tuple[str, ...]]:
    """Return the command of each part; where a part has a log server, an option keeps it off."""
    # Two API servers: a single one for people and tasks would block itself on SQLite. Its event loop writes
    # the audit log and waits for a task's transaction, while that transaction waits for the event loop.
    return {
        "api-server": ("api-server", "--apps", "core"),
        "task-api-server": ("api-server", "--apps", "execution", "--port", str(task_port)),
        "scheduler": ("scheduler", "--skip-serve-logs"),
        "dag-processor": ("dag-processor",),
        "triggerer": ("triggerer", "--skip-serve-logs"),
    }


def _environment(home: Path, url: str, task_port: int, dags: Path) -> dict[str, str]:
    # Without PYTHONDONTWRITEBYTECODE, as with it each start would compile all of Airflow anew.
    mine = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW", "PYTEST", "PYTHONDONTWRITEBYTECODE"))
        and not name.lower().endswith("_proxy")
    }
    mine["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{mine.get('PATH', '')}"
    settings = SETTINGS | {
        "API__BASE_URL": url,
        "API__HOST": "127.0.0.1",
        "API__PORT": url.rpartition(":")[2],
        "API__SECRET_KEY": secrets.token_urlsafe(48),
        "API_AUTH__JWT_SECRET": secrets.token_urlsafe(64),
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / DATABASE}?timeout=10",
        "CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{task_port}/execution/",
        "CORE__DAGS_FOLDER": str(dags),
        "CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
    }
    # A killed process may leave temporary files; in this folder, they are removed with the rest.
    return mine | _as_variables(settings) | {"AIRFLOW_HOME": str(home), "TMPDIR": str(home)}


def _as_variables(settings: Mapping[str, str]) -> dict[str, str]:
    return {f"AIRFLOW__{name}": value for name, value in settings.items()}


def free_ports(number: int) -> list[int]:
    """Return ports of this machine on which nobody listens."""
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(number)]
        return [server.getsockname()[1] for server in servers]
