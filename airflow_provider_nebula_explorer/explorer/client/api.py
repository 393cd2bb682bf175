"""The seven calls of Explorer's workflow API, one function each (Explorer's API pages, 3.1 to 3.8)."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any, Generic, NamedTuple
from urllib.parse import quote, urlencode

from airflow_provider_nebula_explorer.explorer.arguments import (
    parse_count,
    parse_id,
    parse_input,
    parse_milliseconds,
    parse_status,
    parse_task_id,
    parse_text,
    parse_word,
)
from airflow_provider_nebula_explorer.explorer.client.protocol import ROOT, Call, Request, T
from airflow_provider_nebula_explorer.explorer.models import (
    Job,
    JobStatus,
    JsonObject,
    parse_job,
    parse_time,
    whole_number,
)
from airflow_provider_nebula_explorer.explorer.settings import Account, AccountEncoding

JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}

PAGE_SIZE = 100
"""Jobs requested at once; the server may send fewer."""


def connect(account: Account, encoding: AccountEncoding) -> Call[None]:
    """Log in; the token comes back in a cookie."""
    headers = {**JSON, "Authorization": f"Bearer {account.encoded(encoding)}"}
    body = _json_body({"address": account.nebula_address, "port": account.nebula_port})
    return Call(Request("POST", f"{ROOT}/connect", headers, body), _read_nothing)


def add_job(workflow_id: int | str, input: object = None) -> Call[int]:
    """Run a workflow once. Not repeatable: each call starts a job.

    :param input: see :func:`.arguments.parse_input`.
    :return: the new job's id.
    """
    path = f"{ROOT}/workflows/{parse_id('workflow_id', workflow_id)}/jobs"
    checked = parse_input(input)
    body = _json_body({} if checked is None else {"input": checked})
    return Call(Request("POST", path, JSON, body), _read_new_id, is_repeatable=False)


def get_job(job_id: int | str) -> Call[Job]:
    """Fetch a job's details."""
    return Call(Request("GET", f"{ROOT}/jobs/{parse_id('job_id', job_id)}"), parse_job)


def cancel_job(job_id: int | str) -> Call[None]:
    """Ask Explorer to stop a job: its status becomes Stopping, then Interrupted."""
    path = f"{ROOT}/jobs/{parse_id('job_id', job_id)}/cancel"
    return Call(Request("PUT", path, FORM), _read_nothing, metric="cancels")


def get_task_result(job_id: int | str, task_id: str, limit: int | str = 10) -> Call[list[list[str]]]:
    """Fetch the first rows of a task's result: 2 or 3 columns of text each."""
    task = f"{ROOT}/jobs/{parse_id('job_id', job_id)}/tasks/{parse_task_id('task_id', task_id)}"
    return Call(Request("GET", f"{task}/sample_result?limit={parse_count('limit', limit)}"), _read_rows)


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page of a list of jobs.

    :param items: what could be read of it, in the list's order.
    :param length: how many items the page had, those that could not be read among them.
    :param size: the page size that the server used, which may be smaller than the requested one.
    :param total: how many jobs the whole list has; ``None`` if the server did not say.
    """

    items: tuple[T, ...]
    length: int
    size: int
    total: int | None

    @property
    def is_whole_list(self) -> bool:
        """Whether it is known to show all jobs of its list."""
        return self.total is not None and self.total <= self.length

    @property
    def is_last(self) -> bool:
        """Whether no page follows the first one, as far as can be told."""
        return self.length < self.size if self.total is None else self.is_whole_list


def list_jobs(
    workflow_id: int | str | None, filter: JsonObject, page: int, page_size: int
) -> Call[Page[Job]]:
    """Fetch one page of the jobs of a workflow, or of all workflows.

    :param filter: see :func:`job_filter`.
    :param page: counted from 1.
    """

    def read(data: object) -> Page[Job]:
        return _read_page(data, page_size)

    return Call(_list_request(workflow_id, filter, page, page_size), read)


class JobSummary(NamedTuple):
    """The little of a job that tells whether to look closer.

    :param created: epoch milliseconds; ``None`` if Explorer did not say.
    """

    id: int
    status: JobStatus
    workflow_id: str
    created: int | None


def list_summaries(
    workflow_id: int | str | None,
    *,
    status: JobStatus | None,
    created_from: int,
    created_to: int | None = None,
    name: str | None = None,
    page_size: int,
    page: int = 1,
    known: Mapping[int, JobSummary] | None = None,
) -> Call[Page[JobSummary]]:
    """Fetch a page, the first unless told otherwise, of the jobs created from a time on, oldest first.

    An item that cannot be read is left out, as if it were not in the list.

    :param created_from: epoch milliseconds; jobs of the millisecond before it may be shown, too.
    :param created_to: epoch milliseconds; jobs of the millisecond after it may be shown, too.
    :param name: the jobs' name, as Explorer's own search understands it.
    :param known: earlier glimpses, by id; one of an unchanged job comes back as it is, which is quicker.
    """
    # Explorer's pages do not say whether a window's own ends are in it.
    wanted: JsonObject = {"orderByCreateTime": "asc", "fromCreateTime": created_from - 1}
    if created_to is not None:
        wanted["toCreateTime"] = created_to + 1
    if status is not None:
        wanted["status"] = int(status)
    if name is not None:
        wanted["name"] = parse_text("name", name)

    def read(data: object) -> Page[JobSummary]:
        return _read_summaries(data, page_size, known or {})

    return Call(_list_request(workflow_id, wanted, page, page_size), read)


def _list_request(workflow_id: int | str | None, filter: JsonObject, page: int, page_size: int) -> Request:
    owner = "" if workflow_id is None else f"/workflows/{parse_id('workflow_id', workflow_id)}"
    query = {"filter": _json_text(filter), "pageSize": page_size, "page": page}
    return Request("GET", f"{ROOT}{owner}/jobs?{urlencode(query, quote_via=quote)}")


def job_filter(
    *,
    name: str | None = None,
    status: object = None,
    created_after: datetime | str | None = None,
    created_before: datetime | str | None = None,
    order: str = "desc",
) -> JsonObject:
    """Return the ``filter`` of a list; all its numbers are JSON numbers, its times in milliseconds."""
    wanted: dict[str, Any] = {"orderByCreateTime": parse_word("order", order, ("desc", "asc"))}
    if name is not None:
        wanted["name"] = parse_text("name", name)
    if status is not None:
        wanted["status"] = int(parse_status("status", status))
    if created_after is not None:
        wanted["fromCreateTime"] = parse_milliseconds("created_after", created_after)
    if created_before is not None:
        wanted["toCreateTime"] = parse_milliseconds("created_before", created_before)
    return wanted


def oldest_success(
    workflow_id: int | str, *, name: str | None, created_after: datetime | str | None
) -> Call[Page[Job]]:
    """Find the job of a workflow that succeeded and was created first: a page of one, or of none."""
    wanted = job_filter(name=name, status=JobStatus.SUCCESS, created_after=created_after, order="asc")
    return list_jobs(workflow_id, wanted, 1, 1)


def walk_list(
    fetch: Callable[[Call[Page[Job]]], Page[Job]],
    workflow_id: int | str | None,
    filter: JsonObject,
    page_size: int,
) -> Iterator[Job]:
    """Yield the jobs of a list, fetching its pages as they are needed.

    A job that comes up twice, because the list moved between two pages, is told once.

    :param fetch: makes the call for a page.
    """
    seen: set[int] = set()
    for number in count(1):
        page = fetch(list_jobs(workflow_id, filter, number, page_size))
        new = [job for job in page.items if job.id not in seen]
        seen.update(job.id for job in new)
        yield from new
        if not page.items or number * page.size >= _known_length(page, new):
            return


def _known_length(page: Page[Job], new: list[Job]) -> float:
    if page.total is not None:
        return page.total
    # Without a total the walk goes on while pages bring something new.
    return math.inf if new else 0


def _json_text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _json_body(value: object) -> bytes:
    return _json_text(value).encode()


def _read_nothing(data: object) -> None:
    if isinstance(data, dict) and data.get("success") is False:
        raise ValueError("'success' is false")


def _read_new_id(data: object) -> int:
    if not isinstance(data, dict):
        raise ValueError("a new job is a JSON object with 'id'")
    return whole_number(data, "id", least=0)


def _read_page(data: object, requested_size: int) -> Page[Job]:
    items, size, total = _read_list(data, requested_size)
    return Page(tuple(parse_job(item) for item in items), len(items), size, total)


def _read_summaries(data: object, requested_size: int, known: Mapping[int, JobSummary]) -> Page[JobSummary]:
    items, size, total = _read_list(data, requested_size)
    summaries = tuple([summary for item in items if (summary := _read_summary(item, known))])
    return Page(summaries, len(items), size, total)


def _read_summary(item: Any, known: Mapping[int, JobSummary]) -> JobSummary | None:
    try:
        before = known.get(item["id"])
        if before is not None and before.status == item["status"]:
            return before
        return summary_of(item)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def summary_of(data: JsonObject) -> JobSummary:
    """Return the glimpse of a job's object.

    :raises ValueError: if it has no usable ``id`` or ``status``.
    """
    # A page has a thousand of these, so what comes as documented takes the short way.
    job_id, status, created = data.get("id"), _STATUSES.get(data.get("status")), data.get("createTime")
    if type(job_id) is not int or not 0 <= job_id < 10**20 or status is None:
        job_id, status = whole_number(data, "id", least=0), JobStatus(whole_number(data, "status"))
    if type(created) is not int or not 0 <= created < 10**15:
        time = parse_time(created)
        created = None if time is None else parse_milliseconds("createTime", time)
    return JobSummary(job_id, status, str(data.get("workflowId") or ""), created or None)


_STATUSES: dict[object, JobStatus] = {status.value: status for status in JobStatus}


def _read_list(data: object, requested_size: int) -> tuple[list[Any], int, int | None]:
    """Return a list's items, the page size that the server used, and the whole list's length."""
    if not isinstance(data, dict):
        raise ValueError("a list of jobs is a JSON object with 'items'")
    items = data.get("items")
    if items is not None and not isinstance(items, list):
        raise ValueError("'items' is not a list")
    size, total = data.get("PageSize"), data.get("total")
    return (
        items or [],
        size if type(size) is int and size > 0 else requested_size,
        total if type(total) is int else None,
    )


def _read_rows(data: object) -> list[list[str]]:
    items = data.get("items") if isinstance(data, dict) else None
    if items is None:
        return []
    if not isinstance(items, list) or not all(isinstance(row, list) for row in items):
        raise ValueError("'items' is not a list of rows")
    return [[str(cell) for cell in row] for row in items]
