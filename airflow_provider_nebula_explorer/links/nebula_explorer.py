"""The link from an Airflow task to its job's page in Explorer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, TaskInstanceKey


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
