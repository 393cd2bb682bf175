# SPDX-License-Identifier: Apache-2.0
"""The triggerer of benchmarks/waiting.py: a process that runs one provider's triggers, and their cost."""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import logging
import os
import selectors
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from servers import SUCCESS, obey

INTERVAL = 2.0
END = 2**32


@dataclass(frozen=True)
class Product:
    """A provider whose trigger is measured.

    :param connection: its connection, with ``PORT`` for the server's port.
    :param arguments: the trigger's, from a job's id.
    :param succeeded: whether an event's payload reports the success of the job with this id.
    :param prepare: called before the first trigger is made.
    """

    distribution: str
    connection: Mapping[str, Any]
    trigger: str
    arguments: Callable[[int], Mapping[str, Any]]
    succeeded: Callable[[Any, int], bool]
    prepare: Callable[[], None] = lambda: None


def speak_plainly() -> None:
    """Make dbt Cloud's hook use http, as the others do here."""
    from airflow.providers.dbt.cloud.hooks.dbt import DbtCloudHook

    build = DbtCloudHook.get_request_url_params

    def plain(*arguments: Any, **named: Any) -> tuple[str, dict[str, Any]]:
        url, parameters = build(*arguments, **named)
        return url.replace("https:", "http:"), parameters

    DbtCloudHook.get_request_url_params = staticmethod(plain)


def get_tokens_plainly() -> None:
    """Make Databricks' hook fetch its tokens from where it sends its other requests."""
    from airflow.providers.databricks.hooks.databricks_base import BaseDatabricksHook

    BaseDatabricksHook._get_oidc_token_service_url = lambda hook: hook._endpoint_url("oidc/v1/token")


def databricks(login: Mapping[str, Any], prepare: Callable[[], None] = lambda: None) -> Product:
    """Return Databricks, which takes a token, or an account that gets one."""
    return Product(
        "apache-airflow-providers-databricks",
        {"conn_type": "databricks", "schema": "http", "host": "127.0.0.1", "port": "PORT"}
        | {"password": "stand-in-secret", **login},
        "airflow.providers.databricks.triggers.databricks.DatabricksExecutionTrigger",
        lambda job_id: {
            "run_id": job_id,
            "databricks_conn_id": "databricks_default",
            "polling_period_seconds": INTERVAL,
        },
        lambda payload, job_id: payload["run_id"] == job_id and '"SUCCESS"' in payload["run_state"],
        prepare,
    )


PRODUCTS = {
    "ours": Product(
        "airflow-provider-nebula-explorer",
        {"conn_type": "nebula_explorer", "host": "127.0.0.1", "port": "PORT", "login": "root"}
        | {"password": "stand-in-secret", "extra": {"nebula_address": "graphd"}},
        "airflow_provider_nebula_explorer.triggers.nebula_explorer.NebulaExplorerJobTrigger",
        lambda job_id: {
            "job_id": job_id,
            "nebula_explorer_conn_id": "nebula_explorer_default",
            "poll_interval": INTERVAL,
        },
        lambda payload, job_id: (
            payload["job_id"] == job_id and payload.get("job", {}).get("status") == SUCCESS
        ),
    ),
    "dbt-cloud": Product(
        "apache-airflow-providers-dbt-cloud",
        {"conn_type": "dbt_cloud", "host": "127.0.0.1:PORT", "password": "stand-in-secret"},
        "airflow.providers.dbt.cloud.triggers.dbt.DbtCloudRunJobTrigger",
        lambda job_id: {
            "run_id": job_id,
            "conn_id": "dbt_cloud_default",
            "account_id": 1,
            "poll_interval": INTERVAL,
            "end_time": END,
        },
        lambda payload, job_id: payload["run_id"] == job_id and payload["status"] == "success",
        speak_plainly,
    ),
    "databricks": databricks({}),
    "databricks, OAuth": databricks(
        {"login": "stand-in", "extra": {"service_principal_oauth": True}}, get_tokens_plainly
    ),
    "airbyte": Product(
        "apache-airflow-providers-airbyte",
        {"conn_type": "airbyte", "host": "http://127.0.0.1:PORT", "login": "stand-in"}
        | {"password": "stand-in-secret"},
        "airflow.providers.airbyte.triggers.airbyte.AirbyteSyncTrigger",
        lambda job_id: {
            "job_id": job_id,
            "conn_id": "airbyte_default",
            "poll_interval": INTERVAL,
            "end_time": END,
        },
        lambda payload, job_id: payload["job_id"] == job_id and payload["status"] == "success",
    ),
}


@dataclass(frozen=True)
class Event:
    """When the trigger of a job fired."""

    job_id: int
    moment: float


@dataclass(frozen=True)
class Snapshot:
    """The triggerer at one moment.

    :param cpu: CPU time so far, in seconds.
    :param memory: in bytes.
    :param held: how long each pass of the event loop took since the previous snapshot, in seconds.
    :param collected: the longest garbage collection since then, in seconds; it is part of a pass.
    """

    moment: float
    cpu: float
    memory: int
    held: Sequence[float]
    collected: float


class TimedSelector(selectors.DefaultSelector):  # type: ignore[misc, valid-type]
    """Measures each pass of the event loop; a task that reads a clock would cost more than a wait does."""

    def __init__(self) -> None:
        super().__init__()
        self._held: list[float] = []
        self._back: float | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self._back is not None:
            self._held.append(time.perf_counter() - self._back)
        self._back = None
        ready = super().select(timeout)
        self._back = time.perf_counter()
        return ready

    def take(self) -> list[float]:
        """Return how long each pass since the last call took, the present one included."""
        held, self._held, back = self._held, [], self._back
        return held if back is None else [*held, time.perf_counter() - back]


class TimedCollections:
    """Measures the longest garbage collection."""

    def __init__(self) -> None:
        self._begun = self._longest = 0.0
        gc.callbacks.append(self._note)

    def take(self) -> float:
        """Return the longest since the last call."""
        longest, self._longest = self._longest, 0.0
        return longest

    def _note(self, phase: str, _: object) -> None:
        if phase == "start":
            self._begun = time.perf_counter()
        else:
            self._longest = max(self._longest, time.perf_counter() - self._begun)


class Triggerer:
    """Runs triggers as Airflow's does: each in a task of one event loop, with a greenback portal."""

    def __init__(self, product: Product) -> None:
        module, _, name = product.trigger.rpartition(".")
        self._product = product
        self._class = getattr(importlib.import_module(module), name)
        self._collections = TimedCollections()
        self._selector = TimedSelector()
        self._loop = asyncio.SelectorEventLoop(self._selector)
        self._tasks: list[asyncio.Task[None]] = []
        self._running = 0
        self._events: list[Event] = []
        self._failures: list[str] = []

    def run(self, pipe: Connection) -> None:
        """Run until the parent has ended."""
        threading.Thread(target=self._obey, args=(pipe,), daemon=True).start()
        self._loop.run_forever()

    def start(self, job_ids: Sequence[int]) -> None:
        """Start a trigger for each job."""
        asyncio.run_coroutine_threadsafe(self._create(job_ids), self._loop)

    def running(self) -> int:
        """Return how many triggers began to run."""
        return self._running

    def snapshot(self) -> Snapshot:
        """Return the cost so far."""
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        memory = pages * os.sysconf("SC_PAGESIZE")
        spent = time.monotonic(), time.process_time()
        return Snapshot(*spent, memory, self._selector.take(), self._collections.take())

    def events(self, first: int) -> list[Event]:
        """Return the events from the one with this number on."""
        return self._events[first:]

    def failures(self) -> list[str]:
        """Return the errors of triggers, and the events that do not report the success of their job."""
        return [*self._failures, *(repr(task.exception()) for task in self._tasks if _has_failed(task))]

    def _obey(self, pipe: Connection) -> None:
        try:
            while True:
                obey(pipe, self)
        except EOFError:
            os._exit(0)  # even if something blocks the loop

    async def _create(self, job_ids: Sequence[int]) -> None:
        for job_id in job_ids:
            await asyncio.sleep(0)
            self._tasks.append(self._loop.create_task(self._run(job_id)))

    async def _run(self, job_id: int) -> None:
        import greenback

        await greenback.ensure_portal()
        self._running += 1
        async for event in self._class(**self._product.arguments(job_id)).run():
            self._events.append(Event(job_id, time.monotonic()))
            if not self._product.succeeded(event.payload, job_id):
                self._failures.append(f"job {job_id}: {event.payload}")


def _has_failed(task: asyncio.Task[None]) -> bool:
    return task.done() and task.exception() is not None


def be_silent() -> None:
    """Turn logging off: some triggers log each poll, and the cost of that would be measured, too."""
    import structlog

    logging.disable(logging.WARNING)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))


def connect(name: str, port: int) -> str:
    """Define a product's default connection for this process, and return its id."""
    connection = PRODUCTS[name].connection
    conn_id = f"{connection['conn_type']}_default"
    os.environ[f"AIRFLOW_CONN_{conn_id.upper()}"] = json.dumps(connection).replace("PORT", str(port))
    return conn_id


def host(pipe: Connection, name: str, port: int) -> None:
    """Be the triggerer; run in a process of its own."""
    product, conn_id = PRODUCTS[name], connect(name, port)
    for module in ("aiohttp", "airflow.sdk", "greenback", "httpx", "requests"):
        importlib.import_module(module)  # as in a triggerer that has run for a while
    importlib.import_module("airflow.sdk").BaseHook.get_connection(conn_id)
    product.prepare()
    triggerer = Triggerer(product)
    be_silent()
    gc.collect()
    triggerer.run(pipe)
