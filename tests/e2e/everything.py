# SPDX-License-Identifier: Apache-2.0
"""One run of the DAG ``every_class``, at DEBUG, against Explorers whose password is awkward."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote

from echo import EchoServer
from parts import wait_for
from traces import Places, Samples, database, files, responses
from whole_airflow import Airflow

from airflow_provider_nebula_explorer.emulator import Emulator, Fault, JobPlan

DAGS = Path(__file__).with_name("dags")
DAG_ID, RUN_ID = "every_class", "at_debug"
LOUD = ("urllib3", "requests", "httpx", "httpcore", "asyncio")
"""Loggers that log at DEBUG besides Airflow's own."""

PASSWORD = "Xk7ZwqvB:pä$$ \"q'\\<&>%41+/ Nq8JvltD"
OTHER_PASSWORD = "Rm3HfcyT:pö$$ \"q'\\<&>%42+/ Wd5KpxsG"
"""A password that every Explorer here refuses."""
PROXY_PASSWORD = "Jb6TqznM:pü$$ \"q'\\<&>%43+/ Vg4YrhkC"
MISPLACED = "Dw8GzrkT:pé$$ \"q'\\<&>%45+/ Tb3MhcsX"
"""A password in a wrong field of a connection, which Airflow itself shows."""
PLANTED = "Cf9LxwjP:pß$$ \"q'\\<&>%44+/ Hs2BnmdQ"
"""Not a secret: the search must find it everywhere."""

JOB_SECONDS = 1000.0
SECONDS_TO_ACT = 120.0
SECONDS_TO_SETTLE = 15.0
"""After this time the scheduler surely knows of a deferral."""

CLOSED = "127.0.0.1:9"

LASTING = JobPlan(running=JOB_SECONDS)
WORKFLOWS = {
    1: LASTING,
    2: JobPlan(running=JOB_SECONDS, ends="FAILED"),
    3: JobPlan(running=JOB_SECONDS, ends="INTERRUPTED"),
    4: LASTING,
    5: JobPlan(ends=None, stopping=JOB_SECONDS),
    6: JobPlan(running=0),
}

DEFERRED = (
    "run_deferred",
    "cancel",
    "wait_deferred",
    "wait_for_any_deferred",
    "job_fails",
    "job_is_interrupted",
)
"""Tasks that wait in the triggerer until the scenario continues; the task ``run`` waits in a worker."""

FAULTS = ("html", "garbage", "redirect", "reset", "truncate", "overrun", "lost", "status")

_DEFERRED = re.compile(rf"with state success .*? task_id='(\w+)', run_id='{RUN_ID}', try_number=(\d+)")


@dataclass
class Everything:
    """What ran, and what it left behind.

    :param tokens: all tokens that any login returned.
    :param places: all texts that it left behind, by where they are.
    """

    airflow: Airflow
    explorer: Emulator
    echo: EchoServer
    tokens: set[str] = field(default_factory=set)
    places: Places = field(default_factory=dict)

    def begin(self, connections: dict[str, dict[str, Any]], **more: Any) -> None:
        """Have Airflow run every class, and meet every trouble."""
        for name, fields in connections.items():
            extra = json.dumps(fields["extra"])
            self.airflow.request(
                "POST", "/connections", json={**fields, "connection_id": name, "extra": extra}
            )
        conf = self._jobs() | {"refused": REFUSED, "planted": PLANTED, "seconds": 5} | more
        body = {"dag_run_id": RUN_ID, "logical_date": None, "conf": conf}
        self.airflow.request("POST", f"/dags/{DAG_ID}/dagRuns", json=body)
        dag = self.airflow.request("PATCH", "/dags/every_event", json={"is_paused": False})
        self.airflow.request("PATCH", "/dags/every_trouble", json={"is_paused": False})
        self.airflow.request("PUT", f"/parseDagFile/{dag['file_token']}")

    def _jobs(self) -> dict[str, Any]:
        jobs = {
            "done": self.explorer.start_job(6),
            "lasting": self.explorer.start_job(1),
            "interrupted": self.explorer.start_job(3),
            "endless": self.explorer.start_job(5),
            "slow_to_stop": self.explorer.start_job(5),
        }
        return jobs | {"explorer_task_id": self.explorer.job(jobs["done"])["tasks"][0]["id"]}

    def lose_sessions(self) -> None:
        """Make Explorer forget all sessions while tasks wait."""
        before = self.explorer.logins
        self.take_tokens(self.explorer)
        self.explorer.forget_sessions()
        self.wait_until("one of all processes logs in again", lambda: self.explorer.logins > before)

    def end_waits(self) -> None:
        """End all waits."""
        self.wait_until("a workflow is watched", lambda: self.airflow.bookmarks)
        self.explorer.start_job(4)
        self.explorer.advance(JOB_SECONDS)
        self.wait_until("the run is over", lambda: self._is_over(DAG_ID))
        self.wait_until("an event started a run", lambda: self._is_over("every_event"))

    def take_tokens(self, *explorers: Emulator) -> None:
        """Collect the tokens that are valid now."""
        for explorer in explorers:
            self.tokens |= explorer._sessions.tokens

    def tasks(self) -> dict[str, dict[str, Any]]:
        path = f"/dags/{DAG_ID}/dagRuns/{RUN_ID}/taskInstances"
        found = self.airflow.request("GET", path, params={"limit": 1000})["task_instances"]
        return {task["task_id"]: task for task in found}

    def is_waiting(self, attempts: dict[str, int]) -> bool:
        """Whether the tasks are in the triggerer, and the scheduler knows that their processes ended."""
        log = self.airflow.parts["scheduler"].log.read_text(errors="replace")
        ended, tasks = set(_DEFERRED.findall(log)), self.tasks()
        return all(
            _is_deferred(tasks[name], attempt)
            and ((name, str(tasks[name]["try_number"])) in ended or _is_settled(tasks[name]))
            for name, attempt in attempts.items()
        )

    def wait_until(self, what: str, condition: Callable[[], object]) -> None:
        wait_for(what, condition, SECONDS_TO_ACT, self.evidence)

    def evidence(self) -> str:
        states = {name: task["state"] for name, task in self.tasks().items()}
        return f"{states}\n{self.airflow.evidence()}"

    def _is_over(self, dag_id: str) -> bool:
        runs = self.airflow.request("GET", f"/dags/{dag_id}/dagRuns")["dag_runs"]
        return bool(runs) and all(run["state"] in ("success", "failed") for run in runs)


def _is_deferred(task: dict[str, Any], attempt: int) -> bool:
    # On a busy machine, Airflow may have lost an attempt and made another.
    return task["state"] == "deferred" and task["try_number"] >= attempt


def _is_settled(task: dict[str, Any]) -> bool:
    # Long lines of other processes may interrupt the scheduler's log line, which the pattern then misses.
    since = datetime.fromisoformat(task["trigger"]["created_date"].replace("Z", "+00:00"))
    return (datetime.now(timezone.utc) - since).total_seconds() > SECONDS_TO_SETTLE


def play(everything: Everything) -> None:
    """Play the scenario of the run."""
    airflow = everything.airflow
    ended = ("is_cleared", "is_marked_failed")
    everything.wait_until("two tasks wait", lambda: everything.is_waiting(dict.fromkeys(ended, 1)))
    mine = f"/dags/{DAG_ID}/dagRuns/{RUN_ID}/taskInstances"
    airflow.request("PATCH", f"{mine}/is_marked_failed", json={"new_state": "failed", "note": "Marked."})
    again = {"dry_run": False, "dag_run_id": RUN_ID, "only_failed": False, "task_ids": ["is_cleared"]}
    airflow.request("POST", f"/dags/{DAG_ID}/clearTaskInstances", json=again)
    waiting = dict.fromkeys(DEFERRED, 1) | {"is_cleared": 2}
    everything.wait_until("tasks wait", lambda: everything.is_waiting(waiting))
    everything.lose_sessions()
    everything.end_waits()


@contextmanager
def everything_at_debug() -> Iterator[Everything]:
    """Run everything, and yield what it left behind."""
    lineage = json.dumps({"type": "file", "log_file_path": "lineage.json", "append": True})
    airflow = Airflow(
        DAGS,
        {DAG_ID, "every_event", "every_trouble"},
        for_workers={"OPENLINEAGE__TRANSPORT": lineage, "OPENLINEAGE__SELECTIVE_ENABLE": "True"},
        CORE__PARALLELISM="8",  # more would starve the rest
        LOGGING__LOGGING_LEVEL="DEBUG",
        LOGGING__NAMESPACE_LEVELS=" ".join(f"{name}=DEBUG" for name in LOUD),
    )
    with ExitStack() as stack:
        stack.callback(airflow.stop)
        echo = stack.enter_context(EchoServer(PASSWORD))
        good = Emulator(password=PASSWORD, workflows=WORKFLOWS)
        faulty, fails_once, loses = (Emulator(password=PASSWORD) for _ in range(3))
        for kind in FAULTS:
            faulty.fail(Fault(kind, "get_job"), Fault(kind, "cancel_job"))
        fails_once.fail(Fault("code", "get_job", code=50004000))
        loses.fail(Fault("lost", "run_workflow"))
        explorers = [stack.enter_context(each) for each in (good, faulty, fails_once, loses)]
        airflow.start()
        everything = Everything(airflow, good, echo)
        with Samples(airflow) as samples:
            everything.begin(
                {
                    "explorer": to(good.url),
                    "faulty": to(faulty.url, max_retries=0),
                    "fails_once": to(fails_once.url, max_retries=0),
                    "loses_response": to(loses.url),
                    **troubles(good.url, echo.address),
                },
                retried=fails_once.start_job(1),
            )
            play(everything)
        everything.take_tokens(*explorers)
        everything.tokens |= echo.tokens
        everything.places |= responses(airflow, DAG_ID, RUN_ID) | samples.places | database(airflow)
        everything.places |= files(airflow)
        yield everything


def to(url: str, *, password: str = PASSWORD, **extra: Any) -> dict[str, Any]:
    """Return the fields of a connection."""
    return {
        "conn_type": "nebula_explorer",
        "host": url,
        "login": "root",
        "password": password,
        "extra": {"nebula_address": "graphd", **extra},
    }


def troubles(explorer: str, echo: str) -> dict[str, dict[str, Any]]:
    """Return connections that fail, each in its own way.

    :param explorer: the URL of an Explorer that works.
    :param echo: host and port of the server that repeats secrets in its responses.
    """
    quiet = {"max_retries": 0, "max_consecutive_failures": 3}
    account = f"root:{quote(PROXY_PASSWORD, safe='')}"
    with_account = explorer.replace("//", f"//root:{quote(MISPLACED, safe='')}@")
    answering = {name: to(f"http://{echo}/{name}", **quiet) for name in ECHOES}
    wrong = {
        "wrong_password": to(explorer, password=OTHER_PASSWORD, **quiet),
        "unreachable": to(f"http://{CLOSED}", **quiet),
        "no_tls": to(explorer.replace("http:", "https:"), **quiet),
        "proxy_is_down": to(explorer, proxy=f"http://{account}@{CLOSED}", **quiet),
        "proxy_refuses": to(explorer, proxy=f"http://{account}@{echo}", **quiet),
        "proxy_refuses_tunnel": to("https://localhost:1", proxy=f"http://{account}@{echo}", **quiet),
        "proxy_without_scheme": to(explorer, proxy=f"{account}@{echo}"),
        "verify_maybe": to(explorer, verify="maybe"),
        "port_70000": to("127.0.0.1") | {"port": 70000},
        "unknown_key": to(f"http://{CLOSED}", pasword=PASSWORD, **quiet),
        "no_address": to(explorer) | {"extra": {"address": PASSWORD}},
        "account_in_host": to(with_account, password=MISPLACED),
        "password_as_host": to(MISPLACED, password=MISPLACED),
        "password_as_schema": to(explorer, password=MISPLACED) | {"schema": MISPLACED},
        "password_as_timeout": to(explorer, timeout=PASSWORD),
        "password_as_address": to(explorer, nebula_address=PASSWORD),
        "password_as_job_url": to(explorer, job_url=PASSWORD),
    }
    return answering | wrong


ECHOES = (
    "echoes_login",
    "echoes_token",
    "echoes_in_data",
    "echoes_in_page",
    "echoes_in_redirect",
    "breaks_headers",
    "breaks_cookie",
)

REFUSED = [*["faulty"] * len(FAULTS), *troubles("http://127.0.0.1", "127.0.0.1")]
"""Connections that a task tries one after the other."""
