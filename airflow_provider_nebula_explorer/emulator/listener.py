# SPDX-License-Identifier: Apache-2.0
"""The HTTP server: it listens in a thread, and can be stopped and started again on its port."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any

from airflow_provider_nebula_explorer.emulator.wire import web

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
_GRACE = 0.05


class ServerThread:
    """An HTTP server in a thread with an event loop of its own; it can be started again after a stop."""

    def __init__(self, handler: Handler, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.connections = 0
        self._handler = handler
        self._thread: threading.Thread | None = None
        self._loop: Future[asyncio.AbstractEventLoop]
        self._stopping: asyncio.Event
        self._accepted: set[asyncio.Task[Any]] = set()

    def start(self) -> None:
        """Listen, from now on.

        :raises OSError: if the address is in use.
        """
        if self._thread is not None:
            raise RuntimeError("the emulator is already running")
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        listener = socket.create_server((self.host, self.port), family=family)
        self.port = listener.getsockname()[1]
        self._loop, self._stopping = Future(), asyncio.Event()
        name = "nebula-explorer-emulator"
        self._thread = threading.Thread(target=self._run, args=(listener,), name=name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close every connection and end the thread; nothing if it does not listen."""
        if self._thread is not None:
            self._loop.result().call_soon_threadsafe(self._stopping.set)
            self._thread.join()
            self._thread = None

    def _run(self, listener: socket.socket) -> None:
        asyncio.run(self._serve(listener))

    async def _serve(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        self._loop.set_result(loop)
        server = web.Server(self._handler, access_log=None)
        listener.setblocking(False)
        loop.add_reader(listener, self._accept, listener, server)
        await self._stopping.wait()
        loop.remove_reader(listener)
        listener.close()
        await asyncio.gather(*self._accepted, return_exceptions=True)
        await _close(server)

    def _accept(self, listener: socket.socket, server: web.Server) -> None:
        # asyncio's own server loses a connection that arrives while it closes: python/cpython#109564
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            self.connections += 1
            loop = asyncio.get_running_loop()
            name = "nebula-explorer-emulator-accept"
            accepted = loop.create_task(loop.connect_accepted_socket(server, connection), name=name)
            self._accepted.add(accepted)
            accepted.add_done_callback(self._accepted.discard)


async def _close(server: web.Server) -> None:
    transports = [connection.transport for connection in server.connections]
    await server.shutdown(_GRACE)
    for transport in transports:
        if transport is not None:
            transport.abort()  # a client that does not read keeps it open
    await asyncio.sleep(0)
