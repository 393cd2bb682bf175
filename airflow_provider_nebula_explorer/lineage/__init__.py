# SPDX-License-Identifier: Apache-2.0
"""Which jobs a task has: for its page, for the events of its outlets, and for OpenLineage."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_nebula_explorer.connection.fields import SCHEME
from airflow_provider_nebula_explorer.explorer.models import show_error
from airflow_provider_nebula_explorer.links.nebula_explorer import (
    JOB_URL_KEY,
    NebulaExplorerJobLink,
    store_link,
)

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperatorLink, Context
    from airflow.providers.openlineage.extractors import OperatorLineage

log = logging.getLogger(__name__)


SHOWN_JOBS = 100
"""How many jobs of a list the run facet names; an event of OpenLineage is no place for thousands."""


class HasRunFacet:
    """A task that tells OpenLineage which jobs it deals with."""

    _run_facet: tuple[str, dict[str, Any]] | None = None

    def name_job(self, job_id: int, workflow_id: str | None = None) -> None:
        """Name one job in the run facet.

        :param workflow_id: the job's workflow; ``None`` if it is not known.
        """
        self._run_facet = "nebulaExplorerJob", {"jobId": job_id, "workflowId": workflow_id}

    def name_jobs(self, job_ids: Sequence[int], workflow_id: object) -> None:
        """Name a list of jobs in the run facet.

        :param workflow_id: the workflow that the list is of; ``None`` if it is of all.
        """
        facts = {
            "jobIds": list(job_ids[:SHOWN_JOBS]),
            "count": len(job_ids),
            "workflowId": None if workflow_id is None else str(workflow_id),
        }
        self._run_facet = "nebulaExplorerJobs", facts

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """Return the run facet; OpenLineage's extractor calls this, on failure too."""
        from airflow.providers.openlineage.extractors import OperatorLineage

        from airflow_provider_nebula_explorer.lineage.facets import FACETS

        if self._run_facet is None:
            return OperatorLineage()
        name, facts = self._run_facet
        return OperatorLineage(run_facets={name: FACETS[name](**facts)})


class HasJob(HasRunFacet):
    """A task that deals with one job, and shows which one."""

    operator_extra_links: Collection[BaseOperatorLink] = (NebulaExplorerJobLink(),)
    outlets: list[Any]
    do_xcom_push: bool

    def report_job(
        self, context: Context, job_id: int, workflow_id: int | str, page: str | None = None
    ) -> None:
        """Name the job in the run facet and in the events of outlets; with ``page``, for people, too.

        :param workflow_id: the job's workflow.
        :param page: the address of the job's page, for the task's page and its XCom ``job_url``; best
            given as soon as the job's id is known.
        """
        self.name_job(job_id, str(workflow_id))
        for outlet in self.outlets:
            if getattr(outlet, "uri", "").startswith(f"{SCHEME}://"):
                _name_in_event(context, outlet, {"job_id": job_id, "workflow_id": str(workflow_id)})
        if page is not None:
            log.info("Job %s of workflow %s: %s", job_id, workflow_id, page)
            if self.do_xcom_push:
                store_link(context["ti"], page)
                context["ti"].xcom_push(key=JOB_URL_KEY, value=page)


def _name_in_event(context: Context, outlet: Any, facts: dict[str, Any]) -> None:
    try:
        context["outlet_events"][outlet].extra.update(facts)
    except Exception as error:  # noqa: BLE001 - Airflow's: the job runs already, and must not be lost by this
        log.warning("The event of %s will not name its job: %s", outlet.uri, show_error(error))
