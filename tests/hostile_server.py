# SPDX-License-Identifier: Apache-2.0
"""An Explorer that lies: some of its responses are true, the others are any bytes."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Sequence
from urllib.parse import parse_qs, urlsplit

from raw_server import RawServer, read_request

TOKEN = "head.tok3n-payload.signature"
CREATED = 1_657_593_212_505


def http(body: object, *headers: str, status: str = "200 OK") -> bytes:
    """Return a whole HTTP response; a body that is no bytes is written as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = (f"HTTP/1.1 {status}", "Connection: close", f"Content-Length: {len(data)}", *headers)
    return "\r\n".join((*lines, "", "")).encode("latin-1") + data


def success(data: object, *headers: str) -> bytes:
    """Return Explorer's response to a request that it performed."""
    return http({"code": 0, "message": "Success", "data": data}, *headers)


def a_job(job_id: int) -> dict[str, object]:
    """Return a job, which has succeeded, of workflow 7."""
    return {"id": job_id, "status": 2, "workflowId": "7", "createTime": CREATED + job_id, "tasks": []}


LOGGED_IN = success({"success": True}, f"Set-Cookie: explorer_token={TOKEN}; Path=/; HttpOnly")


def truth(request: bytes) -> bytes:
    """Return what an honest Explorer responds, which has the jobs 1 to 20."""
    method, target = request.decode("latin-1").split(" ", 2)[:2]
    url = urlsplit(target)
    if url.path.endswith("/connect"):
        return LOGGED_IN
    if url.path.endswith("/sample_result"):
        return success({"items": [["player110", "0.15"]]})
    if url.path.endswith("/cancel"):
        return success({"success": True})
    if method == "POST":
        return success({"id": 21})
    one = re.search(r"/api-open/v1/jobs/(\d+)$", url.path)
    return success(a_job(int(one[1]))) if one else _page(parse_qs(url.query))


def _page(query: dict[str, list[str]]) -> bytes:
    page, size = int(query["page"][0]), int(query["pageSize"][0])
    wanted = json.loads(query["filter"][0])
    jobs = [a_job(job_id) for job_id in range(1, 21) if wanted.get("status") in (None, 2)]
    items = jobs[(page - 1) * size : page * size]
    return success({"items": items, "total": len(jobs), "Page": page, "PageSize": size})


class HostileServer(RawServer):
    """Listens on loopback; each connection is for one request.

    :param lies: for each request in turn, the bytes that it gets; ``None`` is the truth, as at the end.
    """

    def __init__(self, lies: Sequence[bytes | None]) -> None:
        super().__init__()
        self._lies = list(lies)

    def _respond(self, client: socket.socket) -> None:
        client.settimeout(10)
        request = read_request(client)
        self.requests.append(request)
        lie = self._lies.pop(0) if self._lies else None
        if request:
            client.sendall(truth(request) if lie is None else lie)
