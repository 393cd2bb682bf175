# SPDX-License-Identifier: Apache-2.0
"""An Explorer without a server, in a time of its own: it responds to ``requests`` within the process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from types import SimpleNamespace
from urllib.parse import parse_qsl, urlsplit

import requests
import requests_mock

from airflow_provider_nebula_explorer.emulator.api import Explorer, endpoint_of
from airflow_provider_nebula_explorer.emulator.jobs import EmulatedJob
from airflow_provider_nebula_explorer.emulator.messages import Request
from airflow_provider_nebula_explorer.emulator.plans import JobPlan
from airflow_provider_nebula_explorer.emulator.sessions import Sessions
from airflow_provider_nebula_explorer.emulator.state import ExplorerState

URL = "http://explorer:7002"
CONNECTION = {
    "conn_type": "nebula_explorer",
    "host": URL,
    "login": "root",
    "password": "stand-in-secret",
    "extra": {"nebula_address": "graphd", "max_retries": 0},
}


class _OneSession(Sessions):
    """Gives all the same token: Airflow's masking gets slower with each that it learns."""

    def connect(self, *_: object) -> str:
        return "explorer_token=in-memory-token; Path=/"

    def check(self, *_: object) -> None:
        pass


class InMemoryExplorer:
    """Workflow 5 and its jobs; ``fates`` says what becomes of the next starts of a job."""

    FATES = ("accepted", "lost", "reset", "shed", "late", "refused", "unreachable")
    """Of a start: done; done, with the response lost; not done, with a broken connection; not done, with an
    empty 503; done some seconds later, with the response lost; refused by Explorer; never arrived."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0
        self.state = ExplorerState({5: JobPlan(running=60, stopping=1)})
        self.plans: list[JobPlan] = []
        self.ours: list[EmulatedJob] = []
        self.fates: list[str] = []
        self.late_by = 4.0
        self.broken_polls = 0
        self.requests: list[str] = []
        self.before_response: Callable[[str], None] = lambda endpoint: None
        self.after_response: Callable[[str], None] = lambda endpoint: None
        self._explorer = Explorer(_OneSession(), self.state)
        self._late: list[tuple[float, Request]] = []

    def sleep(self, seconds: float) -> None:
        """Let time pass; starts that are late happen meanwhile."""
        self.now += seconds
        for due, request in [late for late in self._late if late[0] <= self.now]:
            self._late.remove((due, request))
            self._start(request, due)

    def start_foreign(self) -> int:
        """Start a job as someone else would."""
        return self.state.add(5, {}, self.now).id

    def statuses(self) -> list[int]:
        """The statuses of our jobs, in the order of their creation."""
        return [int(job.status(self.now)) for job in self.ours]

    @contextmanager
    def reachable(self) -> Iterator[None]:
        """Have ``requests`` reach this Explorer, and nothing else."""
        with requests_mock.Mocker() as mocker:
            mocker.register_uri(requests_mock.ANY, requests_mock.ANY, content=self._respond)
            yield

    def _respond(self, received: requests.PreparedRequest, context: SimpleNamespace) -> bytes:
        url = urlsplit(received.url)
        headers = {key.lower(): value for key, value in received.headers.items()}
        request = Request(
            received.method, url.path, dict(parse_qsl(url.query)), headers, received.body or b""
        )
        endpoint = endpoint_of(request)
        self.before_response(endpoint)
        self.requests.append(endpoint)
        self.now += 0.1
        body = (
            self._start_by_fate(request, context)
            if endpoint == "run_workflow"
            else self._serve(request, context)
        )
        self.after_response(endpoint)
        return body

    def _serve(self, request: Request, context: SimpleNamespace) -> bytes:
        if self.broken_polls:
            self.broken_polls -= 1
            raise requests.ConnectionError("reset")
        return self._send(self._explorer.respond(request, self.now), context)

    def _start_by_fate(self, request: Request, context: SimpleNamespace) -> bytes:
        fate = self.fates.pop(0) if self.fates else "accepted"
        if fate == "unreachable":
            raise requests.ConnectionError(ConnectionRefusedError("refused"))
        if fate == "refused":
            context.status_code = 500
            return b'{"code": 50004002, "message": "ErrInternalController"}'
        if fate == "shed":
            context.status_code = 503
            return b""
        if fate == "late":
            self._late.append((self.now + self.late_by, request))
        if fate in ("late", "reset"):
            raise requests.ConnectionError("reset")
        response = self._start(request, self.now)
        if fate == "lost":
            raise requests.ConnectionError("reset")
        return self._send(response, context)

    def _start(self, request: Request, moment: float) -> object:
        if self.plans:
            self.state.plan(5, [self.plans.pop(0)])
        response = self._explorer.respond(request, moment)
        self.ours.append(self.state.jobs[-1])
        return response

    def _send(self, response, context: SimpleNamespace) -> bytes:
        context.status_code = response.status
        context.headers = {**response.headers, "Date": formatdate(self.now, usegmt=True)}
        return response.body
