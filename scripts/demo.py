# SPDX-License-Identifier: Apache-2.0
"""Show the provider at work: an emulated Explorer, a real Airflow, and the job of a workflow in XCom.

Everything is in a temporary folder and ends with this program. With ``--ui``, a whole Airflow runs until
Ctrl-C. If AIRFLOW_CONN_NEBULA_EXPLORER_DEFAULT and WORKFLOW_ID are set, a real Explorer replaces the
emulator.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil

from airflow_provider_nebula_explorer.emulator import Emulator, JobPlan, TaskPlan
from airflow_provider_nebula_explorer.explorer.models import JobStatus, one_line, parse_job, parse_time

ROOT = Path(__file__).resolve().parents[1]
CONNECTION = "AIRFLOW_CONN_NEBULA_EXPLORER_DEFAULT"
DAG_ID = "nebula_explorer_run_workflow"
BEGUN = time.monotonic()

# Without their log servers, which would listen on every address of the machine; the logs are files here.
PARTS = (
    ("api-server",),
    ("scheduler", "--skip-serve-logs"),
    ("dag-processor",),
    ("triggerer", "--skip-serve-logs"),
)

RANKS = (("player101", "0.4211"), ("player102", "0.2706"), ("player125", "0.1532"), ("player100", "0.0911"))
PLAN = JobPlan(
    preparing=1,
    running=5,
    tasks=(TaskPlan("query_1", (("player100", "Tim Duncan"),)), TaskPlan("pagerank_1", RANKS)),
)


def main() -> None:
    parser = argparse.ArgumentParser(description="Run a workflow of Explorer on a real Airflow.")
    parser.add_argument("--ui", action="store_true", help="a whole Airflow, to look around in until Ctrl-C")
    show_ui = parser.parse_args().ui
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets its background jobs ignore it
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    with explorer() as (connection, workflow_id), airflow_home() as home:
        airflow = Airflow(home, connection)
        say("Setting up Airflow's database ...")
        airflow.run("db", "migrate")
        if show_ui:
            look_around(airflow, connection, workflow_id)
        else:
            run_once(airflow, workflow_id)


@contextlib.contextmanager
def explorer() -> Iterator[tuple[str, str]]:
    """Yield a connection, as JSON or URI, and a workflow's id."""
    connection, workflow_id = os.environ.get(CONNECTION), os.environ.get("WORKFLOW_ID")
    if connection and workflow_id:
        say(f"Using Explorer as {CONNECTION} says, workflow {workflow_id}.")
        yield connection, workflow_id
        return
    if connection or workflow_id:
        sys.exit(f"To use a real Explorer set both {CONNECTION} and WORKFLOW_ID; for the emulator neither.")
    with Emulator() as emulator:
        emulator.plan(3992429968, PLAN, name="workflow_xkkjf")
        say(f"An emulated Explorer listens on {emulator.url}.")
        yield emulator.airflow_connection, "3992429968"


@contextlib.contextmanager
def airflow_home() -> Iterator[Path]:
    home = Path(tempfile.mkdtemp(prefix="nebula-explorer-demo-"))
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


def conf_for(workflow_id: str) -> str:
    """Return a run's conf; the example's input only fits the emulator's workflow."""
    is_emulated = "WORKFLOW_ID" not in os.environ
    return json.dumps({"workflow_id": workflow_id} | ({} if is_emulated else {"input": {}}))


class Airflow:
    """An Airflow in a folder of its own, without the user's settings."""

    def __init__(self, home: Path, connection: str) -> None:
        mine = {key: value for key, value in os.environ.items() if not key.startswith("AIRFLOW")}
        mine.pop("PYTHONDONTWRITEBYTECODE", None)
        mine["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{mine.get('PATH', '')}"
        self.home = home
        self.log = home / "demo.log"
        self.environment = mine | {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "example_dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            CONNECTION: connection,
        }

    def run(self, *arguments: str) -> None:
        """Run ``airflow ARGUMENTS`` to its end."""
        for _ in self.lines(*arguments):
            pass

    def lines(self, *arguments: str) -> Iterator[str]:
        """Run ``airflow ARGUMENTS`` and yield what it prints."""
        with (
            self.log.open("a") as log,
            subprocess.Popen(
                [sys.executable, "-m", "airflow", *arguments],
                env=self.environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            ) as process,
            ended_with([process]),
        ):
            assert process.stdout is not None
            for line in process.stdout:
                log.write(line)
                yield line
            process.wait()  # it has closed its output, but may not have ended
        if process.returncode != 0:
            self.fail(f"airflow {' '.join(arguments)} ended with code {process.returncode}")

    @contextlib.contextmanager
    def running(self) -> Iterator[list[subprocess.Popen[bytes]]]:
        """Run all its parts until the block is left."""
        with self.log.open("ab") as log:
            processes: list[subprocess.Popen[bytes]] = []
            with ended_with(processes):
                for part in PARTS:
                    process = subprocess.Popen(
                        [sys.executable, "-m", "airflow", *part],
                        env=self.environment,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        start_new_session=True,  # only this program gets Ctrl-C; it then ends the others
                    )
                    processes.append(process)
                yield processes

    def fail(self, what: str) -> None:
        """Exit with an error, after the end of the log."""
        end = "".join(self.log.read_text().splitlines(keepends=True)[-40:])
        sys.exit(f"{end}\n{what}. The end of its output is above.")


@contextlib.contextmanager
def ended_with(processes: Sequence[subprocess.Popen[Any]]) -> Iterator[None]:
    """End processes and all that they started, however the block is left."""
    try:
        yield
    finally:
        with undisturbed():
            if any(process.poll() is None for process in processes):
                print()
                say("Ending Airflow ...")
            end(processes)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Ignore a second Ctrl-C and a closed terminal, which would interrupt the cleanup."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def end(processes: Sequence[subprocess.Popen[Any]]) -> None:
    family = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            parent = psutil.Process(process.pid)
            family += [*parent.children(recursive=True), parent] if process.poll() is None else []
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.terminate()
    for member in psutil.wait_procs(family, timeout=10)[1]:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    for process in processes:
        process.wait()


def run_once(airflow: Airflow, workflow_id: str) -> None:
    say(f"Running the DAG {DAG_ID} (example_dags/run_workflow.py) ...")
    for line in airflow.lines("dags", "test", DAG_ID, "--conf", conf_for(workflow_id)):
        if text := in_short(line):
            say(text)
    xcoms = xcoms_in(airflow)
    if "details" not in xcoms:
        airflow.fail("The DAG did not reach its job's details")
    show_job(xcoms["details"])
    if "rows" not in xcoms:
        sys.exit("\nThe job did not end in success, so there are no rows to show.")
    show_rows(xcoms["rows"])
    print()
    say("Done; nothing is left running. `make ui` shows the same in Airflow's own pages.")


def in_short(line: str) -> str | None:
    """Return the part of a line of Airflow's log that is worth showing, if any."""
    if started := re.search(r"\[DAG TEST\] starting task_id=(\S+)", line):
        return f"task {started[1]}"
    if logged := re.search(r"\] (.*?)\s+\[airflow_provider_nebula_explorer\.", line):
        return f"    {logged[1]}"
    return None


def xcoms_in(airflow: Airflow) -> dict[str, Any]:
    """Return the return value of each task of the only run."""
    program = """
import json
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session

with create_session() as session:
    rows = session.query(XComModel).filter(XComModel.key == "return_value")
    print("XCOMS", json.dumps({row.task_id: XComModel.deserialize_value(row) for row in rows}))
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], env=airflow.environment, check=True, capture_output=True, text=True
    )
    found: dict[str, Any] = json.loads(ran.stdout.partition("XCOMS ")[2])
    return found


def show_job(data: dict[str, Any]) -> None:
    print("\nXCom of the task `details`: the job as Explorer's API returns it")
    show_table(("key", "value"), [(key, in_words(key, data[key])) for key in data if key != "tasks"])
    print("\n  tasks")
    show_table(
        ("name", "status", "duration", "id"),
        [
            (task.name, in_words("status", task.status.value), seconds(task.duration), task.id)
            for task in parse_job(data).tasks
        ],
    )


def in_words(key: str, value: Any) -> str:
    if key == "status":
        return f"{value} ({JobStatus(value).name})"
    if key.endswith("Time") and (moment := parse_time(value)):
        return f"{value} ({moment:%Y-%m-%d %H:%M:%S} UTC)"
    return str(value)


def seconds(duration: timedelta | None) -> str:
    return f"{duration.total_seconds():.0f} s" if duration is not None else ""


def show_rows(rows: list[list[str]]) -> None:
    print("\nXCom of the task `rows`: the first rows of the last task's result")
    show_table(
        tuple(f"column {number}" for number, _ in enumerate(rows[0], 1)) if rows else ("no rows",), rows
    )


def show_table(heads: tuple[str, ...], rows: list[Any]) -> None:
    rows = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
    for row in [heads, ["-" * width for width in widths], *rows]:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def look_around(airflow: Airflow, connection: str, workflow_id: str) -> None:
    port = free_port()
    url = f"http://localhost:{port}"
    add_connection(airflow, connection)
    password = add_login(airflow)
    airflow.environment |= {
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
    }
    show_doctor(airflow)
    say("Starting Airflow ...")
    with airflow.running() as processes, contextlib.suppress(KeyboardInterrupt):
        wait_until_healthy(airflow, processes, url)
        airflow.run("dags", "trigger", DAG_ID, "--conf", conf_for(workflow_id))
        say(f"Airflow is at {url}, login admin, password {password}")
        say(f"  the example's run:  {url}/dags/{DAG_ID}")
        say(f"  the connection:     {url}/connections")
        say("Ctrl-C ends everything.")
        while all(process.poll() is None for process in processes):
            time.sleep(1)
        airflow.fail("A part of Airflow ended by itself")
    say("Ended; nothing is left running.")


def add_connection(airflow: Airflow, connection: str) -> None:
    """Store the connection in the database, as Airflow's pages show no connections of the environment."""
    del airflow.environment[CONNECTION]
    is_json = connection.lstrip().startswith("{")
    file = airflow.home / "connections.json"  # others can read a process's arguments, but not this folder
    file.write_text(
        json.dumps({"nebula_explorer_default": json.loads(connection) if is_json else connection})
    )
    airflow.run("connections", "import", str(file))
    file.unlink()


def add_login(airflow: Airflow) -> str:
    """Give Airflow's pages the login ``admin``, and return its password."""
    password = secrets.token_urlsafe(9)
    file = airflow.home / "passwords.json"
    file.write_text(json.dumps({"admin": password}))
    airflow.environment["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"] = str(file)
    return password


def show_doctor(airflow: Airflow) -> None:
    """Show what the doctor says: its last line, if nothing differs."""
    doctor = [sys.executable, "-m", "airflow_provider_nebula_explorer.doctor"]
    ran = subprocess.run(doctor, env=airflow.environment, capture_output=True, text=True, check=False)
    lines = (ran.stdout or ran.stderr).splitlines()
    for line in lines if ran.returncode else lines[-1:]:
        say(f"The doctor: {line}")


def free_port() -> int:
    for choice in (8080, 0):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", choice)) as server:
            port: int = server.getsockname()[1]
            return port
    sys.exit("No port is free on 127.0.0.1.")


def wait_until_healthy(airflow: Airflow, processes: Sequence[subprocess.Popen[Any]], url: str) -> None:
    parts = ("metadatabase", "scheduler", "dag_processor", "triggerer")
    while all(process.poll() is None for process in processes):
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            with urllib.request.urlopen(f"{url}/api/v2/monitor/health", timeout=5) as response:
                health = json.load(response)
            if all((health.get(part) or {}).get("status") == "healthy" for part in parts):
                return
        time.sleep(1)
    airflow.fail("Airflow did not start")


def say(text: str) -> None:
    print(f"{time.monotonic() - BEGUN:4.0f} s  {text}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
