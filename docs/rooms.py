# SPDX-License-Identifier: Apache-2.0
"""The drawing on the architecture page: the build makes a picture of the text that the page has.

In the text, a line is a box: the path of a folder or file of the package, and what it owns. An empty line
ends a row. A line of dashes with a label is a border. ``tests/packaging/test_architecture_page.py`` checks
that the package is built as it is drawn.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

WIDTH = 740
"""Of the picture, in pixels."""

_MARGIN = 38
_GAP = 10
_ROW_GAP = 14
_LINE = 16
_LETTER = 6.4
"""The mean width of a letter of a box's text."""


@dataclass(frozen=True)
class Box:
    """A folder or a file of the package.

    :param path: below the package, without ``.py``.
    :param owns: what it owns.
    """

    path: str
    owns: str


@dataclass(frozen=True)
class Border:
    """A line across the drawing."""

    label: str


Row = tuple[Box, ...] | Border


def parse(lines: Iterable[str]) -> list[Row]:
    """Read a drawing.

    :raises ValueError: if a line is neither a box nor a border.
    """
    rows: list[Row] = []
    boxes: list[Box] = []
    for line in [*lines, ""]:
        border = re.fullmatch(r"-{3,} (.+?) -{3,}", line.strip())
        if line.strip() and not border:
            boxes.append(_parse_box(line))
            continue
        if boxes:
            rows.append(tuple(boxes))
            boxes = []
        if border:
            rows.append(Border(border[1]))
    return rows


def _parse_box(line: str) -> Box:
    path, _, owns = line.strip().partition("  ")
    if not owns or " " in path:
        raise ValueError(f"This line of the drawing is not a path, two spaces and a text: {line!r}")
    return Box(path, owns.strip())


def svg(rows: Iterable[Row]) -> str:
    """Return a drawing as an SVG image, in the colors of the page around it."""
    parts: list[str] = []
    y = _GAP
    for row in rows:
        if isinstance(row, Border):
            parts += _draw_border(row, y)
            y += _LINE + _ROW_GAP
        else:
            height = _height(row)
            parts += [part for box, x in zip(row, _lefts(row), strict=True) for part in _draw(box, x, y, row)]
            y += height + _ROW_GAP
    arrow = f"M 22 {_GAP} V {y - 2 * _ROW_GAP} m -5 -8 l 5 8 l 5 -8"
    label = f'<text class="label" transform="translate(14 {y // 2}) rotate(-90)">imports</text>'
    picture = [f'<path class="arrow" d="{arrow}"/>', label, *parts]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" class="rooms" viewBox="0 0 {WIDTH} {y}" role="img"'
    return "\n".join([f'{head} aria-label="The rooms of the package">', *picture, "</svg>"])


def _box_width(row: tuple[Box, ...]) -> float:
    return (WIDTH - _MARGIN - 2 - _GAP * (len(row) - 1)) / len(row)


def _lefts(row: tuple[Box, ...]) -> Iterator[float]:
    return (_MARGIN + number * (_box_width(row) + _GAP) for number in range(len(row)))


def _height(row: tuple[Box, ...]) -> int:
    return 2 * _LINE + _LINE * max(len(_wrap(box, row)) for box in row)


def _wrap(box: Box, row: tuple[Box, ...]) -> list[str]:
    return textwrap.wrap(box.owns, int((_box_width(row) - 2 * _GAP) / _LETTER))


def _draw(box: Box, x: float, y: int, row: tuple[Box, ...]) -> Iterator[str]:
    kind = "box explorer" if box.path.startswith("explorer/") else "box"
    size = f'width="{_box_width(row):.1f}" height="{_height(row)}"'
    yield f'<rect class="{kind}" x="{x:.1f}" y="{y}" {size} rx="4"/>'
    yield _text(box.path, x + _GAP, y + _LINE + 4, "path")
    for number, line in enumerate(_wrap(box, row), 2):
        yield _text(line, x + _GAP, y + number * _LINE + 6, "owns")


def _draw_border(border: Border, y: int) -> Iterator[str]:
    yield f'<path class="border" d="M {_MARGIN} {y + 2} H {WIDTH - 2}"/>'
    yield _text(border.label, _MARGIN, y + _LINE, "label")


def _text(text: str, x: float, y: int, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y}">{escape(text)}</text>'


def setup(app: Any) -> dict[str, bool]:
    """Add the directive ``rooms`` to Sphinx."""
    from docutils import nodes
    from docutils.parsers.rst import Directive

    class Rooms(Directive):
        has_content = True

        def run(self) -> list[nodes.Node]:
            return [nodes.raw("", svg(parse(self.content)), format="html")]

    app.add_directive("rooms", Rooms)
    return {"parallel_read_safe": True}
