# SPDX-License-Identifier: Apache-2.0
"""How long a deferred task may wait: Airflow's own limits do not end a wait as they end one in a worker."""

from __future__ import annotations

import logging
import math
import os
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import AirflowTaskTimeout

from airflow_provider_nebula_explorer.triggers.resumption import seconds_before_resumption

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator

log = logging.getLogger(__name__)

MARGIN_SECONDS = 60.0
"""Airflow's timeout of a deferral comes this much after the trigger's own limit. It must not come first: it
resumes no code of the task, so the job would not be cancelled."""

_LEAST_SECONDS = 5.0
"""What ``execution_timeout`` leaves to a wait at least, as a triggerer that was down may begin it late."""


@dataclass(frozen=True)
class TimeLimits:
    """The moments, in epoch seconds, when a task's limits end its wait; ``None``: never.

    :param timeout_at: a sensor's ``timeout``; the wait ends after a last poll.
    :param execution_timeout_at: a task's ``execution_timeout``; the wait ends at once.
    """

    timeout_at: float | None = None
    execution_timeout_at: float | None = None

    @classmethod
    def of(cls, task: BaseOperator) -> TimeLimits:
        """Return the limits of a task that begins now."""
        timeout: float | None = getattr(task, "timeout", None)
        execution = task.execution_timeout
        return cls(
            None if timeout is None else time.time() + timeout,
            None if execution is None else time.time() + execution.total_seconds(),
        )

    @property
    def is_timeout_over(self) -> bool:
        """Whether a sensor's ``timeout`` has passed."""
        return self.timeout_at is not None and time.time() > self.timeout_at

    @property
    def deadline(self) -> float:
        """When a sensor's ``timeout`` ends the wait, on :func:`time.monotonic`'s clock."""
        return math.inf if self.timeout_at is None else time.monotonic() + self.timeout_at - time.time()

    @property
    def seconds_to_execute(self) -> float | None:
        """Seconds that ``execution_timeout`` leaves to a wait that begins now; ``None``: any number."""
        if self.execution_timeout_at is None:
            return None
        return max(self.execution_timeout_at - time.time(), _LEAST_SECONDS)

    @property
    def of_deferral(self) -> timedelta | None:
        """The limit to give to Airflow, for the case that no triggerer runs."""
        moments = [moment for moment in (self.timeout_at, self.execution_timeout_at) if moment is not None]
        if not moments:
            return None
        # The trigger holds its last event back, too.
        after = MARGIN_SECONDS + seconds_before_resumption()
        return timedelta(seconds=max(0.0, min(moments) - time.time()) + after)


def execution_timed_out(subject: str, limit: timedelta | None) -> AirflowTaskTimeout:
    """Return what Airflow raises in a worker when a task's ``execution_timeout`` is over, and log it.

    :param subject: what the task waited for, as ``job 1964``.
    """
    log.error("The task's execution_timeout of %s expired before %s was final.", limit, subject)
    return AirflowTaskTimeout(f"Timeout, PID: {os.getpid()}")
