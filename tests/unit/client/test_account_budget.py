# SPDX-License-Identifier: Apache-2.0
"""However many waits an account has, and whatever Explorer does to its sessions, its budget bounds it."""

from __future__ import annotations

from itertools import pairwise

import pytest

from airflow_provider_nebula_explorer.explorer.client.account_budget import AccountBudget
from airflow_provider_nebula_explorer.explorer.client.limits import (
    FREE_LOGINS,
    LOGINS_REMEMBERED_SECONDS,
    LONGEST_LOGIN_PAUSE_SECONDS,
    REQUESTS_PER_SECOND,
    REQUESTS_SAVED_UP,
)

HOUR = 3600.0


def requests_in(seconds, each, begin=0.0):
    """Return how many requests are sent in some seconds, each of which takes some time."""
    budget, now, sent = AccountBudget(), begin, 0
    while (now := now + budget.pause_before_request(now) + each) < begin + seconds:
        sent += 1
    return sent


def logins_in(seconds, each=0.0):
    """Return the times at which logins are made in some seconds, if each is soon refused."""
    budget, now, made = AccountBudget(), 0.0, []
    while (now := now + budget.pause_before_login(now)) < seconds:
        budget.count_login(now)
        made.append(now)
        now += each
    return made


@pytest.mark.parametrize("begin", [0.0, 10**6])
def test_requests_of_an_account_are_bounded_however_fast_they_are(begin):
    for seconds in (1, 60, 2 * HOUR):
        most = REQUESTS_SAVED_UP + REQUESTS_PER_SECOND * seconds
        assert requests_in(seconds, each=0.001, begin=begin) <= most + 1


@pytest.mark.parametrize(
    ("count", "per_second"),
    [(10_000, 300), (100_000, REQUESTS_PER_SECOND - 1), (REQUESTS_SAVED_UP, 10**6)],
    ids=["ten thousand waits end together", "for a quarter of an hour", "all that is saved up"],
)
def test_honest_work_is_not_slowed(count, per_second):
    budget = AccountBudget()
    assert {budget.pause_before_request(number / per_second) for number in range(count)} == {0.0}


def test_what_was_not_sent_is_saved_up_again_but_no_more_than_that():
    budget = AccountBudget()
    for now in (0.0, REQUESTS_SAVED_UP / REQUESTS_PER_SECOND + 1, 10**9):
        pauses = [budget.pause_before_request(now) for _ in range(REQUESTS_SAVED_UP + 3)]
        assert pauses[:REQUESTS_SAVED_UP] == [0.0] * REQUESTS_SAVED_UP
        assert pauses[-1] == pytest.approx(2 / REQUESTS_PER_SECOND, rel=0.01)


def test_the_pauses_between_logins_grow_to_the_longest_one():
    made = logins_in(600)
    gaps = [after - before for before, after in pairwise(made)]
    assert gaps[: FREE_LOGINS + 7] == [0.0] * (FREE_LOGINS - 1) + [1, 2, 4, 8, 16, 32, 60, 60]


@pytest.mark.parametrize("each", [0.0, 0.5, 59.0])
def test_a_storm_of_refused_logins_makes_few_in_each_hour(each):
    made = logins_in(24 * HOUR, each)
    within = [sum(1 for it in made if begin <= it < begin + HOUR) for begin in made]
    assert max(within) <= 75
    assert within[-1] < 75


def test_logins_now_and_then_make_no_pause():
    made = logins_in(24 * HOUR, each=LOGINS_REMEMBERED_SECONDS / FREE_LOGINS + 1)
    assert len(made) == 24 * FREE_LOGINS


def test_a_budget_that_is_not_used_is_as_good_as_a_new_one():
    budget = AccountBudget()
    assert budget.is_whole(0.0)
    budget.pause_before_request(0.0)
    assert not budget.is_whole(0.0)
    assert budget.is_whole(0.1)
    budget.count_login(1.0)
    assert not budget.is_whole(1.0 + LONGEST_LOGIN_PAUSE_SECONDS)
    assert budget.is_whole(1.0 + LOGINS_REMEMBERED_SECONDS)
