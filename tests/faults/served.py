"""An emulator in a process of its own, so that its memory and its work are not those of its clients."""

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
"""Seconds after which nobody hopes for Explorer's return any more."""


@dataclass(frozen=True)
class Told:
    """What an emulator has been asked, and what befell that.

    :param asked: requests by endpoint.
    :param struck: faults by kind.
    :param aimed: faults by kind and endpoint.
    :param acts: what those did who plague it, by kind.
    """

    asked: Counter[str]
    struck: Counter[str]
    aimed: Counter[tuple[str, str]]
    acts: Counter[str]
    logins: int

    @property
    def requests(self) -> int:
        return self.asked.total()

    @property
    def lost_sessions(self) -> int:
        return self.acts["sessions"] + self.struck["session_loss"]

    @property
    def restarts(self) -> int:
        return self.acts["restarts"]

    @property
    def clock_jumps(self) -> int:
        return self.acts["clock"]

    @property
    def ended_sessions(self) -> int:
        """How often all sessions ended; a restart is such an end, too."""
        return self.lost_sessions + self.restarts

    @property
    def broken_logins(self) -> int:
        """How many logins something befell: the client may have had no answer, though Explorer made them."""
        return sum(times for (_, endpoint), times in self.aimed.items() if endpoint == "connect")


class Served:
    """The emulator, and those who plague it; its methods are called from the process of the tests."""

    def __init__(self) -> None:
        self._emulator = Emulator()
        self._done: Counter[str] = Counter()
        self._quiet = threading.Event()
        self._is_there = threading.Event()
        self._plagues = ThreadPoolExecutor(1)
        self._plague: Future[None] | None = None

    def begin(self, seed: int) -> str:
        """Start an emulator that knows nothing, in the place of the one before, and return its address."""
        self.stop()
        self._emulator = Emulator(max_page_size=PAGE, seed=seed).start()
        self._done = Counter()
        self._is_there.set()
        return self._emulator.url

    def stop(self) -> None:
        self.leave_alone()
        self._emulator.stop()

    def until_there(self) -> None:
        """Come back once Explorer is there: at once, unless it restarts."""
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

    def told(self) -> Told:
        calls = self._emulator.calls
        struck = [call for call in calls if call.fault]
        return Told(
            asked=Counter(call.endpoint for call in calls),
            struck=Counter(call.fault for call in struck),
            aimed=Counter((call.fault, call.endpoint) for call in struck),
            acts=self._done.copy(),
            logins=self._emulator.logins,
        )

    def latest(self, count: int) -> list[str]:
        """Return the latest calls, in words."""
        calls = self._emulator.calls[-count:]
        return [f"{call.method} {call.path} {call.status} {call.fault or ''}".rstrip() for call in calls]

    def memory(self) -> int:
        """Return the process's memory, in bytes."""
        return int(psutil.Process().memory_info().rss)

    def plague(self, seed: int, acts: Sequence[str], every: int) -> None:
        """Do one act after the other, by chance, one for so many requests, until left alone."""
        self._quiet.clear()
        self._plague = self._plagues.submit(self._act_on, random.Random(seed), acts, every)

    def leave_alone(self) -> None:
        """Do nothing any more that no client asks for, and strike no request.

        :raises Exception: what the plague died of, if it did.
        """
        self._quiet.set()
        self._emulator.clear_faults()
        plague, self._plague = self._plague, None
        if plague is not None:
            plague.result()

    def _act_on(self, chance: random.Random, acts: Sequence[str], every: int) -> None:
        due = chance.randint(0, every)
        turns = _in_turn(chance, acts)
        while not self._quiet.wait(_INSTANT):
            if self._emulator.count() >= due:
                act = next(turns)
                getattr(self, f"_{act}")(chance)
                self._done[act] += 1
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
        """Put the clock back or forward: by seconds, or now and then by half an hour."""
        most = 1800 if chance.random() < 0.2 else 40
        self._emulator.set_clock(chance.uniform(-most, most))


def _in_turn(chance: random.Random, acts: Sequence[str]) -> Iterator[str]:
    """Yield acts for ever: all of them, by chance, before one comes again, so that none is left out."""
    while True:
        yield from chance.sample(acts, len(acts))


class _Manager(BaseManager):
    pass


_Manager.register("Served", Served)


class Explorer:
    """The process in which an emulator is served; ``served`` is asked from here."""

    def __init__(self) -> None:
        self._manager = _Manager(ctx=multiprocessing.get_context("spawn"))
        self._manager.start()
        self.served: Served = self._manager.Served()  # type: ignore[attr-defined]

    def close(self) -> None:
        self.served.stop()
        self._manager.shutdown()
