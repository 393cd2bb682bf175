# SPDX-License-Identifier: Apache-2.0
"""NebulaGraph Explorer for any Python program: nothing here imports Airflow."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow_provider_nebula_explorer.explorer.models import Job, JobStatus, Task
from airflow_provider_nebula_explorer.explorer.settings import Account, Settings

if TYPE_CHECKING:
    from airflow_provider_nebula_explorer.explorer.client.async_client import AsyncClient
    from airflow_provider_nebula_explorer.explorer.client.sync_client import Client
    from airflow_provider_nebula_explorer.explorer.waiting.watcher import Watcher

__all__ = ["Account", "AsyncClient", "Client", "Job", "JobStatus", "Settings", "Task", "Watcher"]

_MODULES = {
    "AsyncClient": "client.async_client",
    "Client": "client.sync_client",
    "Watcher": "waiting.watcher",
}


def __getattr__(name: str) -> Any:
    # On first use (PEP 562): a DAG file, whose operators need some of this package, loads no HTTP library.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
