"""The emulated Explorer as one object: a server, its jobs, and the requests it received."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, final

from airflow_provider_nebula_explorer.emulator import control
from airflow_provider_nebula_explorer.emulator.api import Answer, Explorer, Request, endpoint_of
from airflow_provider_nebula_explorer.emulator.faults import Fault, FaultQueue
from airflow_provider_nebula_explorer.emulator.journal import Journal
from airflow_provider_nebula_explorer.emulator.plans import JobPlan
from airflow_provider_nebula_explorer.emulator.sessions import DEFAULT_PASSWORD, Cookie, Encoding, Sessions
from airflow_provider_nebula_explorer.emulator.state import ExplorerState, check_input
from airflow_provider_nebula_explorer.emulator.wire import Exchange, ServerThread, read_request
from airflow_provider_nebula_explorer.explorer.models import JsonObject

if TYPE_CHECKING:
    from aiohttp import web

log = logging.getLogger("airflow_provider_nebula_explorer.emulator")
_CALLS_KEPT = 100_000


@dataclass(frozen=True)
class Call:
    """One request that the emulator received; the account and the token are not stored.

    :param endpoint: the endpoint's name; ``"unknown"`` if the API has no such endpoint.
    :param path: as it was sent, still percent-encoded, without the query.
    :param body: the JSON that was sent; ``None`` if it was not JSON.
    :param status: the HTTP status of the response; ``None`` if none was sent.
    :param time: when it was answered, in epoch seconds of the emulator's clock.
    :param fault: the kind of the fault that hit it.
    """

    endpoint: str
    method: str
    path: str
    query: Mapping[str, str]
    body: Any
    status: int | None
    time: float
    fault: str | None = None


@final
class Emulator:
    """A stand-in for NebulaGraph Explorer that listens from its start to its stop.

    It can be stopped and started again, on the same port: like an Explorer that restarts, it then keeps its
    jobs and forgets its sessions. All of it may be used from any thread.

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
    :param clock: the time in epoch seconds.
    :param seed: the seed of the faults that have a probability.
    :param journal: a file that stores its workflows, jobs and clock: another emulator with the same file
        continues where this one ended, no matter how it ended.
    :raises ValueError: if the file is not a journal.
    :raises OSError: if it cannot be read.
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
        clock: Callable[[], float] = time.time,
        seed: int = 0,
        journal: Path | None = None,
    ) -> None:
        self.latency = 0.0
        """Seconds that each response takes."""
        self._sessions = Sessions(login, password, encoding, token_ttl, cookie, graphd)
        self._state = ExplorerState(workflows, max_page_size=max_page_size)
        self._explorer = Explorer(self._sessions, self._state)
        self._faults = FaultQueue(seed)
        self._calls: deque[Call] = deque(maxlen=_CALLS_KEPT)
        self._counts: Counter[str] = Counter()
        self._clock = clock
        self._ahead = 0.0
        self._lock = threading.RLock()
        self._server = ServerThread(self._handle, host, port)
        if journal is not None:
            self._go_on(Journal(journal))

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
        """An Airflow connection to it, as JSON for a variable ``AIRFLOW_CONN_...``; the password is in it."""
        address, port = self._sessions.graphd or ("graphd", 9669)
        return json.dumps(
            {
                "conn_type": "nebula_explorer",
                "host": self._server.host,
                "port": self.port,
                "schema": "http",
                "login": self._sessions.login,
                "password": self._sessions.password,
                "extra": {"nebula_address": address, "nebula_port": port},
            }
        )

    def plan(self, workflow_id: int | str, plan: JobPlan, *, name: str | None = None) -> None:
        """Set what the next jobs of a workflow do, and the workflow's name."""
        with self._lock:
            self._state.plan(workflow_id, plan, name)

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

        :param plan: what it does; the workflow's plan unless given.
        :param name: the job's name; the workflow's with the time unless given.
        :param created: when it was created, in epoch seconds; now unless given.
        """
        with self._lock:
            moment = self._time if created is None else float(created) - self._state.clock_ahead
            return self._state.add(workflow_id, check_input(input), moment, plan=plan, name=name).id

    def cancel(self, job_id: int) -> None:
        """Cancel a job as someone else would."""
        with self._lock:
            self._state.cancel(job_id, self._time)

    def job(self, job_id: int) -> JsonObject:
        """Return a job's details, as the API returns them."""
        with self._lock:
            return self._state.job(job_id).details(self._time)

    def input(self, job_id: int) -> JsonObject:
        """Return the input that a job was given."""
        with self._lock:
            return self._state.job(job_id).input

    @property
    def jobs(self) -> list[JsonObject]:
        """The details of every job, in the order of their ids."""
        with self._lock:
            return [job.details(self._time) for job in self._state.jobs]

    @property
    def calls(self) -> tuple[Call, ...]:
        """The requests it received, oldest first: the latest 100,000."""
        with self._lock:
            return tuple(self._calls)

    def count(self, endpoint: str | None = None) -> int:
        """Return the number of requests, to one endpoint or to all."""
        with self._lock:
            return sum(self._counts.values()) if endpoint is None else self._counts[endpoint]

    @property
    def logins(self) -> int:
        """How many logins succeeded."""
        return self._sessions.logins

    @property
    def connections(self) -> int:
        """How many TCP connections were made to it."""
        return self._server.connections

    def forget_sessions(self) -> None:
        """Forget every session, as Explorer does when it restarts."""
        with self._lock:
            self._sessions.forget()

    def now(self) -> float:
        """Return the time of its clock, in epoch seconds."""
        return self._time + self._state.clock_ahead

    def advance(self, seconds: float) -> None:
        """Let time pass for its jobs and logins, so that a test need not wait; or, if negative, go back."""
        with self._lock:
            self._put_forward(_finite(seconds))
            self._state.note("advance", seconds=seconds)

    def set_clock(self, seconds: float) -> None:
        """Set its clock forward, or back with a negative number; its jobs and logins continue as before."""
        with self._lock:
            self._state.set_clock(_finite(seconds))

    @property
    def _time(self) -> float:
        """The time that passes, whatever the clock tells."""
        return self._clock() + self._ahead

    def fail(self, *faults: Fault) -> None:
        """Let faults hit the next requests, after the faults that are already waiting."""
        with self._lock:
            for fault in faults:
                self._faults.add(fault)

    def clear_faults(self) -> None:
        """Remove every fault that has not happened yet."""
        with self._lock:
            self._faults.clear()

    def _go_on(self, journal: Journal) -> None:
        state = self._state
        journal.replay(
            {
                "plan": lambda plan, **others: state.plan(plan=JobPlan.from_json(plan), **others),
                "add": lambda plan, **others: state.add(plan=JobPlan.from_json(plan), **others),
                "cancel": state.cancel,
                "advance": self._put_forward,
                "set_clock": state.set_clock,
            }
        )
        state.note = journal.note

    def _put_forward(self, seconds: float) -> None:
        self._ahead += seconds

    async def _handle(self, wire: web.BaseRequest) -> web.StreamResponse:
        request = await read_request(wire)
        if request.path.startswith(control.PREFIX):
            return await self._control(wire, request).deliver()
        await asyncio.sleep(self.latency)
        return await self._exchange(wire, request).deliver()

    def _control(self, wire: web.BaseRequest, request: Request) -> Exchange:
        return Exchange(wire, None, lambda: control.answer(self, request), lambda _: None, self.now)

    def _exchange(self, wire: web.BaseRequest, request: Request) -> Exchange:
        endpoint = endpoint_of(request)
        with self._lock:
            fault = self._faults.take(endpoint)
        if fault is not None and fault.kind == "session_loss":
            self.forget_sessions()

        def process() -> Answer:
            with self._lock:
                return self._explorer.answer(request, self._time)

        def record(status: int | None) -> None:
            self._record(request, endpoint, status, fault)

        return Exchange(wire, fault, process, record, self.now)

    def _record(self, request: Request, endpoint: str, status: int | None, fault: Fault | None) -> None:
        kind = fault.kind if fault else None
        asked = (endpoint, request.method, request.path, request.query, request.json)
        with self._lock:
            self._calls.append(Call(*asked, status, self.now(), kind))
            self._counts[endpoint] += 1
        told = "no response" if status is None else status
        log.info("%s %s %s%s", request.method, request.path, told, f" ({kind})" if kind else "")


def _finite(seconds: float) -> float:
    if not math.isfinite(seconds):
        raise ValueError(f"seconds is {seconds}; allowed: a finite number")
    return seconds
