# SPDX-License-Identifier: Apache-2.0
"""What is assumed of jobs and tasks: their fields, times and statuses, and a task's rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import timedelta

from airflow_provider_nebula_explorer.doctor.check import Check
from airflow_provider_nebula_explorer.doctor.findings import CannotTryError, Finding, differs, ok
from airflow_provider_nebula_explorer.doctor.list_checks import REPORT, newest
from airflow_provider_nebula_explorer.doctor.observation import Observation, is_number, kind_of
from airflow_provider_nebula_explorer.doctor.prober import Prober
from airflow_provider_nebula_explorer.explorer.client import api
from airflow_provider_nebula_explorer.explorer.client.protocol import Request
from airflow_provider_nebula_explorer.explorer.models import JobStatus, JsonObject, parse_time

_LARGEST_STATUS = 100
_FAR_ID = 1_000_000
_JOBS_TRIED = 3
_YEAR_2000_MS = 946_684_800_000


def _is_digits(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value.isdigit()


def _is_text(value: object) -> bool:
    return isinstance(value, str)


_ITEM: dict[str, Callable[[object], bool]] = {
    "id": is_number,
    "name": _is_text,
    "workflowId": _is_digits,
    "workflowName": _is_text,
    "status": is_number,
}
_TASK: dict[str, Callable[[object], bool]] = {
    "id": lambda value: isinstance(value, str) and re.fullmatch("[0-9a-f]{32}", value) is not None,
    "name": _is_text,
    "status": is_number,
}
_TIMES = ("createTime", "runBeginTime", "runEndTime")
_NOT_YET = {0: "0", None: "null", "": "an empty text", "0001-01-01T00:00:00Z": "Go's zero time"}
"""How a time that has not come yet may be written."""


def _odd_fields(data: JsonObject, fields: dict[str, Callable[[object], bool]]) -> list[str]:
    return [
        f"{name} is {kind_of(data[name]) if name in data else 'missing'}"
        for name, is_right in fields.items()
        if not is_right(data.get(name))
    ]


def item_fields(prober: Prober) -> Finding:
    """Try what a job in a list holds."""
    items = prober.list({}).items
    if not items:
        newest(prober)
    odd = sorted({text for item in items for text in _odd_fields(item, _ITEM)})
    if odd:
        return differs(", ".join(odd), f"The package may leave such jobs out. {REPORT}")
    return ok(f"in {len(items)} jobs")


def job_times(prober: Prober) -> Finding:
    """Try how a job's times are written."""
    times = [item.get(name) for item in newest(prober).items for name in _TIMES]
    come = [value for value in times if not _has_not_come(value)]
    if not come:
        raise CannotTryError("no time has come yet")
    latest = (prober.now() + timedelta(days=366).total_seconds()) * 1000
    odd = {kind_of(value) for value in come if not is_number(value)}
    if odd:
        return differs(
            f"{', '.join(sorted(odd))}", f"The package reads ISO 8601 text, too, and nothing else. {REPORT}"
        )
    if not all(_YEAR_2000_MS < int(str(value)) < latest for value in come):
        return differs(
            "numbers that are no milliseconds of this age", f"Times are wrong, and filters by time. {REPORT}"
        )
    return ok(f"{len(come)} times")


def _has_not_come(value: object) -> bool:
    return isinstance(value, (int, str, type(None))) and not isinstance(value, bool) and value in _NOT_YET


def times_not_come(prober: Prober) -> Finding:
    """Try how times are written that have not come: those of tasks and jobs that have not begun or ended."""
    jobs: Iterable[JsonObject] = newest(prober).items
    tasks = [
        task for seen in prober.observations if seen.endpoint == "job details" for task in _tasks_in(seen)
    ]
    values = [item.get(name) for item in (*jobs, *tasks) for name in ("runBeginTime", "runEndTime")]
    unread = [value for value in values if parse_time(value) is None]
    if not unread:
        raise CannotTryError("all times that were seen have come")
    odd = sorted({kind_of(value) for value in unread if not _has_not_come(value)})
    if odd:
        return differs(
            f"another form: {', '.join(odd)}",
            "Nothing to do: the package takes it for a time that has not come.",
        )
    return ok(", ".join(sorted({_NOT_YET[value] for value in unread})))


def statuses(prober: Prober) -> Finding:
    """Try which statuses jobs and tasks have."""
    codes = {int(job.status) for job in newest(prober).jobs}
    codes |= {
        task["status"]
        for seen in prober.observations
        if seen.endpoint == "job details"
        for task in _tasks_in(seen)
        if is_number(task.get("status"))
    }
    strange = sorted(code for code in codes if not JobStatus(code).is_known)
    if strange:
        shown = [str(code) if 0 <= code < _LARGEST_STATUS else "a large number" for code in strange]
        return differs(
            f"unknown: {', '.join(sorted(set(shown)))}",
            "The package waits on: it takes a status that it does not know for neither final nor a failure. "
            f"If jobs end so, waits do not. {REPORT}",
        )
    return ok(", ".join(JobStatus(code).name for code in sorted(codes)))


def missing_job(prober: Prober) -> Finding:
    """Try the details of a job that does not exist."""
    job_id = max((job.id for job in prober.list({}).jobs), default=0) + _FAR_ID
    seen = prober.details(job_id)
    if seen.code == 40404000:
        return ok(seen.describe(), missing_job="not_found")
    if seen.code is None or seen.category in (401, 403):
        raise CannotTryError(seen.describe())
    if seen.code != 0:
        return differs(
            seen.describe(), "An operator that is given a wrong id fails with the error of that code."
        )
    data = seen.data()
    if data is None or data == {}:
        return differs("code 0, no data", _LIKE_NOT_FOUND, missing_job="no_data")
    if isinstance(data, dict) and data.get("id") in (0, "0", None):
        return differs("code 0, an object of zeros", _LIKE_NOT_FOUND, missing_job="zero")
    return differs("code 0, something else", f"A wait for a wrong id may not end. {REPORT}")


_LIKE_NOT_FOUND = "Nothing to do: the package takes it for a job that does not exist."


def details(prober: Prober) -> Finding:
    """Try what a job's details say beside the list."""
    job_id, item = _final_job(prober)
    data = details_of(prober, job_id).data()
    if not isinstance(data, dict):
        return differs(kind_of(data), f"Waits fail. {REPORT}")
    other = [name for name in (*_ITEM, *_TIMES) if data.get(name) != item.get(name)]
    if other:
        return differs(
            f"not the same: {', '.join(other)}",
            "Waits in a worker go by the details, deferred ones by the list, too. Their ends may differ. "
            f"{REPORT}",
        )
    return ok("the same as in the list")


def tasks(prober: Prober) -> Finding:
    """Try how tasks are written."""
    data = details_of(prober, _final_job(prober)[0]).data()
    value = data.get("tasks") if isinstance(data, dict) else None
    if not isinstance(value, list):
        return differs(f"tasks is {kind_of(value)}", f"Task results cannot be read. {REPORT}")
    if not value:
        raise CannotTryError("the job has no tasks")
    odd = sorted(
        {text for task in value for text in _odd_fields(task if isinstance(task, dict) else {}, _TASK)}
    )
    if odd:
        return differs(", ".join(odd), f"Results of such tasks may not be readable. {REPORT}")
    return ok(f"{len(value)} tasks")


def task_times(prober: Prober) -> Finding:
    """Try how a task's times are written."""
    found = _tasks_in(details_of(prober, _final_job(prober)[0]))
    values = [task.get(name) for task in found for name in ("runBeginTime", "runEndTime")]
    come = [value for value in values if not _has_not_come(value)]
    if not come:
        raise CannotTryError("no task has begun")
    odd = [value for value in come if not (isinstance(value, str) and _ISO.fullmatch(value))]
    if odd:
        return differs(
            f"{', '.join(sorted({kind_of(value) for value in odd}))}, not ISO 8601 with an offset",
            "The package reads milliseconds, too, and takes a time without an offset for UTC: durations of "
            "tasks stay right.",
        )
    return ok(f"{len(come)} times")


_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:?\d\d)")


def result_limit(prober: Prober) -> Finding:
    """Try whether a result's ``limit`` is obeyed."""
    request, rows = _result(prober)
    more = _rows_in(prober.call("task result", _with_limit(request, 2)))
    if len(rows) <= 1 and len(more) <= 2:
        return ok("obeyed")
    return differs("more rows than asked for", "XCom may get large: ask for few components' results.")


def result_rows(prober: Prober) -> Finding:
    """Try how a task's rows are written."""
    _, rows = _result(prober)
    if not rows:
        raise CannotTryError("the result has no rows")
    odd = {_describe_row(row) for row in rows} - {"2 columns of text", "3 columns of text"}
    if odd:
        return differs(", ".join(sorted(odd)), "The package hands rows on as texts, whatever they hold.")
    return ok(", ".join(sorted({_describe_row(row) for row in rows})))


def _describe_row(row: object) -> str:
    if not isinstance(row, list):
        return kind_of(row)
    kinds = " or ".join(sorted({"text" if isinstance(cell, str) else kind_of(cell) for cell in row}))
    return f"{len(row)} columns of {kinds}" if len(row) <= 3 else f"more than 3 columns of {kinds}"


def limit_required(prober: Prober) -> Finding:
    """Try a result without ``limit``."""
    request, _ = _result(prober)
    seen = prober.call("task result", Request("GET", request.path))
    if seen.category == 400:
        return ok(seen.describe())
    return differs(seen.describe(), "Nothing to do: the package always gives a limit.")


def _final_job(prober: Prober) -> tuple[int, JsonObject]:
    """Return the newest job that has ended, if possible in success: its id, and what the list shows of it."""
    final = [(job, item) for job, item in newest(prober).readable if job.status.is_final]
    if not final:
        raise CannotTryError("no job has ended yet")
    job, item = next((pair for pair in final if pair[0].status.is_success), final[0])
    return job.id, item


def details_of(prober: Prober, job_id: int) -> Observation:
    """Return a job's details; the same ones are fetched once."""
    path = api.get_job(job_id).request.path
    known = [seen for seen in prober.observations if seen.request.path == path and seen.code == 0]
    return known[-1] if known else prober.details(job_id)


def _tasks_in(details: Observation) -> list[JsonObject]:
    data = (details.envelope or {}).get("data")
    value = data.get("tasks") if isinstance(data, dict) else None
    return [task for task in value if isinstance(task, dict)] if isinstance(value, list) else []


def _result(prober: Prober) -> tuple[Request, list[object]]:
    """Fetch one row of the result of a task that succeeded."""
    succeeded = [job for job in newest(prober).jobs if job.status.is_success][:_JOBS_TRIED]
    for job in succeeded:
        for task in _tasks_in(details_of(prober, job.id)):
            if task.get("status") == JobStatus.SUCCESS and _TASK["id"](task.get("id")):
                request = api.get_task_result(job.id, task["id"], 1).request
                return request, _rows_in(_once(prober, request))
    raise CannotTryError("no task has succeeded yet")


def _once(prober: Prober, request: Request) -> Observation:
    known = [seen for seen in prober.observations if seen.request.target == request.target]
    return known[-1] if known else prober.call("task result", request)


def _with_limit(request: Request, limit: int) -> Request:
    return Request(request.method, f"{request.path}?limit={limit}")


def _rows_in(seen: Observation) -> list[object]:
    data = seen.data()
    rows = data.get("items") if isinstance(data, dict) else None
    return rows if isinstance(rows, list) else []


JOB_CHECKS = (
    Check("job in a list", "id and status numbers, workflowId digits, names texts", item_fields),
    Check("times of jobs", "epoch milliseconds", job_times),
    Check("missing job", "HTTP 404, code 40404000", missing_job),
    Check("job details", "as in the list", details),
    Check("tasks", "id of 32 hex characters, name, status", tasks),
    Check("times of tasks", "ISO 8601 with an offset", task_times),
    Check("times that have not come", "0, null, empty, absent or Go's zero time", times_not_come),
    Check("statuses", "0 to 5", statuses),
    Check("limit of a task's result", "obeyed", result_limit),
    Check("rows of a task's result", "2 or 3 columns of text", result_rows),
    Check("result without limit", "refused with a code of 400", limit_required),
)
