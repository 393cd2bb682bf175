# SPDX-License-Identifier: Apache-2.0
"""What a trigger does when a user ended its task, as ``on_kill`` (Airflow 3.3) or the task's state shows."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine
from typing import Any

from airflow.triggers.base import BaseTrigger

from airflow_provider_nebula_explorer.exceptions import NebulaExplorerConnectionError, NebulaExplorerError

log = logging.getLogger(__name__)

KILL_SECONDS = 25.0
"""What an ``on_kill`` may take; Airflow waits 30 s for it."""

CANCEL_SECONDS = 20.0
"""What a cancel may take, retries included; it has to be over before Airflow ends the deferral."""

_CLOSING_SECONDS = 2.0
"""What a client has to close its connections after that."""

HAS_ON_KILL = hasattr(BaseTrigger, "on_kill")
"""Whether this Airflow says that a user ended a task."""


async def is_still_deferred(trigger: BaseTrigger) -> bool:
    """Say whether a trigger's task still waits, so that only this triggerer has to stop.

    If a triggerer misses its heartbeats, another one takes over its triggers. Then Airflow cancels those of
    the first one as if users had ended the tasks (seen on Airflow 3.3.2). An Airflow before 3.3 does not say
    why it cancels a trigger.
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
    # A task that was cleared may wait again already: for another job, so with another trigger.
    return found == ("deferred", trigger.trigger_id)


def _key(task_instance: Any) -> str:
    is_mapped = task_instance.map_index is not None and task_instance.map_index >= 0
    return f"{task_instance.task_id}_{task_instance.map_index}" if is_mapped else task_instance.task_id


async def finish_despite_kill(work: Coroutine[Any, Any, None]) -> NebulaExplorerError | None:
    """Do some work although Airflow cancels it anew each second (seen on Airflow 3.3.2).

    :return: why the work did not succeed; ``None`` if it did.
    """
    task = asyncio.create_task(work, name="nebula_explorer on_kill")
    await _wait_whatever_comes(task, KILL_SECONDS)
    if not task.done():
        task.cancel()
        await _wait_whatever_comes(task, _CLOSING_SECONDS)
        return NebulaExplorerConnectionError(f"No response came within {KILL_SECONDS:g} s.")
    error = None if task.cancelled() else task.exception()
    if error is None or isinstance(error, NebulaExplorerError):
        return error
    return NebulaExplorerError(f"{type(error).__name__}: {error}")


async def _wait_whatever_comes(task: asyncio.Task[None], seconds: float) -> None:
    until = time.monotonic() + seconds
    while not task.done() and (left := until - time.monotonic()) > 0:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait({task}, timeout=left)
