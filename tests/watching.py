# SPDX-License-Identifier: Apache-2.0
"""Runs a watcher against an emulator, and checks what it leaves behind."""

from __future__ import annotations

import asyncio
import gc
import time
import warnings
from contextlib import asynccontextmanager

from factories import settings_of

from airflow_provider_nebula_explorer.emulator import JobPlan
from airflow_provider_nebula_explorer.explorer.client.async_client import AsyncClient
from airflow_provider_nebula_explorer.explorer.client.protocol import read_data
from airflow_provider_nebula_explorer.explorer.waiting.watcher import Watcher

INTERVAL = 0.1
ENDLESS = JobPlan(ends=None)
DONE = JobPlan(running=0)


@asynccontextmanager
async def watching(explorer, *, max_failures=5, client_class=AsyncClient, clock=time.monotonic, **changes):
    settings = settings_of(explorer, **{"max_retries": 0, **changes})

    async def open_client():
        return client_class(settings)

    watcher = Watcher(open_client, max_failures=max_failures, clock=clock)
    try:
        yield watcher
    finally:
        await watcher.close()


class Clock:
    """A watcher's clock, which a test puts forward together with Explorer's."""

    def __init__(self, explorer):
        self._explorer = explorer
        self._ahead = 0.0

    def __call__(self):
        return time.monotonic() + self._ahead

    def advance(self, seconds):
        self._ahead += seconds
        self._explorer.advance(seconds)


def run(test):
    """Run a test's coroutine, and fail if it leaves a task, a socket or a warning."""

    async def run_and_check():
        result = await test
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return result

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = asyncio.run(run_and_check(), debug=True)
        gc.collect()
    return result


async def outcome(wait):
    try:
        return await wait
    except Exception as error:
        return error


async def seconds_of_polls(polls):
    await asyncio.sleep(polls * INTERVAL)


def start_jobs(explorer, count, plan=ENDLESS):
    return [explorer.start_job(5, plan=plan) for _ in range(count)]


class ScriptedClient:
    """A client whose responses a test makes up: ``respond`` is given each request."""

    server_time = None

    def __init__(self, respond):
        self._respond = respond

    async def run(self, call):
        await asyncio.sleep(0.001)
        return call.read(read_data(call.request.target, self._respond(call.request)))

    async def close(self):
        pass


@asynccontextmanager
async def watching_scripted(respond, *, max_failures=99):
    async def open_client():
        return ScriptedClient(respond)

    watcher = Watcher(open_client, max_failures=max_failures)
    try:
        yield watcher
    finally:
        await watcher.close()
