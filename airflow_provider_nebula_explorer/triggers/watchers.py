"""One watcher for each Explorer account in an event loop, shared by all triggers that run there."""

from __future__ import annotations

import asyncio
import math
import time
from collections import defaultdict
from dataclasses import dataclass, field

from asgiref.sync import sync_to_async

from airflow_provider_nebula_explorer.explorer.settings import Settings
from airflow_provider_nebula_explorer.explorer.successes.new_jobs import new_jobs_of
from airflow_provider_nebula_explorer.explorer.waiting.watcher import Watcher
from airflow_provider_nebula_explorer.hooks.clients import load_metrics, open_async_client
from airflow_provider_nebula_explorer.hooks.nebula_explorer import NebulaExplorerHook

LOOKUP_SECONDS = 5.0
"""How long a connection that was looked up counts: a thousand waits that begin together ask Airflow once."""


class SharedWatcher:
    """Context that gives the watcher of an account; the last to leave it closes it."""

    # No generator: there is one of these for each wait, and Python's garbage collector looks at all of them.
    __slots__ = ("_settings", "_shared")

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def __aenter__(self) -> Watcher:
        watchers = _here().watchers
        if self._settings not in watchers:
            watchers[self._settings] = _Shared(_new_watcher(self._settings))
        self._shared = watchers[self._settings]
        self._shared.members += 1
        return self._shared.watcher

    async def __aexit__(self, *error: object) -> None:
        self._shared.members -= 1
        if not self._shared.members:
            del _here().watchers[self._settings]
            # A second cancellation must not leave a half-closed client.
            await asyncio.shield(_close(self._shared.watcher))


async def _close(watcher: Watcher) -> None:
    await new_jobs_of(watcher).close()
    await watcher.close()


def _new_watcher(settings: Settings) -> Watcher:
    return Watcher(lambda: open_async_client(settings), max_failures=settings.max_consecutive_failures)


async def look_up(connection_id: str, *, not_before: float = 0) -> Settings:
    """Return a connection's fields, which may be some seconds old.

    :param not_before: on :func:`time.monotonic`'s clock: how fresh they have to be at least.
    :raises NebulaExplorerConfigError: names the field that is wrong.
    """
    lookup = _here().lookups[connection_id]
    async with lookup.lock:  # one at a time; and those who waited for it go on one by one
        if lookup.ended < time.monotonic() - LOOKUP_SECONDS or lookup.begun < not_before:
            begun = time.monotonic()
            # Shielded, as a cancelled sync_to_async loses the message by which Airflow tells a user's kill.
            reading = asyncio.ensure_future(sync_to_async(_read)(connection_id))
            lookup.found = await asyncio.shield(reading)
            lookup.begun, lookup.ended = begun, time.monotonic()
    if isinstance(lookup.found, Exception):
        raise lookup.found
    return lookup.found


def _read(connection_id: str) -> Settings | Exception:
    # In a thread: Airflow's look-up blocks, and so may the check of the connection's paths, and an import.
    load_metrics()
    try:
        return NebulaExplorerHook(connection_id).settings
    except Exception as error:  # noqa: BLE001 - what one finds, all who wait for the lock find
        return error


@dataclass
class _Shared:
    watcher: Watcher
    members: int = 0


@dataclass
class _Lookup:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    found: Settings | Exception = field(default_factory=LookupError)
    begun: float = -math.inf
    ended: float = -math.inf


@dataclass
class _Registry:
    watchers: dict[Settings, _Shared] = field(default_factory=dict)
    lookups: defaultdict[str, _Lookup] = field(default_factory=lambda: defaultdict(_Lookup))


_REGISTRIES: dict[asyncio.AbstractEventLoop, _Registry] = {}


def _here() -> _Registry:
    loop = asyncio.get_running_loop()
    if loop not in _REGISTRIES:
        for closed in [other for other in _REGISTRIES if other.is_closed()]:
            del _REGISTRIES[closed]
        _REGISTRIES[loop] = _Registry()
    return _REGISTRIES[loop]
