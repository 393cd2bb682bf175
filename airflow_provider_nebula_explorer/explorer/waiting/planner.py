# SPDX-License-Identifier: Apache-2.0
"""Which requests show the state of many waiting jobs at the lowest cost. Pure: a watcher sends them.

Explorer has no call for a given set of jobs. It has lists, which take a time of creation, a status and a
workflow. Ids grow with the time of creation, so a page of a list shows a range of ids. A plan covers the
waiting jobs with as few of these ranges as possible; ``docs/waiting.md`` has the formula.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from airflow_provider_nebula_explorer.explorer.client.api import JobSummary, Page
from airflow_provider_nebula_explorer.explorer.models import JobStatus

LARGEST_PAGE = 1000
"""Jobs requested on one page: about 250 KB, which takes a few milliseconds to read."""

SMALLEST_PAGE = 10
"""A page that every Explorer sends: the API's own default."""

_MEMORY = 30
"""For how many plans a measured density counts; then the cheapest case is assumed again."""

_GUESSES = (JobStatus.RUNNING, JobStatus.PREPARING, JobStatus.STOPPING)
"""Statuses whose lists are searched for a job that nothing is known of, in this order."""


class JobList(NamedTuple):
    """One list of Explorer's: of all jobs, or of a workflow's, or of those in a status, or both."""

    workflow_id: str | None = None
    status: JobStatus | None = None


@dataclass(frozen=True)
class PageRequest:
    """One request for a page of a list, oldest job first.

    :param job_ids: the jobs that the page should show, ascending.
    :param created_from: epoch milliseconds.
    :param created_to: epoch milliseconds; ``None`` where the list's end is not known.
    """

    job_list: JobList
    job_ids: tuple[int, ...]
    created_from: int
    created_to: int | None


@dataclass(frozen=True)
class Plan:
    """The requests that show a set of jobs.

    :param singles: jobs to fetch one by one, in any order.
    :param requests: pages to fetch, in this order.
    :param probe: where no page can be requested yet: a job to fetch before the next plan, as its time of
        creation says where lists have to begin.
    """

    singles: tuple[int, ...] = ()
    requests: tuple[PageRequest, ...] = ()
    probe: int | None = None


@dataclass(frozen=True)
class PageContents:
    """What a page says about the watched jobs.

    :param seen: the watched jobs on the page by id, whether or not it was requested for them.
    :param missing: jobs that it should have shown. Each of them has changed, so it has to be fetched.
    """

    seen: Mapping[int, JobSummary]
    missing: tuple[int, ...]


@dataclass(frozen=True)
class IdRange:
    """Jobs of a list, ascending, that one page may show.

    :param reach: how many ids the page covers, from the first job on.
    """

    job_list: JobList
    job_ids: list[int]
    reach: float


class PollPlanner:
    """What is known of the watched jobs and of the lists they are in.

    ``known`` holds the latest summary of each job that was seen, by id; ``page_size`` is the size of page to
    request.
    """

    def __init__(self) -> None:
        self.page_size = LARGEST_PAGE
        self._cap, self._cap_until = LARGEST_PAGE, 0
        self._small_until = 0
        self._plans = 0
        self._watched: set[int] = set()
        self.known: dict[int, JobSummary] = {}
        self._unlistable: set[int] = set()  # known jobs that no list helps with: final, or without a date
        self._listable: list[int] = []  # all other known jobs, sorted, as far as a plan needed them
        self._anchor: JobSummary | None = None
        self._guesses: dict[int, int] = {}
        self._missed: dict[int, JobList] = {}
        self._set_aside: dict[int, int] = {}
        self._densities: dict[JobList, tuple[float, int]] = {}

    def watch(self, job_id: int) -> None:
        """Begin to watch a job."""
        self._watched.add(job_id)

    def forget(self, job_id: int) -> None:
        """Watch a job no more."""
        self._watched.discard(job_id)
        self._unlistable.discard(job_id)
        memories: tuple[dict[int, Any], ...] = (self.known, self._guesses, self._missed, self._set_aside)
        for memory in memories:
            memory.pop(job_id, None)

    def learn(self, summary: JobSummary) -> None:
        """Take note of a job that was fetched by its id."""
        self._remember(summary)
        missed = self._missed.pop(summary.id, None)
        if missed and missed.status in (None, summary.status):
            self.set_aside(summary.id)  # it exists, but the list that should show it does not
        elif summary.created is not None:
            self._anchor = summary

    def set_aside(self, job_id: int) -> None:
        """Fetch a job by its id for a while, whatever lists may show."""
        self._set_aside[job_id] = self._plans + _MEMORY

    def refused(self, request: PageRequest, *, may_be_too_large: bool) -> None:
        """Take note that Explorer refused a request; for a while such requests are not planned."""
        if may_be_too_large and self.page_size > SMALLEST_PAGE:
            self.page_size = max(SMALLEST_PAGE, self.page_size // 10)
            self._small_until = self._plans + 10 * _MEMORY
        else:
            self._give_up(request.job_list)

    def _give_up(self, job_list: JobList) -> None:
        self._densities[job_list] = (self._page, self._plans)  # so that a page covers no more than one job

    def plan(self, job_ids: set[int]) -> Plan:
        """Return the cheapest requests that show all of these jobs; never more of them than jobs."""
        self._plans += 1
        self._listable = []
        if self._plans > self._small_until:
            self.page_size = LARGEST_PAGE
        alone = self._alone(job_ids)
        rest = sorted(job_ids - alone)
        cover = self._cheapest_cover(rest)
        if cover is None:
            return Plan(singles=(*rest, *alone))
        return self._plan_of(cover, tuple(alone))

    def read(self, request: PageRequest, page: Page[JobSummary]) -> PageContents:
        """Take note of what a page shows. Jobs neither seen nor missing have to be planned again."""
        self._cap, self._cap_until = page.size, self._plans + _MEMORY
        seen = {summary.id: summary for summary in page.items if summary.id in self._watched}
        for job_id, summary in seen.items():
            if self.known.get(job_id) is not summary:
                self._remember(summary)
        for job_id in self._missed.keys() & seen.keys():
            del self._missed[job_id]
        expected = [job_id for job_id in request.job_ids if job_id in self._watched]
        absent = [job_id for job_id in expected if job_id not in seen]
        passed = [job_id for job_id in absent if self._is_passed(job_id, page)]
        missing = [job_id for job_id in passed if not self._guess_again(job_id, request.job_list)]
        if passed or len(absent) < len(expected):
            self._measure(request, page)
        elif expected:
            self._give_up(request.job_list)  # as the list does not begin where the request says
            missing = [expected[0]]
        self._missed.update(dict.fromkeys(missing, request.job_list))
        return PageContents(seen, tuple(missing))

    def _remember(self, summary: JobSummary) -> None:
        self.known[summary.id] = summary
        self._guesses.pop(summary.id, None)
        if summary.status.is_final or summary.created is None:
            self._unlistable.add(summary.id)
        else:
            self._unlistable.discard(summary.id)

    @property
    def _page(self) -> int:
        """How many jobs a page has."""
        return min(self.page_size, self._cap) if self._plans <= self._cap_until else self.page_size

    def _alone(self, job_ids: set[int]) -> set[int]:
        """Return the jobs that no list helps with."""
        set_aside = {job_id for job_id, until in self._set_aside.items() if until >= self._plans}
        unguessed = {job_id for job_id, tried in self._guesses.items() if tried >= len(_GUESSES)}
        return job_ids & (self._unlistable | set_aside | unguessed)

    def _by_list(self, job_ids: list[int], *, by_workflow: bool, by_status: bool) -> dict[JobList, list[int]]:
        if not by_workflow and not by_status:
            return {JobList(): job_ids}
        lists: dict[JobList, list[int]] = {}
        for job_id in job_ids:
            known = self.known.get(job_id) or self._anchor
            workflow_id = known.workflow_id if known and by_workflow else None
            job_list = JobList(workflow_id, self._status(job_id) if by_status else None)
            lists.setdefault(job_list, []).append(job_id)
        return lists

    def _status(self, job_id: int) -> JobStatus:
        known = self.known.get(job_id)
        return known.status if known else _GUESSES[self._guesses.get(job_id, 0)]

    def _cheapest_cover(self, job_ids: list[int]) -> list[IdRange] | None:
        """Return the cover that takes the fewest requests; ``None`` if fetching each job takes no more."""
        best, cost = None, len(job_ids)
        for by_workflow, by_status in ((False, False), (False, True), (True, False), (True, True)):
            # What a better cover could save is not worth the search.
            if cost <= 1.2 * math.ceil(len(job_ids) / self._page):
                break
            cover = list(self._cover(self._by_list(job_ids, by_workflow=by_workflow, by_status=by_status)))
            if self._cost(cover) < cost:
                best, cost = cover, self._cost(cover)
        return best

    def _cover(self, lists: dict[JobList, list[int]]) -> Iterator[IdRange]:
        """Split jobs into what one page each shows: from the lowest id on, as far as a page reaches."""
        for job_list, job_ids in lists.items():
            reach = self._reach(job_list, job_ids)
            begin = 0
            while begin < len(job_ids):
                end = bisect_right(job_ids, job_ids[begin] + reach - 1, begin)
                end = min(max(end, begin + 1), begin + self._page)
                yield IdRange(job_list, job_ids[begin:end], reach)
                begin = end

    def _reach(self, job_list: JobList, job_ids: list[int]) -> float:
        """Return how many ids a page of a list covers."""
        density, measured_at = self._densities.get(job_list, (0.0, -_MEMORY))
        if density and self._plans - measured_at < _MEMORY:
            return self._page / density
        if job_list == JobList():
            return self._page  # as each id is a job
        return self._page * (job_ids[-1] - job_ids[0] + 1) / len(job_ids)  # as if the list had only these

    def _cost(self, cover: list[IdRange]) -> int:
        """Return how many requests a cover takes, if jobs are as dense as they were before."""
        is_probe_needed = any(
            len(id_range.job_ids) > 2 and not self._has_start(id_range) for id_range in cover
        )
        requests = sum(len(it.job_ids) if self._are_singles(it) else 1 for it in cover)
        return requests + is_probe_needed

    def _plan_of(self, cover: list[IdRange], alone: tuple[int, ...]) -> Plan:
        singles = [job_id for it in cover if self._are_singles(it) for job_id in it.job_ids]
        several = [id_range for id_range in cover if not self._are_singles(id_range)]
        requests = tuple(self._request(id_range) for id_range in several if self._has_start(id_range))
        # One probe is enough, as each page says where the next has to begin.
        probe = several[0].job_ids[0] if several and not requests else None
        return Plan((*singles, *alone), requests, probe)

    def _are_singles(self, id_range: IdRange) -> bool:
        """Say whether a page, with its probe, takes no fewer requests than to fetch each job of a range."""
        return len(id_range.job_ids) == 1 or (len(id_range.job_ids) == 2 and not self._has_start(id_range))

    def _has_start(self, id_range: IdRange) -> bool:
        """Say whether it is known when the first job was created, or one shortly before."""
        first = id_range.job_ids[0]
        if first in self.known:
            return True
        before = self._nearest_before(first)
        return before is not None and first - before.id <= id_range.reach / 2

    def _request(self, id_range: IdRange) -> PageRequest:
        known = [self.known[job_id].created for job_id in id_range.job_ids if job_id in self.known]
        times = [created for created in known if created is not None]
        end = max(times) if len(times) == len(id_range.job_ids) else None
        before = self._nearest_before(id_range.job_ids[0])
        if id_range.job_ids[0] not in self.known and before and before.created is not None:
            times.append(before.created)
        return PageRequest(id_range.job_list, tuple(id_range.job_ids), min(times), end)

    def _nearest_before(self, job_id: int) -> JobSummary | None:
        if not self._listable:
            self._listable = sorted(self.known.keys() - self._unlistable)
        place = bisect_right(self._listable, job_id)
        nearest = self.known[self._listable[place - 1]] if place else None
        anchor = self._anchor
        if anchor and anchor.id < job_id and (nearest is None or nearest.id < anchor.id):
            return anchor
        return nearest

    def _is_passed(self, job_id: int, page: Page[JobSummary]) -> bool:
        """Say whether a page goes past a job's place."""
        if page.is_last or not page.items:
            return page.is_last
        known, last = self.known.get(job_id), page.items[-1]
        if known and known.created is not None and last.created is not None:
            return known.created < last.created
        return job_id < last.id

    def _guess_again(self, job_id: int, job_list: JobList) -> bool:
        """Say whether another status's list may show a job that nothing is known of."""
        if job_id in self.known or job_list.status is None:
            return False
        self._guesses[job_id] = self._guesses.get(job_id, 0) + 1
        return self._guesses[job_id] < len(_GUESSES)

    def _measure(self, request: PageRequest, page: Page[JobSummary]) -> None:
        ids = [request.job_ids[0], *(summary.id for summary in page.items)]
        if page.is_last:
            ids.append(request.job_ids[-1])
        density = (len(page.items) or 1) / (max(ids) - min(ids) + 1)
        self._densities[request.job_list] = density, self._plans
