# SPDX-License-Identifier: Apache-2.0
"""The run facet that OpenLineage gets of a task: which job it had."""

from __future__ import annotations

import pytest
from deferral import run_to_its_end

from airflow_provider_nebula_explorer.emulator import JobPlan
from airflow_provider_nebula_explorer.operators.nebula_explorer import (
    NebulaExplorerCancelJobOperator,
    NebulaExplorerGetJobOperator,
    NebulaExplorerGetTaskResultOperator,
    NebulaExplorerListJobsOperator,
    NebulaExplorerRunWorkflowOperator,
)
from airflow_provider_nebula_explorer.sensors.nebula_explorer import (
    NebulaExplorerJobSensor,
    NebulaExplorerWorkflowSensor,
)

base = pytest.importorskip(
    "airflow.providers.openlineage.extractors.base", reason="OpenLineage's provider is not installed here"
)


def facet(task):
    """Return what OpenLineage's own extractor finds."""
    facets = base.DefaultExtractor(task).extract_on_complete(None).run_facets
    return {name: (facet.jobId, facet.workflowId) for name, facet in facets.items()}


def ran(make, context):
    """Return the object with which a task ended: after a deferral it is a new one."""
    made = []

    def remember():
        made.append(make())
        return made[-1]

    run_to_its_end(remember, context)
    return made[-1]


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize(
    "kind", [NebulaExplorerJobSensor, NebulaExplorerGetJobOperator, NebulaExplorerCancelJobOperator]
)
def test_a_task_names_the_job_that_it_is_about(kind, deferrable, emulator, context):
    job_id = emulator.start_job(5, plan=JobPlan(running=1))
    arguments = {} if kind is NebulaExplorerGetJobOperator else {"deferrable": deferrable}
    task = ran(lambda: kind(task_id="t", job_id=job_id, **arguments), context)
    assert facet(task) == {"nebulaExplorerJob": (job_id, "5")}


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_run_names_its_job(deferrable, emulator, context):
    emulator.plan(5, JobPlan(running=1))
    task = ran(
        lambda: NebulaExplorerRunWorkflowOperator(
            task_id="t", workflow_id=5, poll_interval=0.1, deferrable=deferrable
        ),
        context,
    )
    assert facet(task) == {"nebulaExplorerJob": (emulator.jobs[0]["id"], "5")}


def test_the_sensor_of_a_workflow_names_the_job_that_it_found(emulator, context):
    job_id = emulator.start_job(5, plan=JobPlan(running=0))
    task = NebulaExplorerWorkflowSensor(task_id="t", workflow_id=5, created_after="2020-01-01T00:00:00Z")
    task.execute(context)
    assert facet(task) == {"nebulaExplorerJob": (job_id, "5")}


def test_a_failure_names_the_job_too(emulator, context):
    emulator.plan(5, JobPlan(running=0, ends="FAILED"))
    task = NebulaExplorerRunWorkflowOperator(task_id="t", workflow_id=5, poll_interval=0.1)
    with pytest.raises(Exception, match="ended FAILED"):
        task.execute(context)
    lineage = base.DefaultExtractor(task).extract_on_failure(None)
    assert lineage.run_facets["nebulaExplorerJob"].jobId == emulator.jobs[0]["id"]


def test_a_task_that_has_no_job_yet_names_none(emulator):
    assert facet(NebulaExplorerGetJobOperator(task_id="t", job_id=7)) == {}


@pytest.mark.parametrize("limit", [2, None])
def test_a_list_names_its_jobs(emulator, context, limit):
    ids = [emulator.start_job(5, plan=JobPlan(running=0)) for _ in range(130)][::-1]
    task = NebulaExplorerListJobsOperator(task_id="t", workflow_id=5, limit=limit)
    task.execute(context)
    (facet,) = base.DefaultExtractor(task).extract_on_complete(None).run_facets.values()
    assert (facet.jobIds, facet.count, facet.workflowId) == (ids[: limit or 100], limit or 130, "5")


def test_a_list_of_all_jobs_names_no_workflow(emulator, context):
    task = NebulaExplorerListJobsOperator(task_id="t")
    task.execute(context)
    facets = base.DefaultExtractor(task).extract_on_complete(None).run_facets
    assert facets["nebulaExplorerJobs"].workflowId is None


def test_a_result_names_its_job_though_it_cannot_be_read(emulator, context):
    task = NebulaExplorerGetTaskResultOperator(task_id="t", job_id=7, explorer_task_name="no_such_1")
    with pytest.raises(Exception, match="404"):
        task.execute(context)
    assert facet(task) == {"nebulaExplorerJob": (7, None)}
