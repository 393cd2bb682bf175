# SPDX-License-Identifier: Apache-2.0
"""Clients whose pauses pass a hundred times as fast as real time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from storms import TIMEOUT

from airflow_provider_nebula_explorer.explorer.client.async_client import AsyncClient
from airflow_provider_nebula_explorer.explorer.client.sync_client import Client
from airflow_provider_nebula_explorer.explorer.settings import Account, Settings
from airflow_provider_nebula_explorer.explorer.waiting.watcher import Watcher
from airflow_provider_nebula_explorer.hooks.nebula_explorer import NebulaExplorerHook

if TYPE_CHECKING:
    from scenes import Stage

RETRIES = 10
"""Of a request. A fifth of all fails, so with the default of 5 one in sixteen thousand would fail, too."""

_PATIENCE = 4.0
"""A pause of at least so many seconds lasts until Explorer is back from a restart. On a busy machine that is
a second, in which a client with fast pauses would give up. Shorter pauses end before that, so some retries
fail."""


@dataclass
class Hurry:
    """Short pauses, and a clock that passes the full length of each.

    Requests take real time on this clock, as a blocking client's timeout is also that of its HTTP library.

    :param until_there: waits until Explorer is back from a restart, which takes real time.
    :param speed: how many times as fast as real time a pause passes.
    """

    until_there: Callable[[], None]
    speed: float = 100.0
    _skipped: float = 0.0

    def now(self) -> float:
        return time.monotonic() + self._skipped

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds / self.speed)
        self._skipped += seconds - seconds / self.speed
        if seconds >= _PATIENCE:
            self.until_there()


@dataclass(frozen=True)
class AsyncHurry:
    """Short pauses of calls that are made at the same time, and a fast clock, which times nothing else.

    :param until_there: waits until Explorer is back from a restart, which takes real time.
    :param speed: how many times as fast as real time the clock goes.
    """

    until_there: Callable[[], None]
    speed: float = 100.0

    def now(self) -> float:
        return time.monotonic() * self.speed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self.speed)
        if seconds >= _PATIENCE:
            await asyncio.to_thread(self.until_there)


def settings_for(url: str, state_dir: str) -> Settings:
    account = Account("root", "stand-in-secret", "graphd")
    return Settings(url, account, timeout=TIMEOUT, max_retries=RETRIES, state_dir=state_dir)


def open_client(stage: Stage) -> Client:
    hurry = Hurry(stage.explorer.until_there)
    return Client(stage.settings, sleep=hurry.sleep, clock=hurry.now)


def open_async_client(stage: Stage) -> AsyncClient:
    hurry = AsyncHurry(stage.explorer.until_there)
    return AsyncClient(stage.settings, sleep=hurry.sleep, clock=hurry.now)


def open_hook(stage: Stage) -> NebulaExplorerHook:
    hook = NebulaExplorerHook()
    hook._known_settings, hook._client = stage.settings, open_client(stage)
    return hook


def open_watcher(stage: Stage) -> Watcher:
    async def opened() -> AsyncClient:
        return open_async_client(stage)

    return Watcher(opened, max_failures=stage.settings.max_consecutive_failures)
