"""Clients whose pauses pass a hundred times as fast as the wall's clock goes."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from storms import TIMEOUT

from airflow_provider_nebula_explorer.explorer.async_transport import AsyncClient
from airflow_provider_nebula_explorer.explorer.settings import Account, Settings
from airflow_provider_nebula_explorer.explorer.transport import Client
from airflow_provider_nebula_explorer.explorer.watcher import Watcher
from airflow_provider_nebula_explorer.hooks.nebula_explorer import NebulaExplorerHook

RETRIES = 10
"""Of a request. A fifth of all fails, so with the default of 5 one call in sixteen thousand would, too; and a
restart of Explorer's takes a busy machine a second, which is a minute and a half to those who hurry."""


@dataclass(frozen=True)
class Hurry:
    """A clock, and pauses on it."""

    speed: float = 100.0

    def now(self) -> float:
        return time.monotonic() * self.speed

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds / self.speed)

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self.speed)


HURRY = Hurry()


def settings_for(url: str) -> Settings:
    account = Account("root", "stand-in-secret", "graphd")
    return Settings(url, account, timeout=TIMEOUT, max_retries=RETRIES)


def open_client(settings: Settings) -> Client:
    return Client(settings, sleep=HURRY.sleep, clock=HURRY.now)


def open_async_client(settings: Settings) -> AsyncClient:
    return AsyncClient(settings, sleep=HURRY.pause, clock=HURRY.now)


def open_hook(settings: Settings) -> NebulaExplorerHook:
    hook = NebulaExplorerHook()
    hook._known_settings, hook._client = settings, open_client(settings)
    return hook


def open_watcher(settings: Settings) -> Watcher:
    async def opened() -> AsyncClient:
        return open_async_client(settings)

    return Watcher(opened, max_failures=settings.max_consecutive_failures)
