# SPDX-License-Identifier: Apache-2.0
"""A response of Python's HTTP library that arrives, header and all, by a deadline and within a bound.

The timeout of a socket is for each read. Whoever sends a byte from time to time could make a header, the
extension of a chunk or a trailer last for ever, and make it as long as they want.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
from typing import Any

from airflow_provider_nebula_explorer.explorer.client.body import ResponseTooLargeError
from airflow_provider_nebula_explorer.explorer.client.limits import WORKER_BUDGET


class BoundedResponse(http.client.HTTPResponse):
    """Reads by the time that the socket's timeout allows from now on, in total."""

    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(_BoundedSocket(sock), *arguments, **options)  # type: ignore[arg-type]


class _BoundedSocket:
    """The part of a socket that a response uses."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_BoundedStream(self._sock))


class _BoundedStream(io.RawIOBase):
    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._stream = sock.makefile("rb", buffering=0)
        self._deadline = time.monotonic() + (sock.gettimeout() or 0)
        self._bytes_left = 2 * WORKER_BUDGET.size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        seconds_left = self._deadline - time.monotonic()
        if seconds_left <= 0:
            raise TimeoutError
        self._sock.settimeout(seconds_left)
        count = self._stream.readinto(buffer)
        self._bytes_left -= count or 0
        if self._bytes_left < 0:
            raise ResponseTooLargeError(f"{WORKER_BUDGET.size // 2**19} MiB")
        return count

    def close(self) -> None:
        self._stream.close()
        super().close()
