# SPDX-License-Identifier: Apache-2.0
"""Lists over many pages, where Explorer obeys the filter, and where it obeys parts of it or nothing."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from factories import a_job
from odd_server import FIVE_OCLOCK, MINUTE, ODD, OddServer, query

from airflow_provider_nebula_explorer.exceptions import NebulaExplorerConnectionError
from airflow_provider_nebula_explorer.explorer.client import lists
from airflow_provider_nebula_explorer.explorer.client.api import PAGE_SIZE
from airflow_provider_nebula_explorer.explorer.client.limits import STALE_PAGES
from airflow_provider_nebula_explorer.explorer.client.lists import (
    decisive_job,
    have_growing_ids,
    newest_jobs,
    oldest_job,
    search,
    walk_list,
)


class Server:
    """Pages of a list, as a server with a cap of its own gives them."""

    def __init__(self, ids, *, cap=10, total=True):
        self.ids, self.cap, self.total, self.pages = list(ids), cap, total, []

    def __call__(self, call):
        sent = query(call)
        page, size = int(sent["page"]), min(int(sent["pageSize"]), self.cap)
        self.pages.append(page)
        items = [{"id": i, "status": 2} for i in self.ids[(page - 1) * size : page * size]]
        data = {"items": items or None, "Page": page, "PageSize": size}
        return call.read(data | ({"total": len(self.ids)} if self.total else {}))


def walked(server):
    return [job.id for job in walk_list(server, None, {}, 100)]


def test_a_walk_follows_the_page_size_that_comes_back():
    server = Server(range(1, 26))
    assert walked(server) == list(range(1, 26))
    assert server.pages == [1, 2, 3]


def test_a_walk_stops_at_the_last_full_page():
    server = Server(range(1, 21))
    assert walked(server) == list(range(1, 21))
    assert server.pages == [1, 2]


def test_a_walk_fetches_pages_as_they_are_needed():
    server = Server(range(1, 101))
    walk = walk_list(server, None, {}, 100)
    assert server.pages == []
    assert [next(walk).id for _ in range(10)] == list(range(1, 11))
    assert server.pages == [1]
    next(walk)
    assert server.pages == [1, 2]


def test_a_walk_without_a_total_goes_on_to_the_empty_page():
    server = Server(range(1, 26), total=False)
    assert walked(server) == list(range(1, 26))


def test_jobs_that_move_to_the_next_page_are_yielded_once():
    server = Server(range(100, 75, -1))
    walk = walk_list(server, None, {}, 100)
    seen = [next(walk).id for _ in range(10)]
    server.ids[:0] = range(110, 100, -1)  # as many new jobs as a page holds: page 2 brings nothing new
    assert [*seen, *(job.id for job in walk)] == list(range(100, 75, -1))


def test_a_server_that_sends_one_page_for_ever_ends_the_walk():
    def same_page(call):
        return call.read({"items": [{"id": 1, "status": 2}]})

    assert walked(same_page) == [1]


def test_an_empty_list_is_one_request():
    server = Server([])
    assert walked(server) == []
    assert server.pages == [1]


SINCE = FIVE_OCLOCK + 30 * MINUTE
SUCCESSES = {"status": 2, "fromCreateTime": SINCE}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_the_oldest_job_is_found_whatever_explorer_obeys(odd):
    server = OddServer(**odd)
    assert search(server, oldest_job(5, SUCCESSES)).id == 131  # 130 failed


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_no_job_is_found_where_none_is_requested(odd):
    server = OddServer(**odd)
    assert (
        search(server, oldest_job(5, {"status": 2, "fromCreateTime": FIVE_OCLOCK + 49 * MINUTE + 1})) is None
    )


def test_the_oldest_job_takes_one_request_where_explorer_obeys():
    server = OddServer()
    search(server, oldest_job(5, SUCCESSES))
    assert server.requests == 1


@pytest.mark.parametrize(
    ("odd", "most"), [("no status filter", 4), ("no time filter", 4), ("no filter", 5), ("nothing obeyed", 7)]
)
def test_what_is_not_obeyed_costs_pages_up_to_the_window_alone(odd, most):
    server = OddServer(**ODD[odd], cap=10)
    search(server, oldest_job(5, SUCCESSES))
    assert server.requests <= most


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_a_walk_yields_what_was_requested_alone(odd):
    server = OddServer(**odd)
    window = {"status": 2, "fromCreateTime": SINCE, "toCreateTime": SINCE + 10 * MINUTE}
    found = sorted(job.id for job in walk_list(server, 5, window, 100))
    assert found == [100 + number for number in range(30, 41) if number % 3 != 0]


@pytest.mark.parametrize("order", ["desc", "asc"])
def test_a_walk_ends_behind_the_window_if_the_order_shows_that(order):
    server = OddServer(obeys=())
    window = {"fromCreateTime": SINCE, "toCreateTime": SINCE + 5 * MINUTE, "orderByCreateTime": order}
    assert len(list(walk_list(server, 5, window, 100))) == 6
    assert server.requests == (3 if order == "desc" else 4)


@pytest.mark.parametrize("size", [None, 100])
def test_a_walk_believes_the_pages_and_not_what_they_say_of_their_size(size):
    server = OddServer(jobs=35)

    def lying(call):
        page = server(call)
        return type(page)(page.items, page.length, size or 100, page.total)

    assert len(list(walk_list(lying, 5, {}, 100))) == 35


@pytest.mark.parametrize("order", ["", "asc", "none"])
def test_the_newest_jobs_are_found_whatever_the_order(order):
    server = OddServer(order=order, jobs=PAGE_SIZE + 30, cap=PAGE_SIZE)
    page = newest_jobs(server, 5)
    assert [job.id for job in page.items] == list(range(229, 129, -1))
    assert not page.is_whole_list
    assert server.requests == (1 if order == "" else 3)


@pytest.mark.parametrize(("ids", "grow"), [((1, 2, 5), True), ((1, 5, 2), False), ((7,), True), ((), True)])
def test_ids_grow_if_later_jobs_have_higher_ones(ids, grow):
    jobs = [a_job(id=job_id, createTime=FIVE_OCLOCK + place) for place, job_id in enumerate(ids)]
    assert have_growing_ids(jobs[::-1]) is grow


def endless(call):
    first = int(query(call)["page"]) * 1000
    return call.read({"items": [{"id": first + n, "status": 2} for n in range(1000)], "total": 10**18})


def test_a_list_that_nobody_limited_and_that_does_not_end_is_an_error(monkeypatch):
    monkeypatch.setattr(lists, "LONGEST_UNLIMITED_LIST", 2500)
    walk = walk_list(endless, None, {}, 1000)
    shown = [next(walk).id for _ in range(2500)]
    assert shown == list(range(1000, 3500))
    with pytest.raises(NebulaExplorerConnectionError, match="longer than 2500. Set limit") as raised:
        next(walk)
    assert not raised.value.is_transient


def test_a_limit_is_obeyed_however_long_the_list(monkeypatch):
    monkeypatch.setattr(lists, "LONGEST_UNLIMITED_LIST", 10)
    assert len(list(walk_list(endless, None, {}, 1000, limit=2500))) == 2500


def endless_of_others(call):
    """Return failed jobs that are always new, and newer than any that was requested."""
    if '"status":2' in unquote(call.request.target):
        return call.read({"items": []})
    first = int(query(call)["page"]) * 1000
    items = [{"id": first + n, "status": 3, "createTime": FIVE_OCLOCK - first - n} for n in range(1000)]
    return call.read({"items": items, "total": 10**18})


@pytest.mark.parametrize(
    "read",
    [
        lambda fetch: list(walk_list(fetch, None, {"toCreateTime": 1}, 1000, limit=5)),
        lambda fetch: search(fetch, oldest_job(5, {"toCreateTime": 1})),
        lambda fetch: search(fetch, decisive_job(5, {"toCreateTime": 1}, fail_on_failed_job=True)),
    ],
    ids=["a limit", "the oldest", "a decisive one"],
)
def test_a_list_of_others_without_end_is_an_error_whoever_reads_it(read, monkeypatch):
    monkeypatch.setattr(lists, "LONGEST_UNLIMITED_LIST", 5000)
    pages = []

    def fetch(call):
        pages.append(call)
        return endless_of_others(call)

    with pytest.raises(NebulaExplorerConnectionError, match="longer than 5000. Set limit") as raised:
        read(fetch)
    assert not raised.value.is_transient
    assert len(pages) <= 7


def test_so_are_the_newest_jobs_of_a_list_without_end_and_order(monkeypatch):
    monkeypatch.setattr(lists, "LONGEST_UNLIMITED_LIST", 5000)

    def fetch(call):
        page = int(query(call)["page"])
        items = [{"id": page * 100 + n, "status": 2, "createTime": FIVE_OCLOCK + n} for n in range(100)]
        return call.read({"items": items, "total": 10**18})

    with pytest.raises(NebulaExplorerConnectionError, match="longer than 5000"):
        newest_jobs(fetch, 5)


def test_a_server_that_calls_one_page_a_long_list_ends_the_walk():
    pages = []

    def same_page(call):
        pages.append(call)
        return call.read({"items": [{"id": 1, "status": 2}], "total": 10**18})

    assert walked(same_page) == [1]
    assert len(pages) == 1 + STALE_PAGES
