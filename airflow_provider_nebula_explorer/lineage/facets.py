# SPDX-License-Identifier: Apache-2.0
"""The run facets; importing this needs OpenLineage's client."""

from __future__ import annotations

from attrs import define
from openlineage.client.generated.base import RunFacet


@define
class NebulaExplorerJobRunFacet(RunFacet):
    """The job of Explorer that a task's run started, waited for, cancelled or fetched.

    :param jobId: its id.
    :param workflowId: its workflow's id; ``None`` if the run did not learn it.
    """

    jobId: int  # noqa: N815 - OpenLineage writes the names of facets' fields so
    workflowId: str | None = None  # noqa: N815


@define
class NebulaExplorerJobsRunFacet(RunFacet):
    """The jobs of Explorer that a task's run listed.

    :param jobIds: the ids, in the list's order; the first 100.
    :param count: how many there are.
    :param workflowId: the id of the workflow that the list is of; ``None`` if it is of all workflows.
    """

    jobIds: list[int]  # noqa: N815
    count: int
    workflowId: str | None = None  # noqa: N815


FACETS: dict[str, type[RunFacet]] = {
    "nebulaExplorerJob": NebulaExplorerJobRunFacet,
    "nebulaExplorerJobs": NebulaExplorerJobsRunFacet,
}
"""The facets by their names in an event."""
