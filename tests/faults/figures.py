# SPDX-License-Identifier: Apache-2.0
"""What a campaign counts and measures, and the tables that show it."""

from __future__ import annotations

import ctypes
import gc
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import psutil
from served import Traffic

from airflow_provider_nebula_explorer.exceptions import NebulaExplorerError

T = TypeVar("T")
MEBIBYTE = 2**20
_TRIES = 20
_MMAP_THRESHOLD = -3  # its number in malloc.h


@dataclass(frozen=True)
class Resources:
    """What this process uses."""

    memory: int
    sockets: tuple[str, ...]
    threads: int

    @property
    def left_open(self) -> tuple[tuple[str, ...], int]:
        """What must be the same before and after; memory differs from reading to reading."""
        return self.sockets, self.threads

    @classmethod
    def now(cls) -> Resources:
        gc.collect()
        if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
            trim(0)  # memory that malloc keeps in reserve is not in use
        process = psutil.Process()
        return cls(
            process.memory_info().rss, tuple(map(str, process.net_connections())), threading.active_count()
        )


def return_large_blocks() -> None:
    """Have malloc give back each large block as soon as it is freed, for the rest of this process.

    By default it keeps all up to the size of the largest that was ever freed: 16 MiB, once the key of a
    shared login was derived (mallopt(3), ``M_MMAP_THRESHOLD``).
    """
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(_MMAP_THRESHOLD, 128 * 1024)


@dataclass
class Repeater:
    """Repeats calls that ended in a permanent error, as a person does, or Airflow's retry.

    The package itself must get over transient errors: if one reaches a caller, the campaign fails.

    :param reported: how many errors reached the caller, by class.
    """

    reported: Counter[str] = field(default_factory=Counter)

    def __call__(self, call: Callable[[], T]) -> T:
        for _ in range(_TRIES):
            try:
                return call()
            except NebulaExplorerError as error:
                self.take(error)
        raise AssertionError(f"{_TRIES} tries in a row were refused: {self.reported}")

    async def for_async(self, call: Callable[[], Awaitable[T]]) -> T:
        for _ in range(_TRIES):
            try:
                return await call()
            except NebulaExplorerError as error:
                self.take(error)
        raise AssertionError(f"{_TRIES} tries in a row were refused: {self.reported}")

    def take(self, error: NebulaExplorerError) -> None:
        """Count a permanent error, and raise any other."""
        if error.is_transient or type(error) is NebulaExplorerError:
            raise error
        self.reported[type(error).__name__] += 1

    @property
    def refusals(self) -> int:
        return self.reported.total()


@dataclass(frozen=True)
class Scene:
    """One scene of the campaign: what was done, and what it took.

    :param done: how many calls, waits or starts were made; each of them ended as it must.
    :param needed: how many requests a run without faults takes.
    :param refused: how many permanent errors reached the caller.
    """

    name: str
    done: int
    needed: int
    traffic: Traffic
    refused: int
    before: Resources
    after: Resources
    seconds: float

    @property
    def factor(self) -> float:
        return self.traffic.requests / self.needed


@dataclass
class Figures:
    """The scenes of a run, and the long waits."""

    seed: int
    times: int
    scenes: list[Scene] = field(default_factory=list)
    long: list[Sequence[object]] = field(default_factory=list)

    def tables(self) -> Iterator[str]:
        """Yield the lines of Markdown tables."""
        yield f"`--seed {self.seed} --times {self.times}`"
        if self.scenes:
            yield from table(self._by_scene())
            yield from table(self._by_kind())
        if self.long:
            yield from table([LONG, *self.long])

    def _by_scene(self) -> Iterator[Sequence[object]]:
        yield SCENES
        for scene in self.scenes:
            traffic = scene.traffic
            faults = f"{traffic.faults.total()} ({traffic.faults.total() / traffic.requests:.0%})"
            disruptions = f"{traffic.lost_sessions}, {traffic.restarts}, {traffic.clock_jumps}"
            requests = f"{traffic.requests} / {scene.needed}", f"{scene.factor:.2f}"
            memory = f"{scene.before.memory / MEBIBYTE:.0f} / {scene.after.memory / MEBIBYTE:.0f}"
            counts = faults, disruptions, scene.refused, *requests, traffic.logins
            yield scene.name, scene.done, *counts, memory, f"{scene.seconds:.0f}"

    def _by_kind(self) -> Iterator[Sequence[object]]:
        total = sum((scene.traffic.faults for scene in self.scenes), Counter[str]())
        yield "fault", "times"
        yield from ((f"`{kind}`", times) for kind, times in sorted(total.items()))
        yield "sessions lost", sum(scene.traffic.lost_sessions for scene in self.scenes)
        yield "restarts", sum(scene.traffic.restarts for scene in self.scenes)
        yield "clock put back or forward", sum(scene.traffic.clock_jumps for scene in self.scenes)


SCENES = (
    "scene",
    "done",
    "faults (of all requests)",
    "sessions lost, restarts, clock jumps",
    "refusals reported",
    "requests / faultless",
    "factor",
    "logins",
    "MiB, warm / at the end",
    "s",
)
LONG = ("who waits", "polls", "jobs ended", "requests", "KiB grown", "sockets", "threads or tasks", "s")


def table(rows: Iterable[Sequence[object]]) -> Iterator[str]:
    head, *body = [[str(cell) for cell in row] for row in rows]
    yield ""
    for row in (head, ["---"] * len(head), *body):
        yield f"| {' | '.join(row)} |"
