# SPDX-License-Identifier: Apache-2.0
"""The default pause between two polls: how late a wait notices the end of its job, and what that costs."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_nebula_explorer.explorer.interval import Interval, age, interval_after

LIVES = st.floats(0, 400_000)
"""Seconds that a job may run: up to some days."""

FIXED = 30.0
DEFAULT = Interval.of(None)


def polls(life, interval=DEFAULT):
    """Return when a wait that begins with its job polls, up to the first poll after the job's end."""
    times = [0.0]
    while times[-1] < life:
        times.append(times[-1] + interval.after(times[-1]))
    return times


@given(LIVES)
def test_a_wait_takes_at_most_25_polls_more_than_one_of_30_s(life):
    assert len(polls(life)) <= len(polls(life, Interval.of(FIXED))) + 25


@given(LIVES, st.sampled_from([30.0, 60.0, 5.0]))
def test_a_wait_ends_at_most_a_second_or_a_fifth_of_its_jobs_time_late(life, longest):
    late = polls(life, Interval.of(None, longest))[-1] - life
    assert late <= min(longest, max(1.0, life / 5)) + 1e-6


@given(st.floats(1, 1_000))
def test_a_wait_is_a_second_and_a_tenth_of_its_jobs_time_late_on_average(longest_life):
    """Over jobs that end at any time up to a given one, each as likely as the others."""
    times = polls(longest_life)
    # A job that ends in a pause ends half of it before the poll, on average.
    pairs = [(a, min(b, longest_life), b) for a, b in itertools.pairwise(times)]
    late = sum((end - a) * (b - (a + end) / 2) for a, end, b in pairs) / longest_life
    assert late <= 1.0 + 0.1 * longest_life / 2


@given(st.floats(0, 1e9), st.floats(0, 1e9), st.floats(1, 1e4))
def test_it_never_shrinks_and_never_exceeds_the_longest(one, other, longest):
    young, old = sorted((one, other))
    assert 1.0 <= interval_after(young, longest) <= interval_after(old, longest) <= longest


@pytest.mark.parametrize(
    ("waited", "pause"), [(0, 1), (5, 1), (10, 2), (60, 12), (150, 30), (151, 30), (1e9, 30)]
)
def test_examples(waited, pause):
    assert DEFAULT.after(waited) == pytest.approx(pause)


def test_an_interval_of_the_user_is_obeyed_down_to_a_tenth_of_a_second():
    assert [Interval.of(5).after(waited) for waited in (0, 100, 1e6)] == [5, 5, 5]
    assert Interval.of(0.001).after(0) == 0.1
    assert (Interval.of(5).is_fixed, DEFAULT.is_fixed) == (True, False)


@given(
    st.sampled_from([None, 0.5, 2.0, 100.0]), st.sampled_from([None, 0.5, 2.0, 100.0]), st.floats(0, 10_000)
)
def test_of_two_intervals_the_shorter_counts_at_each_age(one, other, waited):
    first, second = Interval.of(one), Interval.of(other)
    assert (first & second).after(waited) == min(first.after(waited), second.after(waited))


@pytest.mark.parametrize(
    ("created", "server_time", "seconds"),
    [(100.0, 160.0, 60), (100.0, 90.0, 0), (None, 160.0, 0), (100.0, None, 0)],
)
def test_the_age_of_a_job_is_taken_from_explorers_clock_alone(created, server_time, seconds):
    assert age(created, server_time) == seconds
