# SPDX-License-Identifier: Apache-2.0
"""How often an account may send requests and log in, however many waits it has. Pure: the time is given."""

from __future__ import annotations

import math

from airflow_provider_nebula_explorer.explorer.client.limits import (
    FREE_LOGINS,
    LOGINS_REMEMBERED_SECONDS,
    LONGEST_LOGIN_PAUSE_SECONDS,
    REQUESTS_PER_SECOND,
    REQUESTS_SAVED_UP,
)


class AccountBudget:
    """What an account may do on an event loop that all share. Its times are of one monotonic clock."""

    def __init__(self) -> None:
        self._next_request = -math.inf  # the time of the next one, if no request were saved up
        self._logins: list[float] = []

    def pause_before_request(self, now: float) -> float:
        """Take a request from the budget, and return after how many seconds it may be sent."""
        earliest = now - REQUESTS_SAVED_UP / REQUESTS_PER_SECOND
        request = max(self._next_request, earliest)
        self._next_request = request + 1 / REQUESTS_PER_SECOND
        return max(0.0, request - now)

    def pause_before_login(self, now: float) -> float:
        """Return for how many seconds no login may be made: the more there were lately, the longer."""
        excess = len(self._recent(now)) - FREE_LOGINS
        if excess < 0:
            return 0.0
        pause = min(2.0 ** min(excess, 10), LONGEST_LOGIN_PAUSE_SECONDS)
        return max(0.0, self._logins[-1] + pause - now)

    def count_login(self, now: float) -> None:
        """Take note of a login that is made now, accepted or not."""
        self._logins = [*self._recent(now), now]

    def is_whole(self, now: float) -> bool:
        """Say whether it is as good as a new one."""
        return not self._recent(now) and now - self._next_request >= REQUESTS_SAVED_UP / REQUESTS_PER_SECOND

    def _recent(self, now: float) -> list[float]:
        return [login for login in self._logins if login > now - LOGINS_REMEMBERED_SECONDS]
