"""How the outcome of a wait passes from one process to another: as JSON, with the same job or error."""

from __future__ import annotations

from typing import Literal, get_args

from airflow_provider_nebula_explorer import exceptions
from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerApiError,
    NebulaExplorerError,
)
from airflow_provider_nebula_explorer.explorer.models import Job, JsonObject, parse_job, show

TimeLimit = Literal["timeout", "execution_timeout"]
"""What Airflow calls the limits of a sensor's wait, and of a task's time in all."""


def job_event(job: Job, link: str | None = None) -> JsonObject:
    """Return the event of a wait that saw what it waited for.

    :param link: the address of the job's page; ``None`` if it is known.
    """
    return {"job_id": job.id, "job": job.data} | ({} if link is None else {"link": link})


def seen_job(job: Job) -> JsonObject:
    """Return what another process has to know of a job to find it again: the little of it that lists tell."""
    return {key: job.data.get(key) for key in ("id", "status", "workflowId", "createTime")}


def error_event(subject: JsonObject, error: Exception) -> JsonObject:
    """Return the event of a wait that ended in an error.

    :param subject: what was waited for, as ``{"job_id": 1964}``.
    """
    told: JsonObject = {"class": type(error).__name__, "text": str(error)}
    if isinstance(error, NebulaExplorerApiError):
        told |= {"code": error.code, "message": error.message, "http_status": error.http_status}
    return {**subject, "error": told}


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

    :raises NebulaExplorerError: the error that the event contains, of the same class and with the same text.
    """
    if isinstance(event, dict):
        if isinstance(event.get("error"), dict):
            raise _error(event["error"])
        if isinstance(event.get("job"), dict):
            return parse_job(event["job"])
    raise NebulaExplorerError(
        f"The trigger's event is {show(event)}, which this version cannot read. Do the triggerer and the "
        "workers have the same version of this package?"
    )


def _error(told: JsonObject) -> NebulaExplorerError:
    name, text = str(told.get("class")), str(told.get("text"))
    kind = getattr(exceptions, name, None)
    if not (isinstance(kind, type) and issubclass(kind, NebulaExplorerError)):
        # Not one of ours: a defect of the trigger, whose own words are the best that there is.
        return NebulaExplorerError(f"The trigger failed: {name}: {text}")
    if issubclass(kind, NebulaExplorerApiError):
        return kind(
            text, code=told.get("code"), message=told.get("message", ""), http_status=told.get("http_status")
        )
    return kind(text)
