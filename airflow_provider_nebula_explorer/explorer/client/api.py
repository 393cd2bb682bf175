# SPDX-License-Identifier: Apache-2.0
"""The seven calls of Explorer's workflow API, one function each (Explorer's API pages, 3.1 to 3.8)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar
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
from airflow_provider_nebula_explorer.explorer.client.limits import MOST_ITEMS
from airflow_provider_nebula_explorer.explorer.client.protocol import (
    ROOT,
    Call,
    NothingThereError,
    OtherSubjectError,
    Request,
    T,
)
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

    :param workflow_id: a number, or text of digits.
    :param input: parameters by component, as ``{"query_1": {"limit": 10}}``, or their JSON text; ``None`` for
        no input.
    :return: the new job's id.
    """
    path = f"{ROOT}/workflows/{parse_id('workflow_id', workflow_id)}/jobs"
    checked = parse_input(input)
    body = _json_body({} if checked is None else {"input": checked})
    return Call(Request("POST", path, JSON, body), _read_new_id, is_repeatable=False, metric="starts")


def get_job(job_id: int | str) -> Call[Job]:
    """Fetch a job's details; those of another job are not believed.

    :param job_id: a number, or text of digits.
    """
    number = parse_id("job_id", job_id)
    return Call(Request("GET", f"{ROOT}/jobs/{number}"), partial(_read_details, number), metric="details")


def cancel_job(job_id: int | str) -> Call[None]:
    """Request that Explorer stops a job: its status becomes Stopping, then Interrupted.

    :param job_id: a number, or text of digits.
    """
    path = f"{ROOT}/jobs/{parse_id('job_id', job_id)}/cancel"
    return Call(Request("PUT", path, FORM), _read_nothing, metric="cancels")


def get_task_result(job_id: int | str, task_id: str, limit: int | str = 10) -> Call[list[list[str]]]:
    """Fetch the first rows of a task's result: 2 or 3 columns of text each.

    :param job_id: a number, or text of digits.
    :param task_id: 32 hex characters, from the job's details.
    :param limit: the maximum number of rows.
    """
    task = f"{ROOT}/jobs/{parse_id('job_id', job_id)}/tasks/{parse_task_id('task_id', task_id)}"
    path = f"{task}/sample_result?limit={parse_count('limit', limit)}"
    return Call(Request("GET", path), _read_rows, metric="results")


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page of a list of jobs.

    :param items: those that could be read and belong to the list, in its order.
    :param length: how many items the page had, including those that were left out.
    :param size: the page size that the server used; it may be smaller than the requested one.
    :param total: how many jobs the whole list has; ``None`` if the server did not say.
    """

    items: tuple[T, ...]
    length: int
    size: int
    total: int | None

    @property
    def is_whole_list(self) -> bool:
        """Whether it certainly shows all jobs of its list."""
        return self.total is not None and self.total <= self.length

    @property
    def is_last(self) -> bool:
        """Whether no page follows it, if it is the first; without a total, a full page is not the last."""
        return self.length < self.size if self.total is None else self.is_whole_list


def list_jobs(
    workflow_id: int | str | None, filter: JsonObject, page: int, page_size: int
) -> Call[Page[Job]]:
    """Fetch one page of the jobs of a workflow, or of all workflows.

    :param workflow_id: a number, or text of digits; ``None`` for the jobs of all workflows.
    :param filter: see :func:`job_filter`.
    :param page: counted from 1.
    :param page_size: the jobs requested for a page; the server may send fewer.
    """
    read = partial(_read_page, page_size, _workflow_text(workflow_id), parse_job)
    return Call(_list_request(workflow_id, filter, page, page_size), read, metric="lists")


class JobSummary(NamedTuple):
    """The part of a job that a poll of a list reads.

    :param created: epoch milliseconds; ``None`` if Explorer did not say.
    """

    id: int
    status: JobStatus
    workflow_id: str
    created: int | None


ListedT = TypeVar("ListedT", Job, JobSummary)


def list_summaries(
    workflow_id: int | str | None,
    *,
    status: JobStatus | None,
    created_from: int,
    created_to: int | None = None,
    name: str | None = None,
    order: str = "asc",
    page_size: int,
    page: int = 1,
    known: Mapping[int, JobSummary] | None = None,
) -> Call[Page[JobSummary]]:
    """Fetch one page of the jobs created from a time on.

    Items that cannot be read are left out of the page.

    :param created_from: epoch milliseconds; jobs of the millisecond before it may be shown, too.
    :param created_to: epoch milliseconds; jobs of the millisecond after it may be shown, too.
    :param name: the jobs' name, as Explorer's own search understands it.
    :param order: by creation, ``asc`` or ``desc``.
    :param page: counted from 1.
    :param known: earlier summaries, by job id; that of an unchanged job is returned again, which is quicker.
    """
    # Explorer's API pages do not say whether both ends of the time window belong to it.
    fields: JsonObject = {"orderByCreateTime": order, "fromCreateTime": created_from - 1}
    if created_to is not None:
        fields["toCreateTime"] = created_to + 1
    if status is not None:
        fields["status"] = int(status)
    if name is not None:
        fields["name"] = parse_text("name", name)
    read_item = partial(_read_summary, known or {})
    read = partial(_read_page, page_size, _workflow_text(workflow_id), read_item)
    return Call(_list_request(workflow_id, fields, page, page_size), read, metric="lists")


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
    """Return the ``filter`` of a list; all its numbers are JSON numbers, its times in milliseconds.

    :param name: the jobs' name, as Explorer's own search understands it.
    :param status: a number, a ``JobStatus``, or its name in any case.
    :param created_after: an aware datetime, or ISO 8601 text with an offset; inclusive.
    :param created_before: an aware datetime, or ISO 8601 text with an offset; inclusive.
    :param order: by creation, ``desc`` (newest first) or ``asc``.
    """
    fields: JsonObject = {"orderByCreateTime": parse_word("order", order, ("desc", "asc"))}
    if name is not None:
        fields["name"] = parse_text("name", name)
    if status is not None:
        fields["status"] = int(parse_status("status", status))
    if created_after is not None:
        fields["fromCreateTime"] = parse_milliseconds("created_after", created_after)
    if created_before is not None:
        fields["toCreateTime"] = parse_milliseconds("created_before", created_before)
    return fields


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
    return whole_number(data, "id", least=1)  # Go writes 0 where it started nothing


def _read_details(job_id: int, data: object) -> Job:
    """Read a job's details.

    :raises NothingThereError: if they are Go's zero values, or there are none: the job does not exist.
    :raises OtherSubjectError: if they are another job's.
    """
    if data is None or (isinstance(data, dict) and _is_zero(data)):
        raise NothingThereError("the response holds no job")
    job = parse_job(data)
    if job.id != job_id:
        raise OtherSubjectError(f"it is about job {job.id}, not about job {job_id}")
    return job


def _is_zero(data: JsonObject) -> bool:
    """Say whether an object is of zero values; Go may leave those out, too."""
    job_id = data.get("id")
    return job_id in (0, "0") or not (job_id or data.get("status"))


def _workflow_text(workflow_id: int | str | None) -> str:
    return "" if workflow_id is None else str(parse_id("workflow_id", workflow_id))


def _read_page(
    requested_size: int, workflow_id: str, read_item: Callable[[Any], ListedT | None], data: object
) -> Page[ListedT]:
    """Read a page.

    Items for which ``None`` is returned are left out. So are other workflows' jobs, if the list is of one
    workflow, and zero values.
    """
    data = {} if data is None else data  # Go writes null for an empty list
    if not isinstance(data, dict):
        raise ValueError("a list of jobs is a JSON object with 'items'")
    raw = [] if data.get("items") is None else data["items"]
    if not isinstance(raw, list):
        raise ValueError("'items' is not a list")
    if len(raw) > MOST_ITEMS:
        raise ValueError(f"a page of {requested_size} jobs has more than {MOST_ITEMS}")
    items = tuple([item for it in raw if (item := read_item(it)) is not None and item.id])
    if workflow_id:
        items = tuple([item for item in items if item.workflow_id in ("", workflow_id)])
    size, total = data.get("PageSize"), data.get("total")
    return Page(
        items,
        len(raw),
        size if type(size) is int and size > 0 else requested_size,
        total if type(total) is int else None,
    )


def _read_summary(known: Mapping[int, JobSummary], item: Any) -> JobSummary | None:
    try:
        before = known.get(item["id"])
        if before is not None and before.status == item["status"]:
            return before
        return summary_of(item)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def summary_of(data: JsonObject) -> JobSummary:
    """Return the summary of a job's object.

    :raises ValueError: if it has no usable ``id`` or ``status``.
    """
    # A page may have a thousand jobs, so documented forms take a short path.
    job_id, status, created = data.get("id"), _STATUSES.get(data.get("status")), data.get("createTime")
    if type(job_id) is not int or not 0 <= job_id < 10**20 or status is None:
        job_id, status = whole_number(data, "id", least=0), JobStatus(whole_number(data, "status"))
    if type(created) is not int or not 0 <= created < 10**15:
        time = parse_time(created)
        created = None if time is None else parse_milliseconds("createTime", time)
    workflow_id = str(data.get("workflowId") or "")[:_LONGEST_ID]
    return JobSummary(job_id, status, workflow_id, created or None)


_LONGEST_ID = 32
"""Characters of a workflow's id that are kept: pages may have megabytes, and one follows the other."""

_STATUSES: dict[object, JobStatus] = {status.value: status for status in JobStatus}


def _read_rows(data: object) -> list[list[str]]:
    items = data.get("items") if isinstance(data, dict) else None
    if items is None:
        return []
    if not isinstance(items, list) or not all(isinstance(row, list) for row in items):
        raise ValueError("'items' is not a list of rows")
    return [["" if cell is None else str(cell) for cell in row] for row in items]
