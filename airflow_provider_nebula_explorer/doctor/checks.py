# SPDX-License-Identifier: Apache-2.0
"""The table: every assumption that can be tried."""

from __future__ import annotations

from airflow_provider_nebula_explorer.doctor.check import Check
from airflow_provider_nebula_explorer.doctor.envelope_checks import ENVELOPE_CHECKS, PATH_CHECKS
from airflow_provider_nebula_explorer.doctor.filter_checks import FILTER_CHECKS
from airflow_provider_nebula_explorer.doctor.job_checks import JOB_CHECKS
from airflow_provider_nebula_explorer.doctor.list_checks import LIST_CHECKS
from airflow_provider_nebula_explorer.doctor.login_checks import LOGIN_CHECKS
from airflow_provider_nebula_explorer.doctor.network_checks import CLOCK_CHECKS, WAY_CHECKS
from airflow_provider_nebula_explorer.doctor.run_checks import run_checks
from airflow_provider_nebula_explorer.doctor.trial import Trial


def all_checks(trial: Trial | None = None) -> tuple[Check, ...]:
    """Return all checks, in their order; the first one is the login's.

    :param trial: a job that was started for them; ``None`` where none was.
    """
    return (
        *LOGIN_CHECKS,
        *WAY_CHECKS,
        *PATH_CHECKS,
        *LIST_CHECKS,
        *FILTER_CHECKS,
        *JOB_CHECKS,
        *run_checks(trial),
        # These judge all responses so far.
        *ENVELOPE_CHECKS,
        *CLOCK_CHECKS,
    )
