# SPDX-License-Identifier: Apache-2.0
"""The hook of an operator or a sensor."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from airflow_provider_nebula_explorer.hooks.nebula_explorer import NebulaExplorerHook


class HasHook:
    """A task that calls Explorer through one hook.

    :param nebula_explorer_conn_id: the Airflow connection to Explorer.
    :param hook_params: further arguments of :class:`.NebulaExplorerHook`, such as ``{"timeout": 120}``.
    """

    nebula_explorer_conn_id: str
    hook_params: dict[str, Any]

    @cached_property
    def hook(self) -> NebulaExplorerHook:
        """The hook, created when it is first used, so after templates are rendered."""
        return NebulaExplorerHook(self.nebula_explorer_conn_id, **self.hook_params)
