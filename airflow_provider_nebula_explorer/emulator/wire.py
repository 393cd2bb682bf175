"""The only part that touches a socket: a server in a thread, and how a response goes out, whole or broken."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import struct
import threading
import zlib
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any

from airflow_provider_nebula_explorer.emulator.api import Answer, Request
from airflow_provider_nebula_explorer.emulator.faults import Fault

try:
    from aiohttp import web
except ModuleNotFoundError as missing:
    needed = "the emulator needs aiohttp: pip install 'airflow-provider-nebula-explorer[emulator]'"
    raise ModuleNotFoundError(needed, name=missing.name) from missing

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
_MEBIBYTE = b" " * 2**20
_HUGE = 256
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
        self._arriving: set[asyncio.Task[Any]] = set()

    def start(self) -> None:
        """Listen, from now on.

        :raises OSError: where the address cannot be had.
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
        """Close every connection and end the thread; a stopped server stays stopped."""
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
        await asyncio.gather(*self._arriving, return_exceptions=True)
        await _close(server)

    def _accept(self, listener: socket.socket, server: web.Server) -> None:
        # asyncio's own server loses a connection that arrives while it closes: python/cpython#109564
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            self.connections += 1
            loop = asyncio.get_running_loop()
            arriving = loop.create_task(loop.connect_accepted_socket(server, connection))
            self._arriving.add(arriving)
            arriving.add_done_callback(self._arriving.discard)


async def _close(server: web.Server) -> None:
    transports = [connection.transport for connection in server.connections]
    await server.shutdown(_GRACE)
    for transport in transports:
        if transport is not None:
            transport.abort()  # a client that does not read would keep it open
    await asyncio.sleep(0)


async def read_request(wire: web.BaseRequest) -> Request:
    """Return a request that came in."""
    headers = {name.lower(): value for name, value in wire.headers.items()}
    return Request(wire.method, wire.rel_url.raw_path, dict(wire.query), headers, await wire.read())


@dataclass(frozen=True)
class Exchange:
    """A request on its way.

    :param process: processes the request and returns its answer.
    :param record: notes the HTTP status that goes out, ``None`` for none; called before the first byte.
    :param now: the time that the ``Date`` header tells, in epoch seconds.
    """

    wire: web.BaseRequest
    fault: Fault | None
    process: Callable[[], Answer]
    record: Callable[[int | None], None]
    now: Callable[[], float]

    async def deliver(self) -> web.StreamResponse:
        """Answer the request in the way that its fault, if it has one, wants."""
        try:
            if self.fault is None:
                return await _whole(self)
            if self.fault.processed:
                self.process()
            return await _DELIVERIES.get(self.fault.kind, _instead)(self, self.fault)
        except ConnectionError:
            return web.Response()  # the client has gone

    async def begin(self, answer: Answer, length: int | None) -> web.StreamResponse:
        """Send the head of an answer, with the Content-Length given or none."""
        self.record(answer.status)
        sizes = {} if length is None else {"Content-Length": str(length)}
        stream = web.StreamResponse(status=answer.status, headers={**self._headers(answer), **sizes})
        await stream.prepare(self.wire)
        return stream

    def whole(self, answer: Answer) -> web.Response:
        """Return an answer for aiohttp to send."""
        self.record(answer.status)
        return web.Response(status=answer.status, body=answer.body, headers=self._headers(answer))

    def reset(self) -> web.Response:
        """Break the connection with a TCP reset."""
        transport = self.wire.transport
        if transport is not None:
            linger = struct.pack("ii", 1, 0)
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            transport.abort()
        return web.Response()

    def _headers(self, answer: Answer) -> dict[str, str]:
        return {**answer.headers, "Date": formatdate(self.now(), usegmt=True)}


async def _whole(exchange: Exchange, _: Fault | None = None) -> web.StreamResponse:
    return exchange.whole(exchange.process())


async def _instead(exchange: Exchange, fault: Fault) -> web.StreamResponse:
    return exchange.whole(fault.answer)


async def _slow(exchange: Exchange, fault: Fault) -> web.StreamResponse:
    await asyncio.sleep(fault.seconds)
    return await _whole(exchange)


async def _drip(exchange: Exchange, fault: Fault) -> web.StreamResponse:
    answer = exchange.process()
    stream = await exchange.begin(answer, len(answer.body))
    for byte in answer.body:
        await asyncio.sleep(fault.seconds / len(answer.body))
        await stream.write(bytes([byte]))
    return stream


async def _begun(exchange: Exchange, fault: Fault) -> tuple[web.StreamResponse, bytes]:
    """Send the first half of an answer, and return the rest; its length is told, for ``overrun`` wrongly."""
    body = (answer := exchange.process()).body
    half = len(body) // 2
    stream = await exchange.begin(answer, half if fault.kind == "overrun" else len(body))
    await stream.write(body[:half])
    return stream, body[half:]


async def _misfit(exchange: Exchange, fault: Fault) -> web.StreamResponse:
    """Send less or more of an answer than was announced."""
    stream, rest = await _begun(exchange, fault)
    transport = exchange.wire.transport
    if transport is not None and fault.kind != "truncate":
        transport.write(rest)  # aiohttp itself sends no more than it announced
    if transport is not None and fault.kind != "overrun":
        transport.close()
    return stream


async def _reset(exchange: Exchange, _: Fault) -> web.StreamResponse:
    exchange.record(None)
    return exchange.reset()


async def _broken(exchange: Exchange, fault: Fault) -> web.StreamResponse:
    stream, rest = await _begun(exchange, fault)
    if fault.kind == "reset_after":
        await stream.write(rest)
    exchange.reset()
    return stream


async def _closed(exchange: Exchange, _: Fault) -> web.StreamResponse:
    exchange.record(None)
    if exchange.wire.transport is not None:
        exchange.wire.transport.close()
    return web.Response()


async def _lost(exchange: Exchange, fault: Fault) -> web.StreamResponse:
    exchange.process()
    return await _reset(exchange, fault)


async def _huge(exchange: Exchange, fault: Fault) -> web.StreamResponse:
    stream = await exchange.begin(Answer(fault.status or 200), None)
    for _ in range(_HUGE):
        await stream.write(_MEBIBYTE)
        await asyncio.sleep(0)
    return stream


async def _gzip_bomb(exchange: Exchange, fault: Fault) -> web.StreamResponse:
    body = await asyncio.to_thread(_bomb)
    return exchange.whole(Answer(fault.status or 200, body, {"Content-Encoding": "gzip"}))


@functools.lru_cache(maxsize=1)
def _bomb() -> bytes:
    packer = zlib.compressobj(level=1, wbits=31)
    return b"".join([*(packer.compress(_MEBIBYTE) for _ in range(_HUGE)), packer.flush()])


_DELIVERIES: dict[str, Callable[[Exchange, Fault], Awaitable[web.StreamResponse]]] = {
    "session_loss": _whole,
    "slow": _slow,
    "drip": _drip,
    "truncate": _misfit,
    "overrun": _misfit,
    "hangup": _misfit,
    "reset_amid": _broken,
    "reset_after": _broken,
    "reset": _reset,
    "closed": _closed,
    "lost": _lost,
    "huge": _huge,
    "gzip_bomb": _gzip_bomb,
}
