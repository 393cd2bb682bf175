# SPDX-License-Identifier: Apache-2.0
"""The figures of performance: true to the tables, and the same in the repository as on the site."""

from __future__ import annotations

import re
import sys
from itertools import groupby
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

ROOT = Path(__file__).parents[2]

sys.path.insert(0, str(ROOT / "docs"))
import figures  # noqa: E402

SVG = "{http://www.w3.org/2000/svg}"
TABLES = figures.Tables(figures.PAGE.read_text(encoding="utf-8"))

of_each_figure = pytest.mark.parametrize("name", figures.FIGURES)


@of_each_figure
def test_the_file_shows_what_the_tables_say(name):
    drawn = figures.file(figures.FIGURES[name], TABLES)
    stored = (ROOT / "docs" / "images" / f"{name}.svg").read_text(encoding="utf-8")
    assert stored == drawn, "the tables have changed: run `make figures`"


@of_each_figure
def test_each_bar_is_as_long_as_its_number_says(name):
    figure = figures.FIGURES[name]
    picture = ET.fromstring(figures.svg(figure, TABLES))
    numbers = [float(text.text) for text in picture.iter(f"{SVG}text") if "value" in text.get("class")]
    bars = [(float(bar.get("x")), float(bar.get("width"))) for bar in picture.iter(f"{SVG}rect")]
    assert len(numbers) == len(bars) == len(figure.rows) * len(figure.measures)
    for _, panel in groupby(zip(bars, numbers, strict=True), key=lambda row: row[0][0]):
        lengths, shown = zip(*[(length, number) for (_, length), number in panel], strict=True)
        scale = max(lengths) / max(shown)
        assert lengths == pytest.approx([number * scale for number in shown], abs=0.01)


@of_each_figure
def test_everything_is_inside_and_nothing_overlaps(name):
    picture = ET.fromstring(figures.svg(figures.FIGURES[name], TABLES))
    texts = [(float(t.get("y")), float(t.get("x")), len(t.text) * 6.6) for t in picture.iter(f"{SVG}text")]
    for _, row in groupby(sorted(texts), key=lambda text: text[0]):
        ends = 0.0
        for _, x, width in row:
            assert x >= ends
            ends = x + width
        assert ends <= figures.WIDTH


@of_each_figure
def test_the_page_has_it(name):
    assert re.search(rf"!\[[^\]]+\]\(images/{name}\.svg\)", figures.PAGE.read_text(encoding="utf-8"))


def test_a_row_that_the_tables_do_not_have_is_an_error():
    tables = figures.Tables("| who | n |\n|---|---|\n| a | 1 |\n| a | 2 |\n")
    assert tables.cell("who", ("a", "2"), "n") == "2"
    for row in (("b",), ("a",)):
        with pytest.raises(ValueError, match="unpack"):
            tables.cell("who", row, "n")
    with pytest.raises(ValueError, match="not in list"):
        tables.cell("who", ("a", "1"), "m")
