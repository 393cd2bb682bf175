# SPDX-License-Identifier: Apache-2.0
"""The picture of polls on the page about waiting: computed by the package, and true to its text."""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

DOCS = Path(__file__).parents[2] / "docs"

sys.path.insert(0, str(DOCS))
import polls  # noqa: E402

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("life", [60, 3600])
def test_it_has_a_line_for_each_poll_and_all_are_inside(life):
    picture = ET.fromstring(polls.svg({"a job": life}))
    lines = [float(path.get("d").split()[1]) for path in picture.iter(f"{SVG}path")]
    assert len(lines) == len(polls.times(life))
    assert lines == sorted(lines)
    assert 0 < lines[0] < lines[-1] < polls.WIDTH
    (bar,) = picture.iter(f"{SVG}rect")
    end = float(bar.get("x")) + float(bar.get("width"))
    assert lines[-2] < end <= lines[-1], "the last poll alone comes after the job's end"


def test_the_page_has_it():
    assert "```{polls}\n```" in (DOCS / "waiting.md").read_text(encoding="utf-8")
