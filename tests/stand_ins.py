# SPDX-License-Identifier: Apache-2.0
"""What an operator uses of Airflow, without an Airflow."""

from __future__ import annotations

import json
import sys

CLAIM_KEY = "nebula_explorer_claim"


def a_claim(emulator, job_id):
    """Return what a task leaves for others when it claims its job."""
    return {"explorer": emulator.url, "job_id": job_id}


def forget_secrets():
    """Make Airflow mask nothing, as when a process begins.

    It keeps all secrets that it ever masked, and compiles them anew with each login.
    """
    for name, module in list(sys.modules.items()):
        if name.endswith("secrets_masker") and hasattr(module, "_secrets_masker"):
            masker = module._secrets_masker()
            masker.patterns, masker.replacer = set(), None


class TaskInstance:
    """A task instance that keeps its own XComs."""

    map_index = -1

    def __init__(self, try_number=1, max_tries=0):
        self.xcoms = {}
        self.try_number = try_number
        self.max_tries = max_tries

    def xcom_push(self, key, value):
        self.xcoms[key] = value


class Store:
    """Airflow's task state store: what is written survives the process.

    ``before_set`` is called with the number of each writing.
    """

    def __init__(self):
        self.kept = {}
        self.writings = 0
        self.before_set = lambda number: None

    def get(self, key, default=None):
        return json.loads(self.kept[key]) if key in self.kept else default

    def set(self, key, value):
        self.writings += 1
        self.before_set(self.writings)
        self.kept[key] = json.dumps(value)
        assert json.loads(self.kept[key]) == value, "Airflow takes JSON values alone: no tuples"


class Crash(BaseException):
    """The process is gone: SIGKILL."""


def crash_at(number):
    """Return a store's ``before_set`` that dies at one of the writings."""

    def before(writing):
        if writing == number:
            raise Crash

    return before


def ids(emulator):
    """Return the ids of all jobs, oldest first."""
    return [job["id"] for job in emulator.jobs]
