# SPDX-License-Identifier: Apache-2.0
"""What is assumed of lists of jobs: their pages and their order."""

from __future__ import annotations

from airflow_provider_nebula_explorer.doctor.check import Check
from airflow_provider_nebula_explorer.doctor.findings import (
    CannotTryError,
    Finding,
    RefusedError,
    differs,
    ok,
)
from airflow_provider_nebula_explorer.doctor.observation import is_number, kind_of
from airflow_provider_nebula_explorer.doctor.prober import PAGE_SIZE, ListPage, Prober
from airflow_provider_nebula_explorer.explorer.client import api
from airflow_provider_nebula_explorer.explorer.client.api import JobSummary
from airflow_provider_nebula_explorer.explorer.client.protocol import ROOT, Request
from airflow_provider_nebula_explorer.explorer.models import JsonObject

NO_JOBS = "no job has run yet: run a workflow, or use --run"
NO_SUCH_NAME = "airflow-provider-doctor-no-such-job"
REPORT = "Report this."
_PAGES = 3
_ORDERS = {
    (True, False): "oldest first, always",
    (False, True): "newest first, always",
    (False, False): "neither is obeyed",
}
"""What is seen where asc and desc are not both obeyed."""


def newest(prober: Prober) -> ListPage:
    """Return the newest jobs, as many as a page holds.

    :raises CannotTryError: if there are none.
    """
    page = prober.list({})
    if not page.jobs:
        raise CannotTryError("no job in the list can be read" if page.items else NO_JOBS)
    return page


def list_shape(prober: Prober) -> Finding:
    """Try how a page of a list is written."""
    data = prober.list({}).data
    odd = [name for name in ("total", "Page", "PageSize") if not is_number(data.get(name))]
    if "items" not in data or odd:
        kinds = [f"{name} is {kind_of(data[name]) if name in data else 'missing'}" for name in odd]
        return differs(
            ", ".join([*(["items is missing"] if "items" not in data else []), *kinds]),
            "The package lives with it: without items a list is empty, and without total it reads pages "
            "until one brings nothing new.",
        )
    return ok("items, total, Page, PageSize")


def default_page(prober: Prober) -> Finding:
    """Try a list without any parameter."""
    data = prober.call("list jobs", Request("GET", f"{ROOT}/jobs")).data()
    if isinstance(data, dict) and (data.get("Page"), data.get("PageSize")) == (1, 10):
        return ok("page 1 of 10 jobs")
    return differs("another page or size", "Nothing to do: the package always says which page it wants.")


def page_cap(prober: Prober) -> Finding:
    """Try how many jobs a page can hold."""
    size = _size_of(newest(prober))
    if size >= PAGE_SIZE:
        return ok(f"at least {PAGE_SIZE}")
    if size >= api.PAGE_SIZE:
        return ok(f"{size}", page_cap=size)
    return differs(
        f"{size}",
        f"The package lives with it: a list takes a request for each {size} jobs, so waits and long lists "
        "cost more. Raise the cap, if your Explorer has a setting for it.",
        page_cap=size,
    )


def _size_of(page: ListPage) -> int:
    """Return how many jobs a page can hold: as many as it does if it lacks some, else what it says."""
    size = page.data.get("PageSize")
    if len(page.items) < total_of(page) or len(page.items) >= PAGE_SIZE:
        return len(page.items)
    if is_number(size) and size > 0:
        return int(size)
    raise CannotTryError("Explorer does not say, and there are too few jobs to tell")


def page_size(prober: Prober) -> Finding:
    """Try whether ``PageSize`` is the size that the server used."""
    page = newest(prober)
    size = page.data.get("PageSize")
    if not is_number(size):
        return differs(f"PageSize is {kind_of(size)}", _COUNTED)
    if len(page.items) > size or len(page.items) < min(size, total_of(page)):
        return differs(f"{len(page.items)} jobs on a page that says another size", _COUNTED)
    return ok("the page's real size")


_COUNTED = "The package lives with it if the total is right: it counts the jobs that come."


def total_of(page: ListPage) -> int:
    """Return a list's length; 0 where Explorer does not say."""
    total = page.data.get("total")
    return total if is_number(total) else 0


def total(prober: Prober) -> Finding:
    """Try whether ``total`` is the number of all jobs, whatever the page."""
    page = newest(prober)
    if len(page.items) < 2:
        raise CannotTryError("fewer than two jobs on a page")
    first, second = page.data.get("total"), prober.list({}, size=1).data.get("total")
    if not is_number(first) or not is_number(second):
        return differs(
            "not always a number",
            "The package lives with it: it reads pages until one brings nothing new.",
            total="absent" if first is None and second is None else None,
        )
    # A job may have been created between the two requests, so the second number may be higher.
    if not len(page.items) <= first <= second:
        return differs(
            "not the number of all jobs", f"Long lists may lose jobs, and waits may miss some. {REPORT}"
        )
    return ok("the number of all jobs", total="right")


def page_after_last(prober: Prober) -> Finding:
    """Try a page after the last one."""
    last = total_of(newest(prober))
    number = (last if 0 < last < 10**9 else 10**6) + 2
    try:
        page = prober.list({}, page=number, size=10)
    except RefusedError:
        return differs("refused", "Lists without a total end in an error: give them a limit.")
    if page.items:
        return differs("jobs", "Lists without a total take longer to end: give them a limit.")
    return ok("no items")


def empty_list(prober: Prober) -> Finding:
    """Try how a list without jobs is written."""
    page = prober.list({})
    if page.items and (page := prober.list({"name": NO_SUCH_NAME})).items:
        raise CannotTryError("no list is empty")
    if "items" not in page.data:
        return differs("no items at all", "Nothing to do: the package takes it for an empty list.")
    return ok("null" if page.data["items"] is None else "[]")


def paging(prober: Prober) -> Finding:
    """Try whether consecutive pages show each job once."""
    oldest_first: JsonObject = {"orderByCreateTime": "asc"}  # so that a new job moves none of the others
    whole = prober.list(oldest_first)
    size = min(5, len(whole.ids) // 2)
    if size < 1:
        raise CannotTryError("fewer than two jobs on a page")
    wanted = whole.ids[: size * _PAGES]
    pages = [prober.list(oldest_first, page=number, size=size) for number in range(1, _PAGES + 1)]
    shown = [job_id for page in pages for job_id in page.ids][: len(wanted)]
    if shown == wanted:
        return ok(f"{len(wanted)} jobs on pages of {size}, each once")
    lost, twice = len(set(wanted) - set(shown)), len(shown) - len(set(shown))
    return differs(
        f"of {len(wanted)} jobs, {lost} missing and {twice} twice",
        f"Long lists may lose jobs: give them created_after, so that one page holds them. {REPORT}",
    )


def order(prober: Prober) -> Finding:
    """Try both orders by creation."""
    up = _is_ordered(prober.list({"orderByCreateTime": "asc"}).jobs, newest_first=False)
    down = _is_ordered(prober.list({"orderByCreateTime": "desc"}).jobs, newest_first=True)
    if up is None or down is None:
        raise CannotTryError("fewer than two jobs with different times")
    if up and down:
        return ok("both", order=True)
    return differs(
        _ORDERS[up, down],
        "The package lives with it: it compares the jobs' own times. Starts, sensors and events read more "
        "pages.",
        order=False,
    )


def default_order(prober: Prober) -> Finding:
    """Try the order of a list that asks for none."""
    is_newest_first = _is_ordered(newest(prober).jobs, newest_first=True)
    if is_newest_first is None:
        raise CannotTryError("fewer than two jobs with different times")
    if is_newest_first:
        return ok("newest first")
    return differs("another", "Nothing to do: the package always asks for an order.")


def _is_ordered(jobs: list[JobSummary], *, newest_first: bool) -> bool | None:
    """Return whether jobs are in an order by creation; ``None`` where that cannot be told."""
    times = [job.created for job in jobs if job.created is not None]
    return None if len(set(times)) < 2 else times == sorted(times, reverse=newest_first)


def ids_grow(prober: Prober) -> Finding:
    """Try whether a job that was created later has a higher id."""
    by_time = sorted((job.created, job.id) for job in newest(prober).jobs if job.created is not None)
    if len({created for created, _ in by_time}) < 2:
        raise CannotTryError("fewer than two jobs with different times")
    ids = [job_id for _, job_id in by_time]
    if ids == sorted(ids):
        return ok(f"in {len(ids)} jobs", ids_grow=True)
    return differs("they do not", "The package lives with it: it polls more jobs one by one.", ids_grow=False)


LIST_CHECKS = (
    Check("list of jobs", "items, total, Page, PageSize", list_shape),
    Check("default page", "page 1 of 10 jobs", default_page),
    Check("page cap", f"{api.PAGE_SIZE} jobs or more", page_cap),
    Check("PageSize", "the size that the server used", page_size),
    Check("total", "the number of all jobs", total),
    Check("page after the last", "no items", page_after_last),
    Check("empty list", "items [] or null", empty_list),
    Check("order", "asc and desc are obeyed", order),
    Check("default order", "newest first", default_order),
    Check("paging", "each job once", paging),
    Check("ids", "grow with creation", ids_grow),
)
