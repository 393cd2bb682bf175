# SPDX-License-Identifier: Apache-2.0
"""What the log says of the cancelling of a job that nobody waits for any more."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerBadRequestError,
    NebulaExplorerNotFoundError,
)
from airflow_provider_nebula_explorer.explorer.waiting.outcome import LogLine


@dataclass(frozen=True)
class AbandonedJob:
    """A job that nobody waits for any more, so that it is cancelled.

    :param page: the address of its page; ``None`` if it is not known.
    :param reason: why nobody waits, as ``its task was ended``.
    """

    job_id: int | str
    page: str | None
    reason: str

    @property
    def announcement(self) -> LogLine:
        """What to log before the request, as Airflow gives a killed process no more than seconds."""
        return logging.INFO, f"Cancelling job {self.job_id}, as {self.reason}: {self.page}"

    def outcome(self, error: Exception | None) -> LogLine:
        """Return what to log after the request.

        :param error: why Explorer did not cancel the job; ``None`` if it accepted the request.
        """
        if error is None:
            return logging.INFO, f"Job {self.job_id} was cancelled, as {self.reason}."
        if isinstance(error, (NebulaExplorerBadRequestError, NebulaExplorerNotFoundError)):
            return logging.INFO, f"Job {self.job_id} was already final, stopping or gone when {self.reason}."
        text = f"Job {self.job_id} was not cancelled and may keep running, though {self.reason}: "
        where = f"cancel it in Explorer, {self.page}" if self.page else "cancel it in Explorer"
        return logging.ERROR, f"{text}{where}. {error}"
