# SPDX-License-Identifier: Apache-2.0
"""The pytest plugin: a started emulator, and an Airflow connection to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from airflow_provider_nebula_explorer.emulator import Emulator


@pytest.fixture
def nebula_explorer_emulator(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Emulator]:
    """Yield a started emulator; the connection ``nebula_explorer_default`` points to it.

    The test has a ``state_dir`` of its own, so that no login outlives its emulator.
    """
    from airflow_provider_nebula_explorer.emulator import Emulator  # no cost to other tests

    state_dir = tmp_path_factory.mktemp("nebula_explorer_state")
    monkeypatch.setenv("AIRFLOW__NEBULA_EXPLORER__STATE_DIR", str(state_dir))
    with Emulator() as emulator:
        monkeypatch.setenv("AIRFLOW_CONN_NEBULA_EXPLORER_DEFAULT", emulator.airflow_connection)
        yield emulator
