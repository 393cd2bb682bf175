# SPDX-License-Identifier: Apache-2.0
"""What a wait logs of its job, and whose tasks are fetched for it."""

from __future__ import annotations

import itertools
import logging

import pytest
from factories import a_job
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_nebula_explorer.explorer.models import JobStatus
from airflow_provider_nebula_explorer.explorer.waiting.progress import JobProgress, TaskTurns

FAILED_TASKS = [
    {"id": "a" * 32, "name": "query_1", "status": 2},
    {"id": "b" * 32, "name": "bfs_1", "status": 3},
]


def lines_of(*polls):
    progress = JobProgress()
    return [line for code, now in polls for line in progress.lines(a_job(code, tasks=FAILED_TASKS), now, 0.0)]


def test_a_change_of_status_is_one_line_that_says_how_long_the_status_before_lasted():
    lines = [text for _, text in lines_of((0, 0), (0, 5), (1, 12), (1, 20), (1, 3700), (5, 3732))]
    assert lines == [
        "Job 1964 (workflow_xkkjf_20220712103332) is PREPARING.",
        "Job 1964 (workflow_xkkjf_20220712103332) is RUNNING, after 12 s of PREPARING.",
        "Job 1964 (workflow_xkkjf_20220712103332) is STOPPING, after 1:02:00 of RUNNING.",
    ]


@pytest.mark.parametrize("code", [2, 3, 4])
def test_the_end_names_the_status_of_each_task(code):
    lines = lines_of((code, 0))
    assert [text for _, text in lines][1:] == [
        "It ran for 3 s.",
        f"  task query_1 ({'a' * 32}): SUCCESS",
        f"  task bfs_1 ({'b' * 32}): FAILED",
    ]
    assert {level for level, _ in lines} == {logging.INFO}


def test_an_unknown_status_is_one_warning():
    warnings = [text for level, text in lines_of((9, 0), (9, 1), (9, 2)) if level == logging.WARNING]
    assert warnings == ["Status 9 is unknown to this version; the wait continues."]


def test_what_another_process_has_logged_is_neither_logged_again_nor_timed():
    progress = JobProgress(JobStatus.RUNNING)
    assert list(progress.changes(JobStatus.RUNNING, "Job 7", 5, 0)) == []
    assert list(progress.changes(JobStatus.STOPPING, "Job 7", 9, 0)) == [(logging.INFO, "Job 7 is STOPPING.")]
    assert list(progress.changes(JobStatus.RUNNING, "Job 7", 12, 0)) == [
        (logging.INFO, "Job 7 is RUNNING, after 3 s of STOPPING.")
    ]


def tasks(*statuses):
    """Return tasks ``query_1``, ``query_2`` and so on."""
    return [
        {"id": f"{number:032x}", "name": f"query_{number}", "status": status}
        for number, status in enumerate(statuses, 1)
    ]


class TestTasks:
    """What is logged of the tasks of a job that runs."""

    def setup_method(self):
        self.progress = JobProgress(JobStatus.RUNNING)

    def lines(self, tasks, now=0.0):
        return [text for _, text in self.progress.lines(a_job(1, tasks=tasks), now, begun=0.0)]

    def test_a_task_that_changes_is_one_line_with_the_state_of_all(self):
        assert self.lines(tasks(2, 1, 0), 30) == ["Job 1964, task query_2: RUNNING; 1 of 3 done, after 30 s"]
        assert self.lines(tasks(2, 1, 0), 60) == []
        assert self.lines(tasks(2, 2, 1), 41 * 60) == [
            "Job 1964, task query_2: SUCCESS; 2 of 3 done, after 41 min",
            "Job 1964, task query_3: RUNNING; 2 of 3 done, after 41 min",
        ]
        assert self.lines(tasks(2, 2, 1), 42 * 60) == []

    def test_a_task_that_appears_later_has_changed_if_it_began(self):
        self.lines(tasks(1))
        assert self.lines(tasks(1, 0)) == []
        assert self.lines(tasks(1, 0, 3)) == ["Job 1964, task query_3: FAILED; 1 of 3 done, after 0 s"]

    def test_the_end_names_them_all_and_so_no_changes(self):
        self.lines(tasks(1, 0))
        ended = self.progress.lines(a_job(2, tasks=tasks(2, 2)), 5.0, begun=0.0)
        assert not any("of 2 done" in text for _, text in ended)

    def test_no_more_changes_are_shown_than_a_screen_holds(self):
        self.lines(tasks(*[0] * 70))
        lines = self.lines(tasks(*[1] * 70))
        assert len(lines) == 51
        assert lines[-1] == "  and 20 more tasks"

    def test_names_from_outside_are_in_one_line(self):
        (line,) = self.lines([{"id": "1", "name": "a\nERROR forged\x1b[31m" + "n" * 10**6, "status": 1}])
        assert line.isprintable()
        assert len(line) < 300

    def test_tasks_that_share_an_id_are_one(self):
        for _ in range(3):
            assert self.lines([*tasks(1), *tasks(0)]) == []


class TestPreparing:
    """What is logged of a job that nothing runs."""

    @staticmethod
    def warnings(progress, *times, begun=0.0, status=JobStatus.PREPARING):
        lines = [line for now in times for line in progress.changes(status, "Job 7", now, begun)]
        return [text for level, text in lines if level == logging.WARNING]

    def test_after_ten_minutes_the_log_warns_once(self):
        assert self.warnings(JobProgress(), 0, 300, 599.9) == []
        (warning,) = self.warnings(JobProgress(), 0, 300, 610, 640, 5000)
        assert warning.startswith("Job 7 has been PREPARING for 10 min: nothing runs it.")
        assert "Dag Controller" in warning

    def test_the_age_of_the_job_counts_where_it_is_known(self):
        assert len(self.warnings(JobProgress(), 0, 30, begun=-1000.0)) == 1

    def test_what_another_process_has_seen_preparing_is_warned_of_as_well(self):
        assert len(self.warnings(JobProgress(JobStatus.PREPARING), 10, 610)) == 1

    @pytest.mark.parametrize("code", [1, 2, 5, 9])
    def test_no_other_status_is_stuck(self, code):
        warnings = self.warnings(JobProgress(), 0, 9999, status=JobStatus(code))
        assert not any("nothing runs it" in text for text in warnings)


class TestTurns:
    """Whose tasks are fetched."""

    def test_a_job_has_its_turn_ten_minutes_after_its_last_fetch(self):
        turns = TaskTurns()
        turns.fetched(1, 0)
        assert turns.take(599) == []
        assert turns.take(600) == [1]
        assert turns.take(1199) == []
        turns.fetched(1, 1199)
        assert turns.take(1798) == []
        assert turns.take(1799) == [1]

    def test_a_job_that_nobody_waits_for_has_none(self):
        turns = TaskTurns()
        turns.fetched(1, 0)
        turns.forget(1)
        turns.forget(2)
        assert turns.take(9999) == []

    def test_those_whose_fetch_was_the_longest_ago_come_first(self):
        turns = TaskTurns()
        for job_id in range(200):
            turns.fetched(job_id, 0)
        turns.fetched(3, 1)
        assert turns.take(700) == [job_id for job_id in range(61) if job_id != 3]
        assert turns.take(700) == []
        assert turns.take(702) == [61, 62]

    @given(
        joins=st.lists(st.floats(0, 3000), max_size=60),
        pauses=st.lists(st.floats(0.1, 90), min_size=1, max_size=20),
    )
    def test_no_job_has_two_in_ten_minutes_and_all_of_them_one_a_second(self, joins, pauses):
        turns, taken, now = TaskTurns(), {}, 0.0
        waiting = dict(enumerate(sorted(joins)))
        for pause in itertools.islice(itertools.cycle(pauses), 100):
            for job_id in [job_id for job_id, joined in waiting.items() if joined <= now]:
                taken[job_id] = [waiting.pop(job_id)]
                turns.fetched(job_id, taken[job_id][0])
            for job_id in turns.take(now):
                taken[job_id].append(now)
            now += pause
        for times in taken.values():
            assert all(later - earlier >= 600 for earlier, later in itertools.pairwise(times))
        assert sum(len(times) - 1 for times in taken.values()) <= 60 + now
