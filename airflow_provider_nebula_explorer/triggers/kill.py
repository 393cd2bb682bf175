"""What a trigger does when its task was ended, as ``BaseTrigger.on_kill`` (3.3) or the task's state shows."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

from airflow.triggers.base import BaseTrigger

log = logging.getLogger(__name__)

KILL_SECONDS = 25.0
"""What an ``on_kill`` may take; Airflow waits for it for 30 s."""

_NOT_CANCELLED = "Job %s was not cancelled and may keep running: %s. Cancel it in Explorer%s."

_CLOSING_SECONDS = 2.0
"""What the client of one that took longer has to close its connections."""

HAS_ON_KILL = hasattr(BaseTrigger, "on_kill")
"""Whether this Airflow says of a kill that it is one."""


async def is_still_deferred(trigger: BaseTrigger) -> bool:
    """Say whether a trigger's task still waits, so that it is only this triggerer that shall wait no more.

    A triggerer whose heartbeat lapsed is told of triggers that another one took over as of triggers that a
    user ended (seen on Airflow 3.3.2). An Airflow before 3.3 does not say why a wait is ended.
    """
    if trigger.task_instance is None:
        return False
    from asgiref.sync import sync_to_async

    is_deferred = await sync_to_async(_is_deferred)(trigger)
    if is_deferred:
        log.warning("Task %s is still deferred: its job is left alone.", trigger.task_instance.task_id)
    return is_deferred


def _is_deferred(trigger: BaseTrigger) -> bool:
    task_instance: Any = trigger.task_instance
    try:
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
    except ImportError:
        return _is_deferred_on_airflow_2(trigger)
    states = RuntimeTaskInstance.get_task_states(
        dag_id=task_instance.dag_id,
        task_ids=[task_instance.task_id],
        run_ids=[task_instance.run_id],
        map_index=task_instance.map_index,
    )
    return bool(states.get(task_instance.run_id, {}).get(_key(task_instance)) == "deferred")


def _is_deferred_on_airflow_2(trigger: BaseTrigger) -> bool:
    from airflow.models import TaskInstance
    from airflow.utils.session import create_session

    task_instance: Any = trigger.task_instance
    keys = ("dag_id", "run_id", "task_id", "map_index")
    with create_session() as session:
        found = (
            session.query(TaskInstance.state, TaskInstance.trigger_id)
            .filter_by(**{key: getattr(task_instance, key) for key in keys})
            .one_or_none()
        )
    # A cleared task may wait again already: for another job, and so with another trigger.
    return found == ("deferred", trigger.trigger_id)


def _key(task_instance: Any) -> str:
    is_mapped = task_instance.map_index is not None and task_instance.map_index >= 0
    return f"{task_instance.task_id}_{task_instance.map_index}" if is_mapped else task_instance.task_id


async def to_its_end(
    cancelling: Coroutine[Any, Any, None], job_id: int | str, page: Callable[[], str | None]
) -> None:
    """Cancel a job although Airflow cancels that anew each second (seen on Airflow 3.3.2).

    :param page: returns the address of the job's page, where it is known by now.
    """
    task = asyncio.ensure_future(cancelling)
    await _wait_whatever_comes(task, KILL_SECONDS)
    if not task.done():
        log.error(_NOT_CANCELLED, job_id, f"no response came within {KILL_SECONDS} s", _at(page()))
        task.cancel()
        await _wait_whatever_comes(task, _CLOSING_SECONDS)
    elif not task.cancelled() and (error := task.exception()):
        log.error(_NOT_CANCELLED, job_id, f"{type(error).__name__}: {error}", _at(page()))


def _at(page: str | None) -> str:
    return f", {page}" if page else ""


async def _wait_whatever_comes(task: asyncio.Task[None], seconds: float) -> None:
    until = time.monotonic() + seconds
    while not task.done() and (left := until - time.monotonic()) > 0:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait({task}, timeout=left)
