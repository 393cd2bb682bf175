# SPDX-License-Identifier: Apache-2.0
"""Which fault hits which request."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass
from fnmatch import fnmatchcase

from airflow_provider_nebula_explorer.emulator.faults import Fault


class FaultQueue:
    """The faults that wait for a request, in the order they were added. It may be used from any thread.

    :param seed: makes the faults with a probability the same in every run.
    """

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)  # noqa: S311 - the same in every run, not secret
        self._waiting: list[_Waiting] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        """Add a fault after the faults that are waiting."""
        with self._lock:
            self._waiting.append(_Waiting(fault, fault.after, fault.times))

    def clear(self) -> None:
        """Remove every fault."""
        with self._lock:
            self._waiting.clear()

    def take(self, endpoint: str) -> Fault | None:
        """Return the first fault that hits a request, and count that hit."""
        with self._lock:
            hit = next((it for it in self._waiting if it.hits(endpoint, self._random.random())), None)
            if hit is not None and hit.left == 0:
                self._waiting.remove(hit)
        return hit.fault if hit else None


@dataclass(eq=False)
class _Waiting:
    fault: Fault
    pass_first: int
    left: int | None

    def hits(self, endpoint: str, chance: float) -> bool:
        if not fnmatchcase(endpoint, self.fault.endpoint):
            return False
        if self.pass_first > 0:
            self.pass_first -= 1
            return False
        if chance >= self.fault.probability:
            return False
        self.left = None if self.left is None else self.left - 1
        return True
