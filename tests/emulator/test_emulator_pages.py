# SPDX-License-Identifier: Apache-2.0
"""The emulator's web pages, and who may see them and use its control requests."""

from __future__ import annotations

import json
import re
from html import unescape

import pytest
import requests

from airflow_provider_nebula_explorer.emulator import Emulator, Fault, JobPlan, TaskPlan

RELOADS = "<meta http-equiv='refresh'"


def page(emulator: Emulator, path: str = "/", **headers: str) -> requests.Response:
    return requests.get(f"{emulator.url}{path}", headers=headers, timeout=5)


def text(response: requests.Response) -> str:
    """Return what a person reads on a page."""
    body = response.text.partition("<body>")[2]
    return " ".join(unescape(re.sub("<[^>]*>", " ", body)).split())


def test_the_list_shows_the_newest_jobs_first_with_their_status_and_progress(emulator: Emulator):
    emulator.plan(12, [JobPlan(running=0), JobPlan(running=60)], name="pagerank")
    ids = [emulator.start_job(12, name=name) for name in ("first", "second")]

    shown = page(emulator)
    assert re.search(
        r"102 second pagerank \(12\) RUNNING 0 of 2 .* 101 first pagerank \(12\) SUCCESS 2 of 2", text(shown)
    )
    assert [f"<a href='/jobs/{job_id}'>" in shown.text for job_id in ids] == [True, True]
    assert RELOADS in shown.text


def test_the_list_is_short_however_many_jobs_there_are(emulator: Emulator):
    for _ in range(150):
        emulator.start_job(12)

    shown = page(emulator)
    assert shown.text.count("<tr>") == 101
    assert "150 jobs, of which the newest 100" in text(shown)


def test_the_page_of_a_job_shows_its_tasks_and_reloads_while_it_runs(emulator: Emulator):
    job_id = emulator.start_job(12, plan=JobPlan(running=60, tasks=(TaskPlan("one"), TaskPlan("two"))))
    running = page(emulator, f"/jobs/{job_id}")
    emulator.advance(30)
    half = page(emulator, f"/jobs/{job_id}")
    emulator.advance(30)
    ended = page(emulator, f"/jobs/{job_id}")

    assert [re.findall(r"(?:one|two) ([A-Z]+)", text(shown)) for shown in (running, half, ended)] == [
        ["RUNNING", "PREPARING"],
        ["SUCCESS", "RUNNING"],
        ["SUCCESS", "SUCCESS"],
    ]
    assert [RELOADS in shown.text for shown in (running, half, ended)] == [True, True, False]
    task = emulator.job(job_id)["tasks"][1]
    assert {task["id"], task["runBeginTime"], task["runEndTime"]} <= set(text(ended).split())


def test_the_connection_s_job_url_leads_to_the_page_of_a_job(emulator: Emulator):
    job_id = emulator.start_job(12, name="nightly")
    template = json.loads(emulator.airflow_connection)["extra"]["job_url"]
    url = template.format(base_url=emulator.url, job_id=job_id, workflow_id="12")

    assert "nightly" in text(requests.get(url, timeout=5))


@pytest.mark.parametrize("job_id", ["7", "0", "9" * 19])
def test_a_job_that_does_not_exist_has_no_page(emulator: Emulator, job_id: str):
    shown = page(emulator, f"/jobs/{job_id}")

    assert shown.status_code == 404
    assert f"There is no job {job_id}." in text(shown)


def test_names_are_escaped_and_cut_and_stand_in_one_line(emulator: Emulator):
    name = "<script>alert(1)</script>\n\x1b[31m\u202e'\"&" + "x" * 10_000
    emulator.plan(12, JobPlan(tasks=(TaskPlan(name),)), name=name)
    job_id = emulator.start_job(12, name=name)

    for path in ("/", f"/jobs/{job_id}"):
        shown = page(emulator, path)
        assert "<script" not in shown.text
        assert not re.search("[\x1b\u202e]|x{121}", shown.text)
        assert "<script>alert(1)</script> [31m '\"&xxx" in text(shown)
        assert "script" not in shown.headers["Content-Security-Policy"]


def test_a_status_of_a_newer_explorer_has_a_page(emulator: Emulator):
    job_id = emulator.start_job(12, plan=JobPlan(running=60, runs_as=9))

    assert "UNKNOWN_9" in text(page(emulator, f"/jobs/{job_id}"))


def test_pages_are_neither_calls_nor_hit_by_faults(emulator: Emulator):
    emulator.fail(Fault("status"))

    assert page(emulator).status_code == 200
    assert emulator.count() == 0


OWN_HOSTS = ["localhost:{port}", "127.0.0.1:{port}", "[::1]:{port}", "127.0.0.1", "LOCALHOST"]
FOREIGN_HOSTS = [
    "evil.example",
    "evil.example:{port}",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "[::1",
    "x:x",
]


@pytest.mark.parametrize("path", ["/", "/jobs/101", "/_emulator/jobs"])
@pytest.mark.parametrize(
    ("host", "status"), [*((host, 200) for host in OWN_HOSTS), *((host, 403) for host in FOREIGN_HOSTS)]
)
def test_a_name_that_is_not_the_emulator_s_is_refused(emulator: Emulator, path: str, host: str, status: int):
    emulator.start_job(12)

    assert page(emulator, path, Host=host.format(port=emulator.port)).status_code == status


def test_the_name_that_it_listens_on_is_its_own():
    with Emulator(host="localhost") as emulator:
        assert page(emulator).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://{own}"])
def test_a_request_of_another_website_changes_nothing(emulator: Emulator, origin: str):
    headers = {"Origin": origin.format(own=f"127.0.0.1:{emulator.port}")}
    response = requests.post(
        f"{emulator.url}/_emulator/jobs", json={"workflow_id": 12}, headers=headers, timeout=5
    )

    assert (response.status_code, response.json()["code"]) == (403, 40304000)
    assert emulator.jobs == []


@pytest.mark.parametrize("content_type", ["text/plain", "text/plain; charset=utf-8", "multipart/form-data"])
def test_a_body_that_any_website_may_send_changes_nothing(emulator: Emulator, content_type: str):
    response = requests.post(
        f"{emulator.url}/_emulator/jobs",
        data='{"workflow_id": 12}',
        headers={"Content-Type": content_type},
        timeout=5,
    )

    assert (response.status_code, response.json()["code"]) == (400, 40004001)
    assert emulator.jobs == []


def test_its_own_page_and_a_command_line_may_send_control_requests(emulator: Emulator):
    url, body = f"{emulator.url}/_emulator/jobs", '{"workflow_id": 12}'
    for headers in (
        {"Origin": emulator.url, "Content-Type": "application/json"},
        {"Content-Type": "application/x-www-form-urlencoded"},  # curl's
        {},
    ):
        assert requests.post(url, data=body, headers=headers, timeout=5).status_code == 200
    assert len(emulator.jobs) == 3


def test_explorer_s_own_paths_are_open_to_every_name(emulator: Emulator):
    assert page(emulator, "/api-open/v1/jobs", Host="explorer.example", Origin="null").status_code == 401


def test_a_refusal_names_the_host_in_one_line_and_cut(emulator: Emulator):
    refusal = page(emulator, "/_emulator/jobs", Host="x" * 5000).json()["message"]

    assert len(refusal) < 250
