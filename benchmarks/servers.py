# SPDX-License-Identifier: Apache-2.0
"""The processes of benchmarks/waiting.py: a child that is called through a pipe, and the triggers' server.

A server has one table of jobs and serves it with the API of one product. The package's emulator would do for
a thousand jobs; at ten thousand, each of its lists takes longer than what is measured here.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import time
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, final

from aiohttp import web

RUNNING, SUCCESS = 1, 2
FIRST_JOB = 101
_MILLISECONDS_BETWEEN_JOBS = 100
_FILTERS = {"status", "fromCreateTime", "toCreateTime", "orderByCreateTime"}


@final
class Child:
    """A process of its own, whose parent calls methods of one of its objects; it ends with its parent.

    :param target: the function that it runs, with its end of the pipe and the arguments.
    """

    def __init__(self, target: Callable[..., None], *arguments: object) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=target, args=(theirs, *arguments), daemon=True)
        self._process.start()
        theirs.close()

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.join()

    def call(self, name: str, *arguments: object, timeout: float = 60) -> Any:
        """Return what a method of the process's object returns."""
        self._pipe.send((name, arguments))
        if not self._pipe.poll(timeout):
            raise TimeoutError(f"no response to {name!r} in {timeout} s")
        return self._pipe.recv()


def obey(pipe: Connection, owner: object) -> None:
    """Make one call for the parent, and send the result.

    :raises EOFError: if the parent has ended.
    """
    name, arguments = pipe.recv()
    pipe.send(getattr(owner, name)(*arguments))


@dataclass
class Job:
    """A job of any product."""

    id: int
    workflow: int
    status: int
    created: int = 0


@dataclass(frozen=True)
class Counts:
    """How many requests a server received so far.

    :param requests: all of them, logins included.
    """

    requests: int
    logins: int
    connections: int


@dataclass(frozen=True)
class Request:
    """A request, with its path split at the slashes."""

    method: str
    parts: Sequence[str]
    query: Mapping[str, str]
    body: bytes
    has_cookie: bool


@dataclass(frozen=True)
class Response:
    """A server's response.

    :param kind: ``login``, ``list``, ``details`` or ``refused``.
    :param shown: the ids of the jobs in it.
    """

    kind: str
    value: object
    shown: Sequence[int] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class Jobs:
    """The jobs of a server, oldest first; ids grow with the time of creation."""

    def __init__(self, jobs: Iterable[Job], max_page: int) -> None:
        self.all = list(jobs)
        self.by_id = {job.id: job for job in self.all}
        self.max_page = max_page
        begun = int(time.time() * 1000) - len(self.all) * _MILLISECONDS_BETWEEN_JOBS
        for index, job in enumerate(self.all):
            job.created = begun + index * _MILLISECONDS_BETWEEN_JOBS
        self._created = [job.created for job in self.all]

    def matching(self, filter: Mapping[str, Any], workflow: int | None) -> list[Job]:
        """Return the jobs that match Explorer's filter, in its order."""
        begin = bisect_left(self._created, filter.get("fromCreateTime", 0))
        end = bisect_right(self._created, filter.get("toCreateTime", self._created[-1]))
        status = filter.get("status")
        shown = [
            job
            for job in self.all[begin:end]
            if status in (None, job.status) and workflow in (None, job.workflow)
        ]
        return shown if filter.get("orderByCreateTime") == "asc" else shown[::-1]


def explorer(request: Request, jobs: Jobs) -> Response:
    """Respond as NebulaGraph Explorer."""
    match request.parts:
        case ["api-open", "v1", "connect"]:
            cookie = "explorer_token=stand-in; Path=/; Max-Age=259200; HttpOnly"
            return Response("login", _success({"success": True}), headers={"Set-Cookie": cookie})
        case _ if not request.has_cookie:
            return Response("refused", {"code": 40104001, "message": "ErrSession"}, status=401)
        case ["api-open", "v1", "jobs"]:
            return _explorer_list(request, jobs, None)
        case ["api-open", "v1", "workflows", workflow, "jobs"] if request.method == "GET":
            return _explorer_list(request, jobs, int(workflow))
        case ["api-open", "v1", "jobs", job_id]:
            return _explorer_details(jobs.by_id[int(job_id)])
    return Response("refused", {"code": 40404000, "message": "ErrNotFound"}, status=404)


def _explorer_list(request: Request, jobs: Jobs, workflow: int | None) -> Response:
    job_filter = json.loads(request.query.get("filter") or "{}")
    if job_filter.keys() - _FILTERS:
        return Response("refused", {"code": 40004001, "message": f"ErrParam::{job_filter}"}, status=400)
    page, size = int(request.query.get("page", 1)), int(request.query.get("pageSize", 10))
    size = min(size, jobs.max_page)
    matching = jobs.matching(job_filter, workflow)
    items = matching[(page - 1) * size : page * size]
    data = {"items": [_item(job) for job in items], "total": len(matching), "Page": page, "PageSize": size}
    return Response("list", _success(data), [job.id for job in items])


def _explorer_details(job: Job) -> Response:
    tasks = [{"id": f"{job.id:032x}", "name": "query_1", "status": job.status}]
    return Response("details", _success({**_item(job), "tasks": tasks}), [job.id])


def _item(job: Job) -> dict[str, object]:
    return {
        "id": job.id,
        "name": f"workflow_{job.workflow}_{job.id}",
        "workflowId": str(job.workflow),
        "workflowName": f"workflow_{job.workflow}",
        "status": job.status,
        "runBeginTime": job.created,
        "runEndTime": job.created + 1000 if job.status == SUCCESS else 0,
        "createTime": job.created,
    }


def _success(data: object) -> dict[str, object]:
    return {"code": 0, "message": "Success", "data": data}


def dbt_cloud(request: Request, jobs: Jobs) -> Response:
    """Respond as dbt Cloud: ``/api/v2/accounts/<account>/runs/<run>/``."""
    job = jobs.by_id[int(request.parts[5])]
    status = 10 if job.status == SUCCESS else 3
    return Response("details", {"data": {"id": job.id, "status": status}}, [job.id])


_TOKEN = {"access_token": "stand-in", "token_type": "Bearer", "expires_in": 3600}


def databricks(request: Request, jobs: Jobs) -> Response:
    """Respond as Databricks: ``/oidc/v1/token``, and ``/api/2.2/jobs/runs/get`` with a run in the body."""
    if request.parts[-1] == "token":
        return Response("login", _TOKEN)
    job = jobs.by_id[int(request.query.get("run_id") or json.loads(request.body)["run_id"])]
    ended = {"life_cycle_state": "TERMINATED", "result_state": "SUCCESS", "state_message": ""}
    going = {"life_cycle_state": "RUNNING", "state_message": ""}
    return Response(
        "details", {"run_id": job.id, "state": ended if job.status == SUCCESS else going}, [job.id]
    )


def airbyte(request: Request, jobs: Jobs) -> Response:
    """Respond as Airbyte: ``/v1/applications/token`` and ``/jobs/<job>``."""
    if request.parts[-1] == "token":
        return Response("login", _TOKEN)
    job = jobs.by_id[int(request.parts[-1])]
    status = "succeeded" if job.status == SUCCESS else "running"
    job_data = {"jobId": job.id, "status": status, "jobType": "sync", "connectionId": "c"}
    return Response("details", {**job_data, "startTime": "2026-01-01T00:00:00Z"}, [job.id])


class Server:
    """Serves one product's API; its parent calls the methods without an underscore."""

    def __init__(self, product: Callable[[Request, Jobs], Response], jobs: Jobs) -> None:
        self._product = product
        self._jobs = jobs
        self._latency = 0.0
        self._kinds: Counter[str] = Counter()
        self._connections = 0
        self._shown: set[int] = set()
        self._details: list[float] = []
        self._web = web.Server(self._handle, access_log=None)
        self._port = 0

    async def run(self, pipe: Connection) -> None:
        """Serve until the parent has ended."""
        loop = asyncio.get_running_loop()
        gone = asyncio.Event()
        listening = await loop.create_server(self._accept, "127.0.0.1", 0, backlog=4096)
        self._port = listening.sockets[0].getsockname()[1]
        loop.add_reader(pipe.fileno(), self._obey, pipe, gone)
        await gone.wait()

    def port(self) -> int:
        """Return the port it listens on."""
        return self._port

    def respond_after(self, seconds: float) -> None:
        """Delay each response from now on by this time."""
        self._latency = seconds

    def finish(self, job_ids: Iterable[int]) -> float:
        """Let jobs succeed together; return when, on the monotonic clock that all processes share."""
        self._details = []
        for job_id in job_ids:
            self._jobs.by_id[job_id].status = SUCCESS
        return time.monotonic()

    def counts(self) -> Counts:
        """Return how many requests it received so far."""
        return Counts(self._kinds.total(), self._kinds["login"], self._connections)

    def has_shown(self, job_ids: Iterable[int]) -> bool:
        """Return whether each of these jobs was in a response."""
        return self._shown.issuperset(job_ids)

    def details_per_second(self) -> float:
        """Return the rate of requests for details since jobs finished last."""
        if len(self._details) < 2:
            return 0.0
        return (len(self._details) - 1) / (self._details[-1] - self._details[0])

    def _obey(self, pipe: Connection, gone: asyncio.Event) -> None:
        try:
            obey(pipe, self)
        except EOFError:
            asyncio.get_running_loop().remove_reader(pipe.fileno())
            gone.set()

    def _accept(self) -> asyncio.Protocol:
        self._connections += 1
        return self._web()

    async def _handle(self, wire: web.BaseRequest) -> web.Response:
        if self._latency:
            await asyncio.sleep(self._latency)
        parts = wire.path.strip("/").split("/")
        has_cookie = "explorer_token" in wire.headers.get("Cookie", "")
        request = Request(wire.method, parts, wire.query, await wire.read(), has_cookie)
        response = self._product(request, self._jobs)
        self._note(response)
        body = json.dumps(response.value).encode()
        headers = {"Content-Type": "application/json", **response.headers}
        return web.Response(body=body, status=response.status, headers=headers)

    def _note(self, response: Response) -> None:
        self._kinds[response.kind] += 1
        self._shown.update(response.shown)
        if response.kind == "details":
            self._details.append(time.monotonic())


PRODUCTS = {
    "ours": explorer,
    "dbt-cloud": dbt_cloud,
    "databricks": databricks,
    "databricks, OAuth": databricks,
    "airbyte": airbyte,
}


def serve(pipe: Connection, product: str, jobs: list[Job], max_page: int) -> None:
    """Be the server of a product; run in a process of its own."""

    async def run() -> None:
        await Server(PRODUCTS[product], Jobs(jobs, max_page)).run(pipe)

    asyncio.run(run())
