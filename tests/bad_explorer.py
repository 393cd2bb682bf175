# SPDX-License-Identifier: Apache-2.0
"""An Explorer that means harm: each response costs whoever reads it as much as its sender can think of."""

from __future__ import annotations

import gzip
import itertools
import json
import multiprocessing
import random
import socket
import socketserver
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection

from hostile_server import CREATED, http, success
from raw_server import read_request
from typing_extensions import Self

JOBS = range(1, 31)
"""Ids of its jobs, which run for ever."""

_MEBIBYTE = 2**20
_DRIP_SECONDS = 0.02


def _job(job_id: int, **changes: object) -> dict[str, object]:
    return {"id": job_id, "status": 1, "workflowId": "7", "createTime": CREATED + job_id, **changes}


def _page(items: Sequence[object], total: int | None = None) -> dict[str, object]:
    return {"items": items, "total": total or len(items), "Page": 1, "PageSize": max(1, len(items))}


def _packed(body: bytes) -> bytes:
    return http(gzip.compress(body), "Content-Encoding: gzip")


def _json(data: object) -> bytes:
    return json.dumps({"code": 0, "message": "Success", "data": data}).encode()


def _tasks(count: int) -> list[dict[str, object]]:
    return [{"id": f"{number:032x}", "name": "n\n\x1b[31m" * 20, "status": 3} for number in range(count)]


_ENDLESS = itertools.count(1000, 1000)


def _new_jobs() -> bytes:
    first = next(_ENDLESS)
    return success(_page([_job(number, name="x") for number in range(first, first + 1000)], 10**18))


def _token(length: int) -> bytes:
    token = "".join(random.choices("abcdefghij.", k=length))
    return success({"success": True}, f"Set-Cookie: explorer_token={token}; Path=/")


def _honest() -> Iterator[bytes]:
    yield success(_page([_job(number) for number in JOBS]))


def _bombs() -> Iterator[bytes]:
    packed = gzip.compress(bytes(128 * _MEBIBYTE))
    yield http(packed, "Content-Encoding: gzip")
    yield http(gzip.compress(packed), "Content-Encoding: gzip, gzip")
    yield _packed(b'{"code":0,"data":"' + b"x" * (4 * _MEBIBYTE - 100) + b'"}')


def _much_json() -> Iterator[bytes]:
    yield _packed(b'{"code":0,"data":[' + b"{}," * 10_000_000 + b"0]}")
    # These have no more values than a response may have.
    yield _packed(b'{"code":0,"data":{"items":[' + b"{}," * 19_000 + b"0]}}")
    yield _packed(_json(_page([{"id": number, "status": 1} for number in range(1, 13_000)])))
    # These have no more items, either.
    yield _packed(_json(_page([{"id": number, "status": 1} for number in range(1, 2000)])))
    yield _packed(_json(_page([_job(number, much=[{}] * 7) for number in range(1, 2000)])))


def _nested() -> Iterator[bytes]:
    yield http(b'{"code": 0, "data": ' + b"[" * 39_000)
    yield http(b'{"code": 0, "data": ' + b"[" * 900 + b"]" * 900 + b"}")


def _drips() -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nX-Drip: "


def _jobs_of_many_tasks() -> Iterator[bytes]:
    yield success(_job(1, status=2, tasks=_tasks(50_000)))
    for number in JOBS:
        yield success(_job(number, status=3, tasks=_tasks(4_000)))


def _odd_times() -> Iterator[bytes]:
    page = success(_page([_job(number, createTime=7) for number in JOBS]))
    yield page.replace(b'"createTime": 7', b'"createTime": ' + b"9" * 4300)


def _long_messages() -> Iterator[bytes]:
    yield http({"code": 50004000, "message": "a.b\n" * 700_000}, status="500 No")
    yield http({"code": 50004000, "message": "x", "details": "\x1b[31m" * 500_000})
    yield success(_page([_job(number, name="x\n" * 30_000) for number in JOBS]))


def _lost_sessions() -> Iterator[bytes]:
    yield http({"code": 40104001, "message": "ErrSession"}, status="401 No")
    yield from _honest()


HARMLESS = "nothing hostile"
ENDLESS_PAGES = "pages that are always new"
WAYS: dict[str, Callable[[], Iterator[bytes]]] = {
    HARMLESS: _honest,
    "gzip bombs": _bombs,
    "30 MB of JSON": _much_json,
    "lists in lists": _nested,
    "dripping headers": _drips,
    ENDLESS_PAGES: lambda: iter([b""]),  # made anew for each request
    "jobs of 50,000 tasks": _jobs_of_many_tasks,
    "times of 4,300 digits": _odd_times,
    "messages of 3 MB": _long_messages,
    "a storm of 401s": _lost_sessions,
}
"""What a response to a call other than a login may be, in each way to do harm."""

ALL = tuple(name for name in WAYS if name != HARMLESS)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.responses = [list(WAYS[name]()) for name in names]
        self.token_lengths = (100,) if HARMLESS in names else (94_000, 8_000, 8_000)
        self.chance = random.Random(1)
        self.counts: Counter[str] = Counter()


class _Handler(socketserver.BaseRequestHandler):
    server: _Server

    def handle(self) -> None:
        server, client = self.server, self.request
        request = read_request(client)
        is_login = b"/connect" in request.split(b"\r\n", 1)[0]
        server.counts["logins" if is_login else "requests"] += 1
        try:
            if is_login:
                client.sendall(_token(server.chance.choice(server.token_lengths)))
            else:
                response = server.chance.choice(server.chance.choice(server.responses))
                self._respond(client, response or _new_jobs())
        except OSError:  # the client had enough
            pass

    def _respond(self, client: socket.socket, response: bytes) -> None:
        client.sendall(response)
        while response.endswith(b": "):
            time.sleep(_DRIP_SECONDS)
            client.sendall(b"a")


class BadExplorer:
    """Runs in a process of its own, and listens on loopback.

    :param names: the ways in which it does harm, one at random for each request.
    """

    def __init__(self, names: Sequence[str] = ALL) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, list(names)), daemon=True)
        self._process.start()
        theirs.close()

    def __enter__(self) -> Self:
        self.url = f"http://127.0.0.1:{self._pipe.recv()}"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()

    def counts(self) -> Counter[str]:
        """Return how many ``logins`` and other ``requests`` it received."""
        self._pipe.send("counts")
        counts: Counter[str] = self._pipe.recv()
        return counts


def _serve(pipe: Connection, names: Sequence[str]) -> None:
    server = _Server(names)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pipe.send(server.server_address[1])
    while pipe.recv():
        pipe.send(server.counts.copy())
