# SPDX-License-Identifier: Apache-2.0
"""The picture of an attempt on the page about exactly once: it says what the page's text says."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

DOCS = Path(__file__).parents[2] / "docs"

sys.path.insert(0, str(DOCS))
import flow  # noqa: E402

SVG = "{http://www.w3.org/2000/svg}"
PAGE = (DOCS / "exactly-once.md").read_text(encoding="utf-8")
TEXT = re.search(r"```\{flow\}\n(.*?)```", PAGE, re.DOTALL)[1]
STEPS = flow.parse(TEXT.splitlines())
PICTURE = ET.fromstring(flow.svg(STEPS))


def texts(kind):
    """Yield each text of a kind with its place."""
    for text in PICTURE.iter(f"{SVG}text"):
        if text.get("class") == kind:
            yield text.text, float(text.get("x")), float(text.get("y"))


def test_it_has_every_word_of_the_text():
    shown = " ".join(text.text for text in PICTURE.iter(f"{SVG}text"))
    assert sorted(re.findall(r"[^\s:→]+", shown)) == sorted(re.findall(r"[^\s:│├└─►]+", TEXT))


def test_each_branch_that_goes_on_has_a_way_to_its_step():
    steps = {y - 4: name for name, _, y in texts("path")}
    arrows = [path.get("d").split() for path in PICTURE.iter(f"{SVG}path") if " l " in path.get("d")]
    lanes = {x: steps[float(y)] for _, x, y, *_ in arrows}
    dots = {float(dot.get("cy")): lanes.get(dot.get("cx")) for dot in PICTURE.iter(f"{SVG}circle")}
    leading = [(name, y - 4) for name, _, y in texts("path end")]
    assert {name for name, _ in leading} == set(steps.values()) == {"START", "SETTLE", "WAIT"}
    for name, y in leading:
        assert dots[y] == name


def test_everything_is_inside():
    _, _, width, height = map(float, PICTURE.get("viewBox").split())
    for text, x, y in [*texts(""), *texts("path")]:
        assert 0 < y < height
        assert x + len(text) * 6 < flow._CARD < width


def test_a_branch_of_a_branch_is_further_right():
    (step,) = flow.parse(
        ["  A  begins", "     ├─ one: goes on", "     │  with more", "     │   └─ two ──► A"]
    )
    one, two = step.branches
    assert (one.text, one.target, step.depth(one)) == ("one: goes on with more", "", 0)
    assert (two.text, two.target, step.depth(two)) == ("two", "A", 1)


def test_a_branch_to_nowhere_is_an_error():
    with pytest.raises(ValueError, match="no step B"):
        flow.parse(["  A  begins", "     └─ goes on ──► B"])
