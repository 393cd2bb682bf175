# SPDX-License-Identifier: Apache-2.0
"""How a scene is played: first without faults, to warm up and to count its requests; then in a storm."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

from figures import MEBIBYTE, Figures, Repeater, Resources, Scene
from hurry import settings_for
from served import Served, Traffic

from airflow_provider_nebula_explorer.emulator import Fault
from airflow_provider_nebula_explorer.explorer.client import login_store
from airflow_provider_nebula_explorer.explorer.settings import Settings

T = TypeVar("T")
DISRUPTIONS = ("sessions", "restarts", "clock")
_GROWTH = 32 * MEBIBYTE
"""How much the process may grow; its allocator keeps freed memory. The long waits measure what is in use."""


class Overtakers:
    """Counts the clients that logged in while another one did, as that took longer than the timeout.

    A login here takes up to that long where Explorer restarts meanwhile, or the machine is busy.
    """

    def __init__(self) -> None:
        self.count = 0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count them in this block."""
        log, level = login_store.log, login_store.log.level
        log.setLevel(logging.INFO)
        log.addFilter(self._count)
        yield
        log.removeFilter(self._count)
        log.setLevel(level)

    def _count(self, record: logging.LogRecord) -> bool:
        self.count += "not waiting" in record.msg
        return record.levelno > logging.INFO


class Stage:
    """Where scenes are played: an emulator, which is empty at the beginning of each.

    :param state_dir: the folder through which all clients of all scenes share their logins.
    :ivar repeat: repeats calls that ended in a permanent error.
    """

    def __init__(self, explorer: Served, figures: Figures, state_dir: str) -> None:
        self.explorer = explorer
        self.figures = figures
        self.settings: Settings = settings_for("http://nowhere", state_dir)
        self.repeat = Repeater()
        self.overtakers = Overtakers()

    @property
    def times(self) -> int:
        return self.figures.times

    def chance(self, number: int = 0) -> random.Random:
        """Return a random generator; with the same seed it gives the same numbers in each run."""
        return random.Random(self.figures.seed * 1000 + number)

    def clear(self) -> None:
        """Begin with an empty emulator."""
        self.settings = replace(self.settings, base_url=self.explorer.begin(self.figures.seed))
        self.repeat = Repeater()

    @contextmanager
    def storm(
        self,
        name: str,
        faults: Sequence[Fault],
        *,
        done: int,
        needed: Callable[[], int],
        most: float,
        disruptions: Sequence[str] = DISRUPTIONS,
        every: int = 75,
        growth: int = _GROWTH,
    ) -> Iterator[None]:
        """Run the block while requests fail, record the scene, and check its bounds.

        :param done: how many calls, waits or starts the block makes.
        :param needed: returns how many requests those take without faults.
        :param most: how many times as many requests they may take.
        :param disruptions: what else happens to Explorer; see :meth:`.served.Served.disrupt`.
        :param every: the mean number of requests between two disruptions.
        :param growth: how many bytes the process may grow.
        """
        before, begun = Resources.now(), time.monotonic()
        self.explorer.fail(faults)
        self.explorer.disrupt(self.figures.seed, disruptions, every)
        yield
        self.explorer.calm_down()
        seconds, after, traffic = time.monotonic() - begun, Resources.now(), self.explorer.traffic()
        assert_disturbed(traffic, disruptions)
        scene = Scene(name, done, needed(), traffic, self.repeat.refusals, before, after, seconds)
        self.figures.scenes.append(scene)
        assert scene.factor <= most, f"{traffic.requests} requests, {scene.needed} without faults"
        once_each = 1 + traffic.ended_sessions + traffic.broken_logins
        assert traffic.logins <= once_each + self.overtakers.count, "not all share a login"
        assert after.memory - before.memory < growth
        assert after.left_open == before.left_open, "left behind"


def assert_disturbed(traffic: Traffic, disruptions: Sequence[str]) -> None:
    """Assert that there was a storm: a scene in which nothing went wrong proves nothing."""
    assert traffic.faults.total() > traffic.requests / 10, "hardly any faults"
    assert set(traffic.disruptions) == set(disruptions), "not each disruption happened, or another did"


def permanent_faults(traffic: Traffic) -> int:
    """Return how many permanent errors the faults can have caused at most."""
    return (
        sum(traffic.faults[kind] for kind in ("code", "redirect", "huge", "gzip_bomb"))
        + traffic.ended_sessions
    )


def side_by_side(act: Callable[[T], Any], arguments: Sequence[T]) -> list[Any]:
    """Call a function for each argument, each in a thread of its own, and return the results."""
    with ThreadPoolExecutor(len(arguments)) as threads:
        return list(threads.map(act, arguments))
