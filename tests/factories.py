# SPDX-License-Identifier: Apache-2.0
"""Makes small values for tests."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from airflow_provider_nebula_explorer.emulator import Emulator
from airflow_provider_nebula_explorer.exceptions import NebulaExplorerConnectionError
from airflow_provider_nebula_explorer.explorer.client.logins import Login, Refusal
from airflow_provider_nebula_explorer.explorer.client.protocol import (
    Exchange,
    FindLogin,
    Pause,
    Request,
    Response,
    Secret,
    SingleFlight,
    Step,
    StepResult,
)
from airflow_provider_nebula_explorer.explorer.models import Job, parse_job
from airflow_provider_nebula_explorer.explorer.settings import Account, Settings

TOKEN = "header.payload.signature"

PUBLISHED_JOB = {
    "id": 1964,
    "name": "workflow_xkkjf_20220712103332",
    "workflowId": "3992429968",
    "workflowName": "workflow_xkkjf",
    "status": 2,
    "tasks": [
        {
            "id": "f93dea90fc3a11ecac7e6da0662c195b",
            "name": "BFS",
            "runBeginTime": "2022-07-12T10:33:35+08:00",
            "runEndTime": "2022-07-12T10:33:38+08:00",
            "status": 2,
        }
    ],
    "runBeginTime": 1657593215000,
    "runEndTime": 1657593218000,
    "createTime": 1657593212505,
}
"""The example of job details on Explorer's API pages."""


def a_job(status: int = 2, **fields: Any) -> Job:
    return parse_job({**PUBLISHED_JOB, "status": status, **fields})


def settings(**changes: Any) -> Settings:
    account = Account("root", "nebula-password", "10.0.0.9")
    return replace(Settings("http://graph:7002", account, max_retries=2), **changes)


def settings_of(emulator: Emulator, **changes: Any) -> Settings:
    account = Account("root", "stand-in-secret", "graphd")
    return settings(**{"base_url": emulator.url, "account": account, **changes})


def response_of(
    data: object = None,
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
    set_cookies: tuple[str, ...] = (),
) -> Response:
    body = {"code": 0, "message": "Success", "data": data}
    return Response(status, headers or {}, json.dumps(body).encode(), set_cookies)


def refusal(code: int, message: str = "", *, status: int | None = None, details: object = "") -> Response:
    body = {"code": code, "message": message, "details": details}
    return Response(status or code // 100_000, {}, json.dumps(body).encode())


def logged_in(
    token: str = TOKEN, cookie: str = "explorer_token={}; Path=/; Max-Age=259200; HttpOnly"
) -> Response:
    return response_of({"success": True}, set_cookies=(cookie.format(token),))


def broken(*, sent: bool = True) -> NebulaExplorerConnectionError:
    return NebulaExplorerConnectionError("the connection broke", sent=sent)


class Played:
    """An exchange that was played with scripted responses: the steps that it yielded, and how it ended.

    :param shared: what other processes know at each search for a login; from then on, nothing.
    """

    def __init__(
        self,
        exchange: Exchange[Any],
        *responses: StepResult,
        shared: Sequence[Login | Refusal | None] = (),
    ) -> None:
        self._shared = iter(shared)
        self.refused: list[str | None] = []
        self.kept: list[Any] = []
        self.requests: list[Request] = []
        self.pauses: list[float] = []
        self.value: Any = None
        self.error: BaseException | None = None
        self.secrets: list[str] = []
        try:
            self.value = self._play(exchange, iter(responses))
        except Exception as error:
            self.error = error

    def _play(self, exchange: Exchange[Any], responses: Iterator[StepResult]) -> Any:
        try:
            step = next(exchange)
            while True:
                step = exchange.send(self._perform(step, responses))
        except StopIteration as done:
            return done.value

    def _perform(self, step: Step, responses: Iterator[StepResult]) -> StepResult:
        if isinstance(step, SingleFlight):
            return self._play(step.begin(), responses)
        if isinstance(step, FindLogin):
            return self._find_login(step, responses)
        if isinstance(step, Secret):
            self.secrets.append(step.text)
            return None
        if isinstance(step, Pause):
            self.pauses.append(step.seconds)
            return None
        self.requests.append(step)
        response = next(responses, None)
        assert response is not None, f"unexpected request {step.method} {step.target}"
        return response

    def _find_login(self, step: FindLogin, responses: Iterator[StepResult]) -> Login | Refusal:
        self.refused.append(step.refused)
        found = next(self._shared, None)
        if found is None:
            found = self._play(step.log_in(), responses)
            self.kept.append(found)
        return found

    @property
    def sent(self) -> list[str]:
        """The requests in short: ``["POST connect", "GET jobs/1"]``."""
        return [f"{r.method} {r.path.removeprefix('/api-open/v1/')}" for r in self.requests]


def no_jitter() -> float:
    return 0.0
