# SPDX-License-Identifier: Apache-2.0
"""``make ui``: other users of the machine see no password, and reach nothing without a login."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
import requests
from runs import needs_33

from airflow_provider_nebula_explorer.emulator import Emulator

pytestmark = needs_33

DEMO = Path(__file__).parents[2] / "scripts" / "demo.py"
PASSWORD = "s3cret-of-the-ui"
GREETING = re.compile(r"Airflow is at (\S+), login admin, password (\S+)")

AS_BACKGROUND_JOB = ("sh", "-c", "trap '' INT; exec \"$@\"", "sh")
"""Starts a program as a shell's background job: it inherits that SIGINT is ignored."""


@dataclass
class Shown:
    """What other users of the machine can see of the program and of all that it started.

    :ivar url: of Airflow's pages.
    :ivar password: of the login ``admin``.
    :ivar commands: the arguments of all processes, from the first on.
    :ivar listening: the addresses on which they listen.
    """

    url: str = ""
    password: str = ""
    commands: set[str] = field(default_factory=set)
    listening: set[str] = field(default_factory=set)

    def watch(self, program: psutil.Process, ended: threading.Event) -> None:
        while not ended.wait(0.1):
            for process in [program, *program.children(recursive=True)]:
                with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                    self.commands.add(" ".join(process.cmdline()))

    def look_at_sockets(self, program: psutil.Process) -> None:
        for process in program.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                sockets = process.net_connections("inet")
                self.listening |= {it.laddr.ip for it in sockets if it.status == psutil.CONN_LISTEN}


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator(password=PASSWORD) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def shown(emulator: Emulator) -> Iterator[Shown]:
    """``make ui`` at work; at the end it is interrupted, as with Ctrl-C."""
    explorer = {"AIRFLOW_CONN_NEBULA_EXPLORER_DEFAULT": emulator.airflow_connection, "WORKFLOW_ID": "12"}
    shown, ended = Shown(), threading.Event()
    with subprocess.Popen(
        [*AS_BACKGROUND_JOB, sys.executable, DEMO, "--ui"],
        env=os.environ | explorer,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        program = psutil.Process(process.pid)
        watching = threading.Thread(target=shown.watch, args=(program, ended))
        watching.start()
        try:
            assert process.stdout is not None
            found = next(filter(None, map(GREETING.search, process.stdout)), None)
            assert found, "it has ended"
            shown.url, shown.password = found.groups()
            shown.look_at_sockets(program)
            yield shown
        finally:
            ended.set()
            watching.join()
            family = program.children(recursive=True)
            process.send_signal(signal.SIGINT)
            try:
                rest = process.communicate(timeout=60)[0]
            except subprocess.TimeoutExpired:
                for left in (program, *family):
                    with contextlib.suppress(psutil.NoSuchProcess):
                        left.kill()
                raise
    assert "Ended; nothing is left running." in rest
    assert [it for it in family if it.is_running() and it.status() != psutil.STATUS_ZOMBIE] == []


def test_no_password_is_in_the_arguments_of_a_process(shown: Shown):
    assert [command for command in shown.commands if "connections import" in command]
    assert [command for command in shown.commands if PASSWORD in command or shown.password in command] == []


def test_it_listens_on_this_machine_alone(shown: Shown):
    assert shown.listening == {"127.0.0.1"}


def test_its_pages_need_the_login_that_it_prints(shown: Shown, emulator: Emulator):
    dags = f"{shown.url}/api/v2/dags"
    assert requests.get(dags, timeout=10).status_code == 401
    refused = requests.post(
        f"{shown.url}/auth/token", json={"username": "admin", "password": "admin"}, timeout=10
    )
    assert refused.status_code == 401
    login = {"username": "admin", "password": shown.password}
    token = requests.post(f"{shown.url}/auth/token", json=login, timeout=10).json()["access_token"]
    seen = requests.get(dags, headers={"Authorization": f"Bearer {token}"}, timeout=10)
    assert "nebula_explorer_run_workflow" in {dag["dag_id"] for dag in seen.json()["dags"]}
    assert emulator.jobs, "the example has run"
