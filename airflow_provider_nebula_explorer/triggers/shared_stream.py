# SPDX-License-Identifier: Apache-2.0
"""Events of a workflow through Airflow's shared streams, which confirm when an event is stored (Airflow 3.3).

A stream has only one trigger, and serves for that confirmation alone. Triggers share their watcher instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from airflow.triggers.shared_stream import AdvanceItem, SharedStreamProducer

from airflow_provider_nebula_explorer.explorer.models import Job
from airflow_provider_nebula_explorer.triggers.workflow_events import (
    SPACING_SECONDS,
    WorkflowEvents,
    WorkflowSpec,
)

_MOST_IN_FLIGHT = 100
"""Events that may wait for their confirmation; Airflow's queue, which fails when it is full, takes 1024."""


class _StoreRequest:
    """The first item of a stream, in which the trigger puts its store: Airflow gives it to no producer."""

    def __init__(self) -> None:
        self.store: asyncio.Future[Any] = asyncio.get_running_loop().create_future()


class SuccessProducer(SharedStreamProducer):
    """Observes a workflow for a trigger, and takes note of each event that Airflow has stored."""

    def __init__(self, spec: WorkflowSpec) -> None:
        self._spec = spec
        self._events: WorkflowEvents | None = None
        self._free = asyncio.Semaphore(_MOST_IN_FLIGHT)

    async def open_stream(self) -> AsyncIterator[tuple[Any, int | None]]:
        """Yield each job that succeeds, with its id."""
        request = _StoreRequest()
        yield request, None
        self._events = WorkflowEvents(self._spec, await request.store, spacing=SPACING_SECONDS)
        async for job in self._events.jobs():
            await self._free.acquire()
            yield job, job.id

    async def advance(self, batch: Sequence[AdvanceItem]) -> None:
        """Take note of stored events; if one was not stored, Airflow ends the trigger and starts it anew."""
        jobs = [item for item in batch if item.broker_payload is not None]
        for _ in jobs:
            self._free.release()
        if self._events is not None:
            await self._events.acknowledge(*(item.broker_payload for item in jobs if item.outcome.is_clean))


async def jobs_of(stream: AsyncIterator[Any], store: Any) -> AsyncIterator[Job]:
    """Yield the jobs of a producer's stream.

    :param store: the trigger's ``asset_state_store``.
    """
    async for item in stream:
        if isinstance(item, _StoreRequest):
            if not item.store.done():  # another subscriber may have been first
                item.store.set_result(store)
        else:
            yield item
