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


class TaskClaims:
    """What the tasks of a DAG run, mapped ones included, tell each other by XCom of whose job is whose.

    :param task: one of them.
    """

    def __init__(self, task: BaseOperator, context: Context) -> None:
        self._task = task
        self._ti = context["ti"]

    def told(self) -> list[int]:
        """Return the ids of the jobs that tasks of the run have as their own."""
        dag = self._task.get_dag()
        if dag is None:
            return []
        like_this = [other.task_id for other in dag.tasks if other.task_type == self._task.task_type]
        pulled = self._ti.xcom_pull(task_ids=like_this, key=JOB_ID_KEY)
        return [job_id for job_id in pulled if job_id is not None]

    def claim(self, job_id: int) -> None:
        """Tell the others that a job is ours."""
        self._ti.xcom_push(key=JOB_ID_KEY, value=job_id)
