# SPDX-License-Identifier: Apache-2.0
"""Whether a deferred task needs a worker to end, how soon it may resume in one, and with whose event."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

log = logging.getLogger(__name__)

SCHEDULER_SECONDS = 15.0
"""How late a busy scheduler reads the end of a task's process: 15.9 s after the deferral was the latest seen
on Airflow 3.3.2, with 200 tasks at once, including the supervisor's sleep of up to 5 s."""

ATTEMPT = "nebula_explorer_attempt"
"""The key under which a deferral stores in which attempt it was made."""


def seconds_before_resumption() -> float:
    """Return for how long after its start a trigger must not resume its task in a worker.

    The scheduler fails a task that is queued or running again before it has read that the process which
    deferred the task has ended (``process_executor_events``; Airflow's issues 66374, 67287, 71580, 72716).
    It reads that late: the process's supervisor may sleep for ``[workers] min_heartbeat_interval`` before it
    sees the end, and the scheduler's loop takes its time. Airflow 3.4 has no such race (read in 3.4.0b2), and
    Airflow 2 has no supervisor.
    """
    if not (3, 0) <= _airflow_version() < (3, 4):
        return 0.0
    return float(conf.getfloat("workers", "min_heartbeat_interval", fallback=5.0)) + SCHEDULER_SECONDS


def attempt_number(ti: Any) -> int | None:
    """Return the number of a task instance's attempt; ``None`` for a stand-in, as in tests by hand."""
    return getattr(ti, "try_number", None)


def has_to_begin_anew(deferred_in: int | None, context: Context) -> bool:
    """Say whether a resumption failed by what an earlier attempt waited for, and log that.

    Airflow 3.0.0 to 3.1.0 resumes a retry with the event of the attempt before (Airflow's issue 56704): it
    would end in the same error, again and again.

    :param deferred_in: the number of the attempt that deferred; ``None``: Airflow does not say.
    """
    attempt = attempt_number(context.get("ti"))
    if deferred_in in (None, attempt) or not (3, 0, 0) <= _airflow_version() <= (3, 1, 0):
        return False
    log.info("Airflow resumed attempt %s with the event of attempt %s. It begins anew.", attempt, deferred_in)
    return True


def can_end_in_triggerer(task: Any) -> bool:
    """Say whether a task that is about to defer may succeed without a worker; log why not."""
    reason = why_a_worker_is_needed(task)
    if reason is not None:
        log.debug("The task will end in a worker, as %s.", reason)
    return reason is None


def why_a_worker_is_needed(task: Any, reasons: Callable[[], dict[str, bool]] = dict) -> str | None:
    """Return the first reason why a task cannot succeed in the triggerer; ``None`` if there is none.

    :param reasons: returns further reasons of the caller's, and whether each applies; called on an Airflow
        that could end the task in the triggerer, as others lack what the reasons read.
    """
    if _airflow_version() < (3, 3):
        return "this Airflow is older than 3.3"
    every = {**reasons(), **_needs_of_task(task)}
    found = next((reason for reason, applies in every.items() if applies), None)
    return found or _need_of_installation()


def _needs_of_task(task: Any) -> dict[str, bool]:
    """Return what Airflow does for a task in a worker alone, and whether this task needs it."""
    return {
        "it has outlets": bool(task.outlets),
        # Airflow 3.3 has the DAG processor run callbacks of failures, but none of a success.
        "it has an on_execute_callback or an on_success_callback": bool(
            task.on_execute_callback or task.on_success_callback
        ),
        "it has a pre_execute or a post_execute": bool(task._pre_execute_hook or task._post_execute_hook),  # noqa: SLF001
        "its class is not one of this package's": not type(task).__module__.startswith(_PACKAGE),
        "it has run_as_user": bool(task.run_as_user),
        "do_xcom_push is off, or multiple_outputs on": not task.do_xcom_push or task.multiple_outputs,
        "its result is that of its DAG": getattr(task, "returns_dag_result", False),
        "a task is mapped over its result": _is_mapped_over(task),
    }


_PACKAGE = f"{__name__.partition('.')[0]}."
"""What a subclass of somebody's own adds (a result of its own, a ``post_execute``) only a worker runs."""


def _is_mapped_over(task: Any) -> bool:
    return task.has_dag() and next(task.iter_mapped_dependants(), None) is not None


def _airflow_version() -> tuple[int, ...]:
    from airflow import __version__

    return tuple(int(number) for number in re.findall("[0-9]+", __version__)[:3])


def _need_of_installation() -> str | None:
    # Last, as looking for these loads Airflow's plugins.
    from airflow.sdk.bases.xcom import BaseXCom
    from airflow.sdk.execution_time.xcom import XCom
    from airflow.sdk.listener import get_listener_manager

    if XCom is not BaseXCom:  # it may block the triggerer's event loop, and may not even work there
        return "XComs have a backend of their own"
    return "a plugin listens to tasks" if get_listener_manager().has_listeners else None
