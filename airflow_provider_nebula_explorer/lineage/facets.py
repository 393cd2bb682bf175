"""The run facet; importing this needs OpenLineage's client."""

from __future__ import annotations

from attrs import define
from openlineage.client.generated.base import RunFacet


@define
class NebulaExplorerJobRunFacet(RunFacet):
    """The job of Explorer that a task's run started, waited for or fetched.

    :param jobId: its id.
    :param workflowId: its workflow's id.
    """

    jobId: int  # noqa: N815 - OpenLineage writes the names of facets' fields so
    workflowId: str  # noqa: N815
