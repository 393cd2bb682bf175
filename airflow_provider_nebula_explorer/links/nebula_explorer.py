# SPDX-License-Identifier: Apache-2.0
"""The link from an Airflow task to its job's page in Explorer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

try:
    from airflow.sdk.bases.xcom import BaseXCom
except ImportError:  # Airflow 2 reads links through its XCom backend
    BaseXCom = XCom  # type: ignore[misc]

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, TaskInstanceKey

JOB_URL_KEY = "job_url"
"""The XCom with the address of a job's page."""


class NebulaExplorerJobLink(BaseOperatorLink):
    """Button on a task's page that opens its job in Explorer.

    The address is an XCom of the task, so it works as soon as the job's id is known, and still works
    after the connection has changed.
    """

    name = "NebulaGraph Explorer job"
    xcom_key = "nebula_explorer_job_link"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the address that the task stored; ``""`` before that."""
        return XCom.get_value(key=self.xcom_key, ti_key=ti_key) or ""


def store_link(ti: Any, page: str) -> None:
    """Store the address of a job's page as Airflow stores links: in its database, past an XCom backend.

    Airflow 3 shows a link without its backend, so what the backend stores would be the link.
    """
    if XCom is BaseXCom:
        ti.xcom_push(key=NebulaExplorerJobLink.xcom_key, value=page)
        return
    BaseXCom.set(
        NebulaExplorerJobLink.xcom_key,
        page,
        dag_id=ti.dag_id,
        task_id=ti.task_id,
        run_id=ti.run_id,
        map_index=ti.map_index,
    )
