"""Waits for any number of jobs of one Explorer on one event loop: one login, one client, one poll for all."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import math
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Iterable
from typing import TYPE_CHECKING, Any

from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerApiError,
    NebulaExplorerBadRequestError,
    NebulaExplorerConnectionError,
    NebulaExplorerError,
    NebulaExplorerLoginError,
)
from airflow_provider_nebula_explorer.explorer.arguments import SHORTEST_INTERVAL_SECONDS
from airflow_provider_nebula_explorer.explorer.client import api
from airflow_provider_nebula_explorer.explorer.client.api import JobSummary
from airflow_provider_nebula_explorer.explorer.client.protocol import Call, T
from airflow_provider_nebula_explorer.explorer.metrics import increment
from airflow_provider_nebula_explorer.explorer.models import Job, JobStatus
from airflow_provider_nebula_explorer.explorer.successes.new_jobs import NewJobs
from airflow_provider_nebula_explorer.explorer.waiting.outcome import FailedPolls
from airflow_provider_nebula_explorer.explorer.waiting.planner import PageRequest, PollPlanner
from airflow_provider_nebula_explorer.explorer.waiting.waiters import Wait, Watched

if TYPE_CHECKING:
    from airflow_provider_nebula_explorer.explorer.client.async_client import AsyncClient

_GATHER_SECONDS = 0.2
"""Waits that begin within this time are looked at together."""

_NEWCOMERS_SECONDS = 1.0
"""How soon after a poll there may be another for those who joined since; at a shorter interval, sooner."""

_JITTER = 0.05
"""By which part of an interval a poll may come early: it spreads the polls of many processes."""

_LAST_LOOK_SECONDS = 10.0
"""How long after its deadline a wait ends though no look has come back, as Explorer may hang."""

_LOOKERS = 32
"""Jobs asked for at once; the client sends fewer, but one that pauses must not hold up the others."""


class Watcher:
    """Waits for jobs on behalf of any number of callers; begins to poll with the first wait.

    :param open_client: opens the client; awaited once, and again if it failed.
    :param max_failures: how many polls of a job may fail in a row; the last of them ends its wait.
    """

    def __init__(self, open_client: Callable[[], Awaitable[AsyncClient]], *, max_failures: int) -> None:
        self._open_client = open_client
        self.max_failures = max_failures
        self._client: AsyncClient | None = None
        self._opening = asyncio.Lock()
        self.scout = NewJobs(self._opened)
        self._planner = PollPlanner()
        self._watched: dict[int, Watched] = {}
        self._new: set[int] = set()  # of those, the ones that nobody has looked at
        self._newcomers_at = 0.0
        self._polled_at = -math.inf
        self._rhythms: dict[float, float] = {}
        self._wake = asyncio.Event()
        self._queue: deque[int] = deque()
        self._lookers = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def job(
        self,
        job_id: int,
        *,
        targets: Collection[JobStatus] = (),
        interval: float,
        deadline: float = math.inf,
        failed_polls: int = 0,
        seen: JobSummary | None = None,
    ) -> Job:
        """Wait until a job is final, or has reached one of ``targets``, and return its details.

        :param interval: seconds between two polls, at least :data:`.arguments.SHORTEST_INTERVAL_SECONDS`.
        :param deadline: when to give up, after a last poll, on :func:`time.monotonic`'s clock.
        :param failed_polls: how many polls in a row failed before.
        :param seen: what a poll just before showed; it saves polling at once.
        :raises NebulaExplorerTimeoutError: at the deadline.
        :raises NebulaExplorerError: if Explorer refuses, or too many polls in a row failed.
        """
        increment("waits.started")
        interval = max(interval, SHORTEST_INTERVAL_SECONDS)
        wait = Wait(job_id, targets, interval, deadline, seen.status if seen else None)
        if failed_polls:
            wait.looks = FailedPolls(f"job {job_id}", self.max_failures, failed_polls)
        self._begin(wait, seen)
        last_call = self._at(max(deadline, time.monotonic()) + _LAST_LOOK_SECONDS, wait.time_out)
        try:
            return await wait.future
        finally:
            if last_call:
                last_call.cancel()
            self._end(wait)
            increment("waits.ended")

    async def run(self, call: Call[T]) -> T:
        """Make a call with the client that all waits share."""
        return await (await self._opened()).run(call)

    def spread(self, interval: float) -> float:
        """Return an interval, slightly shortened at random."""
        return interval * (1 - _JITTER * random.random())  # noqa: S311 - it is no secret

    async def close(self) -> None:
        """End all polling, and close the client."""
        await self.scout.close()
        tasks = set(self._tasks)
        while tasks:
            for task in tasks:
                task.cancel()
            # Before Python 3.12, asyncio.wait_for loses a cancellation that comes together with its result.
            _, tasks = await asyncio.wait(tasks, timeout=0.1)
        if self._client is not None:
            await self._client.close()

    async def _opened(self) -> AsyncClient:
        async with self._opening:
            if self._client is None:
                self._client = await self._open_client()
        return self._client

    def _at(self, moment: float, act: Callable[[], None]) -> asyncio.TimerHandle | None:
        if moment == math.inf:
            return None
        return asyncio.get_running_loop().call_later(moment - time.monotonic(), act)

    def _begin(self, wait: Wait, seen: JobSummary | None) -> None:
        if not self._tasks:
            # In a context of its own, or its log lines would go to the log of the first waiter's task.
            contextvars.Context().run(self._start, self._poll_for_ever())
        watched = self._watched.get(wait.job_id)
        if watched is None:
            watched = self._watched[wait.job_id] = Watched()
            self._planner.watch(wait.job_id)
            if seen is None:
                self._newcomers_at = self._newcomers_at if self._new else time.monotonic()
                self._new.add(wait.job_id)
            else:
                self._planner.learn(seen)
        watched.add(wait)
        self._rhythms.setdefault(wait.interval, time.monotonic() + wait.interval)
        self._wake.set()

    def _end(self, wait: Wait) -> None:
        watched = self._watched[wait.job_id]
        watched.remove(wait)
        if not watched.waits:
            del self._watched[wait.job_id]
            self._new.discard(wait.job_id)
            self._planner.forget(wait.job_id)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _poll_for_ever(self) -> None:
        while True:
            try:
                await self._opened()
                await self._pause_until_due()
                await self._poll()
            except Exception as error:  # noqa: BLE001 - whatever it is, it must reach those who wait
                self._wake.clear()
                await self._tell_all(error)
                await self._wake.wait()
            await asyncio.sleep(0)  # a poll for which nothing is due awaits nothing else

    async def _pause_until_due(self) -> None:
        while (left := self._next_due() - time.monotonic()) > 0:
            self._wake.clear()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._wake.wait(), None if left == math.inf else left)

    def _next_due(self) -> float:
        now = time.monotonic()
        intervals = {watched.interval for watched in self._watched.values()}
        # One that comes up as a wait with a shorter one on the same job ends has had no rhythm for a while.
        self._rhythms = {interval: self._rhythms.get(interval, now + interval) for interval in intervals}
        deadline = min(
            (watched.deadline for watched in self._watched.values() if not watched.is_being_fetched),
            default=math.inf,
        )
        return min(deadline, self._newcomers_due(), *self._rhythms.values())

    def _newcomers_due(self) -> float:
        if not self._new:
            return math.inf
        pause = min(_NEWCOMERS_SECONDS, *(interval / 2 for interval in self._rhythms))
        return max(self._newcomers_at + _GATHER_SECONDS, self._polled_at + pause)

    def _due(self) -> set[int]:
        """Return the jobs to look at now, and set the time of the next poll of each interval that is due."""
        self._polled_at = now = time.monotonic()
        beats = {interval for interval, due in self._rhythms.items() if due <= now + _JITTER * interval}
        self._rhythms.update((interval, now + self.spread(interval)) for interval in beats)
        new, self._new = self._new, set()
        return {
            job_id
            for job_id, watched in self._watched.items()
            if (watched.interval in beats or watched.deadline <= now or job_id in new)
            and not watched.is_being_fetched
        }

    async def _poll(self) -> None:
        left = self._due()
        increment("polls")
        try:
            await self._poll_for(left)
        except NebulaExplorerLoginError:
            raise
        except Exception as error:  # noqa: BLE001 - a defect, or an answer that nobody thought of
            await self._failed(left, _unexpected(error))

    async def _poll_for(self, left: set[int]) -> None:
        while left:
            plan = self._planner.plan(left)
            self._ask_for(plan.singles)
            left.difference_update(plan.singles)
            if plan.probe is not None:
                left.discard(plan.probe)
                await self._probe(plan.probe, left)
            for listing in plan.listings:
                # An earlier list may have shown its jobs already, as they changed meanwhile.
                if not left.isdisjoint(listing.job_ids) and not await self._list(listing, left):
                    break

    async def _probe(self, job_id: int, left: set[int]) -> None:
        """Ask for a job before there can be lists; where no answer comes for two, end the poll."""
        if not await self._look(job_id):
            return
        self._planner.set_aside(job_id)
        if left and (error := await self._look(left.pop())):
            await self._failed(left, error)
            left.clear()

    async def _list(self, listing: PageRequest, left: set[int]) -> bool:
        """Make a listing, take from ``left`` what it showed, and say whether that is all it should."""
        try:
            page = await self.run(
                api.list_summaries(
                    listing.view.workflow_id,
                    status=listing.view.status,
                    created_from=listing.created_from,
                    created_to=listing.created_to,
                    page_size=self._planner.page_size,
                    known=self._planner.known,
                )
            )
        except NebulaExplorerError as error:
            _raise_where_for_all(error)
            await self._list_failed(listing, left, error)
            return False
        shown = self._planner.read(listing, page)
        now = time.monotonic()
        for job_id, summary in shown.seen.items():
            watched = self._watched[job_id]
            if watched.status is not summary.status or watched.deadline <= now:
                self._observe(watched, summary)
        self._ask_for(shown.missing)
        left.difference_update(shown.missing, shown.seen)
        return left.isdisjoint(listing.job_ids)

    async def _list_failed(self, listing: PageRequest, left: set[int], error: NebulaExplorerError) -> None:
        if not error.is_transient:
            is_bad_request = isinstance(error, NebulaExplorerBadRequestError)
            self._planner.refused(listing, may_be_too_large=is_bad_request)
            return  # and the poll goes on, by another plan
        if _is_asked_to_wait(error) or await self._look(left.pop()):
            await self._failed(left, error)
        else:
            self._ask_for(left)  # as jobs are shown, it is the lists that are broken
        left.clear()

    def _ask_for(self, job_ids: Iterable[int]) -> None:
        """Have each of these jobs asked for, without waiting for it."""
        for job_id in job_ids:
            watched = self._watched.get(job_id)
            if watched and not watched.is_being_fetched:
                watched.is_being_fetched = True
                self._queue.append(job_id)
        for _ in range(min(len(self._queue), _LOOKERS - self._lookers)):
            self._lookers += 1
            self._start(self._look_at_queue())

    async def _look_at_queue(self) -> None:
        try:
            while self._queue:
                await self._look_for_sure(self._queue.popleft())
        finally:
            self._lookers -= 1

    async def _look_for_sure(self, job_id: int) -> None:
        try:
            await self._look(job_id)
        except NebulaExplorerLoginError as error:
            await self._tell_all(error)
        except Exception as error:  # noqa: BLE001 - a defect, or an answer that nobody thought of
            await self._failed([job_id], _unexpected(error))

    async def _look(self, job_id: int) -> NebulaExplorerError | None:
        """Ask for a job, and return why Explorer did not answer.

        :raises NebulaExplorerLoginError: as that is not about this job, but about all.
        """
        watched = self._watched.get(job_id)
        if watched is None:
            return None
        watched.is_being_fetched = True
        try:
            job = await self.run(api.get_job(job_id))
        except NebulaExplorerError as error:
            _raise_where_for_all(error)
            await self._failed([job_id], error)
            return error if error.is_transient else None
        else:
            if job_id in self._watched:
                self._planner.learn(api.summary_of(job.data))
                watched.observe(job)
        finally:
            watched.is_being_fetched = False
        return None

    def _observe(self, watched: Watched, summary: JobSummary) -> None:
        if watched.wants_details(summary.status):
            self._ask_for([summary.id])
        else:
            watched.observe_status(summary.status)

    async def _failed(self, job_ids: Iterable[int], error: NebulaExplorerError) -> None:
        async for watched in self._each(job_ids):
            watched.failed(error, self.max_failures)

    async def _tell(self, job_ids: Iterable[int], error: Exception) -> None:
        async for watched in self._each(job_ids):
            for wait in watched.waits:
                wait.end(error)

    async def _tell_all(self, error: Exception) -> None:
        for job_id in self._queue:
            if watched := self._watched.get(job_id):
                watched.is_being_fetched = False
        self._queue.clear()
        await self._tell(list(self._watched), error)

    async def _each(self, job_ids: Iterable[int]) -> AsyncIterator[Watched]:
        for number, job_id in enumerate(list(job_ids)):
            if number % 100 == 99:
                await asyncio.sleep(0)  # each that is told has work to do: the loop must not be held for all
            if watched := self._watched.get(job_id):
                yield watched


def _unexpected(error: Exception) -> NebulaExplorerError:
    """Return the failed poll that an error of no known kind is: it must not end the waits of an account."""
    unexpected = NebulaExplorerConnectionError(
        f"The poll failed unexpectedly: {type(error).__name__}: {error}"
    )
    unexpected.__cause__ = error
    return unexpected


def _is_asked_to_wait(error: NebulaExplorerError) -> bool:
    return isinstance(error, NebulaExplorerApiError) and error.http_status == 429


def _raise_where_for_all(error: NebulaExplorerError) -> None:
    """Raise a refused login that time does not mend; another is a failed look like others."""
    if isinstance(error, NebulaExplorerLoginError) and not error.is_transient:
        raise error
