"""Events of a workflow through Airflow's shared streams, which confirm when an event is stored (Airflow 3.3).

Each stream has only one trigger: it is for that confirmation. What triggers share is their watcher.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from airflow.triggers.base import TriggerEvent
from airflow.triggers.shared_stream import AdvanceItem, SharedStreamProducer

from airflow_provider_nebula_explorer.triggers.workflow_events import SPACING_SECONDS, Observed, Successes

_MOST_ON_THE_WAY = 100
"""Events that may wait for their confirmation; Airflow's queue, which fails when it is full, takes 1024."""


class _Opening:
    """The first item of a stream: asks the trigger for the store that only it has."""

    def __init__(self) -> None:
        self.store: asyncio.Future[Any] = asyncio.get_running_loop().create_future()


class SuccessProducer(SharedStreamProducer):
    """Observes a workflow for a trigger, and takes note of each event that Airflow has stored."""

    def __init__(self, observed: Observed) -> None:
        self._observed = observed
        self._successes: Successes | None = None
        self._on_the_way = asyncio.Semaphore(_MOST_ON_THE_WAY)

    async def open_stream(self) -> AsyncIterator[tuple[Any, int | None]]:
        """Yield each job that succeeds, with its id."""
        opening = _Opening()
        yield opening, None
        self._successes = Successes(self._observed, await opening.store, apart=SPACING_SECONDS)
        async for job in self._successes.jobs():
            await self._on_the_way.acquire()
            yield job, job.id

    async def advance(self, batch: Sequence[AdvanceItem]) -> None:
        """Take note of stored events; where one is not, Airflow ends the trigger and begins it anew."""
        jobs = [item for item in batch if item.broker_payload is not None]
        for _ in jobs:
            self._on_the_way.release()
        if self._successes is not None:
            await self._successes.acknowledge(
                *(item.broker_payload for item in jobs if item.outcome.is_clean)
            )


async def events(stream: AsyncIterator[Any], store: Any) -> AsyncIterator[TriggerEvent]:
    """Make a trigger's events of a producer's stream.

    :param store: the trigger's ``asset_state_store``.
    """
    async for item in stream:
        if isinstance(item, _Opening):
            item.store.set_result(store)
        else:
            yield TriggerEvent(item.data)  # type: ignore[no-untyped-call]
