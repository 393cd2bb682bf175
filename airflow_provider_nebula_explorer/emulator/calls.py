# SPDX-License-Identifier: Apache-2.0
"""The requests that an emulator received."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_CALLS_KEPT = 100_000


@dataclass(frozen=True)
class Call:
    """One request that the emulator received; the account and the token are not stored.

    :param endpoint: the endpoint's name; ``"unknown"`` if the API has no such endpoint.
    :param method: the HTTP method.
    :param path: as it was sent, still percent-encoded, without the query.
    :param query: the query's values, by name.
    :param body: the JSON that was sent; ``None`` if it was not JSON.
    :param status: the HTTP status of the response; ``None`` if none was sent.
    :param time: when the response was sent, in epoch seconds of the emulator's clock.
    :param fault: the kind of the fault that hit it.
    """

    endpoint: str
    method: str
    path: str
    query: Mapping[str, str]
    body: Any
    status: int | None
    time: float
    fault: str | None = None


class CallLog:
    """The latest calls, and how many there ever were. It may be used from any thread."""

    def __init__(self) -> None:
        self._calls: deque[Call] = deque(maxlen=_CALLS_KEPT)
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def add(self, call: Call) -> None:
        """Add a call as the newest."""
        with self._lock:
            self._calls.append(call)
            self._counts[call.endpoint] += 1

    @property
    def calls(self) -> tuple[Call, ...]:
        """The calls, oldest first: the latest 100,000."""
        with self._lock:
            return tuple(self._calls)

    def count(self, endpoint: str | None) -> int:
        """Return how many calls there ever were, to one endpoint or to all."""
        with self._lock:
            return sum(self._counts.values()) if endpoint is None else self._counts[endpoint]
