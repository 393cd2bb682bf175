# SPDX-License-Identifier: Apache-2.0
"""docs/doctor.md has each row of the table, each fact and each option."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_nebula_explorer.doctor.__main__ import main
from airflow_provider_nebula_explorer.doctor.checks import all_checks
from airflow_provider_nebula_explorer.doctor.report import FACTS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "doctor.md").read_text(encoding="utf-8")
ROWS = [line.split(" | ") for line in PAGE.replace("`", "").splitlines() if line.startswith("| ")]
CHECKED = [(cells[0].removeprefix("| "), cells[1]) for cells in ROWS if len(cells) == 3]


def test_the_page_has_each_check_with_what_is_assumed():
    heads = {("check", "assumed")}
    assert set(CHECKED) - heads == {(check.name, check.assumed) for check in all_checks()}


@pytest.mark.parametrize("fact", FACTS)
def test_the_page_has_each_fact(fact):
    assert f"`{fact}`" in PAGE


def test_the_page_has_each_option(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "500")
    with pytest.raises(SystemExit):
        main(["--help"])
    lines = capsys.readouterr().out.splitlines()
    options = [line.split()[0] for line in lines if line.startswith("  --")]
    assert len(options) > 8
    assert [option for option in options if f"`{option}" not in PAGE] == []


@pytest.mark.parametrize(
    "page", ["README.md", "docs/index.md", "docs/troubleshooting.md", "docs/tutorial.md"]
)
def test_a_user_who_needs_the_doctor_finds_it(page):
    assert "doctor.md" in (ROOT / page).read_text(encoding="utf-8")
