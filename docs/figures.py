# SPDX-License-Identifier: Apache-2.0
"""The figures of the page about performance, drawn from its tables: a panel of bars for each measure.

In the repository, a figure is a file in ``docs/images`` that brings its own colors, light and dark;
``make figures`` writes it. On the site, the build draws it in the colors of the page.
``tests/packaging/test_figures.py`` checks that the files show what the tables say.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path, PurePath
from typing import Any

DOCS = Path(__file__).parent
PAGE = DOCS / "performance.md"

WIDTH = 740
"""Of a figure, in pixels."""

_LABELS = 132
_VALUE = 50
_TITLE = 34
_ROW = 24
_BAR = 14

_STYLE = """<style>
text { font: 12.5px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328; }
.ground { fill: #ffffff; }
.title { fill: #59636e; }
.ours { font-weight: 600; }
.bar { fill: #848d97; }
.bar.ours { fill: #0969da; }
.axis { stroke: #59636e; }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc; }
  .ground { fill: #0d1117; }
  .title { fill: #9198a1; }
  .bar { fill: #7d8590; }
  .bar.ours { fill: #4493f8; }
  .axis { stroke: #9198a1; }
}
</style>"""


@dataclass(frozen=True)
class Measure:
    """A panel of a figure.

    :param title: what its bars show, with the unit.
    :param table: the first heading of the table that has the numbers.
    :param column: the heading of their column.
    """

    title: str
    table: str
    column: str


@dataclass(frozen=True)
class Figure:
    """Who is compared by what.

    :param label: what the figure is about.
    :param corner: what its rows have in common.
    :param rows: by the label of each row, the first cells of its row in the tables. The first is ours.
    :param measures: the panels, from left to right.
    """

    label: str
    corner: str
    rows: Mapping[str, tuple[str, ...]]
    measures: tuple[Measure, ...]


FIGURES = {
    "waiting": Figure(
        "What 1000 deferred waits cost, beside other providers",
        "1000 waits",
        {
            "this package": ("ours", "1000"),
            "dbt-cloud": ("dbt-cloud", "1000"),
            "databricks": ("databricks", "1000"),
            "airbyte, 100 waits": ("airbyte", "100"),
        },
        (
            Measure("requests per poll", "waiting", "a poll"),
            Measure("seconds of CPU in 21 s", "waiting", "CPU s, waiting"),
            Measure("event loop held, longest, ms", "event loop held, ms", "waiting, longest"),
        ),
    ),
    "logins": Figure(
        "How often tasks and waits log in, beside other providers",
        "logins",
        {
            "this package": ("ours",),
            "nothing shared": ("ours, nothing shared",),
            "databricks, OAuth": ("databricks, OAuth",),
            "airbyte": ("airbyte",),
        },
        (
            Measure("of 20 tasks, 4 at a time", "logins", "of 20 tasks, 4 at a time"),
            Measure("of 100 deferred waits", "logins", "of 100 deferred waits after that"),
        ),
    ),
}


class Tables:
    """The tables of a page in Markdown, by their first headings."""

    def __init__(self, text: str) -> None:
        self._tables: dict[str, list[list[str]]] = {}
        table: list[list[str]] = []
        for line in text.splitlines():
            if not line.startswith("|"):
                table = []
                continue
            table.append([cell.strip() for cell in line.strip().strip("|").split("|")])
            self._tables.setdefault(table[0][0], table)

    def cell(self, table: str, row: tuple[str, ...], column: str) -> str:
        """Return a cell as it is written.

        :raises ValueError: if there is not exactly one row that begins with ``row``, or no such column.
        :raises KeyError: if there is no such table.
        """
        heading, _, *rows = self._tables[table]
        (found,) = [cells for cells in rows if tuple(cells[: len(row)]) == row]
        return found[heading.index(column)]


def svg(figure: Figure, tables: Tables) -> str:
    """Return a figure as an SVG image, in the colors of the page around it."""
    return _image(figure, _panels(figure, tables))


def file(figure: Figure, tables: Tables) -> str:
    """Return a figure as an SVG file, which brings its own colors and ground."""
    ground = f'<rect class="ground" width="{WIDTH}" height="{_height(figure)}" rx="6"/>'
    return _image(figure, [_STYLE, ground, *_panels(figure, tables)]) + "\n"


def _height(figure: Figure) -> int:
    return _TITLE + _ROW * len(figure.rows) + 8


def _image(figure: Figure, parts: Iterable[str]) -> str:
    height = _height(figure)
    size = f'width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" class="bars" {size} role="img"'
    return "\n".join([f'{head} aria-label="{escape(figure.label)}">', *parts, "</svg>"])


def _panels(figure: Figure, tables: Tables) -> Iterator[str]:
    yield _text("title", figure.corner, 12, -1)
    for number, label in enumerate(figure.rows):
        yield _text(_kind("row", number), label, 12, number)
    width = (WIDTH - _LABELS) / len(figure.measures)
    for number, measure in enumerate(figure.measures):
        x = _LABELS + number * width
        yield _text("title", measure.title, x, -1)
        cells = [tables.cell(measure.table, row, measure.column) for row in figure.rows.values()]
        yield from _bars(cells, x, width - _VALUE - 12)


def _bars(cells: list[str], x: float, width: float) -> Iterator[str]:
    most = max(float(cell) for cell in cells)
    for number, cell in enumerate(cells):
        length = float(cell) / most * width
        y = _TITLE + _ROW * number + (_ROW - _BAR) / 2
        size = f'width="{length:.2f}" height="{_BAR}"'
        yield f'<rect class="{_kind("bar", number)}" x="{x:.1f}" y="{y:.1f}" {size}/>'
        yield _text(_kind("value", number), cell, x + length + 6, number)
    yield f'<path class="axis" d="M {x:.1f} {_TITLE} v {_ROW * len(cells)}"/>'


def _kind(kind: str, row: int) -> str:
    return f"{kind} ours" if row == 0 else kind


def _text(kind: str, text: str, x: float, row: int) -> str:
    y = _TITLE + _ROW * row + _ROW / 2 + 4.5
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def write(folder: Path) -> None:
    """Write each figure into a file."""
    tables = Tables(PAGE.read_text(encoding="utf-8"))
    for name, figure in FIGURES.items():
        (folder / f"{name}.svg").write_text(file(figure, tables), encoding="utf-8")


def setup(app: Any) -> dict[str, bool]:
    """Have Sphinx draw each figure where a page shows its file."""
    from docutils import nodes

    def draw(_: Any, page: nodes.document) -> None:
        tables = Tables(PAGE.read_text(encoding="utf-8"))
        for image in list(page.findall(nodes.image)):
            path = PurePath(image["uri"])
            if path.suffix == ".svg" and path.stem in FIGURES:
                image.replace_self(nodes.raw("", svg(FIGURES[path.stem], tables), format="html"))

    app.connect("doctree-read", draw)
    return {"parallel_read_safe": True}


if __name__ == "__main__":
    write(DOCS / "images")
