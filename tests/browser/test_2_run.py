# SPDX-License-Identifier: Apache-2.0
"""With the connection in place, a newcomer runs an example DAG and follows its job."""

from __future__ import annotations

import json

import pytest
from example import DAG_ID, JOB_SECONDS
from pages import Camera, TaskPage
from playwright.sync_api import Page, expect

from airflow_provider_nebula_explorer.emulator import Emulator


@pytest.fixture(scope="module")
def task(page: Page) -> TaskPage:
    """The page of the task that waits for the job."""
    return TaskPage(page)


def test_the_example_is_triggered_from_its_page(page: Page):
    page.goto(f"/dags/{DAG_ID}")
    page.get_by_role("button", name="Trigger Dag").click()
    page.get_by_role("dialog").get_by_role("button", name="Trigger", exact=True).click()
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_the_task_leads_to_its_job_while_the_job_runs(
    page: Page, task: TaskPage, explorer: Emulator, camera: Camera
):
    task.visit("wait")
    task.open("Details")
    expect(task.link).to_be_visible()
    expect(task.state("Running")).to_be_visible()
    (job,) = explorer.jobs
    camera.take("job-link", height=560)
    with page.expect_popup() as opened:
        task.link.click()
    expect(opened.value).to_have_url(f"{explorer.url}/?workflow={job['workflowId']}&job={job['id']}")
    expect(opened.value.get_by_text("NebulaGraph Explorer's emulator")).to_be_visible()
    opened.value.close()


def test_the_log_says_which_job_is_waited_for_and_warns_of_nothing(task: TaskPage, explorer: Emulator):
    task.open("Logs")
    (job,) = explorer.jobs
    expect(task.panel).to_contain_text(f"Job {job['id']} ({job['name']}) is RUNNING.")
    expect(task.panel.locator("code").get_by_text("WARNING")).to_have_count(0)


def test_the_run_ends_with_the_rows_of_the_finished_job(task: TaskPage, explorer: Emulator):
    explorer.advance(JOB_SECONDS)
    task.visit("rows")
    expect(task.state("Success")).to_be_visible()


def test_the_xcom_tab_shows_the_finished_job(page: Page, task: TaskPage, explorer: Emulator, camera: Camera):
    task.visit("details")
    task.open("Storage")
    task.open("XCom")
    page.get_by_role("button", name="Expand all extra JSON").click()
    (job,) = explorer.jobs
    for name, value in (
        ("id", job["id"]),
        ("name", job["name"]),
        ("workflowName", "pagerank"),
        ("status", 2),
    ):
        expect(task.panel).to_contain_text(f'"{name}": {json.dumps(value)},')
    camera.take("xcom", height=780)
