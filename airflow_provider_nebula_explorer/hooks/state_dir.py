# SPDX-License-Identifier: Apache-2.0
"""Where Airflow's option says that processes share what must outlive them."""

from __future__ import annotations

import os

from airflow.providers.common.compat.sdk import conf

_SECTION, _OPTION = "nebula_explorer", "state_dir"  # as provider_info describes them


def state_dir() -> str:
    """Return the folder's path, which need not be usable: ``[nebula_explorer] state_dir``, or its default."""
    path: str | None = conf.get(_SECTION, _OPTION, fallback=None)
    if path is not None:
        return path
    return os.path.join(os.environ.get("AIRFLOW_HOME", "~/airflow"), "nebula_explorer")  # noqa: PTH118
