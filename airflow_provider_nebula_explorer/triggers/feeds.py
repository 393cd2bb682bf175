"""The events of a workflow that start DAGs, and the bookmark by which another triggerer goes on with them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from airflow_provider_nebula_explorer.exceptions import NebulaExplorerError
from airflow_provider_nebula_explorer.explorer.arguments import parse_id, parse_milliseconds, parse_seconds
from airflow_provider_nebula_explorer.explorer.counts import count
from airflow_provider_nebula_explorer.explorer.feed import Bookmark, SuccessFeed
from airflow_provider_nebula_explorer.explorer.models import Job
from airflow_provider_nebula_explorer.explorer.settings import Settings
from airflow_provider_nebula_explorer.triggers.registry import SharedWatcher, look_up

log = logging.getLogger(__name__)

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

    @property
    def bookmark_key(self) -> str:
        """The key of its bookmark; the same for as long as the same jobs are wanted."""
        wanted = [self.nebula_explorer_conn_id, str(self.workflow_id), self.name, self.created_after]
        return f"nebula_explorer_{hashlib.sha256(json.dumps(wanted).encode()).hexdigest()[:16]}"


class Successes:
    """The jobs of a workflow that succeed, whoever runs them, over restarts where Airflow keeps a bookmark.

    :param store: Airflow's ``asset_state_store`` (Airflow 3.3 and later); ``None`` where there is none.
    """

    def __init__(self, observed: Observed, store: Any) -> None:
        self._observed = observed
        self._store = _Store(store, observed.bookmark_key)
        self._bookmark = Bookmark()
        self._saved = Bookmark()

    async def jobs(self) -> AsyncIterator[Job]:
        """Yield each job that succeeds, for ever; trouble delays it, and is logged."""
        workflow_id = parse_id("workflow_id", self._observed.workflow_id)
        interval = parse_seconds("poll_interval", self._observed.poll_interval)
        await self._begin()
        pause = interval
        while True:
            try:
                async with aclosing(self._jobs_of_account(workflow_id, interval)) as looks:
                    async for jobs in looks:
                        pause = interval
                        for job in jobs:
                            yield job
            except NebulaExplorerError as error:
                # Airflow would begin it anew at once, again and again: an event has no task that could fail.
                log.warning("Cannot observe workflow %s, will look again: %s", workflow_id, error)
                await asyncio.sleep(pause)
                pause = min(2 * pause, max(interval, _LONGEST_PAUSE_SECONDS))

    async def told(self, *job_ids: int) -> None:
        """Take note that the events of jobs have reached Airflow, so that they are not told again."""
        for job_id in job_ids:
            self._bookmark.told(job_id)
            count("events")
        await self._save()

    async def _begin(self) -> None:
        if saved := await self._store.read():
            self._bookmark, self._saved = saved, saved.copy()
        elif self._observed.created_after is not None:
            self._bookmark.since = parse_milliseconds("created_after", self._observed.created_after)

    async def _jobs_of_account(self, workflow_id: int, interval: float) -> AsyncGenerator[list[Job], None]:
        """Yield what each look shows, until the connection has changed."""
        settings = await self._account()
        async with SharedWatcher(settings) as watcher:
            feed = SuccessFeed(
                watcher, self._bookmark, workflow_id, name=self._observed.name, interval=interval
            )
            async with feed:
                while settings == await self._account():
                    jobs = await feed.news()
                    await self._save()
                    yield jobs

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

    async def _save(self) -> None:
        if self._bookmark.is_news_to(self._saved):
            self._saved = self._bookmark.copy()
            await self._store.write(self._saved)


class _Store:
    """Keeps a bookmark with the asset that a trigger watches for; a store that fails is no reason to stop.

    :param values: maps keys to JSON values; ``None`` where there is no store.
    """

    def __init__(self, values: Any, key: str) -> None:
        self._values = values
        self._key = key

    async def read(self) -> Bookmark | None:
        if self._values is None:
            return None
        try:
            value = await self._values.aget(self._key)
            return None if value is None else Bookmark.of(value)
        except Exception as error:  # noqa: BLE001 - Airflow's, or a wrong value
            self._failed("read", error)
            return None

    async def write(self, bookmark: Bookmark) -> None:
        if self._values is None:
            return
        try:
            await self._values.aset(self._key, bookmark.as_json)
        except Exception as error:  # noqa: BLE001 - Airflow's
            self._failed("written", error)

    def _failed(self, what: str, error: Exception) -> None:
        log.warning(
            "The bookmark %s cannot be %s, so events may be lost or told twice over a restart: %s: %s",
            self._key,
            what,
            type(error).__name__,
            error,
        )
