# SPDX-License-Identifier: Apache-2.0
"""The asset of a workflow: its address, its events, and what they contain of the job."""

from __future__ import annotations

import warnings
from datetime import timedelta
from types import SimpleNamespace
from urllib.parse import urlsplit

import airflow
import pytest
from airflow.providers.common.compat.assets import Asset
from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector
from airflow.providers_manager import ProvidersManager

from airflow_provider_nebula_explorer.assets.nebula_explorer import (
    convert_asset_to_openlineage,
    sanitize_uri,
    watched_workflow_asset,
    workflow_asset,
)
from airflow_provider_nebula_explorer.emulator import JobPlan
from airflow_provider_nebula_explorer.exceptions import NebulaExplorerConfigError
from airflow_provider_nebula_explorer.operators.nebula_explorer import NebulaExplorerRunWorkflowOperator
from airflow_provider_nebula_explorer.sensors.nebula_explorer import NebulaExplorerJobSensor

IS_AIRFLOW_2 = airflow.__version__.startswith("2.")
URI = "nebula-explorer://nebula_explorer_default/workflows/3992429968"

# Airflow's own, as it looks up all providers.
pytestmark = pytest.mark.filterwarnings("default")


@pytest.mark.parametrize("workflow_id", [3992429968, "3992429968"])
def test_the_address_names_connection_and_workflow(workflow_id):
    assert workflow_asset(workflow_id).uri == URI


def test_a_connections_name_is_no_part_of_the_path():
    assert workflow_asset(7, "a/b c@d").uri == "nebula-explorer://a%2Fb%20c%40d/workflows/7"


@pytest.mark.parametrize("workflow_id", ["{{ params.id }}", "x", -1, True, "../1"])
def test_what_is_no_id_is_refused_where_the_dag_is_written(workflow_id):
    with pytest.raises(NebulaExplorerConfigError, match="workflow_id"):
        workflow_asset(workflow_id)


def test_what_airflow_knows_of_assets_can_be_given():
    assert workflow_asset(7, extra={"team": "graph"}).extra == {"team": "graph"}


@pytest.mark.parametrize("uri", [URI, "nebula-explorer://other/workflows/7"])
def test_airflow_takes_our_addresses(uri):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert Asset(uri).uri == uri
    assert sanitize_uri(urlsplit(uri)).geturl() == uri


@pytest.mark.parametrize(
    "uri",
    [
        "nebula-explorer://c",
        "nebula-explorer:///workflows/7",
        "nebula-explorer://c/jobs/7",
        f"{URI}?x=1",
        f"{URI}/x",
    ],
)
def test_another_address_of_our_scheme_is_refused_in_words(uri):
    with pytest.raises(ValueError, match="Allowed: nebula-explorer://<connection id>/workflows/<number>"):
        sanitize_uri(urlsplit(uri))


def test_airflow_lets_us_check_our_scheme(monkeypatch):
    # What Airflow 3 always does; without it, Airflow 2 only warns.
    monkeypatch.setenv("AIRFLOW__CORE__STRICT_DATASET_URI_VALIDATION", "True")
    with pytest.raises(ValueError, match="is not a nebula-explorer asset"):
        Asset("nebula-explorer://c/jobs/7")


@pytest.mark.skipif(not IS_AIRFLOW_2, reason="Airflow 3 refuses such an address, as the test before shows")
def test_airflow_2_warns_of_another_address_of_our_scheme():
    with pytest.warns(UserWarning, match="is not a nebula-explorer asset"):
        Asset("nebula-explorer://c/jobs/7")


def test_who_reports_lineage_to_airflow_can_have_an_asset_made_from_its_parts():
    asset = get_hook_lineage_collector().create_asset(
        scheme="nebula-explorer",
        uri=None,
        asset_kwargs={"workflow_id": 7, "nebula_explorer_conn_id": "c"},
        asset_extra={"team": "graph"},
        **({} if IS_AIRFLOW_2 else {"name": None, "group": None}),
    )
    assert (asset.uri, asset.extra) == ("nebula-explorer://c/workflows/7", {"team": "graph"})


def test_openlineage_finds_our_converter_as_it_searches():
    manager = ProvidersManager()
    converters = (
        manager.dataset_to_openlineage_converters if IS_AIRFLOW_2 else manager.asset_to_openlineage_converters
    )
    assert converters["nebula-explorer"] is convert_asset_to_openlineage


@pytest.mark.skipif(IS_AIRFLOW_2, reason="Airflow 2 has no asset watchers, which the next test is about")
def test_a_watched_asset_is_the_same_asset_with_a_trigger():
    asset = watched_workflow_asset(
        3992429968,
        poll_interval=timedelta(seconds=5),
        job_name="n",
        created_after="2026-01-01T00:00:00Z",
        group="graphs",
    )
    assert (asset.uri, asset.group) == (URI, "graphs")
    (watcher,) = asset.watchers
    path, arguments = watcher.trigger.serialize()
    assert path.endswith("NebulaExplorerWorkflowTrigger")
    assert (arguments["workflow_id"], arguments["name"]) == (3992429968, "n")
    assert (arguments["poll_interval"], arguments["created_after"]) == (5, "2026-01-01T00:00:00Z")


@pytest.mark.skipif(not IS_AIRFLOW_2, reason="this Airflow has asset watchers")
def test_a_watched_asset_says_that_it_needs_a_newer_airflow():
    with pytest.raises(NebulaExplorerConfigError, match=r"needs Airflow 3\.0 or newer"):
        watched_workflow_asset(7)


@pytest.fixture
def outlets(context):
    """Outlets of a task, and what the events of ours will contain."""
    ours, other = workflow_asset(5), Asset("file://host/other")
    events = {ours.uri: SimpleNamespace(extra={}), other.uri: SimpleNamespace(extra={})}

    class OutletEvents:
        def __getitem__(self, asset):
            return events[asset.uri]

    context["outlet_events"] = OutletEvents()
    return SimpleNamespace(both=[ours, other], extra=events[ours.uri].extra)


def test_the_event_of_a_run_names_its_job(emulator, context, outlets):
    emulator.plan(5, JobPlan(running=0))
    run = NebulaExplorerRunWorkflowOperator(task_id="t", workflow_id=5, outlets=outlets.both)
    job_id = run.execute(context)
    assert outlets.extra == {"job_id": job_id, "workflow_id": "5"}
    assert context["outlet_events"][outlets.both[1]].extra == {}, "not ours to write to"


def test_the_event_of_a_sensor_names_its_job(emulator, context, outlets):
    job_id = emulator.start_job(5, plan=JobPlan(running=0))
    NebulaExplorerJobSensor(task_id="t", job_id=job_id, outlets=outlets.both).execute(context)
    assert outlets.extra == {"job_id": job_id, "workflow_id": "5"}


def test_in_lineage_the_connection_is_the_namespace():
    pytest.importorskip("openlineage.client", reason="OpenLineage is not installed here")
    dataset = convert_asset_to_openlineage(workflow_asset(7), None)
    assert (dataset.namespace, dataset.name) == ("nebula-explorer://nebula_explorer_default", "workflows/7")
