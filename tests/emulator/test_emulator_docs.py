# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from airflow_provider_nebula_explorer.emulator.api import ENDPOINTS
from airflow_provider_nebula_explorer.emulator.faults import KINDS
from airflow_provider_nebula_explorer.emulator.plans import read_workflow

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "emulator.md").read_text(encoding="utf-8")


def test_the_page_s_plans_file_is_read():
    workflows = json.loads(re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)[0])

    assert [read_workflow(data)[0] for data in workflows.values()] == ["pagerank", None, "retried"]


@pytest.mark.parametrize("name", [*KINDS, *ENDPOINTS])
def test_the_page_names_every_kind_of_fault_and_every_endpoint(name: str):
    assert f"`{name}`" in PAGE
