# SPDX-License-Identifier: Apache-2.0
"""The emulator examined: as assumed, or deviating as it was set to; its report makes another one like it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from own_explorer import ACCOUNT, settings

from airflow_provider_nebula_explorer.doctor.check import CHECK_FAILED
from airflow_provider_nebula_explorer.doctor.examination import examine
from airflow_provider_nebula_explorer.doctor.findings import Verdict
from airflow_provider_nebula_explorer.doctor.prober import Prober
from airflow_provider_nebula_explorer.doctor.report import report_of
from airflow_provider_nebula_explorer.emulator import Emulator, JobPlan
from airflow_provider_nebula_explorer.explorer.client.sync_client import Client

PASSWORD = ACCOUNT.password
DAY = 86400


def emulator_with_jobs(**arguments):
    """Return an emulator with twelve jobs of two workflows, which ended in all ways."""
    emulator = Emulator(password=PASSWORD, **arguments)
    for number in range(12):
        ends = ("SUCCESS", "FAILED", "INTERRUPTED")[number % 3]
        created = time.time() - DAY + 60 * number
        emulator.start_job(5 + number % 2, plan=JobPlan(running=0, ends=ends), created=created)
    return emulator


def examined(emulator):
    """Return the names of the rows that differ, and the report."""
    chosen = settings(base_url=emulator.url)
    client = Client(chosen)
    before = emulator.logins
    try:
        examination = examine(Prober(client.send, chosen), None, lambda name: None)
    finally:
        client.close()
    assert not examination.refusal
    assert emulator.logins == before + 1
    assert emulator.count() <= 60
    assert not [row for row in examination.rows if CHECK_FAILED in row.finding.seen]
    differing = {row.check.name for row in examination.rows if row.finding.verdict is Verdict.DIFFERS}
    return differing, report_of(examination.rows)


@pytest.mark.parametrize(
    ("arguments", "differing"),
    [
        ({}, set()),
        ({"encoding": "colon"}, {"account encoding"}),
        ({"encoding": "both"}, set()),
        ({"cookie": "secure"}, {"secure cookie"}),
        ({"cookie": "misspelt"}, {"cookie", "token's life"}),
        ({"cookie": "bare"}, {"token's life"}),
        ({"token_ttl": 30}, {"token's life"}),
        ({"max_page_size": 10}, {"page cap"}),
        ({"max_page_size": 1000}, set()),
        ({"graphd": ("10.0.0.9", 9669)}, set()),
        ({"workflows": {5: JobPlan(), 6: JobPlan()}}, set()),
        ({"missing": "zero"}, {"missing job"}),
        ({"missing": "no_data"}, {"missing job"}),
        ({"max_clients": 1, "recycle_above": 0, "max_graphd_sessions": 1}, set()),
    ],
    ids=lambda value: " ".join(sorted(map(str, value))) or "none",
)
def test_an_emulator_is_examined_in_every_setting(arguments, differing):
    with emulator_with_jobs(**arguments) as emulator:
        assert examined(emulator)[0] == differing


FACTS = {
    "account_encoding": ("colon", {"account encoding"}),
    "secure_cookie": (True, {"secure cookie"}),
    "max_age": (7200, set()),
    "page_cap": (10, {"page cap"}),
    "missing_job": ("zero", {"missing job"}),
    "unknown_path": ("error", {"unknown path"}),
    "http_status_follows_code": (False, {"HTTP status and code", "refused login"}),
    "filter_by_status": (False, {"filter by status"}),
    "filter_by_time": (False, {"filter by time"}),
    "order": (False, {"order", "default order"}),
    "total": ("absent", {"list of jobs", "total"}),
    "ids_grow": (False, {"ids"}),
    "clock_difference": (-3600, {"clock"}),
}


@pytest.mark.parametrize("fact", FACTS)
def test_a_fact_is_found_in_an_emulator_that_has_it(fact):
    value, differing = FACTS[fact]
    with emulator_with_jobs(like={fact: value}) as emulator:
        rows, report = examined(emulator)
    assert report["facts"][fact] == value
    assert rows >= differing


@pytest.mark.parametrize("has_differences", [False, True])
def test_a_report_makes_an_emulator_that_gives_the_same_report(tmp_path: Path, has_differences):
    facts = {name: value for name, (value, _) in FACTS.items()} if has_differences else {}
    reports = []
    for _ in range(2):
        with emulator_with_jobs(like=facts) as emulator:
            reports.append(examined(emulator)[1])
        facts = tmp_path / "report.json"
        facts.write_text(json.dumps(reports[-1]))
    first, second = ({**report["facts"], "latency": 0} for report in reports)
    assert first == second
    assert [check["verdict"] for check in reports[0]["checks"]] == [
        check["verdict"] for check in reports[1]["checks"]
    ]
