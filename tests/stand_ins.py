# SPDX-License-Identifier: Apache-2.0
"""What an operator uses of Airflow, without an Airflow."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from pathlib import Path
from unittest import mock

from airflow_provider_nebula_explorer.explorer.state_folder import file_name, open_state_folder

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

    dag_id, run_id, task_id, map_index = "d", "r", "t", -1

    def __init__(self, try_number=1, max_tries=0):
        self.xcoms = {}
        self.try_number = try_number
        self.max_tries = max_tries

    def xcom_push(self, key, value):
        self.xcoms[key] = value


class Store:
    """Airflow's task state store: what is written survives the process.

    ``before_set`` is called with the number of each writing. ``context`` is what Airflow gives a task.
    """

    reaches_every_attempt = True

    def __init__(self):
        self.context = {"task_state_store": self}
        self.kept = {}
        self.writings = 0
        self.before_set = lambda number: None

    def watching(self):
        """Do what the other kind of store needs to notice writings."""
        return contextlib.nullcontext()

    def get(self, key, default=None):
        return json.loads(self.kept[key]) if key in self.kept else default

    def set(self, key, value):
        self.writings += 1
        self.before_set(self.writings)
        self.kept[key] = json.dumps(value)
        assert json.loads(self.kept[key]) == value, "Airflow takes JSON values alone: no tuples"


class NoteInFolder:
    """Where Airflow has no such store: files, with the methods of :class:`Store` for a task of one run.

    :param path: of the ``state_dir`` that tasks are told.
    """

    reaches_every_attempt = False

    def __init__(self, path):
        self.context = {}
        self._path = Path(path)
        task = TaskInstance
        self._name = file_name("note", task.dag_id, task.run_id, task.task_id, task.map_index, "")
        self.writings = 0
        self.before_set = self.after_set = lambda number: None

    def watching(self):
        """Call ``before_set`` and ``after_set`` around each writing, for as long as this is entered."""
        return mock.patch.object(os, "rename", self._rename(os.rename))

    @property
    def file(self):
        return self._path / self._name

    @property
    def kept(self):
        return {self._name: self.get(None)} if self.file.exists() else {}

    def get(self, key, default=None):
        return json.loads(self.file.read_text())

    def set(self, key, value):
        with open_state_folder(str(self._path)) as folder:
            folder.replace(self._name, json.dumps(value).encode(), until=4e9)

    def _rename(self, really_rename):
        def rename(source, target, **arguments):
            is_note = str(target).endswith(".note")
            if is_note:
                self.writings += 1
                self.before_set(self.writings)
            really_rename(source, target, **arguments)
            if is_note:
                self.after_set(self.writings)

        return rename


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
