# SPDX-License-Identifier: Apache-2.0
"""A stand-in for NebulaGraph Explorer, to test DAGs and clients with; it needs the extra ``emulator``."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_nebula_explorer.emulator.calls import Call
    from airflow_provider_nebula_explorer.emulator.deviations import Deviations
    from airflow_provider_nebula_explorer.emulator.faults import Fault
    from airflow_provider_nebula_explorer.emulator.plans import JobPlan, TaskPlan
    from airflow_provider_nebula_explorer.emulator.server import Emulator

__all__ = ["Call", "Deviations", "Emulator", "Fault", "JobPlan", "TaskPlan"]

_HOMES = {
    "Call": "calls",
    "Deviations": "deviations",
    "Emulator": "server",
    "Fault": "faults",
    "JobPlan": "plans",
    "TaskPlan": "plans",
}


def __getattr__(name: str) -> Any:
    # The import happens at the first use, so that importing this package is fast and needs no aiohttp.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
