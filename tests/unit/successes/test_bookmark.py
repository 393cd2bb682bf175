# SPDX-License-Identifier: Apache-2.0
"""What a bookmark remembers of a workflow's jobs: pure."""

from __future__ import annotations

import json

import pytest

from airflow_provider_nebula_explorer.explorer.client.api import JobSummary
from airflow_provider_nebula_explorer.explorer.models import JobStatus
from airflow_provider_nebula_explorer.explorer.successes.bookmark import Bookmark
from airflow_provider_nebula_explorer.explorer.successes.limits import MOST_OPEN

NOON = 1_700_000_000_000
MINUTE = 60_000


def job(job_id, created, status=JobStatus.SUCCESS):
    return JobSummary(job_id, status, "5", created)


def ids(jobs):
    return [job.id for job in jobs]


def test_it_is_made_anew_from_its_json():
    bookmark = Bookmark(NOON, NOON, frozenset({(7, NOON), (8, NOON + 1)}), {8})
    assert Bookmark.of(json.loads(json.dumps(bookmark.as_json))) == bookmark


def test_a_job_is_new_once():
    bookmark = Bookmark(NOON, NOON)
    assert ids(bookmark.learn([job(7, NOON)], NOON, NOON)) == [7]
    assert ids(bookmark.learn([job(7, NOON), job(8, NOON + 1)], NOON + MINUTE, NOON + MINUTE)) == [8]


def test_what_may_succeed_or_has_is_open_until_it_is_acknowledged():
    bookmark = Bookmark(NOON, NOON)
    bookmark.learn(
        [job(1, NOON), job(2, NOON, JobStatus.RUNNING), job(3, NOON, JobStatus.FAILED)], NOON, NOON
    )
    assert bookmark.open == {1, 2}
    bookmark.acknowledge(1)
    assert bookmark.open == {2}


def test_only_so_many_jobs_are_open_the_newest():
    bookmark = Bookmark(NOON, NOON)
    for first in (1, 1 + MOST_OPEN):
        many = range(first, first + MOST_OPEN)
        bookmark.learn([job(number, NOON, JobStatus.RUNNING) for number in many], NOON, NOON)
        assert bookmark.open == set(many)
    bookmark.begin([], [job(number, NOON, JobStatus.RUNNING) for number in range(MOST_OPEN + 1)], NOON, NOON)
    assert bookmark.open == set(range(1, MOST_OPEN + 1))


def test_the_next_list_goes_back_over_the_time_since_the_last_one():
    bookmark = Bookmark(NOON, NOON)
    bookmark.learn([], NOON, NOON)
    assert bookmark.list_from(NOON + MINUTE, NOON + MINUTE) <= NOON - MINUTE


@pytest.mark.parametrize("minutes_down", [0, 2, 600])
def test_a_clock_that_is_set_back_hides_no_job(minutes_down):
    bookmark = Bookmark(NOON, NOON)
    bookmark.learn([], NOON, NOON)
    down, back = minutes_down * MINUTE, 5 * MINUTE
    first_job = NOON - back  # created on the new clock, right after the last list
    assert bookmark.list_from(NOON + down - back, NOON + down) <= first_job


def test_an_id_that_comes_again_in_a_new_explorer_is_new():
    bookmark = Bookmark(NOON, NOON)
    bookmark.learn([job(101, NOON)], NOON, NOON)
    later = NOON + 10 * MINUTE
    assert ids(bookmark.learn([job(101, later)], later, later)) == [101]


def test_without_a_clock_of_explorers_its_newest_job_stands_for_it():
    bookmark = Bookmark(0, NOON)
    bookmark.learn([job(7, NOON)], None, NOON)
    assert bookmark.list_from(None, NOON) == NOON - MINUTE


def test_it_stays_small():
    bookmark = Bookmark(NOON, NOON)
    for number in range(5000):
        bookmark.learn([job(number, NOON + number)], NOON + number, NOON + number)
        bookmark.acknowledge(number)
    assert len(json.dumps(bookmark.as_json)) < 20_000


def test_time_alone_is_worth_saving_only_at_times():
    saved = Bookmark(NOON, NOON)
    assert not Bookmark(NOON + MINUTE, NOON).should_replace(saved)
    assert Bookmark(NOON + 11 * MINUTE, NOON).should_replace(saved)
    assert Bookmark(NOON, NOON, open={7}).should_replace(saved)


@pytest.mark.parametrize(
    "value",
    [None, 7, "x", [], {}, {"since": 1}, {"since": 1, "at": 1, "known": [1], "open": []}],
)
def test_anything_else_is_no_bookmark(value):
    with pytest.raises(ValueError, match="not a bookmark"):
        Bookmark.of(value)
