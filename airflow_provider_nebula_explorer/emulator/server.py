# SPDX-License-Identifier: Apache-2.0
"""The emulated Explorer as one object: a server, its jobs, and the requests it received."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, final

from airflow_provider_nebula_explorer.emulator import backstage
from airflow_provider_nebula_explorer.emulator.accounts import Encoding
from airflow_provider_nebula_explorer.emulator.api import Explorer
from airflow_provider_nebula_explorer.emulator.calls import Call, CallLog
from airflow_provider_nebula_explorer.emulator.deviations import Deviations, Missing
from airflow_provider_nebula_explorer.emulator.fault_queue import FaultQueue
from airflow_provider_nebula_explorer.emulator.faults import Fault
from airflow_provider_nebula_explorer.emulator.frontend import Frontend
from airflow_provider_nebula_explorer.emulator.journal import Journal
from airflow_provider_nebula_explorer.emulator.limits import Limits
from airflow_provider_nebula_explorer.emulator.listener import ServerThread
from airflow_provider_nebula_explorer.emulator.messages import Request, Response
from airflow_provider_nebula_explorer.emulator.pages import JOB_URL
from airflow_provider_nebula_explorer.emulator.plans import JobPlan
from airflow_provider_nebula_explorer.emulator.refusals import BAD_REQUEST, is_code
from airflow_provider_nebula_explorer.emulator.sessions import DEFAULT_PASSWORD, Cookie, Sessions
from airflow_provider_nebula_explorer.emulator.state import ExplorerState, check_input
from airflow_provider_nebula_explorer.explorer.models import JsonObject


@final
class Emulator:
    """A stand-in for NebulaGraph Explorer that listens from its start to its stop.

    It can be stopped and started again, on the same port: like an Explorer that restarts, it then keeps its
    jobs and forgets its clients. All of it may be used from any thread.

    :param host: the address to listen on.
    :param port: the port to listen on; 0 for a free one.
    :param login: the only accepted account.
    :param password: its password.
    :param encoding: how the account must be written: ``json`` (Explorer 3.3 and later), ``colon``, ``both``.
    :param token_ttl: how long a session lasts, in seconds.
    :param max_page_size: the maximum number of jobs on one page of a list.
    :param cookie: how the token's cookie is written: ``plain``; ``secure``, with ``Secure; SameSite=None``;
        ``misspelt``, with ``# Max-Age``; ``bare``, without ``Max-Age``.
    :param graphd: the only graphd, as address and port, that can be reached; ``None`` if any can.
    :param workflows: the workflows that exist, by id: each a plan, or a name and a plan; others are not
        found. With ``None``, every id exists.
    :param missing: the response about a job, task or workflow that does not exist: with ``not_found``, the
        error 40404000; with ``zero``, a success with zero values, such as a job with the id 0, and ``null``
        for every empty list; with ``no_data``, a success without data.
    :param like: how it behaves: the report of a doctor that examined an Explorer, the report's facts, or the
        path of a file with one of these. A fact has precedence over the argument for the same behaviour.
    :param clock: the time in epoch seconds.
    :param seed: the seed of the faults that have a probability.
    :param max_clients: the most clients that Explorer keeps, one for each login; with this many, it refuses
        every login. 0 switches this limit off, as it does the other limits.
    :param client_idle: the seconds without a request after which a client may be closed.
    :param recycle_above: a login that finds more clients than this, or no room, closes the idle ones.
    :param max_graphd_sessions: the most sessions at graphd. Each client has one; a restart of Explorer leaves
        them at graphd for 8 hours.
    :param failed_login_attempts: the number of wrong passwords in a row after which graphd locks the account.
    :param password_lock_time: the seconds for which the account is then locked.
    :param journal: a file that stores its workflows, jobs and clock: another emulator with the same file
        continues where this one ended, no matter how it ended.
    :raises ValueError: if an argument is wrong, or a file is not a journal or not a report.
    :raises OSError: if a file cannot be read.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        login: str = "root",
        password: str = DEFAULT_PASSWORD,
        encoding: Encoding = "json",
        token_ttl: float = 259200,
        max_page_size: int = 100,
        cookie: Cookie = "plain",
        graphd: tuple[str, int] | None = None,
        workflows: Mapping[int | str, JobPlan | tuple[str, JobPlan]] | None = None,
        missing: Missing = "not_found",
        like: Deviations | Mapping[str, Any] | str | Path | None = None,
        clock: Callable[[], float] = time.time,
        seed: int = 0,
        max_clients: int = 200,
        client_idle: float = 3600,
        recycle_above: int = 30,
        max_graphd_sessions: int = 300,
        failed_login_attempts: int = 0,
        password_lock_time: float = 0,
        journal: Path | None = None,
    ) -> None:
        facts = Deviations.read(like)
        deviations = replace(facts, missing_job=facts.missing_job or missing)
        self.latency = deviations.latency
        """Seconds that each response takes."""
        clients = (max_clients, client_idle, recycle_above)
        limits = Limits(*clients, max_graphd_sessions, failed_login_attempts, password_lock_time)
        account = (login, password, facts.account_encoding or encoding)
        token = (facts.max_age or token_ttl, _cookie(facts, cookie))
        self._sessions = Sessions(*account, *token, graphd, limits)
        page_cap = facts.page_cap or max_page_size
        self._state = ExplorerState(workflows, max_page_size=page_cap, deviations=deviations)
        self._explorer = Explorer(self._sessions, self._state, deviations)
        self._faults = FaultQueue(seed)
        self._calls = CallLog()
        self._clock = clock
        self._ahead = 0.0
        self._lock = threading.RLock()
        self._server = ServerThread(self._frontend().handle, host, port)
        if journal is not None:
            self._continue(Journal(journal))

    def start(self) -> Emulator:
        """Start to listen.

        :raises OSError: if the port is in use.
        """
        self._server.start()
        return self

    def stop(self) -> None:
        """Close every connection, and forget every session."""
        self._server.stop()
        self.forget_sessions()

    def __enter__(self) -> Emulator:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """The port it listens on; before its start, the one that was passed."""
        return self._server.port

    @property
    def url(self) -> str:
        """The address for a client on this machine."""
        host = self._server.host
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def airflow_connection(self) -> str:
        """An Airflow connection to it, as JSON for a variable ``AIRFLOW_CONN_...``; the password is in it.

        The link on a task leads to the job's page at the emulator.
        """
        address, port = self._sessions.graphd or ("graphd", 9669)
        return json.dumps(
            {
                "conn_type": "nebula_explorer",
                "host": self._server.host,
                "port": self.port,
                "schema": "http",
                "login": self._sessions.login,
                "password": self._sessions.password,
                "extra": {"nebula_address": address, "nebula_port": port, "job_url": JOB_URL},
            }
        )

    def plan(
        self, workflow_id: int | str, plan: JobPlan | Sequence[JobPlan], *, name: str | None = None
    ) -> None:
        """Set what the next jobs of a workflow do, and the workflow's name.

        :param workflow_id: the workflow's id; it exists from now on.
        :param plan: the plan of all next jobs, or a list of plans, one for each next job; the last one stays.
        :param name: the workflow's name; unless given, the name that it has, or one made of its id.
        """
        plans = [plan] if isinstance(plan, JobPlan) else plan
        with self._lock:
            self._state.plan(workflow_id, plans, name)

    def start_job(
        self,
        workflow_id: int | str,
        input: JsonObject | None = None,
        *,
        plan: JobPlan | None = None,
        name: str | None = None,
        created: float | None = None,
    ) -> int:
        """Start a job, as someone else would, and return its id.

        :param workflow_id: the workflow's id.
        :param input: parameters by component, as ``{"query_1": {"limit": 10}}``; none unless given.
        :param plan: what it does; the workflow's plan unless given.
        :param name: the job's name; the workflow's with the time unless given.
        :param created: when it was created, in epoch seconds; now unless given.
        """
        with self._lock:
            moment = self._time if created is None else float(created) - self._state.clock_ahead
            return self._state.add(workflow_id, check_input(input), moment, plan=plan, name=name).id

    def cancel(self, job_id: int) -> None:
        """Cancel a job as someone else would.

        :param job_id: the job's id.
        """
        with self._lock:
            self._state.cancel(job_id, self._time)

    def job(self, job_id: int) -> JsonObject:
        """Return a job's details, as the API returns them.

        :param job_id: the job's id.
        """
        with self._lock:
            return self._state.job(job_id).details(self._time)

    def input(self, job_id: int) -> JsonObject:
        """Return the input that a job was given.

        :param job_id: the job's id.
        """
        with self._lock:
            return self._state.job(job_id).input

    @property
    def jobs(self) -> list[JsonObject]:
        """The details of every job, in the order in which they were started."""
        with self._lock:
            return [job.details(self._time) for job in self._state.jobs]

    @property
    def calls(self) -> tuple[Call, ...]:
        """The requests it received, oldest first: the latest 100,000."""
        return self._calls.calls

    def count(self, endpoint: str | None = None) -> int:
        """Return the number of requests, to one endpoint or to all.

        :param endpoint: the endpoint's name, such as ``get_job``; ``None`` for all.
        """
        return self._calls.count(endpoint)

    @property
    def logins(self) -> int:
        """How many logins succeeded."""
        return self._sessions.logins

    @property
    def clients(self) -> int:
        """How many clients Explorer keeps now: one for each login, until it is closed or forgotten."""
        return len(self._sessions.tokens)

    @property
    def most_clients(self) -> int:
        """How many clients Explorer ever kept at the same time."""
        return self._sessions.most_clients

    @property
    def connections(self) -> int:
        """How many TCP connections were made to it."""
        return self._server.connections

    def forget_sessions(self) -> None:
        """Forget every session, as Explorer does when it restarts; their sessions at graphd remain."""
        with self._lock:
            self._sessions.forget()

    def expire_graphd_sessions(self, code: int = BAD_REQUEST) -> None:
        """Let graphd drop every session, so that Explorer refuses whoever logged in until they log in again.

        :param code: Explorer's code of these refusals; ``50004001`` occurs, too.
        """
        if not is_code(code):
            raise ValueError(f"code is {code!r}; allowed: 8 digits")
        with self._lock:
            self._sessions.drop_graphd_sessions(code)

    def now(self) -> float:
        """Return the time of its clock, in epoch seconds."""
        return self._time + self._state.clock_ahead

    def advance(self, seconds: float) -> None:
        """Let time pass for its jobs and logins, so that a test need not wait; or, if negative, go back.

        :param seconds: by how much.
        """
        with self._lock:
            self._put_forward(_finite(seconds))
            self._state.on_change("advance", seconds=seconds)

    def set_clock(self, seconds: float) -> None:
        """Set its clock forward, or back with a negative number; its jobs and logins continue as before.

        :param seconds: by how much.
        """
        with self._lock:
            self._state.set_clock(_finite(seconds))

    @property
    def _time(self) -> float:
        """The time that passes, to whatever time the clock is set."""
        return self._clock() + self._ahead

    def fail(self, *faults: Fault) -> None:
        """Let faults hit the next requests, after the faults that are already waiting.

        :param faults: what happens, in this order.
        """
        for fault in faults:
            self._faults.add(fault)

    def clear_faults(self) -> None:
        """Remove every fault that has not happened yet."""
        self._faults.clear()

    def _continue(self, journal: Journal) -> None:
        state = self._state
        journal.replay(
            {
                "plan": lambda plans, **others: state.plan(
                    plans=[JobPlan.from_json(plan) for plan in plans], **others
                ),
                "add": lambda plan, **others: state.add(plan=JobPlan.from_json(plan), **others),
                "cancel": state.cancel,
                "advance": self._put_forward,
                "set_clock": state.set_clock,
            }
        )
        state.on_change = journal.append

    def _put_forward(self, seconds: float) -> None:
        self._ahead += seconds

    def _frontend(self) -> Frontend:
        return Frontend(
            explorer=self._respond,
            backstage=lambda request: backstage.respond(self, request, self._server.host),
            side_effects={
                "session_loss": self.forget_sessions,
                "graphd_session_loss": self.expire_graphd_sessions,
            },
            faults=self._faults,
            calls=self._calls,
            latency=lambda: self.latency,
            now=self.now,
        )

    def _respond(self, request: Request) -> Response:
        with self._lock:
            return self._explorer.respond(request, self._time)


def _cookie(facts: Deviations, cookie: Cookie) -> Cookie:
    if facts.secure_cookie is None or facts.secure_cookie == (cookie == "secure"):
        return cookie
    return "secure" if facts.secure_cookie else "plain"


def _finite(seconds: float) -> float:
    if not math.isfinite(seconds):
        raise ValueError(f"seconds is {seconds}; allowed: a finite number")
    return seconds
