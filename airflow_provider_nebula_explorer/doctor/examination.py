# SPDX-License-Identifier: Apache-2.0
"""A whole examination: the login, the trial if one is wanted, and all checks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from airflow_provider_nebula_explorer.doctor.check import Row, make
from airflow_provider_nebula_explorer.doctor.checks import all_checks
from airflow_provider_nebula_explorer.doctor.findings import Finding, Verdict, differs, unknown
from airflow_provider_nebula_explorer.doctor.prober import Prober
from airflow_provider_nebula_explorer.doctor.trial import Trial
from airflow_provider_nebula_explorer.exceptions import NebulaExplorerError, NebulaExplorerLoginError

NO_LOGIN = "no login"


@dataclass
class Examination:
    """What came of an examination.

    :param rows: one for each check, made or not.
    :param refusal: why there is no login, in the words of the connection's test; they name host and account.
    :param trial: the job that was started.
    """

    rows: list[Row] = field(default_factory=list)
    refusal: str = ""
    trial: Trial | None = None
    is_interrupted: bool = False

    def count(self, verdict: Verdict) -> int:
        """Return how many checks have a verdict."""
        return sum(row.finding.verdict is verdict for row in self.rows)


def examine(prober: Prober, workflow_id: int | None, progress: Callable[[str], None]) -> Examination:
    """Examine an Explorer.

    :param workflow_id: the workflow of which a job is started; ``None`` to read only.
    :param progress: called with what is done next.
    """
    examination = Examination()
    try:
        progress(all_checks()[0].name)
        prober.login()
        if workflow_id is not None:
            progress("a job of the workflow")
            examination.trial = Trial(prober, workflow_id)
            examination.trial.run()
        for check in all_checks(examination.trial):
            progress(check.name)
            examination.rows.append(make(check, prober))
    except NebulaExplorerError as error:
        examination.refusal = str(error)
        examination.rows.append(Row(all_checks()[0], _refusal(prober, error)))
        _leave_out_the_rest(examination, NO_LOGIN)
    except KeyboardInterrupt:
        examination.is_interrupted = True
        _leave_out_the_rest(examination, "interrupted")
    return examination


def _refusal(prober: Prober, error: NebulaExplorerError) -> Finding:
    seen = prober.last.describe() if prober.last else "no response"
    if isinstance(error, NebulaExplorerLoginError) and error.is_transient:
        seen += ", no room for another login"
    return differs(seen, "The package cannot be used: do what the error says.")


def _leave_out_the_rest(examination: Examination, reason: str) -> None:
    rest = all_checks(examination.trial)[len(examination.rows) :]
    examination.rows += [Row(check, unknown(reason)) for check in rest]
