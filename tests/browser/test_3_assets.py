# SPDX-License-Identifier: Apache-2.0
"""A newcomer schedules a DAG by somebody's jobs, and reads the asset's page."""

from __future__ import annotations

import pytest
from example import ASSET_DAG_ID, WORKFLOW_ID
from pages import Camera, TaskPage
from parts import wait_for
from playwright.sync_api import Page, expect
from whole_airflow import Airflow

from airflow_provider_nebula_explorer.emulator import Emulator, JobPlan

HEIGHT = 640
SECONDS = 120.0


def test_an_unpaused_dag_has_its_workflow_watched(page: Page, airflow: Airflow, explorer: Emulator):
    page.goto(f"/dags/{ASSET_DAG_ID}")
    polls = explorer.count("list_workflow_jobs")
    page.locator("[data-scope=switch][data-part=root]").first.click()
    wait_for(
        "the triggerer polls twice",
        lambda: explorer.count("list_workflow_jobs") > polls + 4,
        SECONDS,
        airflow.evidence,
    )


@pytest.fixture(scope="module")
def job_id(airflow: Airflow, explorer: Emulator) -> int:
    """A job that somebody ran in Explorer, that has succeeded and has started the DAG."""
    job_id = explorer.start_job(WORKFLOW_ID, plan=JobPlan(running=0))
    # The page of an asset does not show what comes up after it was opened.
    runs = f"/dags/{ASSET_DAG_ID}/dagRuns"
    wait_for("a run", lambda: airflow.request("GET", runs)["dag_runs"], SECONDS, airflow.evidence)
    return job_id


def test_the_assets_page_shows_the_event_and_the_run_that_it_started(page: Page, job_id: int, camera: Camera):
    page.set_viewport_size({"width": 1280, "height": HEIGHT})  # into which Airflow fits the graph
    page.goto("/assets")
    page.get_by_role("link", name="ranks").click()
    expect(page.locator(".react-flow__node").filter(has_text=ASSET_DAG_ID)).to_be_visible()
    expect(page.get_by_text("Triggered Dag Run").first).to_be_visible()
    camera.take("asset", height=HEIGHT)


def test_the_run_has_read_the_job_from_the_event(page: Page, job_id: int):
    page.goto(f"/dags/{ASSET_DAG_ID}/runs")
    page.get_by_role("row").filter(has_text="Success").locator("a[href*='/runs/']").first.click()
    task = TaskPage(page)
    task.visit("use")
    task.open("Logs")
    expect(task.panel).to_contain_text(f"Returned value was: [{job_id}]")
