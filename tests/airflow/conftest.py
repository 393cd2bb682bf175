from __future__ import annotations

import json
from types import SimpleNamespace

import pytest


class TaskInstance:
    """What an operator uses of a task instance."""

    def __init__(self):
        self.xcoms = {}

    def xcom_push(self, key, value):
        self.xcoms[key] = value


@pytest.fixture
def ti():
    return TaskInstance()


@pytest.fixture
def context(ti):
    return {"ti": ti, "task_instance": ti}


@pytest.fixture
def explorer(nebula_explorer_emulator, monkeypatch):
    """The emulator of the package's own fixture; ``set_connection`` changes the connection to it."""
    emulator = nebula_explorer_emulator

    def set_connection(**changes):
        connection = json.loads(emulator.airflow_connection)
        extra = {**connection["extra"], "max_retries": 0, **changes.pop("extra", {})}
        text = json.dumps({**connection, **changes, "extra": extra})
        monkeypatch.setenv("AIRFLOW_CONN_NEBULA_EXPLORER_DEFAULT", text)

    set_connection()
    return SimpleNamespace(emulator=emulator, set_connection=set_connection)


@pytest.fixture
def emulator(explorer):
    return explorer.emulator
