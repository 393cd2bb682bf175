# SPDX-License-Identifier: Apache-2.0
"""The command line: ``python -m airflow_provider_nebula_explorer.emulator --port 7002``."""

from __future__ import annotations

import argparse
import ipaddress
import json
import logging
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from airflow_provider_nebula_explorer.emulator.accounts import ENCODINGS
from airflow_provider_nebula_explorer.emulator.deviations import Missing
from airflow_provider_nebula_explorer.emulator.plans import JobPlan, TaskPlan, as_object, read_workflow
from airflow_provider_nebula_explorer.emulator.sessions import DEFAULT_PASSWORD
from airflow_provider_nebula_explorer.explorer.models import JobStatus

if TYPE_CHECKING:
    from airflow_provider_nebula_explorer.emulator.server import Emulator

PASSWORD_VARIABLE = "NEBULA_EXPLORER_EMULATOR_PASSWORD"  # noqa: S105 - its name
_WORKFLOW = 3992429968
_DAY = 86400.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGINT or SIGTERM."""
    options = make_parser().parse_args(arguments)
    signals = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # before the emulator's thread, which inherits it
    _log_calls()
    try:
        emulator = make_emulator(options).start()
    except (ImportError, OSError, OverflowError, ValueError) as error:
        sys.exit(f"error: {error}")
    if warning := exposure(options.host):
        print(warning, file=sys.stderr)  # noqa: T201
    print(_greeting(emulator), flush=True)  # noqa: T201 - a person reads it
    signal.sigwait(signals)
    emulator.stop()


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_nebula_explorer.emulator",
        description="A stand-in for NebulaGraph Explorer: its workflow API, with simulated jobs.",
        epilog="Stop it with Ctrl-C. See docs/emulator.md for plans, faults and the control endpoints.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on")
    add("--port", type=int, default=7002, help="port to listen on; 0 picks a free one")
    plans = "JSON file: workflows by id, each with the plan of its jobs; every other id exists, too"
    add("--plans", type=Path, metavar="FILE", default=argparse.SUPPRESS, help=plans)
    journal = "file that stores workflows, jobs and clock; with it, the next emulator continues from there"
    add("--journal", type=Path, metavar="FILE", default=argparse.SUPPRESS, help=journal)
    add("--max-page-size", type=int, default=100, metavar="N", help="the most jobs on one page of a list")
    missing = "the response about a job, task or workflow that does not exist"
    add("--missing", choices=get_args(Missing), default="not_found", help=missing)
    like = "JSON report of the doctor: behave as that Explorer does, in spite of other options"
    add("--like", type=Path, metavar="FILE", default=argparse.SUPPRESS, help=like)
    _add_login_options(parser)
    return parser


def _add_login_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("logins").add_argument
    add("--login", default="root", help="the only accepted account")
    password = f"its password (default: that of the variable {PASSWORD_VARIABLE}, else {DEFAULT_PASSWORD})"
    add("--password", default=argparse.SUPPRESS, help=f"{password}; other users can see this option")
    encodings = "how clients must write the account: json for Explorer 3.3 and later, colon for older ones"
    add("--encoding", choices=ENCODINGS, default="json", help=encodings)
    add("--token-ttl", type=float, default=259200, metavar="SECONDS", help="how long a login lasts")
    clients = "the most clients that Explorer keeps, one for each login; 0 for no limit"
    add("--max-clients", type=int, default=200, metavar="N", help=clients)
    idle = "seconds without a request after which a client may be closed; 0 for never"
    add("--client-idle", type=float, default=3600, metavar="SECONDS", help=idle)
    recycle = "a login that finds more clients than this, or no room, closes the idle ones"
    add("--recycle-above", type=int, default=30, metavar="N", help=recycle)
    graphd = "the most sessions at graphd, one for each client; 0 for no limit"
    add("--max-graphd-sessions", type=int, default=300, metavar="N", help=graphd)


def make_emulator(options: argparse.Namespace) -> Emulator:
    """Return the emulator that a command line describes.

    :raises OSError: if a file cannot be read.
    :raises ValueError: if an option or what a file holds is wrong.
    """
    from airflow_provider_nebula_explorer.emulator.server import Emulator  # needs aiohttp

    arguments = vars(options)  # each option but --plans is named like its argument
    plans = arguments.pop("plans", None)
    arguments.setdefault("password", os.environ.get(PASSWORD_VARIABLE) or DEFAULT_PASSWORD)
    emulator = Emulator(**arguments)
    if not emulator.jobs:
        _seed(emulator)
    if plans is not None:
        _read_plans(emulator, plans)
    return emulator


def _read_plans(emulator: Emulator, file: Path) -> None:
    try:
        workflows = as_object(json.loads(file.read_text(encoding="utf-8")), "a plans file")
        for workflow_id, data in workflows.items():
            name, plans = read_workflow(data)
            emulator.plan(workflow_id, plans, name=name)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


def _seed(emulator: Emulator) -> None:
    """Add finished jobs, so that a list shows something."""
    tasks = (TaskPlan("BFS"),)
    done = JobPlan(preparing=2.5, running=3, tasks=tasks)
    failed = JobPlan(preparing=2.5, running=3, ends=JobStatus.FAILED, tasks=tasks)
    emulator.plan(_WORKFLOW, JobPlan(), name="workflow_xkkjf")
    for days_ago, plan in ((3, done), (2, failed), (1, done)):
        emulator.start_job(_WORKFLOW, plan=plan, created=emulator.now() - days_ago * _DAY)


def _greeting(emulator: Emulator) -> str:
    return f"""\
NebulaGraph Explorer's emulator listens on {emulator.url}
export AIRFLOW_CONN_NEBULA_EXPLORER_DEFAULT={shlex.quote(emulator.airflow_connection)}
Calls so far: {emulator.url}/_emulator/calls, jobs: {emulator.url}
Stop it with Ctrl-C."""


def exposure(host: str) -> str:
    """Return a warning for an address that other machines may reach; for all others, an empty text."""
    try:
        is_local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_local = False
    if is_local:
        return ""
    return f"warning: others may reach {host!r}, and the control endpoints under /_emulator need no login"


def _log_calls() -> None:
    line = "%(asctime)s %(message)s"
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format=line, datefmt="%H:%M:%S")


if __name__ == "__main__":
    main()
