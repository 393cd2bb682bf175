# SPDX-License-Identifier: Apache-2.0
"""Waits of an honest and of a hostile Explorer in one triggerer, and how late its event loop is meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from airflow.triggers.base import BaseTrigger
from bad_explorer import JOBS

from airflow_provider_nebula_explorer.triggers.nebula_explorer import (
    NebulaExplorerJobTrigger,
    NebulaExplorerWorkflowTrigger,
)
from airflow_provider_nebula_explorer.triggers.workflow_success import WorkflowSuccessTrigger

INTERVAL = 1.0
"""Of the honest waits, in seconds."""

_TICK = 0.005
_AGAIN_SECONDS = 1.0
"""After which a wait that the hostile Explorer ended begins again, as with a retry of Airflow's."""


def connections(honest: str, hostile: str, state_dir: str) -> dict[str, str]:
    """Return the environment variables that define both connections.

    The hostile one makes no retries, whose pauses would spare the event loop, and gives up late.
    """
    tireless = {"max_retries": 0, "max_consecutive_failures": 100_000, "timeout": 2}
    extras = {"honest": {}, "hostile": tireless}
    urls = {"honest": honest, "hostile": hostile}
    return {"AIRFLOW__NEBULA_EXPLORER__STATE_DIR": state_dir} | {
        f"AIRFLOW_CONN_{name.upper()}": json.dumps(
            {
                "conn_type": "nebula_explorer",
                "host": urls[name],
                "login": "root",
                "password": "stand-in-secret",
                "extra": {"nebula_address": "graphd", **extra},
            }
        )
        for name, extra in extras.items()
    }


@dataclass
class Lag:
    """How late the event loop ran a callback that was due, in seconds; one every few milliseconds.

    At most the CPU time that this process took meanwhile: the machine may do other work.
    """

    seconds: list[float] = field(default_factory=list)

    @property
    def longest(self) -> float:
        return max(self.seconds)

    def percentile(self, share: float) -> float:
        return sorted(self.seconds)[int(share * (len(self.seconds) - 1))]

    async def measure(self) -> None:
        """Measure for ever."""
        while True:
            due, worked = time.monotonic() + _TICK, time.process_time()
            await asyncio.sleep(_TICK)
            late = max(0.0, time.monotonic() - due)
            self.seconds.append(min(late, time.process_time() - worked))


@dataclass
class Neighbours:
    """What came of the waits.

    :ivar late: for each honest job, how many seconds after its end its event came.
    :ivar unsuccessful: events of honest jobs that do not report their success.
    :ivar ended: how many waits the hostile Explorer ended.
    """

    lag: Lag = field(default_factory=Lag)
    late: dict[int, float] = field(default_factory=dict)
    unsuccessful: list[object] = field(default_factory=list)
    ended: int = 0

    async def run(self, ends: Mapping[int, float]) -> None:
        """Wait for honest jobs, beside hostile ones.

        :param ends: when each honest job ends, on :func:`time.monotonic`'s clock.
        """
        honest = [asyncio.create_task(self._wait(job_id, end)) for job_id, end in ends.items()]
        others = [asyncio.create_task(self._suffer(trigger)) for trigger in _hostile_waits()]
        others.append(asyncio.create_task(self.lag.measure()))
        await asyncio.gather(*honest)
        await asyncio.sleep(max(ends.values()) - time.monotonic())
        for task in others:
            task.cancel()
        for error in await asyncio.gather(*others, return_exceptions=True):
            assert isinstance(error, asyncio.CancelledError), error

    async def _wait(self, job_id: int, end: float) -> None:
        async for event in NebulaExplorerJobTrigger(job_id, "honest", INTERVAL).run():
            self.late[job_id] = time.monotonic() - end
            if event.payload.get("job", {}).get("status") != 2:
                self.unsuccessful.append(event.payload)

    async def _suffer(self, trigger: BaseTrigger) -> None:
        while True:
            async with contextlib.aclosing(trigger.run()) as events:
                async for _ in events:
                    self.ended += 1
            await asyncio.sleep(_AGAIN_SECONDS)


def _hostile_waits() -> Iterator[BaseTrigger]:
    for job_id in JOBS:
        yield NebulaExplorerJobTrigger(job_id, "hostile", 1e-6)
    for workflow_id in (7, 8):
        yield NebulaExplorerWorkflowTrigger(workflow_id, "hostile", 1e-6)
        yield WorkflowSuccessTrigger(workflow_id, "hostile", 1e-6)
