"""The pytest plugin: a started emulator, and an Airflow connection to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from airflow_provider_nebula_explorer.emulator import Emulator


@pytest.fixture
def nebula_explorer_emulator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Emulator]:
    """Yield a started emulator; the connection ``nebula_explorer_default`` points to it.

    Tasks share a login, and no other test does: ``state_dir`` is a folder of this test.
    """
    from airflow_provider_nebula_explorer.emulator import Emulator  # no cost to other tests

    with Emulator() as emulator:
        monkeypatch.setenv("AIRFLOW_CONN_NEBULA_EXPLORER_DEFAULT", emulator.airflow_connection)
        monkeypatch.setenv("AIRFLOW__NEBULA_EXPLORER__STATE_DIR", str(tmp_path / "nebula_explorer"))
        yield emulator
