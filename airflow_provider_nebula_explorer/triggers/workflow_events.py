# SPDX-License-Identifier: Apache-2.0
"""The events of a workflow that start DAGs, and the bookmark from which another triggerer resumes them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from airflow_provider_nebula_explorer.exceptions import NebulaExplorerError
from airflow_provider_nebula_explorer.explorer.arguments import parse_id, parse_interval, parse_milliseconds
from airflow_provider_nebula_explorer.explorer.metrics import increment
from airflow_provider_nebula_explorer.explorer.models import Job, show_error
from airflow_provider_nebula_explorer.explorer.settings import Settings
from airflow_provider_nebula_explorer.explorer.successes.bookmark import Bookmark
from airflow_provider_nebula_explorer.explorer.successes.stream import SuccessStream
from airflow_provider_nebula_explorer.triggers.watchers import SharedWatcher, look_up

log = logging.getLogger(__name__)

SPACING_SECONDS = 10.0
"""Seconds between the last event of a batch and the one before it.

Airflow's scheduler creates a run for the events up to the first one that it has queued; later events go to
the next run. So the last event has to come after the scheduler has created that first run.
"""

_LONGEST_PAUSE_SECONDS = 600.0
"""The longest pause between two failed polls, which only the log reports."""


@dataclass(frozen=True)
class WorkflowSpec:
    """Which successes a trigger fires for: the trigger's arguments."""

    workflow_id: int | str
    nebula_explorer_conn_id: str
    poll_interval: float
    name: str | None
    created_after: str | None

    @property
    def not_before(self) -> int:
        """The time from which on created jobs count, in epoch milliseconds."""
        return 0 if self.created_after is None else parse_milliseconds("created_after", self.created_after)

    def bookmark_key(self, explorer: str) -> str:
        """Return the key of the bookmark; it is the same for the same jobs of the same Explorer.

        :param explorer: the base address.
        """
        jobs = [
            self.nebula_explorer_conn_id,
            explorer,
            str(self.workflow_id),
            self.name,
            self.created_after,
        ]
        return f"nebula_explorer_{hashlib.sha256(json.dumps(jobs).encode()).hexdigest()[:16]}"


class WorkflowEvents:
    """The successes of a workflow, over restarts of the triggerer where Airflow stores a bookmark.

    :param store: Airflow's ``asset_state_store`` (Airflow 3.3 and later); ``None`` if there is none.
    :param spacing: the least number of seconds before the last job of a batch.
    """

    def __init__(self, spec: WorkflowSpec, store: Any, *, spacing: float) -> None:
        self._spec = spec
        self._spacing = spacing
        self._spaced_at = -math.inf
        self._store = _BookmarkStore(store)
        self._bookmarks: dict[str, _StoredBookmark] = {}

    async def jobs(self) -> AsyncIterator[Job]:
        """Yield each job that succeeds, forever; a failed poll only delays it, and is logged."""
        workflow_id = parse_id("workflow_id", self._spec.workflow_id)
        pause = interval = parse_interval("poll_interval", self._spec.poll_interval)
        while True:
            try:
                async with aclosing(self._batches(workflow_id, interval)) as batches:
                    async for batch in batches:
                        pause = interval
                        for job in batch:
                            if job is batch[-1]:
                                await asyncio.sleep(max(0.0, self._spaced_at - time.monotonic()))
                            self._spaced_at = time.monotonic() + self._spacing
                            yield job
            except NebulaExplorerError as error:
                # Not raised, as Airflow would restart the trigger at once, again and again.
                log.warning("Cannot observe workflow %s, will poll again: %s", workflow_id, error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, max(interval, _LONGEST_PAUSE_SECONDS))

    async def acknowledge(self, *job_ids: int) -> None:
        """Take note that the events of jobs have reached Airflow, so that they are not made again."""
        for stored in list(self._bookmarks.values()):  # more may come meanwhile
            for job_id in stored.bookmark.in_flight.intersection(job_ids):
                stored.bookmark.acknowledge(job_id)
                increment("events")
                log.info("Job %s of workflow %s succeeded: event delivered.", job_id, self._spec.workflow_id)
            await self._store.save(stored)

    async def _batches(self, workflow_id: int, interval: float) -> AsyncGenerator[list[Job], None]:
        """Yield what each poll shows, until the connection has changed."""
        settings = await self._settings()
        stored = await self._bookmark_of(settings.base_url)
        async with (
            SharedWatcher(settings) as shared,
            SuccessStream(
                shared.watcher,
                shared.new_jobs,
                stored.bookmark,
                workflow_id,
                name=self._spec.name,
                not_before=self._spec.not_before,
                interval=interval,
            ) as stream,
        ):
            while settings == await self._settings():
                batch = await stream.next_batch()
                await self._store.save(stored)
                yield batch

    async def _bookmark_of(self, explorer: str) -> _StoredBookmark:
        if explorer not in self._bookmarks:
            key = self._spec.bookmark_key(explorer)
            saved = await self._store.read(key)
            first = Bookmark(self._spec.not_before or None, at=int(time.time() * 1000))
            self._bookmarks[explorer] = _StoredBookmark(key, saved or first, (saved or Bookmark()).copy())
        return self._bookmarks[explorer]

    async def _settings(self) -> Settings:
        try:
            return await look_up(self._spec.nebula_explorer_conn_id)
        except NebulaExplorerError:
            raise
        except Exception as error:  # Airflow's, as when there is no such connection yet
            raise NebulaExplorerError(
                f"Connection {self._spec.nebula_explorer_conn_id!r} cannot be read: {show_error(error)}"
            ) from error


@dataclass
class _StoredBookmark:
    """A bookmark, the key under which it is stored, and what was stored last."""

    key: str
    bookmark: Bookmark
    saved: Bookmark


class _BookmarkStore:
    """Keeps bookmarks with the asset that a trigger watches.

    :param values: maps keys to JSON values; ``None`` if there is no store.
    """

    def __init__(self, values: Any) -> None:
        self._values = values

    async def read(self, key: str) -> Bookmark | None:
        """Return a bookmark; ``None`` if there is none.

        :raises NebulaExplorerError: if Airflow does not respond: to start over could lose events.
        """
        value = await self._value(key)
        try:
            return None if value is None else Bookmark.of(value)
        except ValueError as error:
            log.warning("The bookmark %s cannot be read, starting over: %s", key, error)
            return None

    async def _value(self, key: str) -> Any:
        if self._values is None:
            return None
        try:
            return await self._values.aget(key)
        except ValueError as error:  # if the trigger watches several assets, so that none is "the" asset
            log.warning("No bookmark is stored, so a restart may lose events: %s", error)
            self._values = None
            return None
        except Exception as error:  # Airflow's
            raise NebulaExplorerError(
                f"The bookmark {key} cannot be read from Airflow: {show_error(error)}"
            ) from error

    async def save(self, stored: _StoredBookmark) -> None:
        """Store a bookmark if it has changed; if that fails, the next call stores it."""
        if self._values is None or not stored.bookmark.should_replace(stored.saved):
            return
        saved = stored.bookmark.copy()
        try:
            await self._values.aset(stored.key, saved.as_json)
        except Exception as error:  # noqa: BLE001 - Airflow's
            text = "The bookmark %s cannot be stored, will try again: %s"
            log.warning(text, stored.key, show_error(error))
        else:
            stored.saved = saved
