"""Which job a task has: for its page, for the events of its outlets, and for OpenLineage."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from airflow_provider_nebula_explorer.connection import SCHEME
from airflow_provider_nebula_explorer.links.nebula_explorer import (
    JOB_URL_KEY,
    NebulaExplorerJobLink,
    store_link,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperatorLink, Context
    from airflow.providers.openlineage.extractors import OperatorLineage

log = logging.getLogger(__name__)


class HasJob:
    """A task that deals with one job, and shows which one."""

    operator_extra_links: Collection[BaseOperatorLink] = (NebulaExplorerJobLink(),)
    outlets: list[Any]
    do_xcom_push: bool
    _job_facts: tuple[int, str] | None = None

    def report_job(
        self, context: Context, job_id: int, workflow_id: int | str, page: str | None = None
    ) -> None:
        """Name the job in the run facet and in the events of outlets; with ``page``, for people, too.

        :param workflow_id: the job's workflow.
        :param page: the address of the job's page, for the task's page and its XCom ``job_url``; best
            given as soon as the job's id is known.
        """
        self._job_facts = job_id, str(workflow_id)
        for outlet in self.outlets:
            if getattr(outlet, "uri", "").startswith(f"{SCHEME}://"):
                _name_in_event(context, outlet, {"job_id": job_id, "workflow_id": str(workflow_id)})
        if page is not None:
            log.info("Job %s of workflow %s: %s", job_id, workflow_id, page)
            if self.do_xcom_push:
                store_link(context["ti"], page)
                context["ti"].xcom_push(key=JOB_URL_KEY, value=page)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """Return the run facet; OpenLineage's extractor calls this, on failure too."""
        from airflow.providers.openlineage.extractors import OperatorLineage

        from airflow_provider_nebula_explorer.lineage.facets import NebulaExplorerJobRunFacet

        if self._job_facts is None:
            return OperatorLineage()
        return OperatorLineage(run_facets={"nebulaExplorerJob": NebulaExplorerJobRunFacet(*self._job_facts)})


def _name_in_event(context: Context, outlet: Any, facts: dict[str, Any]) -> None:
    try:
        context["outlet_events"][outlet].extra.update(facts)
    except Exception as error:  # noqa: BLE001 - Airflow's: the job runs already, and must not be lost by this
        log.warning("The event of %s will not name its job: %s: %s", outlet.uri, type(error).__name__, error)
