# SPDX-License-Identifier: Apache-2.0
"""For each row of the doctor's table: Explorers, or settings, for which it must turn ✗."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from own_explorer import ACCOUNT, OwnExplorer, refused, success

from airflow_provider_nebula_explorer.explorer.client.protocol import Request, Response

Change = Callable[[Response], Response]
Condition = Callable[[Request, Response], bool]
Apply = Callable[[OwnExplorer], None]


def as_it_is(explorer: OwnExplorer) -> None:
    pass


@dataclass(frozen=True)
class Deviation:
    """An Explorer that differs, or settings that do.

    :param seen: is part of what the row shows.
    :param facts: are in the report.
    """

    row: str
    seen: str
    apply: Apply = as_it_is
    facts: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)


# Which responses differ ...


def to(endpoint: str) -> Condition:
    """Those to a method and the end of a path: ``GET /jobs``."""
    method, _, end = endpoint.partition(" ")
    return lambda asked, _: asked.method == method and asked.path.endswith(end)


def lists(asked: Request, seen: Response) -> bool:
    return to("GET /jobs")(asked, seen) and b'"items"' in seen.body


def lists_of_workflows(asked: Request, seen: Response) -> bool:
    return lists(asked, seen) and "/workflows/" in asked.path


def details(asked: Request, seen: Response) -> bool:
    return asked.method == "GET" and b'"tasks"' in seen.body


def refusals(asked: Request, seen: Response) -> bool:
    return b'"code": ' in seen.body and b'"code": 0' not in seen.body


def all_responses(asked: Request, seen: Response) -> bool:
    return True


def without_its_token(asked: Request, seen: Response) -> bool:
    return asked.headers.get("Cookie", "doctor").endswith("doctor") and asked.path.endswith("/jobs")


def requested_with(part: str) -> Condition:
    return lambda asked, _: part in asked.target


def saying(part: bytes) -> Condition:
    return lambda _, seen: part in seen.body


# ... and how.


def responses(condition: Condition, change: Change) -> Apply:
    def apply(explorer: OwnExplorer) -> None:
        explorer.changes.append(lambda asked, seen: change(seen) if condition(asked, seen) else seen)

    return apply


def become(response: Response) -> Change:
    return lambda _: response


def edit(change: Callable[[Any], Any]) -> Change:
    """Edit the envelope."""

    def edited(response: Response) -> Response:
        envelope = json.loads(response.body)
        change(envelope)
        return replace(response, body=json.dumps(envelope).encode())

    return edited


def set_envelope(**fields: Any) -> Change:
    return edit(lambda envelope: envelope.update(fields))


def set_data(**fields: Any) -> Change:
    return edit(lambda envelope: envelope["data"].update(fields))


def drop_data(name: str) -> Change:
    return edit(lambda envelope: envelope["data"].pop(name, None))


def set_items(**fields: Any) -> Change:
    """Set fields of each job in a list."""
    return edit(lambda envelope: [item.update(fields) for item in envelope["data"]["items"]])


def sort_items(key: Callable[[Any], Any]) -> Change:
    return edit(lambda envelope: envelope["data"]["items"].sort(key=key))


def set_status(status: int) -> Change:
    return lambda seen: replace(seen, status=status)


def set_date(value: str | None) -> Change:
    def change(seen: Response) -> Response:
        headers = {name: text for name, text in seen.headers.items() if name != "Date"}
        return replace(seen, headers=headers if value is None else {**headers, "Date": value})

    return change


# Explorers that differ in what they do.


def with_(**attributes: Any) -> Apply:
    return lambda explorer: vars(explorer).update(attributes)


def with_cookie(attributes: str) -> Apply:
    return with_(cookie=f"explorer_token={{token}}; {attributes}")


def ignoring(*names: str) -> Apply:
    """Ignore parts of a filter."""
    return lambda explorer: explorer.obeys.difference_update(names)


def with_jobs(**fields: Any) -> Apply:
    return lambda explorer: [job.update(fields) for job in explorer.jobs] and None


def with_tasks(**fields: Any) -> Apply:
    return lambda explorer: [job["tasks"][0].update(fields) for job in explorer.jobs] and None


def with_first_status(status: int) -> Apply:
    return lambda explorer: explorer.jobs[0].update(status=status)


def with_falling_ids(explorer: OwnExplorer) -> None:
    for job in explorer.jobs:
        job["id"] = 1000 - job["id"]


def capping_silently(explorer: OwnExplorer) -> None:
    """Give fewer jobs on a page than ``PageSize`` says."""
    explorer.page_cap = 5
    responses(lists, set_data(PageSize=200))(explorer)


def excluding_ends(explorer: OwnExplorer) -> None:
    """Leave the very ends of a window out."""
    explorer.fits = lambda job, wanted: (
        job["createTime"]
        not in (
            wanted.get("fromCreateTime"),
            wanted.get("toCreateTime"),
        )
    )


def naming(compare: Callable[[str, str], bool]) -> Apply:
    """Find names in another way."""

    def apply(explorer: OwnExplorer) -> None:
        explorer.obeys.discard("name")
        explorer.fits = lambda job, wanted: "name" not in wanted or compare(job["name"], wanted["name"])

    return apply


def slow(explorer: OwnExplorer) -> None:
    explorer.seconds = 2.0


def refusing_to_cancel_twice(explorer: OwnExplorer) -> None:
    cancelled: list[Request] = []

    def change(asked: Request, seen: Response) -> Response:
        if not to("PUT /cancel")(asked, seen):
            return seen
        cancelled.append(asked)
        return BAD if len(cancelled) > 1 else seen

    explorer.changes.append(change)


def row(name: str, seen: str, apply: Apply = as_it_is, **facts: Any) -> Deviation:
    return Deviation(name, seen, apply, facts)


ZEROS = success({"id": 0, "name": "", "workflowId": "", "status": 0, "tasks": None, "createTime": 0})
MISSING = to("GET /jobs/1000111")  # the highest id is the trial's, 111
NO_PAGE = Response(404, {"Content-Type": "text/plain"}, b"404 page not found")
EMPTY = success({"items": [], "total": 0, "Page": 1, "PageSize": 100})
BAD = refused(40004001, "ErrParam")
RESULTS = to("GET /sample_result")
ROWS = saying(b"player110")

DEVIATIONS = (
    row("login", "without success", responses(to("POST /connect"), set_envelope(data=None))),
    row("account encoding", "colon", with_(encoding="colon"), account_encoding="colon"),
    row("cookie", "others", with_cookie("Path=/; # Max-Age=259200; HttpOnly"), max_age=None),
    row("token's life", "no Max-Age", with_cookie("Path=/; HttpOnly"), max_age=None),
    row("token's life", "minute", with_cookie("Path=/; Max-Age=59; HttpOnly"), max_age=59),
    row("token's life", "400 days", with_cookie("Path=/; Max-Age=999999999"), max_age=34_560_000),
    row("secure cookie", "Secure", with_cookie("Path=/; Secure; SameSite=None"), secure_cookie=True),
    row("token", "does not show", with_(token="head.body.doctored")),
    row(
        "refused login",
        "401",
        responses(saying(b"authenticate"), become(refused(40104000, "ErrUnauthorized"))),
    ),
    row("refused login", "500", responses(saying(b"authenticate"), become(refused(50004000, "ErrInternal")))),
    row("call without a token", "40104000", responses(without_its_token, become(refused(40104000, "Err")))),
    row("call with a wrong token", "code 0", responses(without_its_token, become(EMPTY))),
    row("call with a wrong token", "HTTP 400", responses(without_its_token, become(BAD))),
    Deviation("TLS", "not verified", settings={"base_url": "https://explorer.example", "verify": False}),
    Deviation("proxy", "environment", environment={"http_proxy": "http://proxy.example:3128"}),
    Deviation(
        "graphd's address", "loopback", settings={"account": replace(ACCOUNT, nebula_address="localhost")}
    ),
    Deviation("graphd's address", "loopback", settings={"account": replace(ACCOUNT, nebula_address="::1")}),
    row("unknown path", "404", responses(to("GET /no-such-path"), become(NO_PAGE)), unknown_path="error"),
    row("unknown path", "code 0", responses(to("GET /no-such-path"), become(EMPTY)), unknown_path=None),
    row("web page", "404", responses(to("GET /"), become(NO_PAGE))),
    row("list of jobs", "total is missing", responses(lists, drop_data("total"))),
    row("list of jobs", "items is missing", responses(lists, drop_data("items"))),
    row("list of jobs", "Page is text", responses(lists, set_data(Page="one"))),
    row("default page", "another", responses(lists, set_data(PageSize=20))),
    row("page cap", "10", with_(page_cap=10), page_cap=10),
    row("page cap", "5", capping_silently, page_cap=5),
    row("PageSize", "5 jobs", capping_silently),
    row("PageSize", "null", responses(lists, drop_data("PageSize"))),
    row(
        "total",
        "not the number",
        responses(lists, edit(lambda it: it["data"].update(total=len(it["data"]["items"])))),
    ),
    row("total", "not always", responses(lists, set_data(total=None)), total="absent"),
    row("page after the last", "jobs", ignoring("page")),
    row("page after the last", "refused", responses(requested_with("page=14"), become(BAD))),
    row("empty list", "no items", responses(saying(b'"items": []'), drop_data("items"))),
    row("order", "newest first", ignoring("orderByCreateTime"), order=False),
    row("order", "oldest first", responses(lists, sort_items(lambda job: job["createTime"])), order=False),
    row("order", "neither", responses(lists, sort_items(lambda job: str(job["id"])[::-1])), order=False),
    row("default order", "another", responses(lists, sort_items(lambda job: job["createTime"]))),
    row("paging", "7 missing", ignoring("page")),
    row("ids", "do not", with_falling_ids, ids_grow=False),
    row("filter by status", "not obeyed", ignoring("status"), filter_by_status=False),
    row(
        "filter by status",
        "refused",
        responses(requested_with("status"), become(BAD)),
        filter_by_status=None,
    ),
    row(
        "filter by status",
        "missing",
        responses(requested_with("status"), become(EMPTY)),
        filter_by_status=None,
    ),
    row("filter by time", "from", ignoring("fromCreateTime", "toCreateTime"), filter_by_time=False),
    row("filter by time", "toCreateTime", ignoring("toCreateTime"), filter_by_time=False),
    row(
        "filter by time",
        "refused",
        responses(requested_with("toCreate"), become(BAD)),
        filter_by_time=None,
    ),
    row("ends of a time filter", "exclusive", excluding_ends),
    row("filter by name", "not obeyed", ignoring("name"), filter_by_name=False),
    row("filter by name", "refused", responses(requested_with("name"), become(BAD)), filter_by_name=False),
    row("filter by name", "not found", naming(lambda name, asked: False), filter_by_name=False),
    row("part of a name", "whole", naming(lambda name, asked: name == asked), name_match="whole"),
    row(
        "part of a name",
        "beginning",
        naming(lambda name, asked: name.startswith(asked)),
        name_match="beginning",
    ),
    row("jobs of a workflow", "other workflows", responses(lists_of_workflows, set_items(workflowId="77"))),
    row("jobs of a workflow", "missing", responses(lists_of_workflows, become(EMPTY))),
    row("job in a list", "workflowId is a number", responses(lists, set_items(workflowId=5))),
    row("job in a list", "name is null", responses(lists, set_items(name=None))),
    row("times of jobs", "text", responses(lists, set_items(createTime="2025-06-15T10:00:00+08:00"))),
    row("times of jobs", "no milliseconds", with_jobs(createTime=1_750_000_000)),
    row("missing job", "an object of zeros", responses(MISSING, become(ZEROS)), missing_job="zero"),
    row("missing job", "no data", responses(MISSING, become(success(None))), missing_job="no_data"),
    row("missing job", "else", responses(MISSING, become(success({"id": 5, "status": 2}))), missing_job=None),
    row("missing job", "50004001", responses(MISSING, become(refused(50004001, "Err"))), missing_job=None),
    row("job details", "name, status", responses(details, set_data(name="x", status=3))),
    row("tasks", "id is text", with_tasks(id="task-1")),
    row("tasks", "tasks is null", with_jobs(tasks=None)),
    row("times of tasks", "a number", with_tasks(runBeginTime=1_750_000_000_000)),
    row("times of tasks", "text", with_tasks(runBeginTime="2022-07-12 10:33")),
    row("times that have not come", "text", with_tasks(runEndTime="never")),
    row("statuses", "unknown: 9", with_first_status(9)),
    row("statuses", "a large number", with_first_status(12345)),
    row("limit of a task's result", "more rows", responses(ROWS, set_data(items=[["a", "b"]] * 3))),
    row("rows of a task's result", "more than 3", responses(ROWS, set_data(items=[["a", "b", "c", "d"]]))),
    row("rows of a task's result", "a fraction", responses(ROWS, set_data(items=[["a", 0.5]]))),
    row("result without limit", "code 0", responses(RESULTS, become(success({"items": [["a", "b"]]})))),
    row("new job's id", "a number", responses(to("POST /jobs"), set_data(id=0))),
    row("new job in its details", "after 1.9 s", with_(shows_after=1.5)),
    row("new job in its details", "not within", with_(shows_after=9.0)),
    row("new job in the list", "after 1.9 s", with_(lists_after=1.5)),
    row("new job in the list", "not within", with_(lists_after=9.0)),
    row("createTime and Date", "s", responses(all_responses, set_date("Sun, 15 Jun 2025 15:00:00 GMT"))),
    row(
        "statuses passed",
        "unknown",
        responses(saying(b'"id": 111'), edit(lambda it: it["data"].update(status=7))),
    ),
    row("cancel", "without success", responses(to("PUT /cancel"), set_envelope(data=None))),
    row("cancel", "code 40304000", responses(to("PUT /cancel"), become(refused(40304000, "ErrForbidden")))),
    row("cancel while stopping", "code 40004001", refusing_to_cancel_twice),
    row("end of a cancelled job", "FAILED", with_(ends_as=3)),
    row(
        "cancel of a job that has ended",
        "40404000",
        responses(saying(b"has ended"), become(refused(40404000, "E"))),
    ),
    row("envelope", "another message", responses(lists, set_envelope(message="OK"))),
    row(
        "HTTP status and code",
        "HTTP 200",
        responses(refusals, set_status(200)),
        http_status_follows_code=False,
    ),
    row("error message", "another", responses(refusals, set_envelope(message="no"))),
    row("error codes", "category 400", responses(refusals, edit(lambda it: it.update(code=it["code"] + 77)))),
    row("error details", "details in", responses(refusals, set_envelope(details="goroutine 1"))),
    row("Date header", "missing", responses(all_responses, set_date(None)), clock_difference=None),
    row("clock", "-", responses(all_responses, set_date("Sun, 15 Jun 2025 15:00:00 GMT"))),
    row("latency", "median 2", slow, latency=2.0),
)
