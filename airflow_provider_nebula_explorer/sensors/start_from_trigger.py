# SPDX-License-Identifier: Apache-2.0
"""Whether a sensor's wait can start, and succeed, in the triggerer, so that no worker is needed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_nebula_explorer.exceptions import NebulaExplorerConfigError
from airflow_provider_nebula_explorer.explorer.arguments import parse_statuses
from airflow_provider_nebula_explorer.explorer.models import JobStatus
from airflow_provider_nebula_explorer.triggers.limits import MARGIN_SECONDS
from airflow_provider_nebula_explorer.triggers.resumption import why_a_worker_is_needed

if TYPE_CHECKING:
    from airflow.triggers.base import StartTriggerArgs


class JobSensor(Protocol):
    """What a job sensor is given for its wait."""

    job_id: int | str
    target_statuses: Sequence[JobStatus | int | str] | str
    nebula_explorer_conn_id: str
    deferrable: bool
    timeout: float
    execution_timeout: timedelta | None

    @property
    def poll_interval(self) -> float | None: ...

    @property
    def longest_interval(self) -> float: ...


def why_wait_begins_in_worker(sensor: JobSensor) -> str | None:
    """Return the first reason why a sensor's wait has to begin in a worker; ``None`` if there is none."""
    return why_a_worker_is_needed(sensor, lambda: _needs_of_start(sensor))


def _needs_of_start(sensor: JobSensor) -> dict[str, bool]:
    return {
        "deferrable is not set": not sensor.deferrable,
        "it is in a mapped task group": _is_in_mapped_group(sensor),
        "job_id is neither digits nor the output of a task that is not mapped": _job_id_in_triggerer(
            sensor.job_id
        )
        is None,
        "another argument is a template": _has_template(
            sensor.target_statuses, sensor.nebula_explorer_conn_id
        ),
        "target_statuses is invalid": not _are_statuses(sensor.target_statuses),
        # It counts from when the task began, which nobody knows when the DAG is parsed.
        "it has an execution_timeout": sensor.execution_timeout is not None,
    }


def start_trigger_args(sensor: JobSensor) -> StartTriggerArgs:
    """Return what Airflow starts the wait with, in the triggerer."""
    from airflow.triggers.base import StartTriggerArgs

    return StartTriggerArgs(
        trigger_cls="airflow_provider_nebula_explorer.triggers.nebula_explorer.NebulaExplorerJobTrigger",
        trigger_kwargs={
            "job_id": _job_id_in_triggerer(sensor.job_id),
            "nebula_explorer_conn_id": sensor.nebula_explorer_conn_id,
            "poll_interval": sensor.poll_interval,
            "longest_interval": sensor.longest_interval,
            "target_statuses": sorted(
                int(status) for status in parse_statuses("target_statuses", sensor.target_statuses)
            ),
            "ends_task": True,
        },
        next_method="execute_complete",
        timeout=timedelta(seconds=sensor.timeout + MARGIN_SECONDS),
    )


def _job_id_in_triggerer(job_id: object) -> int | str | None:
    """Return a job's id in a form that a triggerer can render; ``None`` if there is no such form.

    ``run.output`` and an ``xcom_pull`` without map indexes make a request there to which the triggerer does
    not respond, so that the trigger would hang (seen on Airflow 3.3.2).
    """
    if isinstance(job_id, int) or (isinstance(job_id, str) and job_id.isascii() and job_id.isdigit()):
        return job_id
    operator, key = getattr(job_id, "operator", None), getattr(job_id, "key", None)
    if operator is None or key is None or operator.is_mapped or _is_in_mapped_group(operator):
        return None
    return f"{{{{ ti.xcom_pull(task_ids={operator.task_id!r}, key={key!r}, map_indexes=-1) }}}}"


def _is_in_mapped_group(task: Any) -> bool:
    return task.get_closest_mapped_task_group() is not None


def _has_template(*values: object) -> bool:
    return any(re.search(r"\{[{%#]", str(value)) or hasattr(value, "operator") for value in values)


def _are_statuses(value: object) -> bool:
    try:
        return bool(parse_statuses("target_statuses", value))
    except NebulaExplorerConfigError:
        return False
