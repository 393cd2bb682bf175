# SPDX-License-Identifier: Apache-2.0
"""What the attempts of a task share: a note in Airflow's state store or in a file, and ids in XComs."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airflow_provider_nebula_explorer.exceptions import NebulaExplorerError
from airflow_provider_nebula_explorer.explorer.models import JsonObject, show_error
from airflow_provider_nebula_explorer.explorer.starting.attempts import Attempt
from airflow_provider_nebula_explorer.explorer.state_folder import file_name, open_state_folder, warn_once
from airflow_provider_nebula_explorer.hooks.state_dir import state_dir
from airflow_provider_nebula_explorer.operators.task_runs import OWN_RUN, runs_of

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import DAG, Context

CLAIM_KEY = "nebula_explorer_claim"
"""The XCom in which other tasks see which job is this one's, as soon as its id is known."""

_STORE = "task state store (not needed with durable=False)"

NOTE_SECONDS = 30 * 86400.0
"""How long the file of a note is kept: as long as Airflow's task state store keeps its entries, unless
``[state_store] default_retention_days`` says otherwise."""

NO_ATTEMPT = Attempt(number=1, generation=0)
"""The attempt of a task without a memory: its task instance may lack the numbers, as in tests by hand."""


class TaskMemory:
    """A note in Airflow's task state store: it survives a killed worker, retries and a user's clear.

    :param store: ``context["task_state_store"]``.
    :param run: the name of the run, if the task makes several.
    """

    KEY = "nebula_explorer_run"
    reaches_every_attempt = True

    def __init__(self, store: Any, run: str = OWN_RUN) -> None:
        self._store = store
        self._key = f"{self.KEY}.{run}" if run else self.KEY

    def __str__(self) -> str:
        return "Airflow's task state store"

    def read(self) -> object:
        """Return the note; ``None`` if there is none."""
        return call_airflow(_STORE, lambda: self._store.get(self._key))

    def write(self, note: JsonObject) -> None:
        """Replace the note."""
        call_airflow(_STORE, lambda: self._store.set(self._key, note))


class FolderMemory:
    """A note in a file, which the attempts find that use the same folder.

    If the folder cannot be used, there is no note, and a warning says why.

    :param path: of the folder; see :func:`.state_folder.open_state_folder`.
    :param ti: the task instance.
    :param run: the name of the run, if the task makes several.
    :param clock: epoch seconds.
    """

    reaches_every_attempt = False

    def __init__(
        self, path: str, ti: Any, run: str = OWN_RUN, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._path = path
        self._name = file_name("note", ti.dag_id, ti.run_id, ti.task_id, ti.map_index, run)
        self._clock = clock

    def __str__(self) -> str:
        return f"state_dir {self._path!r} on {socket.gethostname()}"

    def read(self) -> object:
        """Return the note; ``None`` if there is none, and the text of a file that is not JSON."""
        try:
            with open_state_folder(self._path) as folder:
                content = folder.read(self._name)
        except OSError as error:
            warn_once(self._path, error)
            return None
        if content is None:
            return None
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            return content.decode(errors="replace")

    def write(self, note: JsonObject) -> None:
        """Replace the note, if the folder can be used."""
        now = self._clock()
        try:
            with open_state_folder(self._path) as folder:
                folder.replace(self._name, json.dumps(note).encode(), until=now + NOTE_SECONDS)
                folder.sweep(now)
        except OSError as error:
            warn_once(self._path, error)


def memory_of(context: Context, run: str = OWN_RUN) -> TaskMemory | FolderMemory | None:
    """Return where a task's attempts leave notes: before Airflow 3.3, which has no store, in a file.

    ``None`` for what stands in for a task instance, in tests by hand: it has no attempts.
    """
    store, ti = context.get("task_state_store"), context["ti"]
    if store is not None:
        return TaskMemory(store, run)
    return FolderMemory(state_dir(), ti, run) if isinstance(getattr(ti, "run_id", None), str) else None


def attempt_of(context: Context) -> Attempt:
    """Return the attempt that runs now; a user's clear changes ``max_tries``, a retry does not."""
    ti = context["ti"]
    return Attempt(number=ti.try_number, generation=ti.max_tries)


class TaskClaims:
    """Which jobs belong to the tasks of a DAG run, mapped ones included; they share that by XCom.

    :param dag: the tasks' DAG; ``None`` if the task has none.
    :param explorer: the base address of the task's Explorer, as two may give a job the same id.
    :param run: the name of the run, if the task makes several.
    """

    def __init__(self, dag: DAG | None, context: Context, explorer: str, run: str = OWN_RUN) -> None:
        self._task_ids = list(dag.task_ids) if dag else []
        self._ti = context["ti"]
        self._explorer = explorer
        self._run = run
        self._of_task = runs_of(context).claims

    def claimed(self) -> list[int]:
        """Return the ids of the jobs that any of the tasks claims."""
        if not self._task_ids:
            return []
        claims = call_airflow(
            "XComs", lambda: list(self._ti.xcom_pull(task_ids=self._task_ids, key=CLAIM_KEY))
        )
        all_claims = [claim for of_task in claims if of_task for claim in _as_list(of_task)]
        return [claim["job_id"] for claim in all_claims if claim["explorer"] == self._explorer]

    def claim(self, job_id: int) -> None:
        """Let the other tasks know that a job is ours, as are those of the task's other runs."""
        self._of_task[self._run] = {"explorer": self._explorer, "job_id": job_id}
        ours = list(self._of_task.values())
        value = ours[0] if len(ours) == 1 else ours
        call_airflow("XComs", lambda: self._ti.xcom_push(key=CLAIM_KEY, value=value))


def _as_list(claims: Any) -> list[Any]:
    return claims if isinstance(claims, list) else [claims]


def call_airflow(service: str, call: Callable[[], Any]) -> Any:
    """Make a call of Airflow's that a foreign backend may serve, so that it may raise anything.

    :param service: as the error's text calls it.
    :raises NebulaExplorerError: if the call raised.
    """
    try:
        return call()
    except Exception as error:
        raise NebulaExplorerError(f"Airflow's {service} failed: {show_error(error)}") from error
