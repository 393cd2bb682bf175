# SPDX-License-Identifier: Apache-2.0
"""Each row of the table: ✓ for an Explorer as documented, ✗ for one that differs in this."""

from __future__ import annotations

import pytest
from deviations import DEVIATIONS
from own_explorer import OwnExplorer, settings

from airflow_provider_nebula_explorer.doctor.check import CHECK_FAILED
from airflow_provider_nebula_explorer.doctor.checks import all_checks
from airflow_provider_nebula_explorer.doctor.examination import examine
from airflow_provider_nebula_explorer.doctor.findings import Verdict
from airflow_provider_nebula_explorer.doctor.prober import Prober
from airflow_provider_nebula_explorer.doctor.report import FACTS, report_of

NAMES = [check.name for check in all_checks()]


def examined(explorer, *, run=5, **changes):
    """Examine an Explorer within this process and its own time; return the rows by name, and the report."""
    prober = Prober(explorer.send, settings(**changes), now=lambda: explorer.now, sleep=explorer.sleep)
    examination = examine(prober, run, lambda name: None)
    assert not examination.refusal
    rows = {row.check.name: row.finding for row in examination.rows}
    assert not [name for name, finding in rows.items() if CHECK_FAILED in finding.seen]
    return rows, report_of(examination.rows)


def test_an_explorer_as_documented_is_as_assumed():
    explorer = OwnExplorer()
    rows, report = examined(explorer)
    assert list(rows) == NAMES
    assert {name: finding for name, finding in rows.items() if finding.verdict is not Verdict.OK} == {}
    assert report["facts"] == {
        "account_encoding": "json",
        "secure_cookie": False,
        "max_age": 259200,
        "page_cap": 150,
        "missing_job": "not_found",
        "unknown_path": "html",
        "http_status_follows_code": True,
        "filter_by_status": True,
        "filter_by_time": True,
        "filter_by_name": True,
        "name_match": "part",
        "order": True,
        "total": "right",
        "ids_grow": True,
        "clock_difference": 0,
        "latency": 0.1,
    }


def test_an_examination_takes_one_login_sixty_requests_and_less_than_a_minute():
    explorer = OwnExplorer()
    began = explorer.now
    examined(explorer)
    assert explorer.logins == 1
    assert len(explorer.requests) <= 60
    assert explorer.now - began < 60


def test_without_a_trial_nothing_is_changed():
    explorer = OwnExplorer()
    rows, _ = examined(explorer, run=None)
    assert {request.method for request in explorer.requests if not request.path.endswith("/connect")} == {
        "GET"
    }
    untried = {name for name, finding in rows.items() if finding.verdict is Verdict.UNKNOWN}
    assert {rows[name].seen for name in untried} == {"needs --run"}


@pytest.mark.parametrize(
    "deviation", DEVIATIONS, ids=[f"{one.row}: {one.seen}".replace(" ", "_") for one in DEVIATIONS]
)
def test_a_row_turns_where_explorer_differs(deviation, monkeypatch):
    for name, value in deviation.environment.items():
        monkeypatch.setenv(name, value)
    explorer = OwnExplorer()
    deviation.apply(explorer)

    rows, report = examined(explorer, **deviation.settings)

    finding = rows[deviation.row]
    assert finding.verdict is Verdict.DIFFERS, finding
    assert deviation.seen in finding.seen
    assert finding.advice.endswith(".")
    assert {name: report["facts"][name] for name in deviation.facts} == deviation.facts
    assert set(report["facts"]) == set(FACTS)


@pytest.mark.parametrize("name", NAMES)
def test_no_row_is_left_out(name):
    assert name in {deviation.row for deviation in DEVIATIONS}
