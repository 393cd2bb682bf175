# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from airflow_provider_nebula_explorer.explorer.client.api import JobSummary, Page
from airflow_provider_nebula_explorer.explorer.interval import ADAPTIVE_LONGEST_SECONDS as LONGEST
from airflow_provider_nebula_explorer.explorer.interval import Interval
from airflow_provider_nebula_explorer.explorer.models import JobStatus
from airflow_provider_nebula_explorer.explorer.waiting.planner import PageRequest, PollPlanner
from airflow_provider_nebula_explorer.explorer.waiting.schedule import Schedule

RUNNING, PREPARING, STOPPING, SUCCESS = (
    JobStatus.RUNNING,
    JobStatus.PREPARING,
    JobStatus.STOPPING,
    JobStatus.SUCCESS,
)


@dataclass
class Explorer:
    """Responds as Explorer does, from jobs that are given."""

    jobs: dict[int, JobSummary]
    page_cap: int = 1000
    knows_total: bool = True
    ignores_filters: bool = False
    unlisted: set[int] = field(default_factory=set)
    listed: list[PageRequest] = field(default_factory=list)
    fetched: list[int] = field(default_factory=list)

    @property
    def requests(self) -> int:
        return len(self.listed) + len(self.fetched)

    def page(self, request: PageRequest, page_size: int) -> Page[JobSummary]:
        self.listed.append(request)
        size = min(page_size, self.page_cap)
        contents = sorted(
            (job for job in self.jobs.values() if self._shows(request, job)),
            key=lambda job: (job.created or 0, job.id),
        )
        items = tuple(contents[:size])
        return Page(items, len(items), size, len(contents) if self.knows_total else None)

    def _shows(self, request: PageRequest, job: JobSummary) -> bool:
        if self.ignores_filters:
            return True
        created, job_list = job.created or 0, request.job_list
        return (
            job.id not in self.unlisted
            and request.created_from <= created
            and (request.created_to is None or created <= request.created_to)
            and job_list.status in (None, job.status)
            and job_list.workflow_id in (None, job.workflow_id)
        )

    def job(self, job_id: int) -> JobSummary | None:
        self.fetched.append(job_id)
        return self.jobs.get(job_id)


def poll(planner: PollPlanner, explorer: Explorer, job_ids) -> dict[int, JobStatus]:
    """Do as the watcher does, and return what was seen."""
    left, seen = set(job_ids), {}

    def fetch(ids):
        for job_id in ids:
            left.discard(job_id)
            if job := explorer.job(job_id):
                planner.learn(job)
                seen[job_id] = job.status

    while left:
        plan = planner.plan(left)
        fetch(plan.singles)
        for request in plan.requests:
            contents = planner.read(request, explorer.page(request, planner.page_size))
            seen.update((job_id, job.status) for job_id, job in contents.seen.items())
            left.difference_update(contents.seen)
            fetch(contents.missing)
            if not left.isdisjoint(request.job_ids):
                break
        if plan.probe is not None:
            fetch([plan.probe])
    return seen


def a_line(count, *, first=101, status=lambda number: RUNNING, workflow=lambda number: "5", step=7):
    """Return jobs whose ids and times of creation grow together."""
    return {
        first + number: JobSummary(
            first + number, status(number), workflow(number), 1_000_000 + number * step
        )
        for number in range(count)
    }


def costs(explorer, job_ids, polls=4, planner=None):
    """Return how many requests each poll made; each has to see what there is."""
    planner = planner or PollPlanner()
    made = []
    for job_id in job_ids:
        planner.watch(job_id)
    for _ in range(polls):
        before = explorer.requests
        seen = poll(planner, explorer, job_ids)
        assert seen == {job_id: explorer.jobs[job_id].status for job_id in job_ids if job_id in explorer.jobs}
        made.append(explorer.requests - before)
    return made


def every_51st(number):
    return number % 51 == 0


OTHERS_FINAL = {"status": lambda number: RUNNING if every_51st(number) else SUCCESS}
OTHERS_ELSEWHERE = {"workflow": lambda number: "5" if every_51st(number) else "6"}
IN_THE_MIDDLE = {"status": lambda number: RUNNING if 5000 <= number < 5200 else SUCCESS}


@pytest.mark.parametrize(
    ("jobs", "waiting", "start", "later"),
    [
        (a_line(1), range(101, 102), 1, 1),
        (a_line(3), range(101, 104), 2, 1),
        (a_line(1000), range(101, 1101), 2, 1),
        (a_line(1000, step=0), range(101, 1101), 2, 1),
        (a_line(10_200, **IN_THE_MIDDLE), range(5101, 5301), 2, 1),
        (a_line(10_200, **OTHERS_FINAL), range(101, 10_301, 51), 2, 1),
        (a_line(10_200, **OTHERS_ELSEWHERE), range(101, 10_301, 51), 3, 1),
        (a_line(50) | a_line(50, first=90_000), [101, *range(90_000, 90_050)], 3, 1),
    ],
    ids=[
        "one",
        "three",
        "a thousand",
        "a thousand of one millisecond",
        "200 in the middle of 10,000",
        "200 among 10,000 that are final",
        "200 among 10,000 that run in another workflow",
        "one of long ago and fifty of today",
    ],
)
def test_what_polls_cost(jobs, waiting, start, later):
    first, *rest = costs(Explorer(jobs), list(waiting))
    assert first <= start
    assert set(rest) == {later}


def test_ten_thousand_jobs_take_ten_pages():
    first, *rest = costs(Explorer(a_line(10_000)), list(range(101, 10_101)))
    assert first <= 21
    assert set(rest) == {10}


def test_a_smaller_page_of_the_servers_is_believed():
    assert costs(Explorer(a_line(1000), page_cap=100), list(range(101, 1101)))[1:] == [10, 10, 10]


def test_a_list_without_a_total_is_read_too():
    assert costs(Explorer(a_line(50), knows_total=False), list(range(101, 151)))[1:] == [1, 1, 1]


def test_jobs_with_many_others_between_them_are_fetched_one_by_one():
    crowd = a_line(30_000)
    waiting = [101, 10_101, 20_101, 30_100]
    planner = PollPlanner()
    costs(Explorer(crowd), waiting, polls=9, planner=planner)
    explorer = Explorer(crowd)
    assert costs(explorer, waiting, polls=3, planner=planner) == [4, 4, 4]
    assert explorer.listed == []


def test_a_job_that_was_seen_before_needs_no_search():
    planner, explorer = PollPlanner(), Explorer(a_line(1000))
    for job in explorer.jobs.values():
        planner.watch(job.id)
        planner.learn(job)
    assert costs(explorer, list(explorer.jobs), planner=planner) == [1, 1, 1, 1]


def test_a_job_that_became_final_is_found_by_its_absence_from_the_list_of_its_status():
    explorer = Explorer(a_line(10_200, **OTHERS_FINAL))
    waiting, planner = list(range(101, 10_301, 51)), PollPlanner()
    costs(explorer, waiting, planner=planner)
    explorer.jobs[waiting[7]] = explorer.jobs[waiting[7]]._replace(status=SUCCESS)
    assert costs(explorer, waiting, polls=1, planner=planner) == [2], "the list, and the job that is missing"


def test_a_job_that_left_the_list_is_fetched_by_its_id_and_does_not_cost_the_others_more():
    explorer = Explorer(a_line(100))
    waiting, planner = list(explorer.jobs), PollPlanner()
    costs(explorer, waiting, planner=planner)
    explorer.unlisted = {150}
    assert costs(explorer, waiting, planner=planner) == [2, 2, 2, 2]
    assert explorer.fetched[-4:] == [150] * 4


def test_jobs_that_do_not_exist_are_fetched_by_their_ids():
    explorer = Explorer(a_line(100))
    costs(explorer, range(101, 211), polls=1)
    assert set(explorer.fetched) >= set(range(201, 211))


def test_a_server_that_ignores_the_window_costs_no_more_than_to_fetch_each():
    explorer = Explorer(a_line(5000), ignores_filters=True)
    waiting, planner = list(range(4000, 4100)), PollPlanner()
    costs(explorer, waiting, polls=1, planner=planner)
    assert costs(explorer, waiting, polls=5, planner=planner) == [100] * 5


def test_a_refused_page_is_made_smaller_and_then_lists_are_given_up():
    planner = PollPlanner()
    for job_id in (1, 2, 3):
        planner.watch(job_id)
        planner.learn(JobSummary(job_id, RUNNING, "5", 1_000_000))
    sizes = []
    while requests := planner.plan({1, 2, 3}).requests:
        sizes.append(planner.page_size)
        planner.refused(requests[0], may_be_too_large=True)
    assert sizes[:3] == [1000, 100, 10]
    assert len(sizes) == 6, "then each other job_list is tried once"
    assert sorted(planner.plan({1, 2, 3}).singles) == [1, 2, 3]
    later = [planner.plan({1, 2, 3}).requests for _ in range(40)]
    assert any(later), "a refusal is not for ever"


def test_jobs_that_no_guess_found_are_listed_once_they_are_known():
    jobs = a_line(10_200, status=lambda number: JobStatus(9) if every_51st(number) else SUCCESS)
    waiting = list(range(101, 10_301, 51))
    assert costs(Explorer(jobs), waiting)[1:] == [1, 1, 1], "the list of their status"


def test_jobs_without_a_date_are_fetched_by_their_ids():
    explorer = Explorer({job_id: job._replace(created=None) for job_id, job in a_line(20).items()})
    assert costs(explorer, list(explorer.jobs), polls=40)[1:] == [20] * 39


def test_a_page_cap_is_not_believed_for_ever():
    planner, explorer = PollPlanner(), Explorer(a_line(50), page_cap=1)
    costs(explorer, list(explorer.jobs), polls=3, planner=planner)
    explorer.page_cap = 1000
    assert costs(explorer, list(explorer.jobs), polls=60, planner=planner)[-1] == 1


def test_what_is_forgotten_is_not_kept():
    planner, explorer = PollPlanner(), Explorer(a_line(100))
    costs(explorer, list(explorer.jobs), planner=planner)
    for job_id in explorer.jobs:
        planner.forget(job_id)
    kept = {name: value for name, value in vars(planner).items() if isinstance(value, (dict, set))}
    assert {name for name, value in kept.items() if value} == {"_densities"}


@pytest.mark.parametrize("seed", range(60))
def test_any_history_is_seen_at_no_more_than_a_request_for_each_job(seed):
    """Jobs come, change and go at random, ids may disobey time, and the server's page is of any size."""
    chance = random.Random(seed)
    count = chance.choice([5, 50, 500, 3000])
    jobs = a_line(
        count,
        first=chance.randint(1, 9999),
        step=chance.choice([0, 1, 900]),
        status=lambda _: chance.choice([RUNNING, PREPARING, STOPPING, SUCCESS, JobStatus(9)]),
        workflow=lambda _: chance.choice("567"),
    )
    if chance.random() < 0.3:  # the server's clock was put back
        jobs = {
            job_id: job._replace(created=(job.created or 0) - chance.choice([0, 0, 5000]))
            for job_id, job in jobs.items()
        }
    explorer = Explorer(jobs, page_cap=chance.choice([1, 7, 100, 1000]), knows_total=chance.random() < 0.8)
    waiting = chance.sample(sorted(jobs), max(1, int(count * chance.random())))
    planner = PollPlanner()
    made = costs(explorer, waiting, polls=1, planner=planner)
    for _ in range(6):
        for job_id in chance.sample(sorted(jobs), count // 10):
            jobs[job_id] = jobs[job_id]._replace(status=chance.choice([RUNNING, SUCCESS]))
        changed = sum(1 for job_id in waiting if planner.known[job_id].status is not jobs[job_id].status)
        (cost,) = costs(explorer, waiting, polls=1, planner=planner)
        assert cost <= len(waiting) + changed + 1
        made.append(cost)
    assert sum(made[1:]) <= 6 * len(waiting) + 12


class Crowd:
    """Waits for jobs that all run, over time: the schedule says when, and the planner how, to poll."""

    def __init__(self, ages):
        """Begin to wait for jobs that are ``ages`` seconds old, the oldest first."""
        self.jobs = {}
        self.explorer = Explorer(self.jobs)
        self.planner, self.schedule = PollPlanner(), Schedule(lambda: 0.0)
        for age in sorted(ages, reverse=True):
            self.join(0.0, age)

    def join(self, now, age=0.0):
        job_id = 101 + len(self.jobs)
        self.jobs[job_id] = JobSummary(job_id, RUNNING, "5", int((10_000 + now - age) * 1000))
        self.planner.watch(job_id)
        self.schedule.put(job_id, interval=Interval.of(None), now=now)
        self.schedule.poll_soon(job_id, now)

    def run(self, until):
        while (now := self.schedule.next_poll) <= until:
            due, before = self.schedule.take_due(now), self.explorer.requests
            seen = poll(self.planner, self.explorer, due)
            assert seen.keys() >= due
            assert self.explorer.requests - before <= len(due), "more than a request for each due job"
            self.schedule.observed({it: 10_000 + now - self.jobs[it].created / 1000 for it in seen}, now)


@pytest.mark.parametrize("seed", range(2))
def test_a_thousand_old_jobs_cost_a_request_per_longest_interval(seed):
    chance = random.Random(seed)
    crowd = Crowd(chance.uniform(300, 5000) for _ in range(1000))
    crowd.run(60)
    begun = crowd.explorer.requests
    crowd.run(60 + 50 * LONGEST)
    assert crowd.explorer.requests - begun <= 1.2 * 50


@pytest.mark.parametrize("seed", range(2))
def test_a_thousand_jobs_of_mixed_ages_and_ten_new_ones_a_minute_cost_a_request_a_second(seed):
    chance = random.Random(seed)
    crowd = Crowd(chance.uniform(0, 3600) for _ in range(1000))
    for number in range(1, 51):
        crowd.run(6.0 * number)
        crowd.join(6.0 * number)
    assert crowd.explorer.requests <= 1.2 * 300
