# SPDX-License-Identifier: Apache-2.0
"""A server that responds with given bytes, and records the requests."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

from typing_extensions import Self

OK = b'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 10\r\n\r\n{"code":0}'
"""Explorer's response without data; the client must not use the connection again."""


def logged_in_with(cookie: bytes) -> bytes:
    """Return the response to a login, which sets a cookie."""
    return OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: " + cookie + b"\r\n\r\n")


class RawServer:
    """Listens on loopback; each connection is for one request.

    :param responses: sent one after the other; the last one is sent for all further requests.
    """

    def __init__(self, *responses: bytes) -> None:
        self.responses = list(responses)
        self.requests: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    @property
    def headers(self) -> list[list[str]]:
        """The lines of each request's head, the first line left out."""
        return [
            request.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:] for request in self.requests
        ]

    def _serve(self) -> None:
        while True:
            try:
                client = self._listener.accept()[0]
            except OSError:
                return
            with client:
                _ignoring_disconnects(lambda client=client: self._respond(client))

    def _respond(self, client: socket.socket) -> None:
        client.settimeout(10)
        self.requests.append(read_request(client))
        client.sendall(self.responses.pop(0) if len(self.responses) > 1 else self.responses[0])


class DrippingServer(RawServer):
    """Responds as given, then sends one byte after the other for as long as the client stays."""

    def __init__(self, *responses: bytes) -> None:
        super().__init__(*responses)
        self._is_over = threading.Event()

    def __exit__(self, *error: object) -> None:
        self._is_over.set()  # Python 3.10 leaves the socket of a proxy that fails to the garbage collector
        super().__exit__(*error)

    def _respond(self, client: socket.socket) -> None:
        super()._respond(client)
        while not self._is_over.wait(0.05):
            client.sendall(b"a")


def read_request(client: socket.socket) -> bytes:
    """Return a whole request, its body too."""
    request = b""
    while b"\r\n\r\n" not in request or len(request) < _length_of(request):
        chunk = client.recv(65536)
        if not chunk:
            break
        request += chunk
    return request


def _length_of(request: bytes) -> int:
    head, gap, _ = request.partition(b"\r\n\r\n")
    lines = [line.lower() for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    return len(head + gap) + (int(lines[0].partition(b":")[2]) if lines else 0)


def _ignoring_disconnects(work: Callable[[], None]) -> None:
    try:
        work()
    except OSError:  # the client closed the connection
        pass
