"""What a campaign counts and measures, and the tables that tell of it."""

from __future__ import annotations

import ctypes
import gc
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import psutil
from served import Told

from airflow_provider_nebula_explorer.exceptions import NebulaExplorerError

T = TypeVar("T")
MEBIBYTE = 2**20
_TRIES = 20


@dataclass(frozen=True)
class Room:
    """What this process holds."""

    memory: int
    sockets: tuple[str, ...]
    threads: int

    @property
    def left_open(self) -> tuple[tuple[str, ...], int]:
        """What has to be the same before and after; memory differs from reading to reading."""
        return self.sockets, self.threads

    @classmethod
    def now(cls) -> Room:
        gc.collect()
        if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
            trim(0)  # what malloc keeps for later is nobody's
        process = psutil.Process()
        return cls(
            process.memory_info().rss, tuple(map(str, process.net_connections())), threading.active_count()
        )


@dataclass
class Insistence:
    """Makes calls again that ended in an error which is told at once, as a person does, or Airflow's retry.

    What passes by itself is the package's to get over: where that reaches a caller, the campaign fails.
    """

    told: Counter[str] = field(default_factory=Counter)

    def __call__(self, call: Callable[[], T]) -> T:
        for _ in range(_TRIES):
            try:
                return call()
            except NebulaExplorerError as error:
                self.take(error)
        raise AssertionError(f"{_TRIES} tries in a row were refused: {self.told}")

    async def for_async(self, call: Callable[[], Awaitable[T]]) -> T:
        for _ in range(_TRIES):
            try:
                return await call()
            except NebulaExplorerError as error:
                self.take(error)
        raise AssertionError(f"{_TRIES} tries in a row were refused: {self.told}")

    def take(self, error: NebulaExplorerError) -> None:
        """Count an error that had to be told, and raise any other."""
        if error.is_transient or type(error) is NebulaExplorerError:
            raise error
        self.told[type(error).__name__] += 1

    @property
    def refusals(self) -> int:
        return self.told.total()


@dataclass(frozen=True)
class Scene:
    """One scene of the campaign: what was done, and what it took.

    :param done: calls, or waits, or starts of a job, all of which ended as they had to.
    :param needed: requests that a faultless run takes.
    """

    name: str
    done: int
    needed: int
    told: Told
    refused: int
    before: Room
    after: Room
    seconds: float

    @property
    def factor(self) -> float:
        return self.told.requests / self.needed


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
            told = scene.told
            struck = f"{told.struck.total()} ({told.struck.total() / told.requests:.0%})"
            plagues = f"{told.lost_sessions}, {told.restarts}, {told.clock_jumps}"
            requests = f"{told.requests} / {scene.needed}", f"{scene.factor:.2f}"
            memory = f"{scene.before.memory / MEBIBYTE:.0f} / {scene.after.memory / MEBIBYTE:.0f}"
            counts = struck, plagues, scene.refused, *requests, told.logins
            yield scene.name, scene.done, *counts, memory, f"{scene.seconds:.0f}"

    def _by_kind(self) -> Iterator[Sequence[object]]:
        total = sum((scene.told.struck for scene in self.scenes), Counter[str]())
        yield "fault", "times"
        yield from ((f"`{kind}`", times) for kind, times in sorted(total.items()))
        yield "sessions lost", sum(scene.told.lost_sessions for scene in self.scenes)
        yield "restarts", sum(scene.told.restarts for scene in self.scenes)
        yield "clock put back or forward", sum(scene.told.clock_jumps for scene in self.scenes)


SCENES = (
    "scene",
    "done",
    "faults (of all requests)",
    "sessions lost, restarts, clock jumps",
    "refusals told",
    "requests / faultless",
    "factor",
    "logins",
    "MiB, warm / at the end",
    "s",
)
LONG = ("who waits", "looks", "jobs ended", "requests", "KiB grown", "sockets", "threads or tasks", "s")


def table(rows: Iterable[Sequence[object]]) -> Iterator[str]:
    head, *body = [[str(cell) for cell in row] for row in rows]
    yield ""
    for row in (head, ["---"] * len(head), *body):
        yield f"| {' | '.join(row)} |"
