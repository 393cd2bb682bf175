# SPDX-License-Identifier: Apache-2.0
"""When jobs are polled; no test here waits, as the schedule is given the time."""

from __future__ import annotations

import math
import random

import pytest

from airflow_provider_nebula_explorer.explorer.interval import Interval
from airflow_provider_nebula_explorer.explorer.waiting.schedule import Schedule, spread


def schedule_of(*, jitter=0.0, **intervals):
    """Return a schedule with jobs that were polled just before 0: ``j7=30`` is job 7, every 30 s."""
    schedule = Schedule(lambda: jitter)
    for name, interval in intervals.items():
        schedule.put(int(name[1:]), interval=Interval.of(interval), now=0)
    return schedule


def polls(schedule, until):
    """Return the polls up to a time: when each is made, and of which jobs."""
    made = []
    while schedule.next_poll <= until:
        now = schedule.next_poll
        if due := schedule.take_due(now):
            made.append((now, due))
    return made


def test_nothing_is_due_where_nobody_waits():
    schedule = Schedule()
    assert schedule.next_poll == math.inf
    assert schedule.take_due(5) == set()


def test_a_job_is_polled_at_its_interval():
    assert polls(schedule_of(j1=30), 100) == [(30, {1}), (60, {1}), (90, {1})]


def test_jobs_with_one_interval_are_polled_together_whenever_they_joined():
    schedule = schedule_of(j1=30)
    schedule.put(2, interval=Interval.of(30), now=20)
    assert polls(schedule, 65) == [(30, {1, 2}), (60, {1, 2})]


def test_intervals_that_differ_have_times_of_their_own():
    assert polls(schedule_of(j1=10, j2=25), 30) == [(10, {1}), (20, {1}), (25, {2}), (30, {1})]


def test_what_is_due_soon_comes_with_what_is_due():
    assert polls(schedule_of(j1=30, j2=31), 40) == [(30, {1, 2})]


@pytest.mark.parametrize("jitter", [0.0, 0.5, 1.0])
def test_a_poll_comes_up_to_a_twentieth_of_the_interval_early(jitter):
    schedule = schedule_of(j1=100, jitter=jitter)
    schedule.take_due(100)
    assert schedule.next_poll == 100 + 100 - 5 * jitter
    assert spread(100, lambda: jitter) == 100 - 5 * jitter


class TestNewcomers:
    def test_those_who_join_together_are_polled_together_soon(self):
        schedule = Schedule()
        for job_id in range(5):
            schedule.put(job_id, interval=Interval.of(30), now=10 + job_id / 100)
            schedule.poll_soon(job_id, 10 + job_id / 100)
        assert schedule.next_poll == 10.2
        assert schedule.take_due(10.2) == set(range(5))
        assert schedule.next_poll > 30

    @pytest.mark.parametrize(("interval", "pause"), [(30, 1.0), (0.5, 0.25)])
    def test_after_a_poll_they_wait_a_second_or_half_of_a_shorter_interval(self, interval, pause):
        schedule = schedule_of(j1=interval)
        schedule.take_due(interval)
        schedule.put(2, interval=Interval.of(interval), now=interval)
        schedule.poll_soon(2, interval)
        assert schedule.next_poll == interval + pause

    def test_they_come_with_a_poll_that_is_due_before(self):
        schedule = schedule_of(j1=10)
        schedule.put(2, interval=Interval.of(30), now=9.9)
        schedule.poll_soon(2, 9.9)
        assert polls(schedule, 20) == [(10, {1, 2}), (20, {1})]

    def test_one_who_leaves_is_polled_no_more(self):
        schedule = Schedule()
        schedule.put(1, interval=Interval.of(30), now=0)
        schedule.poll_soon(1, 0)
        schedule.remove(1)
        assert polls(schedule, 100) == []
        assert schedule.next_poll == math.inf


class TestChanges:
    def test_the_same_interval_again_leaves_the_next_poll_where_it_is(self):
        schedule = schedule_of(j1=30)
        for now in range(29):
            schedule.put(1, interval=Interval.of(30), now=now)
        assert schedule.next_poll == 30

    def test_a_shorter_interval_counts_from_when_it_begins(self):
        schedule = schedule_of(j1=30)
        schedule.put(1, interval=Interval.of(5), now=20)
        assert polls(schedule, 32) == [(25, {1}), (30, {1})]
        schedule.put(1, interval=Interval.of(30), now=32)
        assert polls(schedule, 62) == [(62, {1})]

    def test_a_job_that_changes_does_not_move_the_others(self):
        schedule = schedule_of(j1=30, j2=30)
        schedule.put(1, interval=Interval.of(20), now=15)
        assert polls(schedule, 35) == [(30, {2}), (35, {1})]

    def test_nothing_is_kept_of_jobs_that_left(self):
        schedule = schedule_of(j1=30, j2=30, j3=5)
        schedule.poll_soon(3, 0)
        for job_id in (1, 2, 3):
            schedule.remove(job_id)
        assert schedule.take_due(schedule.next_poll) == set()
        assert not any(value for value in vars(schedule).values() if isinstance(value, (dict, set)))


class TestDeadlines:
    def test_a_job_is_polled_once_more_at_its_deadline(self):
        schedule = Schedule()
        schedule.put(1, interval=Interval.of(3600), deadline=90, now=0)
        assert polls(schedule, 3000) == [(90, {1})]

    def test_one_that_is_over_already_is_due_at_once(self):
        schedule = Schedule()
        schedule.put(1, interval=Interval.of(3600), deadline=90, now=100)
        assert schedule.next_poll <= 100
        assert schedule.take_due(100) == {1}
        assert schedule.next_poll == 3700

    def test_it_moves_with_the_waits_on_a_job(self):
        schedule = Schedule()
        schedule.put(1, interval=Interval.of(3600), deadline=90, now=0)
        schedule.put(1, interval=Interval.of(3600), deadline=500, now=10)
        assert polls(schedule, 3000) == [(500, {1})]

    def test_it_is_forgotten_with_its_job(self):
        schedule = Schedule()
        schedule.put(1, interval=Interval.of(3600), deadline=90, now=0)
        schedule.remove(1)
        assert schedule.take_due(90) == set()


@pytest.mark.parametrize("seed", range(50))
def test_no_job_waits_longer_than_its_interval_and_none_is_polled_without_need(seed):
    chance = random.Random(seed)
    schedule = Schedule(chance.random)
    joins = sorted((chance.uniform(0, 300), chance.choice([1, 7, 30, 31, 60])) for _ in range(40))
    intervals, polled, count = {}, {}, 0
    for job_id, (joined, interval) in enumerate(joins):
        for now, job_ids in polls(schedule, joined):
            count += 1
            assert job_ids
            for other in job_ids:
                assert now - polled[other] <= intervals[other] + 1e-9
                polled[other] = now
        schedule.put(job_id, interval=Interval.of(interval), now=joined)
        intervals[job_id], polled[job_id] = interval, joined
    shares = [joins[-1][0] / (0.9 * interval) + 1 for interval in set(intervals.values())]
    assert count <= sum(shares), "one for all jobs of an interval"
