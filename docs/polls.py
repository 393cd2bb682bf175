# SPDX-License-Identifier: Apache-2.0
"""The drawing on the page about waiting: when the default interval polls, computed by the package itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from airflow_provider_nebula_explorer.explorer.interval import Interval

WIDTH = 740
"""Of the picture, in pixels."""

_LEFT, _RIGHT = 90, 12
_ROW = 54


def times(life: float) -> list[float]:
    """Return when a wait polls that begins with its job, up to the first poll after the job's end.

    :param life: how many seconds the job runs.
    """
    interval, polls = Interval.of(None), [0.0]
    while polls[-1] < life:
        polls.append(polls[-1] + interval.after(polls[-1]))
    return polls


def svg(lives: dict[str, float]) -> str:
    """Return an SVG image with a row of polls for each job, in the colors of the page around it.

    :param lives: how many seconds each job runs, by its label.
    """
    size = f'viewBox="0 0 {WIDTH} {_ROW * len(lives)}" role="img"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" class="rooms" {size} aria-label="Polls over time">'
    rows = [part for number, row in enumerate(lives.items()) for part in _draw(*row, _ROW * number)]
    return "\n".join([head, *rows, "</svg>"])


def _draw(label: str, life: float, y: int) -> Iterator[str]:
    polls = times(life)
    scale = (WIDTH - _LEFT - _RIGHT) / polls[-1]
    yield f'<text class="path" x="4" y="{y + 24}">{label}</text>'
    yield f'<rect class="box explorer" x="{_LEFT}" y="{y + 8}" width="{life * scale:.1f}" height="24"/>'
    for at in polls:
        yield f'<path class="arrow" d="M {_LEFT + at * scale:.1f} {y + 4} v 32"/>'
    late = f"{len(polls)} polls; the last comes {polls[-1] - life:.0f} s after the job's end"
    yield f'<text class="label" x="{_LEFT}" y="{y + 48}">{late}</text>'


def setup(app: Any) -> dict[str, bool]:
    """Add the directive ``polls`` to Sphinx."""
    from docutils import nodes
    from docutils.parsers.rst import Directive

    class Polls(Directive):
        has_content = False

        def run(self) -> list[nodes.Node]:
            picture = svg({"1 min": 60, "1 h": 3600})
            return [nodes.raw("", picture, format="html")]

    app.add_directive("polls", Polls)
    return {"parallel_read_safe": True}
