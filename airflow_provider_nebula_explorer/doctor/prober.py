# SPDX-License-Identifier: Apache-2.0
"""Sends the doctor's requests: few, one after the other, each recorded; one login in all."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from airflow_provider_nebula_explorer.doctor.findings import CannotTryError
from airflow_provider_nebula_explorer.doctor.observation import Observation, is_number
from airflow_provider_nebula_explorer.exceptions import NebulaExplorerConnectionError
from airflow_provider_nebula_explorer.explorer.client.api import (
    JobSummary,
    get_job,
    list_jobs,
    summary_of,
)
from airflow_provider_nebula_explorer.explorer.client.logins import Login
from airflow_provider_nebula_explorer.explorer.client.protocol import (
    Exchange,
    Request,
    Response,
    Step,
    StepResult,
    pause_before_retry,
)
from airflow_provider_nebula_explorer.explorer.client.session import Session
from airflow_provider_nebula_explorer.explorer.models import JsonObject
from airflow_provider_nebula_explorer.explorer.settings import Settings

MOST_REQUESTS = 60
PAGE_SIZE = 200
"""Jobs requested at once: more than the package itself does, to see whether Explorer caps a page."""

_MOST_FAILURES = 3
_LONGEST_PAUSE = 10.0


@dataclass(frozen=True)
class ListPage:
    """One page of a list of jobs.

    :param data: as it came.
    :param items: the objects on it.
    :param readable: those that could be read, with what was read of each.
    """

    data: JsonObject
    items: tuple[JsonObject, ...]
    readable: tuple[tuple[JobSummary, JsonObject], ...]

    @property
    def jobs(self) -> list[JobSummary]:
        """What could be read, in the page's order."""
        return [job for job, _ in self.readable]

    @property
    def ids(self) -> list[int]:
        """The jobs' ids, in the page's order."""
        return [job.id for job in self.jobs]

    @property
    def is_full(self) -> bool:
        """Whether further jobs of the list may be on other pages."""
        size, total = self.data.get("PageSize"), self.data.get("total")
        room = size if is_number(size) else PAGE_SIZE
        return len(self.items) >= room or (is_number(total) and len(self.items) < total)


class Prober:
    """Sends requests to the Explorer that is examined, and keeps what came of each.

    A GET that nobody answers is sent once more. After three failures in a row, or 60 requests, it stops.

    :param send: sends a request as it is, once; raises ``NebulaExplorerConnectionError``.
    :param now: this machine's clock, in epoch seconds.
    :param sleep: makes the pauses, in seconds.
    """

    def __init__(
        self,
        send: Callable[[Request], Response],
        settings: Settings,
        *,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.settings = settings
        self.observations: list[Observation] = []
        """The responses of Explorer's own; those of a gateway are not among them."""
        self.last: Observation | None = None
        self.now = now
        self.sleep = sleep
        self.trouble = ""
        """The last failure in words, for the user's eyes: it names the host."""
        self._send = send
        self.accepted: Login | None = None
        """The login, once Explorer has accepted it."""
        self._requests = 0
        self._failures = 0
        self._lists: dict[str, Observation] = {}

    def login(self) -> None:
        """Log in, as the package does, but without retries.

        :raises NebulaExplorerError: in the words of the connection's test.
        """
        self.accepted = self._drive(Session(replace(self.settings, max_retries=0)).login())

    @property
    def is_stopped(self) -> bool:
        """Whether Explorer stopped answering."""
        return self._failures >= _MOST_FAILURES

    def call(self, endpoint: str, request: Request) -> Observation:
        """Send a request under the login.

        :raises CannotTryError: if Explorer does not answer.
        """
        cookie = {"Cookie": self.accepted.header} if self.accepted else {}
        return self.observe(endpoint, replace(request, headers={**request.headers, **cookie}))

    def observe(self, endpoint: str, request: Request) -> Observation:
        """Send a request as it is.

        :raises CannotTryError: if Explorer does not answer.
        """
        observation = self._try(endpoint, request)
        if observation is None and request.method == "GET":
            observation = self._try(endpoint, request)
        if observation is None:
            raise CannotTryError(f"{endpoint}: no usable response")
        return observation

    def list(
        self, filter: JsonObject, *, page: int = 1, size: int = PAGE_SIZE, workflow: str | None = None
    ) -> ListPage:
        """Return a page of a list; the same one is fetched once.

        :raises RefusedError: if Explorer refuses the filter or the page.
        :raises CannotTryError: if it cannot be had for another reason.
        """
        request = list_jobs(workflow, filter, page, size).request
        if request.target not in self._lists:
            endpoint = "list jobs" if workflow is None else "list a workflow's jobs"
            self._lists[request.target] = self.call(endpoint, request)
        return read_page(self._lists[request.target].data())

    def details(self, job_id: int) -> Observation:
        """Fetch a job's details."""
        return self.call("job details", get_job(job_id).request)

    def _try(self, endpoint: str, request: Request) -> Observation | None:
        if self.is_stopped:
            raise CannotTryError("Explorer stopped answering")
        if self._requests >= MOST_REQUESTS:
            raise CannotTryError(f"the limit of {MOST_REQUESTS} requests is reached")
        observation, response = None, None
        try:
            observation = self._record(endpoint, request)
            response = observation.response
            self.trouble = f"{request.method} {request.path}: {observation.describe()}"
        except NebulaExplorerConnectionError as error:
            self.trouble = str(error)
        if observation is not None and not observation.is_broken:
            self._failures = 0
            return observation
        self._failures += 1
        if not self.is_stopped:
            self.sleep(min(pause_before_retry(0, response, 1.0).seconds, _LONGEST_PAUSE))
        return None

    def _record(self, endpoint: str, request: Request) -> Observation:
        self._requests += 1
        sent_at = self.now()
        response = self._send(request)
        observation = Observation(endpoint, request, response, sent_at, self.now() - sent_at)
        self.last = observation
        if not observation.is_broken:
            self.observations.append(observation)
        return observation

    def _drive(self, exchange: Exchange[Login]) -> Login:
        try:
            step = next(exchange)
            while True:
                step = exchange.send(self._reply(step))
        except StopIteration as done:
            login: Login = done.value
            return login

    def _reply(self, step: Step) -> StepResult:
        if not isinstance(step, Request):
            return None  # nothing is logged here, so that there is no log to keep secrets from
        try:
            return self._record("connect", step).response
        except NebulaExplorerConnectionError as error:
            return error


def read_page(data: object) -> ListPage:
    """Read a page of a list.

    :raises CannotTryError: if it is none.
    """
    items = data.get("items") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not (items is None or isinstance(items, list)):
        raise CannotTryError("a list's data is no object with items")
    objects = tuple(item for item in items or () if isinstance(item, dict))
    return ListPage(data, objects, tuple((job, item) for item in objects if (job := _read(item))))


def _read(item: JsonObject) -> JobSummary | None:
    try:
        return summary_of(item)
    except (ValueError, TypeError):  # an unhashable status, among others
        return None
