# SPDX-License-Identifier: Apache-2.0
"""An Explorer of the tests' own: written from Explorer's API pages, with nothing of the emulator's."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from airflow_provider_nebula_explorer.explorer.client.protocol import Request, Response
from airflow_provider_nebula_explorer.explorer.settings import Account, Settings

ACCOUNT = Account("root", "own-secret", "10.0.0.9")
URL = "http://explorer.example:7002"
PAGE = b"<!DOCTYPE html><html><title>Explorer</title></html>"
TASK = "f93dea90fc3a11ecac7e6da0662c195b"
FINAL = (2, 3, 4)

Json = dict[str, Any]
Change = Callable[[Request, Response], Response]


def settings(**changes: Any) -> Settings:
    return Settings(**{"base_url": URL, "account": ACCOUNT, **changes})


class OwnExplorer:
    """Ten jobs of two workflows that have ended, and one that runs; it lives in a time of its own.

    Its attributes are what tests change. ``obeys`` has parts of a filter; ``changes`` are made to responses.
    """

    def __init__(self, jobs: int = 11) -> None:
        self.now = 1_750_000_000.0
        self.seconds = 0.1
        self.encoding = "json"
        self.token = f"head.{_in_base64({'username': ACCOUNT.login, 'password': ACCOUNT.password})}.signature"
        self.cookie = "explorer_token={token}; Path=/; Max-Age=259200; HttpOnly"
        self.page_cap = 150
        self.obeys: set[str] = {
            "name",
            "status",
            "fromCreateTime",
            "toCreateTime",
            "orderByCreateTime",
            "page",
        }
        self.new_id = 1
        self.lists_after = self.shows_after = 0.0
        self.ends_as = 4
        self.fits: Callable[[Json, Json], bool] = lambda job, asked: True
        self.changes: list[Change] = []
        self.requests: list[Request] = []
        self.logins = 0
        self.jobs = [self._job(100 + number, number) for number in range(jobs)]
        if self.jobs:
            self.jobs[-1].update(status=1, runEndTime=0)

    def _job(self, job_id: int, number: int) -> Json:
        created = int((self.now - 3600 * (20 - number)) * 1000)
        status = FINAL[number % 3]
        task = {"id": TASK, "name": "BFS", "runBeginTime": "2022-07-12T10:33:35+08:00", "runEndTime": ""}
        return {
            "id": job_id,
            "name": f"workflow_{number % 2}_{created}",
            "workflowId": str(5 + number % 2),
            "workflowName": f"workflow_{number % 2}",
            "status": status,
            "runBeginTime": created + 1000,
            "runEndTime": created + 2000,
            "createTime": created,
            "tasks": [{**task, "status": status}],
        }

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def send(self, request: Request) -> Response:
        """Answer a request."""
        self.requests.append(request)
        self.now += self.seconds
        response = self._answer(request)
        date = {"Date": formatdate(self.now, usegmt=True)}
        response = replace(response, headers={**date, **response.headers})
        for change in self.changes:
            response = change(request, response)
        return response

    def _answer(self, request: Request) -> Response:
        path = urlsplit(request.target).path
        if not path.startswith("/api-open/v1/") or path.endswith("/no-such-path"):
            return Response(200, {"Content-Type": "text/html"}, PAGE)
        parts = path.removeprefix("/api-open/v1/").split("/")
        if parts == ["connect"]:
            return self._connect(request)
        if request.headers.get("Cookie") != f"explorer_token={self.token}":
            return refused(40104001, "ErrSession")
        return self._act(request, parts)

    def _act(self, request: Request, parts: list[str]) -> Response:
        query = dict(parse_qsl(urlsplit(request.target).query))
        if request.method == "POST":
            return self._start(parts[1])
        if parts[-1] == "jobs":
            return self._list(query, parts[1] if len(parts) > 1 else None)
        job = next((job for job in self.jobs if str(job["id"]) == parts[1]), None)
        if job is None or (job.get("added", 0) + self.shows_after > self.now):
            return refused(40404000, "ErrNotFound")
        if request.method == "PUT":
            return self._cancel(job)
        if parts[-1] == "sample_result":
            return self._rows(query)
        self._move_on(job)
        return success(shown(job, with_tasks=True))

    def _connect(self, request: Request) -> Response:
        if request.headers.get("Authorization") != f"Bearer {ACCOUNT.encoded(self.encoding)}":
            return refused(40004000, "ErrBadRequest::failed to authenticate")
        self.logins += 1
        cookie = self.cookie.format(token=self.token)
        return replace(success({"success": True}), set_cookies=(cookie,))

    def _list(self, query: dict[str, str], workflow: str | None) -> Response:
        asked = json.loads(query.get("filter", "{}"))
        wanted = {key: value for key, value in asked.items() if key in self.obeys}
        mine = [job for job in self.jobs if workflow in (None, job["workflowId"]) and self._is_listed(job)]
        jobs = [job for job in mine if _fits(job, wanted) and self.fits(job, asked)]
        jobs.sort(key=lambda job: job["createTime"], reverse=wanted.get("orderByCreateTime") != "asc")
        size = min(int(query.get("pageSize", 10)), self.page_cap)
        page = int(query.get("page", 1)) if "page" in self.obeys else 1
        items = [shown(job) for job in jobs[(page - 1) * size : page * size]]
        return success({"items": items, "total": len(jobs), "Page": page, "PageSize": size})

    def _is_listed(self, job: Json) -> bool:
        self._move_on(job)
        return job.get("added", 0) + self.lists_after <= self.now

    def _start(self, workflow: str) -> Response:
        job = self._job(max(job["id"] for job in self.jobs) + self.new_id if self.jobs else 100, 0)
        job |= {"workflowId": workflow, "status": 0, "createTime": int(self.now * 1000), "added": self.now}
        job |= {"runBeginTime": 0, "runEndTime": 0}
        self.jobs.append(job)
        return success({"id": job["id"]})

    def _cancel(self, job: Json) -> Response:
        self._move_on(job)
        if job["status"] in FINAL:
            return refused(40004000, "ErrBadRequest::the job has ended")
        job.setdefault("stopped", self.now)
        return success({"success": True})

    def _move_on(self, job: Json) -> None:
        """Move a job on that was started here: it runs after a second, and stops in a second."""
        if "stopped" in job:
            job["status"] = self.ends_as if self.now > job["stopped"] + 1 else 5
        elif "added" in job:
            job["status"] = 1 if self.now > job["added"] + 1 else 0

    def _rows(self, query: dict[str, str]) -> Response:
        if "limit" not in query:
            return refused(40004001, "ErrParam")
        rows = [["player110", "0.150000"], ["player106", "0.120000"], ["player107", "0.110000"]]
        return success({"items": rows[: int(query["limit"])]})

    @contextmanager
    def served(self) -> Iterator[str]:
        """Serve it over HTTP on this machine, in real time; yields its address.

        A connection breaks where ``send`` raises.
        """
        explorer = self
        explorer.seconds = 0

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 65536  # one packet: for a second one, the client would wait

            def do(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                explorer.now = time.time()
                response = explorer.send(Request(self.command, self.path, dict(self.headers), body))
                self.send_response_only(response.status)
                cookies = (("Set-Cookie", cookie) for cookie in response.set_cookies)
                for name, value in (*response.headers.items(), *cookies):
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(response.body)))
                self.end_headers()
                self.wfile.write(response.body)

            do_GET = do_POST = do_PUT = do  # noqa: N815 - the library's names

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                pass

        server = Server(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def _fits(job: Json, wanted: Json) -> bool:
    return (
        wanted.get("name", "") in job["name"]
        and wanted.get("status", job["status"]) == job["status"]
        and wanted.get("fromCreateTime", 0) <= job["createTime"] <= wanted.get("toCreateTime", 10**15)
    )


def _in_base64(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def shown(job: Json, *, with_tasks: bool = False) -> Json:
    hidden = {"added", "stopped"} | (set() if with_tasks else {"tasks"})
    return {key: value for key, value in job.items() if key not in hidden}


def success(data: object) -> Response:
    body = json.dumps({"code": 0, "message": "Success", "data": data}).encode()
    return Response(200, {"Content-Type": "application/json"}, body)


def refused(code: int, message: str, status: int | None = None) -> Response:
    body = json.dumps({"code": code, "message": message}).encode()
    return Response(status or code // 100_000, {"Content-Type": "application/json"}, body)
