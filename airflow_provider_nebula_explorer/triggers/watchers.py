# SPDX-License-Identifier: Apache-2.0
"""One watcher for each Explorer account in an event loop, shared by all triggers that run there."""

from __future__ import annotations

import asyncio
import math
import time
from collections import defaultdict
from dataclasses import dataclass, field
from types import TracebackType

from asgiref.sync import sync_to_async

from airflow_provider_nebula_explorer.explorer.client.account_budget import AccountBudget
from airflow_provider_nebula_explorer.explorer.settings import Account, Settings
from airflow_provider_nebula_explorer.explorer.successes.new_jobs import NewJobs
from airflow_provider_nebula_explorer.explorer.waiting.watcher import Watcher
from airflow_provider_nebula_explorer.hooks.clients import load_metrics, open_async_client
from airflow_provider_nebula_explorer.hooks.nebula_explorer import NebulaExplorerHook

LOOKUP_SECONDS = 5.0
"""For how long a look-up of a connection counts: one serves a thousand waits that begin together."""


class OpenWatcher:
    """The watcher of an account, and the lists of new jobs, which use the watcher's client.

    ``members`` is the number of triggers that use it.
    """

    def __init__(self, settings: Settings, budget: AccountBudget) -> None:
        self.watcher = Watcher(
            lambda: open_async_client(settings, budget), max_failures=settings.max_consecutive_failures
        )
        self.new_jobs = NewJobs(self.watcher.client)
        self.members = 0

    async def close(self) -> None:
        """Cancel all requests, and close the client."""
        await self.new_jobs.close()
        await self.watcher.close()


class SharedWatcher:
    """Context that gives the open watcher of an account; the last trigger to leave it closes the watcher."""

    # No generator: each wait has one of these, and Python's garbage collector traverses all of them.
    __slots__ = ("_settings", "_shared")

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def __aenter__(self) -> OpenWatcher:
        registry = _registry()
        if self._settings not in registry.watchers:
            registry.watchers[self._settings] = OpenWatcher(self._settings, registry.budget(self._settings))
        self._shared = registry.watchers[self._settings]
        self._shared.members += 1
        return self._shared

    async def __aexit__(self, *error: object) -> None:
        self._shared.members -= 1
        if not self._shared.members:
            del _registry().watchers[self._settings]
            # Shielded, as a second cancellation must not leave a half-closed client.
            await asyncio.shield(self._shared.close())


async def look_up(connection_id: str, *, not_before: float = 0) -> Settings:
    """Return a connection's fields, which may be some seconds old.

    :param not_before: the earliest time of the look-up, on :func:`time.monotonic`'s clock.
    :raises NebulaExplorerConfigError: names the field that is wrong.
    """
    lookup = _registry().lookups[connection_id]
    async with lookup.lock:  # one look-up at a time; the triggers that waited for it resume one by one
        if lookup.ended < time.monotonic() - LOOKUP_SECONDS or lookup.begun < not_before:
            begun = time.monotonic()
            # Shielded, as a cancelled sync_to_async loses the message with which Airflow marks a user's kill.
            reading = asyncio.ensure_future(sync_to_async(_read)(connection_id))
            lookup.found = await asyncio.shield(reading)
            lookup.traceback = getattr(lookup.found, "__traceback__", None)
            lookup.begun, lookup.ended = begun, time.monotonic()
    if isinstance(lookup.found, Exception):
        # As at first: each raise adds to the traceback, and the thousandth wait would log the frames of all.
        raise lookup.found.with_traceback(lookup.traceback)
    return lookup.found


def _read(connection_id: str) -> Settings | Exception:
    # In a thread: Airflow's look-up blocks, and so may the check of the connection's paths, and an import.
    load_metrics()
    try:
        return NebulaExplorerHook(connection_id).settings
    except Exception as error:  # noqa: BLE001 - all triggers that wait for the lock get the same error
        return error


@dataclass
class _Lookup:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    found: Settings | Exception = field(default_factory=LookupError)
    traceback: TracebackType | None = None
    begun: float = -math.inf
    ended: float = -math.inf


@dataclass
class _Registry:
    watchers: dict[Settings, OpenWatcher] = field(default_factory=dict)
    lookups: defaultdict[str, _Lookup] = field(default_factory=lambda: defaultdict(_Lookup))
    budgets: dict[tuple[str, Account], AccountBudget] = field(default_factory=dict)

    def budget(self, settings: Settings) -> AccountBudget:
        """Return an account's budget, which outlives its watchers: short waits may follow each other."""
        now = time.monotonic()
        key = settings.base_url, settings.account
        budget = self.budgets.get(key) or AccountBudget()
        in_use = {(other.base_url, other.account) for other in self.watchers}
        self.budgets = {
            other: it for other, it in self.budgets.items() if other in in_use or not it.is_whole(now)
        }
        self.budgets[key] = budget
        return budget


REGISTRIES: dict[asyncio.AbstractEventLoop, _Registry] = {}
"""What triggers share, by event loop."""


def _registry() -> _Registry:
    loop = asyncio.get_running_loop()
    if loop not in REGISTRIES:
        for closed in [other for other in REGISTRIES if other.is_closed()]:
            del REGISTRIES[closed]
        REGISTRIES[loop] = _Registry()
    return REGISTRIES[loop]
