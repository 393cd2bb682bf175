# SPDX-License-Identifier: Apache-2.0
"""What is assumed of a job that is started and cancelled; each is seen of one trial."""

from __future__ import annotations

from collections.abc import Callable

from airflow_provider_nebula_explorer.doctor.check import Check
from airflow_provider_nebula_explorer.doctor.findings import CannotTryError, Finding, differs, ok
from airflow_provider_nebula_explorer.doctor.list_checks import REPORT
from airflow_provider_nebula_explorer.doctor.observation import Observation, kind_of
from airflow_provider_nebula_explorer.doctor.prober import Prober
from airflow_provider_nebula_explorer.doctor.trial import Trial
from airflow_provider_nebula_explorer.explorer.models import JobStatus, parse_time

_PLACES = {JobStatus.PREPARING: 0, JobStatus.RUNNING: 1, JobStatus.STOPPING: 2}
_LAST = 3
_CLOSE_SECONDS = 3
_NOT_ENDED = "the job did not end within 20 s"


def new_id(trial: Trial) -> Finding:
    """See how the new job's id is written."""
    if trial.started is None:
        raise CannotTryError(trial.trouble)
    data = trial.started.data()
    kind = kind_of(data.get("id")) if isinstance(data, dict) else "missing"
    if trial.job_id is not None:
        return ok(kind)
    return differs(kind, f"The package cannot tell which job it started, and looks for it. {REPORT}")


def in_details(trial: Trial) -> Finding:
    """See how soon the new job can be fetched."""
    return _soon(trial, trial.in_details_after, "A wait that begins at once may fail.")


def in_list(trial: Trial) -> Finding:
    """See how soon the new job is in the list of its workflow."""
    advice = "Where the response to a start is lost, its job may be overlooked, and another one started."
    return _soon(trial, trial.in_list_after, advice)


def _soon(trial: Trial, seconds: float | None, advice: str) -> Finding:
    _check_started(trial)
    if seconds is None and trial.trouble:
        raise CannotTryError(trial.trouble)
    if seconds is None:
        return differs("not within some seconds", f"{advice} {REPORT}")
    if seconds > 1:
        return differs(f"after {seconds:.1f} s", f"{advice} {REPORT}")
    return ok(f"after {seconds:.1f} s")


def create_time(trial: Trial) -> Finding:
    """See whether ``createTime`` and the ``Date`` header are by one clock."""
    _check_started(trial)
    created = parse_time((trial.data or {}).get("createTime"))
    date = trial.started.server_time if trial.started else None
    if created is None or date is None:
        raise CannotTryError(trial.trouble or "one of the two is missing")
    difference = round(created.timestamp() - date)
    if abs(difference) > _CLOSE_SECONDS:
        return differs(
            f"{difference:+d} s",
            "Where the response to a start is lost, the package looks for its job by the time that Date "
            f"tells, and may overlook it. Does a gateway write Date? {REPORT}",
        )
    return ok(f"{difference:+d} s")


def passed(trial: Trial) -> Finding:
    """See which statuses the job passes."""
    _check_started(trial)
    if not trial.statuses:
        raise CannotTryError(trial.trouble or "the job was not found")
    names = ", ".join(status.name if status.is_known else "an unknown one" for status in trial.statuses)
    places = [_PLACES.get(status, _LAST) for status in trial.statuses]
    if all(status.is_known for status in trial.statuses) and places == sorted(set(places)):
        return ok(names)
    return differs(names, f"A wait may end before the job does, or never. {REPORT}")


def cancel(trial: Trial) -> Finding:
    """See how the cancellation of a job that runs is answered."""
    seen = _sent(trial, trial.cancel)
    data = (seen.envelope or {}).get("data")
    has_succeeded = isinstance(data, dict) and data.get("success") is True
    if seen.response.status == 200 and seen.code == 0 and has_succeeded:
        return ok("HTTP 200, code 0, success: true")
    if seen.code == 0:
        return differs(
            f"{seen.describe()}{'' if has_succeeded else ', without success: true'}",
            "Nothing to do: the package needs code 0.",
        )
    return differs(
        seen.describe(), f"Jobs cannot be cancelled, and tasks that are killed leave theirs behind. {REPORT}"
    )


def cancel_again(trial: Trial) -> Finding:
    """See how the cancellation of a job that is stopping is answered."""
    seen = _sent(trial, trial.cancel_again)
    if seen.code == 0:
        return ok(seen.describe())
    return differs(
        seen.describe(),
        "Nothing to do: after a refusal, the package looks whether the job is stopping already.",
    )


def cancelled_end(trial: Trial) -> Finding:
    """See how a job that was cancelled ends."""
    _sent(trial, trial.cancel if trial.is_cancelled else None)
    if not trial.is_final:
        raise CannotTryError(trial.trouble or _NOT_ENDED)
    end = trial.statuses[-1]
    if end is JobStatus.INTERRUPTED:
        return ok(end.name)
    return differs(
        end.name, "If it did not end by itself just then, tasks take a cancelled job for one that ended so."
    )


def cancel_final(trial: Trial) -> Finding:
    """See how the cancellation of a job that has ended is answered."""
    _check_started(trial)
    seen = trial.cancel_final
    if seen is None:
        raise CannotTryError(trial.trouble or _NOT_ENDED)
    if seen.category == 400:
        return ok(seen.describe())
    return differs(
        seen.describe(),
        "Nothing to do: the package looks at the job's status before it says that a job has ended.",
    )


def _check_started(trial: Trial) -> None:
    if trial.job_id is None:
        raise CannotTryError(trial.trouble or "no job was started")


def _sent(trial: Trial, seen: Observation | None) -> Observation:
    _check_started(trial)
    if seen is None and trial.cancel is not None and not trial.is_cancelled:
        raise CannotTryError("the cancellation was refused")
    if seen is None:
        raise CannotTryError(trial.trouble or "the job ended before it could be cancelled")
    return seen


_SEEN_OF_A_TRIAL: tuple[tuple[str, str, Callable[[Trial], Finding]], ...] = (
    ("new job's id", "a number, or text of digits", new_id),
    ("new job in its details", "at once", in_details),
    ("new job in the list", "at once", in_list),
    ("createTime and Date", "by one clock", create_time),
    ("statuses passed", "Preparing, Running, Stopping, an end", passed),
    ("cancel", "HTTP 200, code 0, success: true", cancel),
    ("cancel while stopping", "code 0", cancel_again),
    ("end of a cancelled job", "INTERRUPTED", cancelled_end),
    ("cancel of a job that has ended", "refused with a code of 400", cancel_final),
)


def run_checks(trial: Trial | None) -> tuple[Check, ...]:
    """Return the checks of a trial; without one, none can be tried."""
    return tuple(Check(name, assumed, _seen_of(trial, see)) for name, assumed, see in _SEEN_OF_A_TRIAL)


def _seen_of(trial: Trial | None, see: Callable[[Trial], Finding]) -> Callable[[Prober], Finding]:
    def make(_: Prober) -> Finding:
        if trial is None:
            raise CannotTryError("needs --run")
        return see(trial)

    return make
