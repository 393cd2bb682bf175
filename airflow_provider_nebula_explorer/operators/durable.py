"""What the attempts of a task share, as Airflow keeps it: notes in its state store, ids in its XComs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airflow_provider_nebula_explorer.exceptions import NebulaExplorerError
from airflow_provider_nebula_explorer.explorer.runs import Attempt

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, Context

    from airflow_provider_nebula_explorer.explorer.models import JsonObject

JOB_ID_KEY = "nebula_explorer_job_id"
"""The XCom that tells other tasks which job is this one's, as soon as its id is known."""

NO_ATTEMPT = Attempt(number=1, era=0)
"""The attempt of a task that has no memory of others."""


class TaskMemory:
    """A note in Airflow's task state store: it survives a killed worker, retries and a user's clear.

    :param store: ``context["task_state_store"]``.
    """

    KEY = "nebula_explorer_run"

    def __init__(self, store: Any) -> None:
        self._store = store

    def read(self) -> object:
        """Return the note; ``None`` where there is none."""
        return self._tell("read", lambda: self._store.get(self.KEY))

    def write(self, note: JsonObject) -> None:
        """Put a note in the place of the one before."""
        self._tell("written", lambda: self._store.set(self.KEY, note))

    def _tell(self, done: str, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except Exception as error:  # a store may be anybody's, and raise anything
            raise NebulaExplorerError(
                f"Airflow's task state store could not be {done} ({type(error).__name__}: {error}). With "
                "durable=False the task does without it."
            ) from error


def memory_of(context: Context) -> TaskMemory | None:
    """Return where a task's attempts leave notes; ``None`` before Airflow 3.3, which has no such place."""
    store = context.get("task_state_store")
    return None if store is None else TaskMemory(store)


def attempt_of(context: Context) -> Attempt:
    """Return the attempt that runs now; a user's clear, and nothing else, changes ``max_tries``."""
    ti = context["ti"]
    return Attempt(number=ti.try_number, era=ti.max_tries)


def jobs_of_others(task: BaseOperator, context: Context) -> set[int]:
    """Return the ids of the jobs that other tasks of this DAG run, and mapped siblings, have as theirs."""
    dag = task.get_dag()
    if dag is None:
        return set()
    like_this = [other.task_id for other in dag.tasks if other.task_type == task.task_type]
    pulled = context["ti"].xcom_pull(task_ids=like_this, key=JOB_ID_KEY)
    return {job_id for job_id in pulled if job_id is not None}
