"""What a trigger has to mind when Airflow says that a user ended its task (``BaseTrigger.on_kill``, 3.3)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger(__name__)

KILL_SECONDS = 25.0
"""What an ``on_kill`` may take; Airflow waits for it for 30 s."""

_NOT_CANCELLED = "Job %s was not cancelled and may go on: %s. Cancel it in Explorer."

_CLOSING_SECONDS = 2.0
"""What the client of one that took longer has to close its connections."""


async def is_still_deferred(task_instance: Any) -> bool:
    """Say whether the task still waits, so that it is only this triggerer that shall wait no more.

    A triggerer whose heartbeat lapsed is told of triggers that another one took over as of triggers that a
    user ended (seen on Airflow 3.3.2).
    """
    if task_instance is None:
        return False
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
    from asgiref.sync import sync_to_async

    run_id, task_id = task_instance.run_id, task_instance.task_id
    states = await sync_to_async(RuntimeTaskInstance.get_task_states)(
        dag_id=task_instance.dag_id,
        task_ids=[task_id],
        run_ids=[run_id],
        map_index=task_instance.map_index,
    )
    state = states.get(run_id, {}).get(_key(task_instance))
    if state == "deferred":
        log.warning("Task %s goes on to wait elsewhere: its job is left alone.", task_id)
    return bool(state == "deferred")


def _key(task_instance: Any) -> str:
    is_mapped = task_instance.map_index is not None and task_instance.map_index >= 0
    return f"{task_instance.task_id}_{task_instance.map_index}" if is_mapped else task_instance.task_id


async def to_its_end(cancelling: Coroutine[Any, Any, None], job_id: int | str) -> None:
    """Cancel a job although Airflow cancels that anew each second (seen on Airflow 3.3.2)."""
    task = asyncio.ensure_future(cancelling)
    await _wait_whatever_comes(task, KILL_SECONDS)
    if not task.done():
        log.error(_NOT_CANCELLED, job_id, f"no answer came within {KILL_SECONDS} s")
        task.cancel()
        await _wait_whatever_comes(task, _CLOSING_SECONDS)
    elif not task.cancelled() and (error := task.exception()):
        log.error(_NOT_CANCELLED, job_id, f"{type(error).__name__}: {error}")


async def _wait_whatever_comes(task: asyncio.Task[None], seconds: float) -> None:
    until = time.monotonic() + seconds
    while not task.done() and (left := until - time.monotonic()) > 0:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait({task}, timeout=left)
