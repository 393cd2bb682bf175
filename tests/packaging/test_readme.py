# SPDX-License-Identifier: Apache-2.0
"""The README that PyPI shows has links that lead somewhere, once the repository has an address."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

pytest.importorskip("hatchling", reason="what builds the package is not in each environment")

from readme_for_pypi import ReadmeForPyPI  # noqa: E402

README = (ROOT / "README.md").read_text(encoding="utf-8")
LINKS = re.compile(r"\]\(([^)\s]+)\)")
REPOSITORY = "https://git.example.com/graph/provider"


def readme_for(urls):
    metadata = {"urls": urls}
    ReadmeForPyPI(str(ROOT), {}).update(metadata)
    assert metadata["readme"]["content-type"] == "text/markdown"
    return metadata["readme"]["text"]


def test_without_an_address_it_is_the_readme():
    assert readme_for({"Apache Airflow": "https://airflow.apache.org/"}) == README


def test_with_an_address_each_link_to_a_file_leads_to_it():
    text = readme_for({"Source": f"{REPOSITORY}/"})
    links = LINKS.findall(text)
    assert len(links) == len(LINKS.findall(README))
    assert all(link.startswith(("https://", "#")) for link in links)
    files = [link for link in links if link.startswith(REPOSITORY)]
    assert len(files) > 30
    for link in files:
        kind, path = re.fullmatch(rf"{REPOSITORY}/(raw|blob)/HEAD/([^#]+)(?:#.*)?", link).groups()
        assert (ROOT / path).is_file()
        assert (kind == "raw") == path.startswith("docs/images/")
