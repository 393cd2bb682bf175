"""Which job a task had, for later use: in the events of its outlets, and in OpenLineage."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow_provider_nebula_explorer.connection import SCHEME

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage

log = logging.getLogger(__name__)


class HasJob:
    """A task that deals with one job: names it in the events of its outlets, and in a run facet."""

    outlets: list[Any]
    _job_facts: tuple[int, str] | None = None

    def name_job(self, context: Context, job_id: int, workflow_id: int | str) -> None:
        """Take note of the job, as soon as its id is known."""
        self._job_facts = job_id, str(workflow_id)
        for outlet in self.outlets:
            if getattr(outlet, "uri", "").startswith(f"{SCHEME}://"):
                _name_in_event(context, outlet, {"job_id": job_id, "workflow_id": str(workflow_id)})

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any]:
        """Return the run facet; OpenLineage's extractor asks for it, on failure too."""
        from airflow.providers.openlineage.extractors import OperatorLineage

        from airflow_provider_nebula_explorer.lineage.facets import NebulaExplorerJobRunFacet

        if self._job_facts is None:
            return OperatorLineage()
        return OperatorLineage(run_facets={"nebulaExplorerJob": NebulaExplorerJobRunFacet(*self._job_facts)})


def _name_in_event(context: Context, outlet: Any, facts: dict[str, Any]) -> None:
    try:
        context["outlet_events"][outlet].extra.update(facts)
    except Exception as error:  # noqa: BLE001 - Airflow's: a job runs already, and must not be lost by this
        log.warning("The event of %s will not name its job: %s: %s", outlet.uri, type(error).__name__, error)
