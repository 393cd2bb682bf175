# SPDX-License-Identifier: Apache-2.0
"""How a trigger ends its task in success, without a worker (Airflow 3.3 and later)."""

from __future__ import annotations

import logging
from typing import Any, Literal

from airflow.triggers.base import TriggerEvent

from airflow_provider_nebula_explorer.explorer.models import JsonObject
from airflow_provider_nebula_explorer.explorer.waiting.pollers import job_of_event
from airflow_provider_nebula_explorer.links.nebula_explorer import JOB_URL_KEY, NebulaExplorerJobLink

log = logging.getLogger(__name__)


TaskResult = Literal["job", "job_id"]
"""What a task returns: the job's object; or its id, with the object under the key ``job``."""


async def success_event(task_instance: Any, event: JsonObject, result: TaskResult) -> TriggerEvent:
    """Leave a job's XComs as a worker would, and return what ends the task.

    :param event: what a worker would get.
    :param result: what the task returns.
    """
    from airflow.triggers.base import TaskSuccessEvent

    job = job_of_event(event)
    xcoms = _results(event, result)
    if "link" in event:  # else, a worker has left it before the deferral
        log.info("Job %s of workflow %s: %s", job.id, job.workflow_id, event["link"])
        xcoms = {NebulaExplorerJobLink.xcom_key: event["link"], JOB_URL_KEY: event["link"], **xcoms}
    # Airflow 3.3 would encode the event's own XComs twice, so that the next task gets a text.
    await _push(task_instance, xcoms)
    return TaskSuccessEvent()


def _results(event: JsonObject, result: TaskResult) -> JsonObject:
    if result == "job_id":
        return {"job": event["job"], "return_value": event["job_id"]}
    return {"return_value": event["job"]}


async def _push(task_instance: Any, xcoms: JsonObject) -> None:
    from airflow.sdk.bases.xcom import BaseXCom
    from airflow.sdk.execution_time.xcom import XCom

    for key, value in xcoms.items():
        # As Airflow stores its own links, past an XCom backend.
        store = BaseXCom if key == NebulaExplorerJobLink.xcom_key else XCom
        await store.aset(
            key=key,
            value=value,
            dag_id=task_instance.dag_id,
            task_id=task_instance.task_id,
            run_id=task_instance.run_id,
            map_index=-1 if task_instance.map_index is None else task_instance.map_index,
        )
