# SPDX-License-Identifier: Apache-2.0
"""Each source file names its licence, and the package carries the licence and a notice."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = "airflow_provider_nebula_explorer"
FOLDERS = (PACKAGE, "benchmarks", "docs", "example_dags", "fuzz", "scripts", "tests")
LINE = "# SPDX-License-Identifier: Apache-2.0"


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_file_begins_with_its_licence(folder):
    without = {
        str(path.relative_to(ROOT))
        for path in (ROOT / folder).rglob("*.py")
        if "_build" not in path.parts
        if LINE
        not in [line for line in path.read_text(encoding="utf-8").splitlines() if line[:2] != "#!"][:1]
    }
    assert without == set(), f"add the line {LINE!r}"


def test_the_metadata_name_licence_and_notice():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert 'license-files = ["LICENSE", "NOTICE"]' in text
    assert (
        (ROOT / "NOTICE")
        .read_text(encoding="utf-8")
        .startswith("airflow-provider-nebula-explorer\nCopyright")
    )
