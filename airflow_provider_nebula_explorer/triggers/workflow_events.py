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
from airflow_provider_nebula_explorer.explorer.models import Job
from airflow_provider_nebula_explorer.explorer.settings import Settings
from airflow_provider_nebula_explorer.explorer.successes.bookmark import Bookmark
from airflow_provider_nebula_explorer.explorer.successes.stream import SuccessStream
from airflow_provider_nebula_explorer.triggers.watchers import SharedWatcher, look_up

log = logging.getLogger(__name__)

SPACING_SECONDS = 10.0
"""How long after another event the last of some comes.

Airflow's scheduler starts a run with the events up to the first that it has queued; those after it go with
the next run. So the last has to come when that first run is made.
"""

_LONGEST_PAUSE_SECONDS = 600.0
"""Between two looks that fail, where nobody but a log can be told."""


@dataclass(frozen=True)
class Observed:
    """What is observed; the arguments of the trigger that does it, in the same words."""

    workflow_id: int | str
    nebula_explorer_conn_id: str
    poll_interval: float
    name: str | None
    created_after: str | None

    def bookmark_key(self, explorer: str) -> str:
        """Return the key of its bookmark; the same for as long as the same jobs of an Explorer are wanted.

        :param explorer: its address.
        """
        wanted = [
            self.nebula_explorer_conn_id,
            explorer,
            str(self.workflow_id),
            self.name,
            self.created_after,
        ]
        return f"nebula_explorer_{hashlib.sha256(json.dumps(wanted).encode()).hexdigest()[:16]}"


class Successes:
    """The jobs of a workflow that succeed, whoever runs them, over restarts where Airflow keeps a bookmark.

    :param store: Airflow's ``asset_state_store`` (Airflow 3.3 and later); ``None`` where there is none.
    :param apart: how many seconds there are at least before the last of the jobs that a look shows.
    """

    def __init__(self, observed: Observed, store: Any, *, apart: float) -> None:
        self._observed = observed
        self._apart = apart
        self._apart_at = -math.inf
        self._store = _Store(store)
        self._marks: dict[str, _Mark] = {}

    async def jobs(self) -> AsyncIterator[Job]:
        """Yield each job that succeeds, for ever; trouble delays it, and is logged."""
        workflow_id = parse_id("workflow_id", self._observed.workflow_id)
        pause = interval = parse_interval("poll_interval", self._observed.poll_interval)
        while True:
            try:
                async with aclosing(self._looks(workflow_id, interval)) as looks:
                    async for jobs in looks:
                        pause = interval
                        for job in jobs:
                            if job is jobs[-1]:
                                await asyncio.sleep(max(0.0, self._apart_at - time.monotonic()))
                            self._apart_at = time.monotonic() + self._apart
                            yield job
            except NebulaExplorerError as error:
                # Airflow would begin it anew at once, again and again: an event has no task that could fail.
                log.warning("Cannot observe workflow %s, will poll again: %s", workflow_id, error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, max(interval, _LONGEST_PAUSE_SECONDS))

    async def acknowledge(self, *job_ids: int) -> None:
        """Take note that the events of jobs have reached Airflow, so that they are not told again."""
        for mark in self._marks.values():
            for job_id in mark.bookmark.in_flight.intersection(job_ids):
                mark.bookmark.acknowledge(job_id)
                increment("events")
                log.info(
                    "Job %s of workflow %s succeeded: event delivered.", job_id, self._observed.workflow_id
                )
            await self._store.save(mark)

    async def _looks(self, workflow_id: int, interval: float) -> AsyncGenerator[list[Job], None]:
        """Yield what each look shows, until the connection has changed."""
        settings = await self._account()
        mark = await self._mark_of(settings.base_url)
        async with (
            SharedWatcher(settings) as watcher,
            SuccessStream(
                watcher,
                mark.bookmark,
                workflow_id,
                name=self._observed.name,
                not_before=self._not_before,
                interval=interval,
            ) as stream,
        ):
            while settings == await self._account():
                jobs = await stream.next_batch()
                await self._store.save(mark)
                yield jobs

    async def _mark_of(self, explorer: str) -> _Mark:
        if explorer not in self._marks:
            key = self._observed.bookmark_key(explorer)
            saved = await self._store.read(key)
            self._marks[explorer] = _Mark(key, saved or self._first_bookmark, (saved or Bookmark()).copy())
        return self._marks[explorer]

    @property
    def _first_bookmark(self) -> Bookmark:
        return Bookmark(self._not_before or None, at=int(time.time() * 1000))

    @property
    def _not_before(self) -> int:
        since = self._observed.created_after
        return 0 if since is None else parse_milliseconds("created_after", since)

    async def _account(self) -> Settings:
        try:
            return await look_up(self._observed.nebula_explorer_conn_id)
        except NebulaExplorerError:
            raise
        except Exception as error:  # Airflow's, as where there is no such connection yet
            name = f"{type(error).__name__}: {error}"
            raise NebulaExplorerError(
                f"Connection {self._observed.nebula_explorer_conn_id!r} cannot be read: {name}"
            ) from error


@dataclass
class _Mark:
    """A bookmark, where it is kept, and what is kept there."""

    key: str
    bookmark: Bookmark
    saved: Bookmark


class _Store:
    """Keeps bookmarks with the asset that a trigger watches for.

    :param values: maps keys to JSON values; ``None`` where there is no store.
    """

    def __init__(self, values: Any) -> None:
        self._values = values

    async def read(self, key: str) -> Bookmark | None:
        """Return a bookmark; ``None`` where there is none.

        :raises NebulaExplorerError: where Airflow does not answer: to begin anew could lose events.
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
        except ValueError as error:  # where there are several assets, none of which is "the" asset
            log.warning("No bookmark is stored, so a restart may lose events: %s", error)
            self._values = None
            return None
        except Exception as error:  # Airflow's
            name = f"{type(error).__name__}: {error}"
            raise NebulaExplorerError(f"The bookmark {key} cannot be read from Airflow: {name}") from error

    async def save(self, mark: _Mark) -> None:
        """Keep a bookmark, where it says something new; where that fails, the next one has it."""
        if self._values is None or not mark.bookmark.is_news_to(mark.saved):
            return
        saved = mark.bookmark.copy()
        try:
            await self._values.aset(mark.key, saved.as_json)
        except Exception as error:  # noqa: BLE001 - Airflow's
            name = type(error).__name__
            log.warning("The bookmark %s cannot be stored, will try again: %s: %s", mark.key, name, error)
        else:
            mark.saved = saved
