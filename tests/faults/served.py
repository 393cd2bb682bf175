# SPDX-License-Identifier: Apache-2.0
"""An emulator in a process of its own, so that its memory and CPU time are not those of its clients."""

from __future__ import annotations

import multiprocessing
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.managers import BaseManager
from typing import Any

import psutil

from airflow_provider_nebula_explorer.emulator import Emulator, Fault, JobPlan

PAGE = 1000
_INSTANT = 0.002
_AWAY_FOR_GOOD = 60.0
"""Seconds after which a restart of Explorer counts as failed."""


@dataclass(frozen=True)
class Traffic:
    """The requests that an emulator received, and what went wrong with them.

    :param by_endpoint: requests by endpoint.
    :param faults: faults by kind.
    :param faults_by_endpoint: faults by kind and endpoint.
    :param disruptions: disruptions of the whole emulator by kind.
    :param logins: logins that the emulator accepted.
    """

    by_endpoint: Counter[str]
    faults: Counter[str]
    faults_by_endpoint: Counter[tuple[str, str]]
    disruptions: Counter[str]
    logins: int

    @property
    def requests(self) -> int:
        return self.by_endpoint.total()

    @property
    def lost_sessions(self) -> int:
        """How often Explorer or graphd forgot all sessions, without a restart."""
        return self.disruptions["sessions"] + self.faults["session_loss"] + self.faults["graphd_session_loss"]

    @property
    def restarts(self) -> int:
        return self.disruptions["restarts"]

    @property
    def clock_jumps(self) -> int:
        return self.disruptions["clock"]

    @property
    def ended_sessions(self) -> int:
        """How often all sessions ended; a restart ends them, too."""
        return self.lost_sessions + self.restarts

    @property
    def broken_logins(self) -> int:
        """How many logins a fault hit: Explorer may have accepted one whose response the client never had."""
        return sum(times for (_, endpoint), times in self.faults_by_endpoint.items() if endpoint == "connect")


class Served:
    """The emulator, and its disruptions; the process of the tests calls its methods."""

    def __init__(self) -> None:
        self._emulator = Emulator()
        self._done: Counter[str] = Counter()
        self._is_calm = threading.Event()
        self._is_there = threading.Event()
        self._threads = ThreadPoolExecutor(1)
        self._disruption: Future[None] | None = None

    def begin(self, seed: int) -> str:
        """Replace the emulator by an empty one, and return its address."""
        self.stop()
        self._emulator = Emulator(max_page_size=PAGE, seed=seed).start()
        self._done = Counter()
        self._is_there.set()
        return self._emulator.url

    def stop(self) -> None:
        self.calm_down()
        self._emulator.stop()

    def until_there(self) -> None:
        """Return once Explorer is there: at once, unless it restarts."""
        assert self._is_there.wait(_AWAY_FOR_GOOD), "Explorer did not come back from a restart"

    def fail(self, faults: Sequence[Fault]) -> None:
        self._emulator.fail(*faults)

    def start_job(self, workflow_id: int, plan: JobPlan | None = None) -> int:
        return self._emulator.start_job(workflow_id, plan=plan)

    def start_jobs(self, workflow_id: int, plans: Sequence[JobPlan]) -> list[int]:
        return [self._emulator.start_job(workflow_id, plan=plan) for plan in plans]

    def plan(self, workflow_id: int, plan: JobPlan) -> None:
        self._emulator.plan(workflow_id, plan)

    def cancel(self, job_id: int) -> None:
        self._emulator.cancel(job_id)

    def advance(self, seconds: float) -> None:
        self._emulator.advance(seconds)

    def jobs(self) -> list[dict[str, Any]]:
        """Return every job, with its input."""
        return [{**job, "input": self._emulator.input(job["id"])} for job in self._emulator.jobs]

    def traffic(self) -> Traffic:
        calls = self._emulator.calls
        failed = [call for call in calls if call.fault]
        return Traffic(
            by_endpoint=Counter(call.endpoint for call in calls),
            faults=Counter(call.fault for call in failed),
            faults_by_endpoint=Counter((call.fault, call.endpoint) for call in failed),
            disruptions=self._done.copy(),
            logins=self._emulator.logins,
        )

    def latest(self, count: int) -> list[str]:
        """Return the latest calls as text, each in a line."""
        calls = self._emulator.calls[-count:]
        return [f"{call.method} {call.path} {call.status} {call.fault or ''}".rstrip() for call in calls]

    def memory(self) -> int:
        """Return the process's memory, in bytes."""
        return int(psutil.Process().memory_info().rss)

    def disrupt(self, seed: int, kinds: Sequence[str], every: int) -> None:
        """Disrupt Explorer until :meth:`calm_down`, at random moments.

        :param kinds: the disruptions: ``sessions``, ``restarts``, ``clock``.
        :param every: the mean number of requests between two of them.
        """
        self._is_calm.clear()
        self._disruption = self._threads.submit(self._disrupt, random.Random(seed), kinds, every)

    def calm_down(self) -> None:
        """End all faults and disruptions.

        :raises Exception: what ended the disruptions before, if anything did.
        """
        self._is_calm.set()
        self._emulator.clear_faults()
        disruption, self._disruption = self._disruption, None
        if disruption is not None:
            disruption.result()

    def _disrupt(self, chance: random.Random, kinds: Sequence[str], every: int) -> None:
        due = chance.randint(0, every)
        turns = _in_turn(chance, kinds)
        while not self._is_calm.wait(_INSTANT):
            if self._emulator.count() >= due:
                kind = next(turns)
                getattr(self, f"_{kind}")(chance)
                self._done[kind] += 1
                due += chance.randint(1, 2 * every)

    def _sessions(self, chance: random.Random) -> None:
        self._emulator.forget_sessions()

    def _restarts(self, chance: random.Random) -> None:
        self._is_there.clear()
        try:
            self._emulator.stop()
            time.sleep(chance.uniform(0.01, 0.1))
            self._emulator.start()
        finally:
            self._is_there.set()

    def _clock(self, chance: random.Random) -> None:
        """Set the clock back or forward: by seconds, or now and then by half an hour."""
        most = 1800 if chance.random() < 0.2 else 40
        self._emulator.set_clock(chance.uniform(-most, most))


def _in_turn(chance: random.Random, kinds: Sequence[str]) -> Iterator[str]:
    """Yield kinds for ever in random order, each once before any comes again: so none is left out."""
    while True:
        yield from chance.sample(kinds, len(kinds))


class _Manager(BaseManager):
    pass


_Manager.register("Served", Served)


class Explorer:
    """The process that runs an emulator; the tests call it through ``served``."""

    def __init__(self) -> None:
        self._manager = _Manager(ctx=multiprocessing.get_context("spawn"))
        self._manager.start()
        self.served: Served = self._manager.Served()  # type: ignore[attr-defined]

    def close(self) -> None:
        self.served.stop()
        self._manager.shutdown()
