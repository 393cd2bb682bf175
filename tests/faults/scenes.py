"""How a scene is played: calm first, which warms up and tells what it takes, and then in a storm."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from figures import MEBIBYTE, Figures, Insistence, Room, Scene
from hurry import settings_for
from served import Served, Told

from airflow_provider_nebula_explorer.emulator import Fault
from airflow_provider_nebula_explorer.explorer.settings import Settings

T = TypeVar("T")
PLAGUES = ("sessions", "restarts", "clock")
_GROWTH = 32 * MEBIBYTE
"""Of a process whose allocator keeps what it was given; the long waits measure what is really held."""


class Stage:
    """Where scenes are played: an emulator, which knows nothing at the beginning of each.

    :ivar insist: makes calls again that were refused for good.
    """

    def __init__(self, explorer: Served, figures: Figures) -> None:
        self.explorer = explorer
        self.figures = figures
        self.settings: Settings = settings_for("http://nowhere")
        self.insist = Insistence()

    @property
    def times(self) -> int:
        return self.figures.times

    def chance(self, number: int = 0) -> random.Random:
        """Return a source of chance that is the same in each run of a seed."""
        return random.Random(self.figures.seed * 1000 + number)

    def clear(self) -> None:
        """Begin with an emulator that knows nothing."""
        self.settings = settings_for(self.explorer.begin(self.figures.seed))
        self.insist = Insistence()

    @contextmanager
    def storm(
        self,
        name: str,
        faults: Sequence[Fault],
        *,
        done: int,
        needed: Callable[[], int],
        most: float,
        clients: int,
        at_once: int = 1,
        plagues: Sequence[str] = PLAGUES,
        every: int = 75,
    ) -> Iterator[None]:
        """Let a storm rage, write down what it took, and hold that to its bounds.

        :param done: what shall be done meanwhile: calls, or waits.
        :param needed: tells how many requests that takes without faults.
        :param most: how many times as many it may take.
        :param clients: how many clients there are,
        :param at_once: and how many of them at any moment: each logs in anew where a session ends.
        :param plagues: what else befalls Explorer,
        :param every: and how often: once for so many requests.
        """
        before, begun = Room.now(), time.monotonic()
        self.explorer.fail(faults)
        self.explorer.plague(self.figures.seed, plagues, every)
        yield
        self.explorer.leave_alone()
        seconds, after, told = time.monotonic() - begun, Room.now(), self.explorer.told()
        assert_struck(told, plagues)
        scene = Scene(name, done, needed(), told, self.insist.refusals, before, after, seconds)
        self.figures.scenes.append(scene)
        assert scene.factor <= most, f"{told.requests} requests, {scene.needed} without faults"
        assert told.logins <= clients + at_once * told.ended_sessions + told.broken_logins
        assert after.memory - before.memory < _GROWTH
        assert after.left_open == before.left_open, "left behind"


def assert_struck(told: Told, plagues: Sequence[str]) -> None:
    """Assert that there was a storm: what went well while nothing went wrong shows nothing."""
    assert told.struck.total() > told.requests / 10, "hardly any faults"
    assert set(told.acts) == set(plagues), "what else was to befall Explorer, all of it and nothing else"


def struck_for_good(told: Told) -> int:
    """Return how many refusals there can have been to tell."""
    return sum(told.struck[kind] for kind in ("code", "redirect", "huge", "gzip_bomb")) + told.ended_sessions


def side_by_side(act: Callable[[T], Any], arguments: Sequence[T]) -> list[Any]:
    """Do something in a thread for each argument, and return what came of it."""
    with ThreadPoolExecutor(len(arguments)) as threads:
        return list(threads.map(act, arguments))
