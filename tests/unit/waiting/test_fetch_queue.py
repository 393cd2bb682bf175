# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio

from airflow_provider_nebula_explorer.explorer.waiting import fetch_queue
from airflow_provider_nebula_explorer.explorer.waiting.fetch_queue import FetchQueue


class Fetches:
    """Fetches that last until the test ends them; what was begun, and how many at once."""

    def __init__(self):
        self.begun = []
        self.running = self.most = 0
        self.may_end = asyncio.Event()
        self.queue = FetchQueue(self.fetch, self.start)
        self.tasks = []

    def start(self, work, name):
        self.tasks.append(asyncio.create_task(work, name=name))

    async def fetch(self, job_id):
        self.begun.append(job_id)
        self.running += 1
        self.most = max(self.most, self.running)
        await self.may_end.wait()
        await asyncio.sleep(0)
        self.running -= 1

    async def end(self):
        self.may_end.set()
        await asyncio.gather(*self.tasks)


async def let_begin():
    await asyncio.sleep(0)


def test_each_job_is_fetched_once_in_the_order_they_came():
    async def test():
        fetches = Fetches()
        fetches.queue.add([3, 1, 2])
        await let_begin()
        fetches.queue.add([2, 1, 4])
        await fetches.end()
        return fetches.begun

    assert asyncio.run(test()) == [3, 1, 2, 4]


def test_a_job_can_be_fetched_again_after_its_fetch():
    async def test():
        fetches = Fetches()
        fetches.may_end.set()
        for _ in range(2):
            fetches.queue.add([1])
            assert 1 in fetches.queue
            await fetches.end()
            assert 1 not in fetches.queue
        return fetches.begun

    assert asyncio.run(test()) == [1, 1]


def test_no_more_than_some_are_fetched_at_once():
    async def test():
        fetches = Fetches()
        fetches.queue.add(range(500))
        await let_begin()
        fetches.queue.add(range(1000))
        await fetches.end()
        return fetches

    fetches = asyncio.run(test())
    assert fetches.begun == list(range(1000))
    assert fetches.most == len(fetches.tasks) == fetch_queue.MAX_FETCHERS


def test_a_cleared_queue_forgets_all_but_what_is_being_fetched():
    async def test():
        fetches = Fetches()
        fetches.queue.add(range(100))
        await let_begin()
        fetches.queue.clear()
        pending = [job_id for job_id in range(100) if job_id in fetches.queue]
        assert pending == fetches.begun
        await fetches.end()
        assert not any(job_id in fetches.queue for job_id in range(100))
        return fetches.begun

    assert asyncio.run(test()) == list(range(fetch_queue.MAX_FETCHERS))
