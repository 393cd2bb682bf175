# SPDX-License-Identifier: Apache-2.0
"""Fetches jobs by their ids in the background, not too many of them at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any

MAX_FETCHERS = 32
"""Jobs fetched at once; the client sends fewer, but one that pauses must not hold up the others."""

StartTask = Callable[[Coroutine[Any, Any, None], str], None]
"""Starts a background task, given its work and a name."""


class FetchQueue:
    """Jobs that are being fetched or are about to be, each of them once.

    :param fetch: fetches a job; it handles all errors.
    :param start: starts the tasks in which that happens.
    :param at_once: how many jobs are fetched at once, at most.
    """

    def __init__(
        self, fetch: Callable[[int], Awaitable[None]], start: StartTask, at_once: int = MAX_FETCHERS
    ) -> None:
        self._fetch = fetch
        self._start = start
        self._at_once = at_once
        self._pending: set[int] = set()
        self._queue: deque[int] = deque()  # of those, the ones that no fetcher has taken yet
        self._fetchers = 0

    def __contains__(self, job_id: int) -> bool:
        return job_id in self._pending

    def add(self, job_ids: Iterable[int]) -> None:
        """Have each of these jobs fetched, without waiting for it."""
        new = [job_id for job_id in job_ids if job_id not in self._pending]
        self._pending.update(new)
        self._queue.extend(new)
        for _ in range(min(len(self._queue), self._at_once - self._fetchers)):
            self._fetchers += 1
            self._start(self._work(), "fetches jobs")

    def clear(self) -> None:
        """Forget the jobs whose fetch has not begun."""
        self._pending.difference_update(self._queue)
        self._queue.clear()

    async def _work(self) -> None:
        while self._queue:
            job_id = self._queue.popleft()
            await self._fetch(job_id)
            self._pending.remove(job_id)
        self._fetchers -= 1
