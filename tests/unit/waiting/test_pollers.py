# SPDX-License-Identifier: Apache-2.0
"""Blocking waits, without a server and in a time of their own."""

from __future__ import annotations

import itertools
import logging
from functools import partial

import pytest
from factories import a_job

from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerConfigError,
    NebulaExplorerConnectionError,
    NebulaExplorerNotFoundError,
    NebulaExplorerServerError,
    NebulaExplorerTimeoutError,
)
from airflow_provider_nebula_explorer.explorer.client.api import Page, get_job
from airflow_provider_nebula_explorer.explorer.interval import Interval
from airflow_provider_nebula_explorer.explorer.waiting.events import error_event, job_event
from airflow_provider_nebula_explorer.explorer.waiting.outcome import FailedPolls
from airflow_provider_nebula_explorer.explorer.waiting.pollers import (
    JobPoller,
    WorkflowPoller,
    job_of_event,
    poll_until_seen,
    wait_for_job,
)

RUNNING, DONE = a_job(1), a_job(2)
DOWN = NebulaExplorerServerError("no response", http_status=503)
GONE = NebulaExplorerNotFoundError("gone", code=40404000)


class ScriptedClient:
    """Returns one result after the other, or raises it; ``requested`` are the paths of the calls."""

    def __init__(self, *results, server_time=None):
        self.server_time = server_time
        self._results = iter(results)
        self.requested = []

    def run(self, call):
        self.requested.append(call.request.path.removeprefix("/api-open/v1/"))
        result = next(self._results)
        if isinstance(result, Exception):
            raise result
        return result


class Clock:
    """A clock on which only the pauses take time."""

    def __init__(self):
        self.now = 1000.0
        self.pauses = []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.pauses.append(seconds)
        self.now += seconds


def wait(client, clock, **changes):
    arguments = {"interval": Interval.of(30), "max_failures": 3, **changes}
    return wait_for_job(client, 1964, clock=clock, sleep=clock.sleep, **arguments)


def lines(caplog):
    return [record.getMessage() for record in caplog.records]


class TestWaitForJob:
    def test_it_polls_at_the_interval_until_the_job_is_final(self):
        client, clock = ScriptedClient(RUNNING, RUNNING, a_job(3)), Clock()
        assert wait(client, clock) == a_job(3)
        assert clock.pauses == [30, 30]
        assert client.requested == ["jobs/1964"] * 3

    def test_without_a_timeout_it_waits_for_ever(self):
        clock = Clock()
        assert wait(ScriptedClient(*[RUNNING] * 5000, DONE), clock) is DONE
        assert clock.pauses == [30] * 5000

    def test_at_the_timeout_it_polls_once_more_and_not_later(self):
        client, clock = ScriptedClient(*[RUNNING] * 5), Clock()
        with pytest.raises(NebulaExplorerTimeoutError, match=r"Job 1964 was not final after 70 s"):
            wait(client, clock, timeout=70)
        assert clock.pauses == [30, 30, 10]
        assert len(client.requested) == 4

    def test_failed_polls_delay_it(self):
        clock = Clock()
        assert wait(ScriptedClient(DOWN, DOWN, RUNNING, DOWN, DOWN, DONE), clock) is DONE
        assert clock.pauses == [30] * 5

    def test_too_many_failed_polls_in_a_row_end_it(self):
        with pytest.raises(NebulaExplorerConnectionError, match="Cannot observe job 1964: 3 polls in a row"):
            wait(ScriptedClient(RUNNING, DOWN, DOWN, DOWN), Clock())

    def test_an_error_that_time_does_not_mend_ends_it_at_once(self):
        clock = Clock()
        with pytest.raises(NebulaExplorerNotFoundError):
            wait(ScriptedClient(GONE), clock)
        assert clock.pauses == []


class TestTheDefaultInterval:
    def test_the_pauses_grow_with_the_time_waited(self):
        clock = Clock()
        wait(ScriptedClient(*[RUNNING] * 9, DONE), clock, interval=Interval.of(None))
        assert clock.pauses == pytest.approx([1, 1, 1, 1, 1, 1, 1.2, 1.44, 1.728])

    def test_they_grow_to_30_s(self):
        clock = Clock()
        wait(ScriptedClient(*[RUNNING] * 40, DONE), clock, interval=Interval.of(None))
        assert clock.pauses[-5:] == [30] * 5

    @pytest.mark.parametrize(("seconds", "pause"), [(100, 20), (3600, 30), (-50, 1)])
    def test_a_wait_that_resumes_goes_on_with_the_age_of_its_job(self, seconds, pause):
        now = RUNNING.create_time.timestamp() + seconds
        clock = Clock()
        wait(ScriptedClient(RUNNING, DONE, server_time=now), clock, interval=Interval.of(None))
        assert clock.pauses == pytest.approx([pause])

    def test_after_a_failed_poll_the_pause_is_the_longest(self):
        clock = Clock()
        wait(ScriptedClient(RUNNING, DOWN, RUNNING, DONE), clock, interval=Interval.of(None))
        assert clock.pauses == pytest.approx([1, 30, 6.2])


class TestJobPoller:
    def test_a_failed_poll_shows_nothing_and_is_logged(self, caplog):
        caplog.set_level(logging.WARNING)
        poller = JobPoller(ScriptedClient(DOWN, RUNNING), "1964", max_failures=3)
        assert (poller.poll(), poller.failed_polls) == (None, 1)
        assert (poller.poll(), poller.failed_polls) == (RUNNING, 0)
        assert lines(caplog) == ["Poll 1 of 3 for job 1964 failed, will poll again: no response"]

    def test_a_change_is_logged_with_the_time_since_the_last(self, caplog):
        caplog.set_level(logging.INFO)
        clock = Clock()
        poller = JobPoller(ScriptedClient(RUNNING, RUNNING, DONE), 1964, max_failures=3, clock=clock)
        for _ in range(3):
            poller.poll()
            clock.sleep(40)
        name = "Job 1964 (workflow_xkkjf_20220712103332)"
        assert lines(caplog)[:2] == [f"{name} is RUNNING.", f"{name} is SUCCESS."]
        assert "BFS" in lines(caplog)[-1]

    def test_a_task_that_changes_is_logged_with_the_age_of_the_job(self, caplog):
        caplog.set_level(logging.INFO)
        began = [{"id": "a", "name": "query_1", "status": 2}, {"id": "b", "name": "pagerank_1", "status": 1}]
        client = ScriptedClient(RUNNING, a_job(1, tasks=began), a_job(1, tasks=began))
        client.server_time = RUNNING.create_time.timestamp() + 41 * 60
        poller = JobPoller(client, 1964, max_failures=3, clock=Clock())
        for _ in range(3):
            poller.poll()
        assert lines(caplog)[1:] == [
            "Job 1964, task query_1: SUCCESS; 1 of 2 done, after 41 min",
            "Job 1964, task pagerank_1: RUNNING; 1 of 2 done, after 41 min",
        ]

    def test_a_wrong_id_is_refused_before_any_request(self):
        with pytest.raises(NebulaExplorerConfigError, match="job_id is"):
            JobPoller(ScriptedClient(), "../1", max_failures=3)


class TestWorkflowPoller:
    @staticmethod
    def poller(*results, **changes):
        client = ScriptedClient(*results)
        arguments = {"name": None, "created_after": None, "max_failures": 3, **changes}
        return client, WorkflowPoller(client, "5", **arguments)

    def test_it_returns_the_details_of_the_first_success(self):
        listed = a_job(2, workflowId="5", tasks=[])
        client, poller = self.poller(Page((), 0, 1, 0), Page((listed,), 1, 1, 7), DONE)
        assert poller.poll() is None
        assert poller.poll() is DONE
        assert client.requested == ["workflows/5/jobs", "workflows/5/jobs", "jobs/1964"]

    def test_its_failed_polls_name_the_workflow(self):
        _, poller = self.poller(DOWN, DOWN, DOWN)
        assert [poller.poll(), poller.poll()] == [None, None]
        with pytest.raises(NebulaExplorerConnectionError, match="Cannot observe workflow 5: 3 polls"):
            poller.poll()

    @pytest.mark.parametrize("wrong", [{"name": ""}, {"created_after": "yesterday"}])
    def test_a_wrong_argument_is_refused_before_any_request(self, wrong):
        with pytest.raises(NebulaExplorerConfigError, match=f"{next(iter(wrong))} is"):
            self.poller(**wrong)


class TestPollUntilSeen:
    def test_a_poll_that_fails_is_repeated_after_a_pause(self):
        clock, client = Clock(), ScriptedClient(DOWN, DOWN, DONE)
        failed_polls = FailedPolls("job 1964", 3)
        fetch = partial(client.run, get_job(1964))
        assert poll_until_seen(fetch, failed_polls, pause=15, sleep=clock.sleep) is DONE
        assert clock.pauses == [15, 15]

    def test_the_limit_ends_it(self):
        clock, numbers = Clock(), itertools.count()

        def fetch():
            next(numbers)
            raise DOWN

        with pytest.raises(NebulaExplorerConnectionError, match="4 polls in a row failed"):
            poll_until_seen(fetch, FailedPolls("it", 4, 1), pause=15, sleep=clock.sleep)
        assert next(numbers) == 3
        assert clock.pauses == [15, 15]


class TestJobOfEvent:
    def test_it_logs_the_end_as_a_poll_would(self, caplog):
        caplog.set_level(logging.INFO)
        assert job_of_event(job_event(DONE)) == DONE
        of_event, _ = lines(caplog), caplog.clear()
        JobPoller(ScriptedClient(DONE), 1964, max_failures=3).poll()
        assert of_event == lines(caplog)
        assert len(of_event) == 3

    def test_an_error_is_raised_as_it_was(self):
        with pytest.raises(NebulaExplorerNotFoundError, match="^gone$"):
            job_of_event(error_event({"job_id": 1964}, GONE))
