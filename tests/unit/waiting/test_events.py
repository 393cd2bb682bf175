# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json

import pytest
from factories import a_job

from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerAuthError,
    NebulaExplorerConfigError,
    NebulaExplorerConnectionError,
    NebulaExplorerError,
    NebulaExplorerForbiddenError,
    NebulaExplorerLoginError,
    NebulaExplorerServerError,
)
from airflow_provider_nebula_explorer.explorer.waiting.events import (
    error_event,
    job_event,
    read_job,
    seen_job,
    timed_out,
    timeout_event,
)


def through_json(event):
    return json.loads(json.dumps(event))


def test_a_job_comes_back_as_it_was():
    job = a_job(3)
    event = through_json(job_event(job, "http://graph/"))
    assert read_job(event) == job
    assert (event["job_id"], event["link"]) == (1964, "http://graph/")


@pytest.mark.parametrize(
    "error",
    [
        NebulaExplorerConfigError("verify is 7; allowed: …"),
        NebulaExplorerConnectionError("Cannot observe job 7"),
        NebulaExplorerConnectionError("the certificate is not trusted", sent=False, transient=False),
        NebulaExplorerAuthError("refused", code=40004000, message="ErrBadRequest", http_status=400),
        NebulaExplorerLoginError("refused", code=40004000, details="wrong password", http_status=400),
        NebulaExplorerLoginError("no room", transient=True, code=40004000, http_status=400),
        NebulaExplorerForbiddenError("denied", code=40304000, message="ErrForbidden", http_status=403),
        NebulaExplorerServerError("licence", code=50004003, message="ErrInternalLicense", http_status=500),
    ],
)
def test_an_error_comes_back_as_it_was(error):
    with pytest.raises(NebulaExplorerError) as raised:
        read_job(through_json(error_event({"job_id": 7}, error)))
    assert type(raised.value) is type(error)
    assert str(raised.value) == str(error)
    for name in ("code", "message", "details", "http_status", "is_transient"):
        assert getattr(raised.value, name, None) == getattr(error, name, None)


def test_an_event_of_an_earlier_version_says_less_of_its_error():
    fields = {"class": "NebulaExplorerConnectionError", "text": "Cannot observe job 7"}
    with pytest.raises(NebulaExplorerConnectionError, match="Cannot observe job 7") as raised:
        read_job({"job_id": 7, "error": fields})
    assert raised.value.is_transient


def test_an_error_that_is_not_ours_keeps_its_words():
    with pytest.raises(NebulaExplorerError, match="The trigger failed: KeyError: 'x'"):
        read_job(through_json(error_event({"job_id": 7}, KeyError("x"))))


@pytest.mark.parametrize("event", [None, "done", {}, {"job": 7}, {"error": "x"}, {"status": "success"}])
def test_what_is_no_event_of_ours_is_an_error(event):
    with pytest.raises(NebulaExplorerError, match="cannot read"):
        read_job(event)


def test_a_limit_has_airflows_name():
    assert timed_out(through_json(timeout_event({"job_id": 7}, "execution_timeout"))) == "execution_timeout"
    assert timed_out(through_json(job_event(a_job(), ""))) is None
    assert timed_out({"timed_out": "tomorrow"}) is None


def test_a_seen_job_is_no_more_than_lists_show():
    assert seen_job(a_job(1)) == {
        "id": 1964,
        "status": 1,
        "workflowId": "3992429968",
        "createTime": 1657593212505,
    }
