# SPDX-License-Identifier: Apache-2.0
"""Reads lists of jobs over many pages, whatever Explorer obeys of a filter. Pure: a client makes the calls.

An Explorer may ignore a filter, cap its pages, or order them in its own way (``docs/doctor.md``). So each job
is compared with the filter, and an order counts as far as a page itself shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from heapq import nlargest
from itertools import islice

from airflow_provider_nebula_explorer.exceptions import NebulaExplorerConnectionError
from airflow_provider_nebula_explorer.explorer.arguments import parse_milliseconds
from airflow_provider_nebula_explorer.explorer.client.api import PAGE_SIZE, Page, job_filter, list_jobs
from airflow_provider_nebula_explorer.explorer.client.limits import LONGEST_UNLIMITED_LIST, STALE_PAGES
from airflow_provider_nebula_explorer.explorer.client.protocol import Call, T
from airflow_provider_nebula_explorer.explorer.models import Job, JobStatus, JsonObject

FetchPage = Callable[[Call[Page[Job]]], Page[Job]]
"""Makes the call for a page."""

Search = Generator[Call[Page[Job]], Page[Job], T]
"""A search over pages: yields the calls for them, is sent the pages, returns what it found."""


class ListWalk:
    """The way through one list, page by page.

    :param workflow_id: whose jobs; ``None`` for those of all workflows.
    :param filter: see :func:`.api.job_filter`.
    :param limit: how many jobs the caller wants at most; ``None`` for all.
    """

    def __init__(
        self, workflow_id: int | str | None, filter: JsonObject, page_size: int, *, limit: int | None = None
    ) -> None:
        self._workflow_id = workflow_id
        self._filter = filter
        self._page_size = page_size
        self._longest = max(limit or 0, LONGEST_UNLIMITED_LIST)
        self._pages = self._length = self._stale = 0
        self._seen: set[int] = set()
        self.is_over = False

    @property
    def call(self) -> Call[Page[Job]]:
        """The call for the next page."""
        return list_jobs(self._workflow_id, self._filter, self._pages + 1, self._page_size)

    def read(self, page: Page[Job]) -> list[Job]:
        """Return the jobs of the next page that were requested, and that no page before it showed.

        :raises NebulaExplorerConnectionError: if the list goes on, though enough of it was seen.
        """
        if len(self._seen) >= self._longest:
            raise _too_long()
        new = [job for job in page.items if job.id not in self._seen]
        self._seen.update(job.id for job in new)
        self._pages += 1
        self._length += page.length  # not what PageSize says, which need not be so
        self._stale = 0 if new else self._stale + 1
        is_end = page.total is not None and self._length >= page.total
        is_stale = self._stale == STALE_PAGES
        self.is_over = is_end or is_stale or not page.length or self._is_past(page.items)
        return [job for job in new if self.is_requested(job)]

    def is_requested(self, job: Job) -> bool:
        """Return whether a job is one that the list is about, as far as the job says."""
        earliest, latest = self._filter.get("fromCreateTime"), self._filter.get("toCreateTime")
        created = created_ms(job)
        return (
            (self._workflow_id is None or job.workflow_id in ("", str(self._workflow_id)))
            and self._filter.get("status", job.status) == job.status
            and (earliest is None or created is None or earliest <= created)
            and (latest is None or created is None or created <= latest)
        )

    def _is_past(self, jobs: Sequence[Job]) -> bool:
        """Return whether the pages to come only have jobs from before, or after, the window of the filter."""
        times = _times(jobs)
        if len(times) < 2 or times[0] == times[-1]:
            return False
        earliest, latest = self._filter.get("fromCreateTime"), self._filter.get("toCreateTime")
        if is_newest_first(jobs):
            return earliest is not None and times[-1] < earliest
        return is_oldest_first(jobs) and latest is not None and times[-1] > latest


def walk_list(
    fetch: FetchPage,
    workflow_id: int | str | None,
    filter: JsonObject,
    page_size: int,
    *,
    limit: int | None = None,
) -> Iterator[Job]:
    """Yield the jobs of a list, fetching its pages as they are needed.

    A job that two pages show, because the list moved between them, is yielded once.

    :param limit: the maximum number of jobs; ``None`` for all.
    :raises NebulaExplorerConnectionError: if it has more than :data:`.limits.LONGEST_UNLIMITED_LIST` jobs,
        and nobody limited it, or Explorer obeys no filter and so few are requested ones.
    """
    jobs = _walk(fetch, ListWalk(workflow_id, filter, page_size, limit=limit))
    yield from islice(jobs, LONGEST_UNLIMITED_LIST if limit is None else limit)
    if limit is None and next(jobs, None) is not None:
        raise _too_long()


def _too_long() -> NebulaExplorerConnectionError:
    return NebulaExplorerConnectionError(
        f"The list of jobs is longer than {LONGEST_UNLIMITED_LIST}. Set limit, or narrow the list with "
        "created_after, created_before, status, name or workflow_id.",
        transient=False,
    )


def _walk(fetch: FetchPage, walk: ListWalk) -> Iterator[Job]:
    while not walk.is_over:
        yield from walk.read(fetch(walk.call))


def oldest_job(workflow_id: int, filter: JsonObject) -> Search[Job | None]:
    """Find the job of a workflow that was created first of those that a filter is about.

    That is one request, unless Explorer does not obey the filter.
    """
    walk = ListWalk(workflow_id, {**filter, "orderByCreateTime": "asc"}, 2)  # two jobs show their order
    page = yield walk.call
    if all(map(walk.is_requested, page.items)) and is_oldest_first(page.items):
        return next(iter(page.items), None)
    # Newest first, as Explorer may show the jobs from before the window, too.
    walk = ListWalk(workflow_id, {**filter, "orderByCreateTime": "desc"}, PAGE_SIZE)
    return (yield from _one_of(walk, min))


def _one_of(walk: ListWalk, choose: Callable[..., Job]) -> Search[Job | None]:
    """Read a list to its end, and return one job: others, which may be many, are not kept meanwhile.

    :param choose: ``min`` for the one that was created first, ``max`` for the last.
    """
    chosen: list[Job] = []
    while not walk.is_over:
        chosen += walk.read((yield walk.call))
        chosen = [choose(chosen, key=_time_and_id)] if chosen else []
    return next(iter(chosen), None)


def decisive_job(workflow_id: int, window: JsonObject, *, fail_on_failed_job: bool) -> Search[Job | None]:
    """Find the job that ends a wait for a success: the oldest one, else, if requested, the newest failure.

    :param window: a filter for the jobs that count, of any status.
    :param fail_on_failed_job: whether a failed or interrupted job ends the wait if none has succeeded.
    """
    success = yield from oldest_job(workflow_id, {**window, "status": int(JobStatus.SUCCESS)})
    if success is not None or not fail_on_failed_job:
        return success
    failed: list[Job] = []
    for status in (JobStatus.FAILED, JobStatus.INTERRUPTED):
        walk = ListWalk(workflow_id, {**window, "status": int(status)}, PAGE_SIZE)
        newest = yield from _one_of(walk, max)
        failed += [] if newest is None else [newest]
    return max(failed, key=_time_and_id, default=None)


def search(fetch: FetchPage, steps: Search[T]) -> T:
    """Make the calls of a search, and return what it finds."""
    try:
        call = next(steps)
        while True:
            call = steps.send(fetch(call))
    except StopIteration as done:
        value: T = done.value
        return value


def newest_jobs(fetch: FetchPage, workflow_id: int) -> Page[Job]:
    """Return the newest jobs of a workflow, newest first.

    That is one request, unless Explorer does not obey the order.
    """
    page = fetch(list_jobs(workflow_id, job_filter(), 1, PAGE_SIZE))
    if page.is_whole_list or is_newest_first(page.items):
        return page
    jobs = _walk(fetch, ListWalk(workflow_id, job_filter(), PAGE_SIZE))
    newest = tuple(nlargest(PAGE_SIZE, jobs, key=_time_and_id))
    return Page(newest, len(newest), PAGE_SIZE, total=None)


def have_growing_ids(jobs: Iterable[Job]) -> bool:
    """Return whether those of some jobs that were created later have higher ids."""
    by_time = sorted((created, job.id) for job in jobs if (created := created_ms(job)) is not None)
    ids = [job_id for _, job_id in by_time]
    return ids == sorted(ids)


def is_newest_first(jobs: Sequence[Job]) -> bool:
    """Return whether jobs are in descending order of creation."""
    times = _times(jobs)
    return times == sorted(times, reverse=True)


def is_oldest_first(jobs: Sequence[Job]) -> bool:
    """Return whether jobs are in ascending order of creation."""
    times = _times(jobs)
    return times == sorted(times)


def created_ms(job: Job) -> int | None:
    """Return when a job was created, in epoch milliseconds; ``None`` if Explorer did not say."""
    return None if job.create_time is None else parse_milliseconds("createTime", job.create_time)


def _times(jobs: Sequence[Job]) -> list[int]:
    return [created for job in jobs if (created := created_ms(job)) is not None]


def _time_and_id(job: Job) -> tuple[int, int]:
    return (created_ms(job) or 0, job.id)
