# SPDX-License-Identifier: Apache-2.0
"""Decides what responds to a request: the emulator's own pages, a fault, or the emulated Explorer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_provider_nebula_explorer.emulator.api import endpoint_of
from airflow_provider_nebula_explorer.emulator.calls import Call, CallLog
from airflow_provider_nebula_explorer.emulator.fault_queue import FaultQueue
from airflow_provider_nebula_explorer.emulator.faults import Fault
from airflow_provider_nebula_explorer.emulator.messages import Request, Response
from airflow_provider_nebula_explorer.emulator.text import one_line
from airflow_provider_nebula_explorer.emulator.wire import Exchange, read_request

if TYPE_CHECKING:
    from aiohttp import web

log = logging.getLogger("airflow_provider_nebula_explorer.emulator")


@dataclass(frozen=True)
class Frontend:
    """Handles each request that the server accepts.

    :param explorer: responds as Explorer does.
    :param backstage: responds to a request for the emulator's own pages and controls; ``None`` for others.
    :param side_effects: what else a fault does before its request is processed, by its kind.
    :param latency: the seconds that each of Explorer's responses takes.
    :param now: the time for the ``Date`` header and the call log, in epoch seconds.
    """

    explorer: Callable[[Request], Response]
    backstage: Callable[[Request], Response | None]
    side_effects: Mapping[str, Callable[[], None]]
    faults: FaultQueue
    calls: CallLog
    latency: Callable[[], float]
    now: Callable[[], float]

    async def handle(self, wire: web.BaseRequest) -> web.StreamResponse:
        """Respond to a request; those for the emulator's own pages and controls are no calls."""
        request = await read_request(wire)
        own = self.backstage(request)
        if own is not None:
            return await Exchange(wire, None, lambda: own, lambda _: None, self.now).deliver()
        await asyncio.sleep(self.latency())
        return await self._exchange(wire, request).deliver()

    def _exchange(self, wire: web.BaseRequest, request: Request) -> Exchange:
        endpoint = endpoint_of(request)
        fault = self.faults.take(endpoint)
        if fault is not None and fault.kind in self.side_effects:
            self.side_effects[fault.kind]()

        def record(status: int | None) -> None:
            self._record(request, endpoint, status, fault)

        processed = fault.redirected(request) if fault else request
        return Exchange(wire, fault, lambda: self.explorer(processed), record, self.now)

    def _record(self, request: Request, endpoint: str, status: int | None, fault: Fault | None) -> None:
        kind = fault.kind if fault else None
        sent = (endpoint, request.method, request.path, request.query, request.json)
        self.calls.add(Call(*sent, status, self.now(), kind))
        outcome = "no response" if status is None else status
        what = one_line(f"{request.method} {request.path}")
        log.info("%s %s%s", what, outcome, f" ({kind})" if kind else "")
