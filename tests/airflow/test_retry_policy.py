# SPDX-License-Identifier: Apache-2.0
"""Which of our errors fail a task at once, and which are retried (Airflow 3.3 and later)."""

from __future__ import annotations

import pytest

from airflow_provider_nebula_explorer import exceptions
from airflow_provider_nebula_explorer.exceptions import NebulaExplorerConfigError
from airflow_provider_nebula_explorer.explorer.waiting.events import error_event, read_job
from airflow_provider_nebula_explorer.retry_policies import nebula_explorer
from airflow_provider_nebula_explorer.retry_policies.nebula_explorer import NebulaExplorerRetryPolicy

IS_ABLE = nebula_explorer.RetryPolicy is not None
needs_33 = pytest.mark.skipif(not IS_ABLE, reason="Airflow before 3.3 has no retry policies")


def decision(error):
    return NebulaExplorerRetryPolicy().evaluate(error, try_number=1, max_tries=3)


FAIL = [
    exceptions.NebulaExplorerConfigError("timeout is 'x'"),
    exceptions.NebulaExplorerBadRequestError(code=40004000, http_status=400),
    exceptions.NebulaExplorerForbiddenError(code=40304000, http_status=403),
    exceptions.NebulaExplorerNotFoundError(code=40404000, http_status=404),
    exceptions.NebulaExplorerServerError(code=exceptions.LICENCE_ERROR, http_status=500),
    exceptions.NebulaExplorerConnectionError("the certificate is not trusted", transient=False),
]
RETRY = [
    exceptions.NebulaExplorerConnectionError("connection refused"),
    exceptions.NebulaExplorerServerError(code=50004000, http_status=500),
    exceptions.NebulaExplorerApiError(http_status=429),
    exceptions.NebulaExplorerLoginError("no room", transient=True, code=40004000, http_status=400),
]
DEFAULT = [
    exceptions.NebulaExplorerJobError("Job 7 ended FAILED"),
    exceptions.NebulaExplorerLoginError(code=40004000, http_status=400),
    exceptions.NebulaExplorerAmbiguousSubmitError("lost"),
    exceptions.NebulaExplorerTimeoutError("too long"),
    exceptions.NebulaExplorerError("something else"),
    ValueError("not ours"),
]


@needs_33
@pytest.mark.parametrize(
    ("error", "action"),
    [(error, "fail") for error in FAIL]
    + [(error, "retry") for error in RETRY]
    + [(error, "default") for error in DEFAULT],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_an_error_is_retried_where_that_may_help(error, action):
    assert decision(error).action.value == action


@needs_33
@pytest.mark.parametrize("error", FAIL + RETRY, ids=lambda error: type(error).__name__)
def test_an_error_that_comes_from_the_triggerer_is_decided_on_as_one_of_the_worker(error):
    with pytest.raises(exceptions.NebulaExplorerError) as raised:
        read_job(error_event({"job_id": 7}, error))
    assert decision(raised.value).action == decision(error).action


@needs_33
def test_every_class_of_errors_has_been_decided_on():
    decided = {type(error) for error in FAIL + RETRY + DEFAULT}
    ours = {
        kind
        for kind in vars(exceptions).values()
        if isinstance(kind, type) and issubclass(kind, exceptions.NebulaExplorerError)
    }
    # A session that was refused right after its renewal is as a refused login.
    assert ours - decided == {exceptions.NebulaExplorerAuthError}


@needs_33
def test_a_decision_to_fail_says_why():
    assert decision(FAIL[0]).reason == "A retry would fail with the same NebulaExplorerConfigError."


@needs_33
def test_failed_jobs_may_fail_a_task_at_once():
    job_failed = exceptions.NebulaExplorerJobError("Job 7 ended FAILED")
    policy = NebulaExplorerRetryPolicy(failed_jobs="fail")
    for able in (policy, NebulaExplorerRetryPolicy.deserialize(policy.serialize())):
        assert able.evaluate(job_failed, try_number=1, max_tries=3).action.value == "fail"
        assert able.evaluate(RETRY[0], try_number=1, max_tries=3).action.value == "retry"


@needs_33
def test_another_word_for_failed_jobs_is_refused():
    with pytest.raises(NebulaExplorerConfigError, match="failed_jobs is 'retry'"):
        NebulaExplorerRetryPolicy(failed_jobs="retry")


@needs_33
def test_a_policy_survives_its_serialization():
    policy = NebulaExplorerRetryPolicy()
    assert isinstance(NebulaExplorerRetryPolicy.deserialize(policy.serialize()), NebulaExplorerRetryPolicy)


@pytest.mark.skipif(IS_ABLE, reason="this Airflow has retry policies")
def test_making_a_policy_is_an_error_on_an_airflow_that_has_none():
    with pytest.raises(NebulaExplorerConfigError, match=r"needs Airflow 3\.3 or newer"):
        NebulaExplorerRetryPolicy()
