"""Which requests show the state of many waiting jobs at the lowest cost. Pure: a watcher sends them.

Explorer has no call for "these jobs", only lists, which take a time of creation, a status and a workflow.
Ids grow with the time of creation, so an id is a place on a line, and a page of a list shows a stretch of it.
A plan covers the waiting jobs with as few stretches as it can; ``docs/waiting.md`` has the formula.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_nebula_explorer.explorer.client.api import JobSummary, Page
from airflow_provider_nebula_explorer.explorer.models import JobStatus

LARGEST_PAGE = 1000
"""Jobs asked for on one page: about 250 KB, which takes a few milliseconds to read."""

SMALLEST_PAGE = 10
"""What every Explorer sends: the API's own default."""

_MEMORY = 30
"""For how many plans a measured density counts; then the cheapest case is assumed again."""

_GUESSES = (JobStatus.RUNNING, JobStatus.PREPARING, JobStatus.STOPPING)
"""Where to look for a job that nothing is known of, in this order."""


@dataclass(frozen=True)
class JobList:
    """One list of Explorer's: of all jobs, or of a workflow's, or of those in a status, or both."""

    workflow_id: str | None = None
    status: JobStatus | None = None


@dataclass(frozen=True)
class PageRequest:
    """One request for a page of a list, oldest job first.

    :param job_ids: those that it shall show, ascending.
    :param created_from: epoch milliseconds.
    :param created_to: epoch milliseconds; ``None`` where the list's end is not known.
    """

    view: JobList
    job_ids: tuple[int, ...]
    created_from: int
    created_to: int | None


@dataclass(frozen=True)
class Plan:
    """The requests that show a set of jobs.

    :param singles: jobs to ask for one by one, in any order.
    :param probe: where there is no listing: a job to ask for before planning again, as it tells where lists
        have to begin.
    """

    singles: tuple[int, ...] = ()
    listings: tuple[PageRequest, ...] = ()
    probe: int | None = None


@dataclass(frozen=True)
class Shown:
    """What a listing tells.

    :param seen: the watched jobs on the page by id, whether or not it was made for them.
    :param missing: jobs that it should have shown, so that something happened to them: ask for each.
    """

    seen: Mapping[int, JobSummary]
    missing: tuple[int, ...]


@dataclass(frozen=True)
class IdRange:
    """Jobs of a view, ascending, that one page may show; ``reach`` is how far along the ids that goes."""

    view: JobList
    job_ids: list[int]
    reach: float


class PollPlanner:
    """What is known of the watched jobs and of the lists they are in.

    ``known`` holds the latest glimpse of each that was seen, by id; ``page_size`` is what to ask for.
    """

    def __init__(self) -> None:
        self.page_size = LARGEST_PAGE
        self._cap, self._cap_until = LARGEST_PAGE, 0
        self._small_until = 0
        self._plans = 0
        self._watched: set[int] = set()
        self.known: dict[int, JobSummary] = {}
        self._singular: set[int] = set()  # of those, the ones that no list helps with: final, or of no date
        self._line: list[int] = []
        self._anchor: JobSummary | None = None
        self._guesses: dict[int, int] = {}
        self._doubted: dict[int, JobList] = {}
        self._alone_until: dict[int, int] = {}
        self._densities: dict[JobList, tuple[float, int]] = {}

    def watch(self, job_id: int) -> None:
        """Begin to watch a job."""
        self._watched.add(job_id)

    def forget(self, job_id: int) -> None:
        """Watch a job no more."""
        self._watched.discard(job_id)
        self._singular.discard(job_id)
        memories: tuple[dict[int, Any], ...] = (self.known, self._guesses, self._doubted, self._alone_until)
        for memory in memories:
            memory.pop(job_id, None)

    def learn(self, summary: JobSummary) -> None:
        """Take note of a job that was asked for by its id."""
        self._note(summary)
        doubt = self._doubted.pop(summary.id, None)
        if doubt and doubt.status in (None, summary.status):
            self.set_aside(summary.id)  # it is there, but the list that should show it does not
        elif summary.created is not None:
            self._anchor = summary

    def set_aside(self, job_id: int) -> None:
        """Let a job be asked for by its id for a while, whatever lists may show."""
        self._alone_until[job_id] = self._plans + _MEMORY

    def refused(self, listing: PageRequest, *, may_be_too_large: bool) -> None:
        """Take note that Explorer refused a listing; for a while such are not made."""
        if may_be_too_large and self.page_size > SMALLEST_PAGE:
            self.page_size = max(SMALLEST_PAGE, self.page_size // 10)
            self._small_until = self._plans + 10 * _MEMORY
        else:
            self._give_up(listing.view)

    def _give_up(self, view: JobList) -> None:
        self._densities[view] = (self._page, self._plans)  # so that a page reaches no further than one job

    def plan(self, job_ids: Iterable[int]) -> Plan:
        """Return the cheapest requests that show all of these jobs; never more of them than jobs."""
        self._plans += 1
        self._line = []
        if self._plans > self._small_until:
            self.page_size = LARGEST_PAGE
        wanted = set(job_ids)
        alone = self._alone(wanted)
        rest = sorted(wanted - alone)
        stretches = self._cheapest_cover(rest)
        if stretches is None:
            return Plan(singles=(*rest, *alone))
        return self._plan_of(stretches, tuple(alone))

    def read(self, listing: PageRequest, page: Page[JobSummary]) -> Shown:
        """Take note of what a listing showed. Jobs neither seen nor missing are to be planned again."""
        self._cap, self._cap_until = page.size, self._plans + _MEMORY
        seen = {summary.id: summary for summary in page.items if summary.id in self._watched}
        for job_id, summary in seen.items():
            if self.known.get(job_id) is not summary:
                self._note(summary)
        for job_id in self._doubted.keys() & seen.keys():
            del self._doubted[job_id]
        asked = [job_id for job_id in listing.job_ids if job_id in self._watched]
        absent = [job_id for job_id in asked if job_id not in seen]
        passed = [job_id for job_id in absent if self._is_passed(job_id, page)]
        missing = [job_id for job_id in passed if not self._guess_again(job_id, listing.view)]
        if passed or len(absent) < len(asked):
            self._measure(listing, page)
        elif asked:
            self._give_up(listing.view)  # as the list does not begin where it was told to
            missing = [asked[0]]
        self._doubted.update(dict.fromkeys(missing, listing.view))
        return Shown(seen, tuple(missing))

    def _note(self, summary: JobSummary) -> None:
        self.known[summary.id] = summary
        self._guesses.pop(summary.id, None)
        if summary.status.is_final or summary.created is None:
            self._singular.add(summary.id)
        else:
            self._singular.discard(summary.id)

    @property
    def _page(self) -> int:
        return min(self.page_size, self._cap) if self._plans <= self._cap_until else self.page_size

    def _alone(self, job_ids: set[int]) -> set[int]:
        """Return the jobs that no list helps with."""
        unlisted = {job_id for job_id, until in self._alone_until.items() if until >= self._plans}
        unguessed = {job_id for job_id, tried in self._guesses.items() if tried >= len(_GUESSES)}
        return job_ids & (self._singular | unlisted | unguessed)

    def _views(self, job_ids: list[int], *, by_workflow: bool, by_status: bool) -> dict[JobList, list[int]]:
        if not by_workflow and not by_status:
            return {JobList(): job_ids}
        views: dict[JobList, list[int]] = {}
        for job_id in job_ids:
            known = self.known.get(job_id) or self._anchor
            workflow_id = known.workflow_id if known and by_workflow else None
            view = JobList(workflow_id, self._status(job_id) if by_status else None)
            views.setdefault(view, []).append(job_id)
        return views

    def _status(self, job_id: int) -> JobStatus:
        known = self.known.get(job_id)
        return known.status if known else _GUESSES[self._guesses.get(job_id, 0)]

    def _cheapest_cover(self, job_ids: list[int]) -> list[IdRange] | None:
        """Return the cover that takes the fewest requests; ``None`` where asking for each job does."""
        best, cost = None, len(job_ids)
        for by_workflow, by_status in ((False, False), (False, True), (True, False), (True, True)):
            # What a better cover could save is not worth looking for.
            if cost <= 1.2 * math.ceil(len(job_ids) / self._page):
                break
            cover = list(self._cover(self._views(job_ids, by_workflow=by_workflow, by_status=by_status)))
            if self._cost(cover) < cost:
                best, cost = cover, self._cost(cover)
        return best

    def _cover(self, views: dict[JobList, list[int]]) -> Iterator[IdRange]:
        """Split jobs into what one page each shows: from the left, as far as a page reaches."""
        for view, job_ids in views.items():
            reach = self._reach(view, job_ids)
            begin = 0
            while begin < len(job_ids):
                end = bisect_right(job_ids, job_ids[begin] + reach - 1, begin)
                end = min(max(end, begin + 1), begin + self._page)
                yield IdRange(view, job_ids[begin:end], reach)
                begin = end

    def _reach(self, view: JobList, job_ids: list[int]) -> float:
        """Return how far along the ids a page of a view reaches."""
        density, measured_at = self._densities.get(view, (0.0, -_MEMORY))
        if density and self._plans - measured_at < _MEMORY:
            return self._page / density
        if view == JobList():
            return self._page  # as each id is a job
        return self._page * (job_ids[-1] - job_ids[0] + 1) / len(job_ids)  # as if only ours were in it

    def _cost(self, stretches: list[IdRange]) -> int:
        """Return how many requests it takes, where jobs lie as dense as they did before."""
        is_probe_needed = any(
            len(stretch.job_ids) > 2 and not self._is_placed(stretch) for stretch in stretches
        )
        return sum(1 + self._are_singles(stretch) * (len(stretch.job_ids) - 1) for stretch in stretches) + (
            is_probe_needed
        )

    def _plan_of(self, stretches: list[IdRange], alone: tuple[int, ...]) -> Plan:
        singles = [job_id for it in stretches if self._are_singles(it) for job_id in it.job_ids]
        several = [stretch for stretch in stretches if not self._are_singles(stretch)]
        listings = tuple(self._listing(stretch) for stretch in several if self._is_placed(stretch))
        # One probe is enough, as each listing tells where the next has to begin.
        probe = several[0].job_ids[0] if several and not listings else None
        return Plan((*singles, *alone), listings, probe)

    def _are_singles(self, stretch: IdRange) -> bool:
        return len(stretch.job_ids) == 1 or (len(stretch.job_ids) == 2 and not self._is_placed(stretch))

    def _is_placed(self, stretch: IdRange) -> bool:
        """Say whether it is known when the first job was created, or one shortly before."""
        first = stretch.job_ids[0]
        if first in self.known:
            return True
        before = self._nearest_before(first)
        return before is not None and first - before.id <= stretch.reach / 2

    def _listing(self, stretch: IdRange) -> PageRequest:
        known = [self.known[job_id].created for job_id in stretch.job_ids if job_id in self.known]
        times = [created for created in known if created is not None]
        end = max(times) if len(times) == len(stretch.job_ids) else None
        before = self._nearest_before(stretch.job_ids[0])
        if stretch.job_ids[0] not in self.known and before and before.created is not None:
            times.append(before.created)
        return PageRequest(stretch.view, tuple(stretch.job_ids), min(times), end)

    def _nearest_before(self, job_id: int) -> JobSummary | None:
        if not self._line:
            self._line = sorted(self.known.keys() - self._singular)
        place = bisect_right(self._line, job_id)
        nearest = self.known[self._line[place - 1]] if place else None
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

    def _guess_again(self, job_id: int, view: JobList) -> bool:
        """Say whether another status's list may show a job that nothing is known of."""
        if job_id in self.known or view.status is None:
            return False
        self._guesses[job_id] = self._guesses.get(job_id, 0) + 1
        return self._guesses[job_id] < len(_GUESSES)

    def _measure(self, listing: PageRequest, page: Page[JobSummary]) -> None:
        ids = [listing.job_ids[0], *(summary.id for summary in page.items)]
        if page.is_last:
            ids.append(listing.job_ids[-1])
        self._densities[listing.view] = (len(page.items) or 1) / (max(ids) - min(ids) + 1), self._plans
