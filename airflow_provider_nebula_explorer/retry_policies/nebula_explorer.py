# SPDX-License-Identifier: Apache-2.0
"""Which of Explorer's errors are worth a retry of the task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerBadRequestError,
    NebulaExplorerConfigError,
    NebulaExplorerConnectionError,
    NebulaExplorerError,
    NebulaExplorerForbiddenError,
    NebulaExplorerJobError,
    NebulaExplorerNotFoundError,
    NebulaExplorerServerError,
)
from airflow_provider_nebula_explorer.explorer.arguments import parse_word

try:
    from airflow.sdk import RetryPolicy
except ImportError:  # Airflow before 3.3
    RetryPolicy = None  # type: ignore[assignment, misc]

if TYPE_CHECKING:
    from airflow.sdk.definitions.retry_policy import RetryDecision

_LASTING = (
    NebulaExplorerBadRequestError,
    NebulaExplorerConfigError,
    NebulaExplorerConnectionError,
    NebulaExplorerForbiddenError,
    NebulaExplorerNotFoundError,
    NebulaExplorerServerError,
)
"""Errors that are the same after a retry, unless they say that they are transient."""


class NebulaExplorerRetryPolicy(RetryPolicy or object):  # type: ignore[misc]
    """Fails a task at once if a retry would meet the same error; otherwise its ``retries`` decide.

    For ``retry_policy`` of any task, and of ``default_args`` (Airflow 3.3 and later):

    * a wrong argument or connection field, a refused request, a missing job or workflow, a missing
      permission, an expired license, a TLS or address error: the task fails;
    * Explorer cannot be reached, is overloaded, has an internal error or no room for another login: the task
      is retried;
    * everything else, such as a job that failed or a login that was refused (which is also what Explorer does
      while graphd is down): the task's own ``retries`` decide.

    :param failed_jobs: whether the task's own ``retries`` decide on a job that failed (``default``), or the
        task fails at once (``fail``), so that retries serve lost tasks alone.
    :raises NebulaExplorerConfigError: if this Airflow has no retry policies.
    """

    def __init__(self, failed_jobs: str = "default") -> None:
        if RetryPolicy is None:
            raise NebulaExplorerConfigError(
                "NebulaExplorerRetryPolicy needs Airflow 3.3 or newer, as older ones have no retry policies. "
                "Omit retry_policy there."
            )
        self.failed_jobs = parse_word("failed_jobs", failed_jobs, ("default", "fail"))

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Any = None
    ) -> RetryDecision:
        """Decide on one error; the other parameters are ignored."""
        from airflow.sdk.definitions.retry_policy import RetryDecision

        if not isinstance(exception, NebulaExplorerError):
            return RetryDecision.default()
        if exception.is_transient:
            return RetryDecision.retry(reason="Explorer may respond a little later.")
        if isinstance(exception, NebulaExplorerJobError) and self.failed_jobs == "fail":
            return RetryDecision.fail("The job failed, and failed_jobs is fail: no retry runs another one.")
        if isinstance(exception, _LASTING):
            return RetryDecision.fail(f"A retry would fail with the same {type(exception).__name__}.")
        return RetryDecision.default()

    def serialize(self) -> dict[str, Any]:
        """Return what a DAG's serialized form holds of it."""
        name = f"{type(self).__module__}.{type(self).__qualname__}"
        return {"__type": name, "failed_jobs": self.failed_jobs}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> NebulaExplorerRetryPolicy:
        """Return the policy."""
        return cls(data.get("failed_jobs", "default"))
