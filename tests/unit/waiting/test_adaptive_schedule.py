# SPDX-License-Identifier: Apache-2.0
"""When jobs whose interval adapts to their age are polled, and how many polls a crowd of them shares."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_nebula_explorer.explorer.interval import Interval
from airflow_provider_nebula_explorer.explorer.waiting.schedule import Schedule

DEFAULT = Interval.of(None)
LONGEST = DEFAULT.longest


class Crowd:
    """Jobs of one Explorer, and a watcher's polls of them.

    Where several jobs are due, the poll shows all jobs from the first of them to the last, as a page does. A
    job that is due alone is fetched alone.
    """

    def __init__(self):
        self.schedule = Schedule(lambda: 0.0)
        self.created = {}
        self.polls = []

    def join(self, job_id, now, age=0.0):
        self.created[job_id] = now - age
        self.schedule.put(job_id, interval=DEFAULT, now=now)
        self.schedule.poll_soon(job_id, now)

    def run(self, until):
        while (now := self.schedule.next_poll) <= until:
            due = self.schedule.take_due(now)
            self.polls.append((now, due))
            shown = [it for it in self.created if min(due) <= it <= max(due)] if due else []
            self.schedule.observed({it: now - self.created[it] for it in shown}, now)

    def count(self, since):
        return sum(now >= since for now, due in self.polls if due)


def alone(until):
    crowd = Crowd()
    crowd.join(1, 0)
    crowd.run(until)
    return [now for now, _ in crowd.polls]


def test_a_job_is_polled_after_a_second_at_first_and_every_30_s_in_the_end():
    times = alone(1000)
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert pauses[:3] == pytest.approx([1, 1, 1])
    assert pauses[-5:] == pytest.approx([30] * 5)
    assert pauses == pytest.approx(sorted(pauses))


@given(st.floats(1, 50_000))
def test_it_takes_at_most_25_polls_more_than_one_of_30_s(life):
    assert len(alone(life)) <= life / LONGEST + 25


@given(st.integers(0, 2**32))
def test_no_job_is_polled_later_than_its_interval_says(seed):
    chance = random.Random(seed)
    crowd = Crowd()
    joins = sorted(chance.uniform(0, 200) for _ in range(30))
    for job_id, joined in enumerate(joins):
        crowd.run(joined)
        crowd.join(job_id, joined, age=chance.choice([0.0, 3.0, 100.0, 5000.0]))
    crowd.run(400)
    for job_id, joined in enumerate(joins):
        seen = [joined]
        for now, due in crowd.polls:
            if due and min(due) <= job_id <= max(due) and now >= joined:
                pause = DEFAULT.after(seen[-1] - crowd.created[job_id])
                # The first poll gathers newcomers, up to a second after another poll.
                assert now - seen[-1] <= (pause if len(seen) > 1 else 1.2) + 1e-6
                seen.append(now)
        assert 400 - seen[-1] <= LONGEST


@given(st.integers(0, 2**32))
def test_polls_are_a_second_apart(seed):
    chance = random.Random(seed)
    crowd = Crowd()
    for job_id, joined in enumerate(sorted(chance.uniform(0, 60) for _ in range(40))):
        crowd.run(joined)
        crowd.join(job_id, joined)
    crowd.run(100)
    times = [now for now, _ in crowd.polls]
    assert all(later - earlier >= 1 - 1e-6 for earlier, later in itertools.pairwise(times))


@pytest.mark.parametrize("seed", range(2))
def test_a_thousand_old_jobs_share_a_poll_per_longest_interval(seed):
    chance = random.Random(seed)
    crowd = Crowd()
    for job_id, joined in enumerate(sorted(chance.uniform(0, 60) for _ in range(1000))):
        crowd.run(joined)
        crowd.join(job_id, joined, age=chance.uniform(300, 5000))
    crowd.run(60 + 100 * LONGEST)
    assert crowd.count(since=60 + 2 * LONGEST) <= 1.2 * 98


@pytest.mark.parametrize("seed", range(2))
def test_a_thousand_jobs_of_mixed_ages_and_ten_new_ones_a_minute_share_a_poll_per_second(seed):
    chance = random.Random(seed)
    crowd = Crowd()
    for job_id, age in enumerate(sorted((chance.uniform(0, 3600) for _ in range(1000)), reverse=True)):
        crowd.join(job_id, 0, age)
    for job_id in range(1000, 1100):
        joined = 6.0 * (job_id - 999)
        crowd.run(joined)
        crowd.join(job_id, joined)
    assert crowd.count(since=0) <= 1.2 * 600


def test_a_job_joins_those_of_its_longest_interval_in_time():
    schedule = Schedule(lambda: 0.0)
    schedule.put(1, interval=Interval.of(LONGEST), now=0)
    schedule.put(2, interval=DEFAULT, now=1)
    schedule.observed({2: 500.0}, 1)
    assert (schedule.next_poll, schedule.take_due(30)) == (30, {1, 2})


def test_a_job_that_another_poll_shows_is_polled_later():
    schedule = Schedule()
    schedule.put(1, interval=DEFAULT, now=0)
    schedule.observed({1: 50.0}, 0.9)
    assert schedule.next_poll == pytest.approx(0.9 + 10)


def test_a_poll_never_makes_a_job_younger():
    schedule = Schedule()
    schedule.put(1, interval=DEFAULT, now=0)
    schedule.observed({1: 50.0}, 10)
    schedule.observed({1: 0.0}, 20)
    assert schedule.next_poll == 20 + 0.2 * 60


def test_a_failed_poll_is_repeated_after_the_longest_interval():
    schedule = Schedule()
    schedule.put(1, interval=DEFAULT, now=0)
    assert schedule.take_due(1) == {1}
    schedule.failed([1, 2], 1.5)
    assert schedule.next_poll == 31.5


def test_a_poll_of_a_fixed_interval_takes_what_is_due_within_a_second():
    schedule = Schedule()
    schedule.put(1, interval=Interval.of(4), now=0)
    schedule.put(2, interval=DEFAULT, now=3.5)
    assert schedule.take_due(4) == {1, 2}


def test_a_wait_that_joins_or_leaves_does_not_postpone_the_next_poll():
    schedule = Schedule()
    schedule.put(1, interval=DEFAULT, now=0)
    schedule.put(1, interval=DEFAULT, now=0.9)
    assert schedule.next_poll == 1


def test_an_interval_may_change_from_fixed_to_adaptive_and_back():
    schedule = Schedule(lambda: 0.0)
    schedule.put(1, interval=Interval.of(60), now=0)
    schedule.put(1, interval=DEFAULT, now=10)
    assert schedule.take_due(11) == {1}
    schedule.put(1, interval=Interval.of(60), now=12)
    assert schedule.take_due(13) == set()
    schedule.remove(1)
    schedule.take_due(14)
    assert not any(value for value in vars(schedule).values() if isinstance(value, (dict, set)))
