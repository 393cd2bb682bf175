# SPDX-License-Identifier: Apache-2.0
"""The errors that are Airflow's as well as ours; :mod:`.exceptions` exports them, but imports no Airflow."""

from __future__ import annotations

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerAmbiguousSubmitError,
    NebulaExplorerJobError,
)


class NebulaExplorerFinalJobError(NebulaExplorerJobError, AirflowFailException):
    """A job that a sensor waits for ended in a status that is no target: a retry would see the same."""


class NebulaExplorerFinalAmbiguousSubmitError(NebulaExplorerAmbiguousSubmitError, AirflowFailException):
    """A task may have started a job: Airflow must not retry it, as that could start another."""


# No NebulaExplorerError, as it says nothing of a call: what handles those must not take it for a failed one.
class NebulaExplorerTaskKilledError(AirflowException):
    """The task was killed; in Airflow 3 its code runs for seconds after the signal."""
