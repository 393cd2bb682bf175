# SPDX-License-Identifier: Apache-2.0
"""The outcome of a wait as JSON, so that another process gets the same job or the same error."""

from __future__ import annotations

from typing import Literal, get_args

from airflow_provider_nebula_explorer import exceptions
from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerApiError,
    NebulaExplorerConnectionError,
    NebulaExplorerError,
    NebulaExplorerLoginError,
)
from airflow_provider_nebula_explorer.explorer.models import Job, JsonObject, number_in, parse_job, show

TimeLimit = Literal["timeout", "execution_timeout"]
"""Airflow's names of two limits: of a sensor's wait, and of a task's whole time."""


def job_event(job: Job, link: str | None = None) -> JsonObject:
    """Return the event of a wait whose job has reached what it waited for.

    :param link: the address of the job's page; ``None`` if whoever gets the event knows it.
    """
    return {"job_id": job.id, "job": job.data} | ({} if link is None else {"link": link})


def seen_job(job: Job) -> JsonObject:
    """Return the part of a job that another process needs to find it in lists, and that lists show."""
    return {key: job.data.get(key) for key in ("id", "status", "workflowId", "createTime")}


def error_event(subject: JsonObject, error: Exception) -> JsonObject:
    """Return the event of a wait that ended in an error.

    :param subject: what was waited for, as ``{"job_id": 1964}``.
    """
    fields: JsonObject = {"class": type(error).__name__, "text": str(error)}
    if isinstance(error, NebulaExplorerApiError):
        fields |= {name: getattr(error, name) for name in _API_FIELDS}
    if isinstance(error, _SAYING_TRANSIENT):
        fields["transient"] = error.is_transient
    return {**subject, "error": fields}


def timeout_event(subject: JsonObject, limit: TimeLimit) -> JsonObject:
    """Return the event of a wait that ran out of time.

    :param limit: which of the task's limits it was.
    """
    return {**subject, "timed_out": limit}


def timed_out(event: object) -> TimeLimit | None:
    """Return which limit ended a wait; ``None`` if something else did."""
    limit = event.get("timed_out") if isinstance(event, dict) else None
    return next((known for known in get_args(TimeLimit) if known == limit), None)


def read_job(event: object) -> Job:
    """Return the job that an event contains.

    :param event: the payload of a trigger's event, as Airflow passes it to the method that resumes a task.
    :raises NebulaExplorerError: the error that the event contains, of the same class and with the same text.
    """
    if isinstance(event, dict) and isinstance(event.get("error"), dict):
        raise _error(event["error"])
    job = _job_in(event)
    if job is None:
        raise _unreadable(event)
    return job


def check_subject(event: object, kind: Literal["job", "workflow"], number: int) -> None:
    """Make sure that an event is about what its task waits for.

    :param number: the id of the job or the workflow.
    :raises NebulaExplorerError: if it is about another one, or no event of this package's.
    """
    if not isinstance(event, dict):
        raise _unreadable(event)
    job = _job_in(event)
    if job is None:
        found = number_in(str(event.get(f"{kind}_id")))
    else:
        found = job.id if kind == "job" else number_in(job.workflow_id)
    if found not in (number, None):  # where it is no id, the wait failed for that, and its error says so
        raise NebulaExplorerError(
            f"The trigger's event is about {kind} {found}, but the task waits for {kind} {number}: the event "
            "is not believed. Retry the task, or clear it."
        )


def limits_in(event: JsonObject) -> tuple[float | None, float | None]:
    """Return the limits of the wait that an error's event contains, as the trigger got them.

    :raises NebulaExplorerError: if they cannot be read.
    """
    limits = event.get("limits", [None, None])
    if isinstance(limits, list) and len(limits) == 2 and all(map(_is_moment, limits)):
        return limits[0], limits[1]
    raise _unreadable(event)


def _is_moment(value: object) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def _job_in(event: object) -> Job | None:
    """Return the job that an event contains; ``None`` if there is none.

    :raises NebulaExplorerError: if there is one that cannot be read, or that is another one than the event's.
    """
    if not isinstance(event, dict) or "job" not in event:
        return None
    try:
        job = parse_job(event["job"])
    except ValueError:
        raise _unreadable(event) from None
    if event.get("job_id") != job.id:
        raise _unreadable(event)
    return job


def _unreadable(event: object) -> NebulaExplorerError:
    return NebulaExplorerError(
        f"The trigger's event is {show(event)}, which this version cannot read. Do the triggerer and the "
        "workers have the same version of this package?"
    )


def _error(fields: JsonObject) -> NebulaExplorerError:
    name, text = str(fields.get("class")), str(fields.get("text"))
    kind = getattr(exceptions, name, None)
    if not (isinstance(kind, type) and issubclass(kind, NebulaExplorerError)):
        # A defect of the trigger: nothing says more than the error's own text.
        return NebulaExplorerError(f"The trigger failed: {name}: {text}")
    names = [*_API_FIELDS] if issubclass(kind, NebulaExplorerApiError) else []
    if issubclass(kind, _SAYING_TRANSIENT):
        names.append("transient")
    return kind(text, **{name: fields[name] for name in names if name in fields})


_API_FIELDS = ("code", "message", "details", "http_status")
"""What an error of Explorer's says beyond its text; the event of an earlier version may lack some."""

_SAYING_TRANSIENT = (NebulaExplorerConnectionError, NebulaExplorerLoginError)
"""Errors of which not the class, but each of them says whether it is transient: a retry policy reads it."""
