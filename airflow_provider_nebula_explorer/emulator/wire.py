# SPDX-License-Identifier: Apache-2.0
"""How a response is sent: whole, or broken as a fault says."""

from __future__ import annotations

import asyncio
import functools
import socket
import struct
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import formatdate

from airflow_provider_nebula_explorer.emulator.faults import Fault
from airflow_provider_nebula_explorer.emulator.messages import Request, Response

try:
    from aiohttp import web as web  # noqa: PLC0414 - for the listener, too
except ModuleNotFoundError as missing:
    needed = "the emulator needs aiohttp: pip install 'airflow-provider-nebula-explorer[emulator]'"
    raise ModuleNotFoundError(needed, name=missing.name) from missing

_MEBIBYTE = b" " * 2**20
_HUGE = 256


async def read_request(wire: web.BaseRequest) -> Request:
    """Return a request whose head has arrived, with its body."""
    headers = {name.lower(): value for name, value in wire.headers.items()}
    return Request(wire.method, wire.rel_url.raw_path, dict(wire.query), headers, await wire.read())


@dataclass(frozen=True)
class Exchange:
    """A request that waits for its response.

    :param process: processes the request and returns its response.
    :param record: called before the first byte is sent, with the HTTP status; ``None`` for no response.
    :param now: the time for the ``Date`` header, in epoch seconds.
    """

    wire: web.BaseRequest
    fault: Fault | None
    process: Callable[[], Response]
    record: Callable[[int | None], None]
    now: Callable[[], float]

    async def deliver(self) -> web.StreamResponse:
        """Send the response, broken as the fault says if there is one."""
        try:
            if self.fault is None:
                return await _whole(self)
            if self.fault.processed:
                self.process()
            return await _DELIVERIES.get(self.fault.kind, _instead)(self, self.fault)
        except ConnectionError:
            return web.Response()  # the client has gone

    async def begin(self, response: Response, length: int | None) -> web.StreamResponse:
        """Send the head of a response, with this Content-Length or none."""
        self.record(response.status)
        sizes = {} if length is None else {"Content-Length": str(length)}
        stream = web.StreamResponse(status=response.status, headers={**self._headers(response), **sizes})
        await stream.prepare(self.wire)
        return stream

    def whole(self, response: Response) -> web.Response:
        """Return a whole response, which aiohttp sends."""
        self.record(response.status)
        return web.Response(status=response.status, body=response.body, headers=self._headers(response))

    def reset(self) -> web.Response:
        """Break the connection with a TCP reset."""
        transport = self.wire.transport
        if transport is not None:
            linger = struct.pack("ii", 1, 0)
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            transport.abort()
        return web.Response()

    def _headers(self, response: Response) -> dict[str, str]:
        return {**response.headers, "Date": formatdate(self.now(), usegmt=True)}


async def _whole(exchange: Exchange, _: Fault | None = None) -> web.StreamResponse:
    return exchange.whole(exchange.process())


async def _instead(exchange: Exchange, fault: Fault) -> web.StreamResponse:
    return exchange.whole(fault.response)


async def _slow(exchange: Exchange, fault: Fault) -> web.StreamResponse:
    await asyncio.sleep(fault.seconds)
    return await _whole(exchange)


async def _drip(exchange: Exchange, fault: Fault) -> web.StreamResponse:
    response = exchange.process()
    stream = await exchange.begin(response, len(response.body))
    for byte in response.body:
        await asyncio.sleep(fault.seconds / len(response.body))
        await stream.write(bytes([byte]))
    return stream


async def _begun(exchange: Exchange, fault: Fault) -> tuple[web.StreamResponse, bytes]:
    """Send the first half of a response and return the rest; for ``overrun``, Content-Length is that half."""
    body = (response := exchange.process()).body
    half = len(body) // 2
    stream = await exchange.begin(response, half if fault.kind == "overrun" else len(body))
    await stream.write(body[:half])
    return stream, body[half:]


async def _misfit(exchange: Exchange, fault: Fault) -> web.StreamResponse:
    """Send less or more of a response than Content-Length says."""
    stream, rest = await _begun(exchange, fault)
    transport = exchange.wire.transport
    if transport is not None and fault.kind != "truncate":
        transport.write(rest)  # aiohttp itself sends no more than Content-Length
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
    stream = await exchange.begin(Response(fault.status or 200), None)
    for _ in range(_HUGE):
        await stream.write(_MEBIBYTE)
        await asyncio.sleep(0)
    return stream


async def _gzip_bomb(exchange: Exchange, fault: Fault) -> web.StreamResponse:
    body = await asyncio.to_thread(_bomb)
    return exchange.whole(Response(fault.status or 200, body, {"Content-Encoding": "gzip"}))


@functools.lru_cache(maxsize=1)
def _bomb() -> bytes:
    packer = zlib.compressobj(level=1, wbits=31)
    return b"".join([*(packer.compress(_MEBIBYTE) for _ in range(_HUGE)), packer.flush()])


_DELIVERIES: dict[str, Callable[[Exchange, Fault], Awaitable[web.StreamResponse]]] = {
    "another_job": _whole,
    "another_workflow": _whole,
    "session_loss": _whole,
    "graphd_session_loss": _whole,
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
