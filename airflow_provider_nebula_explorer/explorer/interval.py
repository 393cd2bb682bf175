# SPDX-License-Identifier: Apache-2.0
"""How long a wait pauses between two polls."""

from __future__ import annotations

from dataclasses import dataclass

SHORTEST_INTERVAL_SECONDS = 0.1
"""The shortest time between two polls; more polls would block the event loop of all waits of a triggerer."""

ADAPTIVE_SHORTEST_SECONDS = 1.0
"""The time between two polls of a young job, if the user gave no interval."""

ADAPTIVE_LONGEST_SECONDS = 30.0
"""The time between two polls of an old job, if the user gave no interval."""

_SHARE = 0.2
"""The time between two polls as a share of the time waited: so the wait ends a tenth late on average."""


def interval_after(waited: float, longest: float, shortest: float = ADAPTIVE_SHORTEST_SECONDS) -> float:
    """Return the seconds to the next poll of a wait that nobody gave an interval.

    :param waited: seconds since the wait, or its job, began.
    :param longest: the most seconds to the next poll.
    :param shortest: the least seconds to the next poll.
    """
    return min(longest, max(shortest, _SHARE * waited))


def age(created: float | None, server_time: float | None) -> float:
    """Return how many seconds ago a job was created, by Explorer's clock alone; 0 if that is not known.

    :param created: when the job was created, in epoch seconds.
    :param server_time: Explorer's clock in the response that showed the job, in epoch seconds.
    """
    return 0.0 if created is None or server_time is None else max(0.0, server_time - created)


@dataclass(frozen=True)
class Interval:
    """The seconds between two polls: they grow with the time waited, from ``shortest`` to ``longest``."""

    shortest: float
    longest: float

    @classmethod
    def of(cls, seconds: float | None, longest: float = ADAPTIVE_LONGEST_SECONDS) -> Interval:
        """Return an interval that does not change, or, for ``None``, one that adapts to the time waited.

        :param longest: what an interval that adapts grows to.
        """
        if seconds is None:
            return cls(min(ADAPTIVE_SHORTEST_SECONDS, longest), longest)
        fixed = max(seconds, SHORTEST_INTERVAL_SECONDS)
        return cls(fixed, fixed)

    @property
    def is_fixed(self) -> bool:
        """Whether the interval stays the same for the whole wait."""
        return self.shortest >= self.longest

    def after(self, waited: float) -> float:
        """Return the seconds to the next poll.

        :param waited: seconds since the wait, or its job, began.
        """
        return interval_after(waited, self.longest, self.shortest)

    def __and__(self, other: Interval) -> Interval:
        """Return the interval that polls often enough for both: at each age, the shorter one."""
        return Interval(min(self.shortest, other.shortest), min(self.longest, other.longest))
