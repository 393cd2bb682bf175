# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterator

import pytest
from emulator_clients import Client, DirectClient

from airflow_provider_nebula_explorer.emulator import Emulator


@pytest.fixture
def explorer() -> DirectClient:
    """An Explorer without HTTP that has let us in."""
    client = DirectClient()
    client.connect()
    return client


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator() as started:
        yield started


@pytest.fixture
def client(emulator: Emulator) -> Iterator[Client]:
    """An HTTP client that the emulator has let in; its base is the emulator's API."""
    with Client(emulator) as session:
        session.connect()
        yield session
