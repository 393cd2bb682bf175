# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json

import pytest
from factories import settings
from in_memory import URL, InMemoryExplorer

from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerAmbiguousSubmitError,
    NebulaExplorerConnectionError,
    NebulaExplorerServerError,
)
from airflow_provider_nebula_explorer.explorer.client.api import add_job
from airflow_provider_nebula_explorer.explorer.client.sync_client import Client
from airflow_provider_nebula_explorer.explorer.settings import Account
from airflow_provider_nebula_explorer.explorer.starting.submit import PAUSES, STARTS, Intent, Submitter
from airflow_provider_nebula_explorer.explorer.waiting.outcome import MOST_SHOWN

LOST = "The response was lost."


@pytest.fixture
def explorer():
    explorer = InMemoryExplorer()
    with explorer.reachable():
        yield explorer


@pytest.fixture
def client(explorer):
    account = Account("root", "stand-in-secret", "graphd")
    return Client(settings(base_url=URL, account=account, max_retries=1), sleep=explorer.sleep)


@pytest.fixture
def submitter(explorer, client):
    return Submitter(client, max_failures=3, sleep=explorer.sleep, clock=lambda: explorer.now)


def submit(submitter):
    return submitter.submit(add_job(5), submitter.intend(5))


def test_an_accepted_start_takes_two_requests_beside_the_login(explorer, submitter):
    assert submit(submitter) == explorer.ours[0].id
    assert explorer.requests == ["connect", "list_workflow_jobs", "run_workflow"]


@pytest.mark.parametrize("before", [0, 1, 250])
def test_the_job_of_a_lost_response_is_adopted_and_that_is_logged(explorer, submitter, caplog, before):
    for _ in range(before):
        explorer.start_foreign()
        explorer.now += 30
    explorer.fates = ["lost"]
    assert submit(submitter) == explorer.ours[0].id
    assert len(explorer.ours) == 1
    assert "is the only job of workflow 5 that is new since then: adopting it." in caplog.text


def test_a_job_that_is_created_in_the_same_second_as_others_is_distinguished_from_them(explorer, submitter):
    for _ in range(60):
        explorer.start_foreign()
    explorer.fates = ["lost"]
    assert submit(submitter) == explorer.ours[0].id


def test_more_jobs_of_the_same_moment_than_a_page_shows_are_left_to_a_person(explorer, submitter):
    for _ in range(250):
        explorer.start_foreign()
    explorer.fates = ["lost"]
    with pytest.raises(NebulaExplorerAmbiguousSubmitError):
        submit(submitter)
    assert explorer.requests.count("run_workflow") == 1


@pytest.mark.parametrize("late_by", [1, 3, 12, 25])
def test_a_job_that_appears_a_little_late_is_adopted(explorer, submitter, late_by):
    explorer.fates, explorer.late_by = ["late"], late_by
    assert submit(submitter) == explorer.ours[0].id
    assert len(explorer.ours) == 1


@pytest.mark.parametrize("late_by", [1, 12, 25])
def test_a_job_that_appears_later_than_anothers_is_not_mixed_up_with_it(explorer, submitter, late_by):
    explorer.fates, explorer.late_by = ["late"], late_by
    intent = submitter.intend(5)
    other = explorer.start_foreign()
    with pytest.raises(NebulaExplorerAmbiguousSubmitError) as raised:
        submitter.submit(add_job(5), intent)
    assert {job.id for job in raised.value.candidates} == {other, explorer.ours[0].id}


@pytest.mark.parametrize("skew", [-7200, 7200])
def test_a_gateway_whose_clock_is_wrong_hides_no_job(explorer, submitter, skew, monkeypatch):
    from email.utils import formatdate

    monkeypatch.setattr("in_memory.formatdate", lambda now, **how: formatdate(now + skew, **how))
    explorer.fates = ["lost"]
    assert submit(submitter) == explorer.ours[0].id


@pytest.mark.parametrize("before", [1, 30, 150])
def test_a_clock_that_was_set_back_before_the_start_hides_no_job(explorer, submitter, before):
    for _ in range(before):
        explorer.start_foreign()
        explorer.now += 30
    explorer.now -= 7200
    explorer.fates = ["lost"]
    assert submit(submitter) == explorer.ours[0].id
    assert len(explorer.ours) == 1


def test_a_job_from_after_a_clock_was_set_back_is_not_taken_for_a_new_one(explorer, submitter):
    for _ in range(150):
        explorer.start_foreign()
        explorer.now += 30
    explorer.now -= 7200
    explorer.start_foreign()
    explorer.now += 30
    explorer.fates = ["reset"]
    assert submit(submitter) == explorer.ours[0].id


@pytest.mark.parametrize("before", [1, 150])
@pytest.mark.parametrize("back", [90, 7200])
def test_a_clock_that_is_set_back_during_the_start_hides_no_job(explorer, submitter, before, back):
    for _ in range(before):
        explorer.start_foreign()
        explorer.now += 30
    intent = submitter.intend(5)
    explorer.now -= back
    explorer.fates = ["lost"]
    assert submitter.submit(add_job(5), intent) == explorer.ours[0].id
    assert len(explorer.ours) == 1


def test_a_clock_that_is_set_back_for_a_while_hides_no_job(explorer, client):
    jumps = [0, 7200, 0, 0, 0, 0]

    def sleep(seconds):
        explorer.sleep(seconds)
        explorer.now += jumps.pop(0)

    submitter = Submitter(client, max_failures=3, sleep=sleep, clock=lambda: 0)
    explorer.start_foreign()
    intent = submitter.intend(5)
    explorer.now -= 7200
    explorer.fates = ["lost"]
    assert submitter.submit(add_job(5), intent) == explorer.ours[0].id
    assert len(explorer.ours) == 1


@pytest.mark.parametrize("late_by", [1, 12])
def test_a_clock_that_is_put_forward_during_the_start_hides_no_job(explorer, client, late_by):
    submitter = Submitter(client, max_failures=3, sleep=explorer.sleep, clock=lambda: 0)
    explorer.start_foreign()
    intent = submitter.intend(5)
    explorer.now += 7200
    explorer.fates, explorer.late_by = ["late"], late_by
    assert submitter.submit(add_job(5), intent) == explorer.ours[0].id
    assert len(explorer.ours) == 1


@pytest.mark.parametrize(
    "broken",
    [
        {"since": "noon"},
        {"since": [1]},
        {"requested_at": "noon"},
        {"requested_at": 1e30},
        {"noted_at": "noon"},
        {"known": [float("inf")]},
    ],
)
def test_a_broken_intent_is_none(submitter, broken):
    intent = submitter.intend(5)
    noted = intent.to_json()
    assert Intent.from_json(noted) == intent
    with pytest.raises(ValueError, match="not an intent|invalid literal|could not convert"):
        Intent.from_json({**noted, **broken})


def test_a_refusal_after_a_lost_response_leaves_the_first_start_ambiguous(explorer, submitter):
    explorer.fates = ["shed", "refused"]
    with pytest.raises(NebulaExplorerAmbiguousSubmitError, match="requested again: .*50004002"):
        submit(submitter)


def test_the_next_start_expects_the_job_of_the_one_before_for_a_while(explorer, submitter):
    intent = submitter.intend(5)
    other = explorer.start_foreign()
    submitter.intend(5)
    again = submitter.intend_again(intent)
    assert (again.known, again.requested_at > intent.requested_at - 1) == ((), True)
    explorer.now += 700
    submitter.intend(5)
    assert submitter.intend_again(intent).known == (other,)


@pytest.mark.parametrize("fate", ["reset", "shed"])
def test_a_start_that_made_no_job_is_requested_again(explorer, submitter, fate):
    explorer.fates = [fate]
    begun = explorer.now
    assert submit(submitter) == explorer.ours[0].id
    assert len(explorer.ours) == 1
    assert explorer.now - begun > sum(PAUSES)


def test_a_start_that_never_arrived_is_repeated_at_once(explorer, submitter):
    explorer.fates = ["unreachable"]
    begun = explorer.now
    assert submit(submitter) == explorer.ours[0].id
    assert explorer.now - begun < 5


def test_a_start_that_never_arrives_is_an_error(explorer, submitter):
    explorer.fates = ["unreachable"] * 9
    with pytest.raises(NebulaExplorerConnectionError):
        submit(submitter)
    assert explorer.ours == []


def test_a_refused_start_is_an_error(explorer, submitter):
    explorer.fates = ["refused"]
    with pytest.raises(NebulaExplorerServerError):
        submit(submitter)
    assert explorer.requests.count("run_workflow") == 1


def test_several_new_jobs_are_named_and_none_is_started(explorer, submitter):
    explorer.fates = ["lost"]
    intent = submitter.intend(5)
    other = explorer.start_foreign()
    with pytest.raises(NebulaExplorerAmbiguousSubmitError) as raised:
        submitter.submit(add_job(5), intent)
    assert [job.id for job in raised.value.candidates] == [explorer.ours[0].id, other]
    for job in raised.value.candidates:
        assert f"Job {job.id} ({job.name}), created 2023-11-14 22:13:20 UTC, RUNNING" in str(raised.value)
    assert "No other job was started." in str(raised.value)
    assert explorer.requests.count("run_workflow") == 1


def test_of_very_many_new_jobs_a_screen_full_is_named(explorer, submitter):
    explorer.fates = ["lost"]
    intent = submitter.intend(5)
    for _ in range(MOST_SHOWN + 9):
        explorer.start_foreign()
    with pytest.raises(NebulaExplorerAmbiguousSubmitError, match="RUNNING, and 10 more. No other") as raised:
        submitter.submit(add_job(5), intent)
    assert str(raised.value).count("created 2023") == MOST_SHOWN
    assert len(raised.value.candidates) == MOST_SHOWN + 10


class Claims:
    """What others claim; they claim ``too_late`` right after a claim of ours."""

    def __init__(self, too_late=()):
        self.ids = []
        self.too_late = too_late

    def claimed(self):
        return self.ids

    def claim(self, job_id):
        self.ids += [job_id, *self.too_late]


def test_a_job_that_another_claims_is_no_candidate(explorer, client):
    claims = Claims()
    submitter = Submitter(client, max_failures=3, sleep=explorer.sleep, claims=claims)
    intent = submitter.intend(5)
    claims.ids.append(explorer.start_foreign())
    explorer.fates = ["lost"]
    assert submitter.submit(add_job(5), intent) == explorer.ours[0].id


def test_a_job_that_another_claims_a_little_later_is_no_candidate(explorer, client):
    claims = Claims()

    def sleep(seconds):
        claims.ids.append(other)
        explorer.sleep(seconds)

    submitter = Submitter(client, max_failures=3, sleep=sleep, claims=claims)
    intent = submitter.intend(5)
    other = explorer.start_foreign()
    explorer.fates = ["reset"]
    assert submitter.submit(add_job(5), intent) == explorer.ours[0].id


def test_a_job_that_two_take_at_once_is_left_to_a_person(explorer, client):
    submitter = Submitter(client, max_failures=3, sleep=explorer.sleep, claims=Claims(too_late=[101]))
    explorer.fates = ["lost"]
    with pytest.raises(
        NebulaExplorerAmbiguousSubmitError, match="Another task also claims the only job that matches"
    ) as raised:
        submit(submitter)
    assert [job.id for job in raised.value.candidates] == [101]
    assert explorer.requests.count("run_workflow") == 1


@pytest.mark.parametrize(("fate", "candidates"), [("lost", 1), ("reset", 0)])
def test_a_lost_response_may_be_left_to_a_person(explorer, client, fate, candidates):
    submitter = Submitter(client, max_failures=3, sleep=explorer.sleep, reconciles=False)
    explorer.fates = [fate]
    with pytest.raises(NebulaExplorerAmbiguousSubmitError) as raised:
        submit(submitter)
    assert len(raised.value.candidates) == candidates
    assert explorer.requests.count("run_workflow") == 1


def test_after_three_lost_responses_without_a_job_there_is_no_further_start(explorer, submitter):
    explorer.fates = ["shed"] * 9
    with pytest.raises(NebulaExplorerAmbiguousSubmitError, match="the last of 3 requests"):
        submit(submitter)
    assert explorer.requests.count("run_workflow") == STARTS


def test_polls_that_fail_delay_the_search(explorer, submitter, caplog):
    explorer.fates = ["lost"]
    intent = submitter.intend(5)
    explorer.broken_polls = 4  # two polls, each with one retry
    assert submitter.submit(add_job(5), intent) == explorer.ours[0].id
    assert "Poll 2 of 3 for the new jobs of workflow 5 failed" in caplog.text


def test_a_start_whose_jobs_cannot_be_listed_stays_ambiguous(explorer, submitter):
    explorer.fates = ["lost"]
    intent = submitter.intend(5)
    explorer.broken_polls = 100
    with pytest.raises(
        NebulaExplorerAmbiguousSubmitError, match="cannot be determined: Cannot observe"
    ) as raised:
        submitter.submit(add_job(5), intent)
    assert raised.value.candidates == ()
    assert explorer.requests.count("run_workflow") == 1


def test_a_job_of_an_hour_later_is_not_the_job_of_a_start(explorer, submitter):
    intent = submitter.intend(5)
    explorer.now += 3700
    explorer.start_foreign()
    assert submitter.find(intent, LOST) is None


def test_long_after_a_start_no_job_of_it_is_on_its_way(explorer, submitter):
    intent = submitter.intend(5)
    explorer.now += 700
    begun = explorer.now
    assert submitter.find(intent, LOST) is None
    assert explorer.now - begun < 1


def test_an_explorer_whose_responses_have_no_date_is_waited_for(explorer, submitter, monkeypatch):
    monkeypatch.setattr("in_memory.formatdate", lambda *_, **__: "")
    intent = submitter.intend(5)
    assert intent.requested_at is None
    explorer.start_foreign()
    assert submitter.find(intent, LOST) is not None


def test_a_clock_that_is_put_back_hides_no_job(explorer, submitter):
    explorer.start_foreign()
    intent = submitter.intend(5)
    explorer.now -= 30
    explorer.fates = ["lost"]
    assert submitter.submit(add_job(5), intent) == explorer.ours[0].id


def test_an_intent_survives_being_stored(submitter):
    intent = submitter.intend(5)
    stored = json.loads(json.dumps(intent.to_json()))
    assert stored == intent.to_json()
    assert Intent.from_json(stored) == intent


@pytest.mark.parametrize("data", [{}, {"workflow_id": 5}, {"workflow_id": 5, "known": 7}])
def test_what_is_no_intent_is_refused(data):
    with pytest.raises(ValueError, match="not an intent"):
        Intent.from_json(data)
