# SPDX-License-Identifier: Apache-2.0
"""Clients of the emulator: one that needs no HTTP, and one that uses it."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

import requests

from airflow_provider_nebula_explorer.emulator import Emulator
from airflow_provider_nebula_explorer.emulator.api import Explorer
from airflow_provider_nebula_explorer.emulator.deviations import Deviations
from airflow_provider_nebula_explorer.emulator.messages import Request, Response
from airflow_provider_nebula_explorer.emulator.sessions import Sessions
from airflow_provider_nebula_explorer.emulator.state import ExplorerState

JSON_ACCOUNT = '["root","stand-in-secret"]'
BASE = "/api-open/v1"
START = 1_657_593_212.505  # the createTime of the published example


@dataclass
class DirectClient:
    """Calls an Explorer without HTTP, at a time that only the test changes."""

    sessions: Sessions = field(default_factory=Sessions)
    state: ExplorerState = field(default_factory=ExplorerState)
    now: float = START
    headers: dict[str, str] = field(default_factory=dict)
    deviations: Deviations = field(default_factory=Deviations)

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        **query: str,
    ) -> Response:
        sent = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        headers = {"content-type": content_type, **self.headers}
        request = Request(method, BASE + path, query, headers, sent)
        return Explorer(self.sessions, self.state, self.deviations).respond(request, self.now)

    def call(self, method: str, path: str, body: Any = None, **options: str) -> Any:
        """Return the response's data, or the code of a refusal."""
        response = self.send(method, path, body, **options)
        envelope = json.loads(response.body)
        return envelope["data"] if envelope["code"] == 0 else envelope["code"]

    def connect(self, account: str | bytes = JSON_ACCOUNT, body: Any = None, *, header: str = "") -> Response:
        """Log in, and send the token from then on."""
        self.headers = {"authorization": header or f"Bearer {encoded(account)}"}
        response = self.send(
            "POST", "/connect", {"address": "graphd", "port": 9669} if body is None else body
        )
        self.headers = {"cookie": response.headers.get("Set-Cookie", "").partition(";")[0]}
        return response

    def job(self, job_id: int) -> Any:
        return self.call("GET", f"/jobs/{job_id}")

    def run(self, workflow_id: int = 12, **body: Any) -> int:
        job_id: int = self.call("POST", f"/workflows/{workflow_id}/jobs", body)["id"]
        return job_id

    def cancel(self, job_id: int) -> Any:
        return self.call("PUT", f"/jobs/{job_id}/cancel", content_type="application/x-www-form-urlencoded")

    def listed(self, path: str = "/jobs", criteria: Any = None, **query: str) -> list[int]:
        given = {} if criteria is None else {"filter": json.dumps(criteria)}
        return [job["id"] for job in self.call("GET", path, **given, **query)["items"]]


def encoded(account: str | bytes) -> str:
    return base64.b64encode(account.encode() if isinstance(account, str) else account).decode()


class Client(requests.Session):
    def __init__(self, emulator: Emulator) -> None:
        super().__init__()
        self.trust_env = False
        self._emulator = emulator

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **options: Any) -> requests.Response:
        base = "" if str(url).startswith("/_emulator") else BASE
        options = {"timeout": 5, **options, "allow_redirects": False}
        return super().request(method, f"{self._emulator.url}{base}{url!s}", *args, **options)

    def connect(self, account: str = JSON_ACCOUNT) -> requests.Response:
        header = {"Authorization": f"Bearer {encoded(account)}"}
        response = self.post("/connect", json={"address": "graphd", "port": 9669}, headers=header)
        self.headers["Cookie"] = response.headers.get("Set-Cookie", "").partition(";")[0]
        self.cookies.clear()
        return response
