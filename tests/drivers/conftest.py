# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio

import pytest

from airflow_provider_nebula_explorer.emulator import Emulator
from airflow_provider_nebula_explorer.explorer.client.async_client import AsyncClient
from airflow_provider_nebula_explorer.explorer.client.sync_client import Client


class Blocking:
    """The blocking client, behind an interface that both share."""

    largest = "32 MiB"

    def __init__(self, settings, pauses, on_secret):
        self.client = Client(settings, on_secret=on_secret, sleep=pauses.append)
        self.run = self.client.run
        self.login = self.client.login
        self.close = self.client.close


class Asynchronous:
    """The asynchronous client, with an event loop of its own."""

    largest = "4 MiB"

    def __init__(self, settings, pauses, on_secret):
        async def sleep(seconds):
            pauses.append(seconds)

        async def mask(secret):
            if on_secret:
                on_secret(secret)

        async def open_client():
            return AsyncClient(settings, on_secret=mask, sleep=sleep)

        self.loop = asyncio.new_event_loop()
        try:
            self.client = self.loop.run_until_complete(open_client())
        except BaseException:
            self.loop.close()
            raise

    def run(self, call):
        return self.loop.run_until_complete(self.client.run(call))

    def login(self):
        return self.loop.run_until_complete(self.client.login())

    def close(self):
        self.loop.run_until_complete(self.client.close())
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()


@pytest.fixture
def pauses():
    """The pauses that clients made, in seconds; in tests they take no time."""
    return []


@pytest.fixture(params=[Blocking, Asynchronous], ids=["requests", "httpx"])
def open_client(request, pauses):
    """Open clients of one kind; they are closed at the end."""
    clients = []

    def open_client(settings, on_secret=None):
        clients.append(request.param(settings, pauses, on_secret))
        return clients[-1]

    yield open_client
    for client in clients:
        client.close()


@pytest.fixture
def explorer():
    with Emulator() as emulator:
        yield emulator
