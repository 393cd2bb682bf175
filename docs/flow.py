# SPDX-License-Identifier: Apache-2.0
"""The drawing on the page about exactly once: the build makes a picture of the page's chart in text.

In the text, an empty line ends a step. A step begins with its name in capitals, unless it is the first, and
says what it does; its branches begin with ``├─`` or ``└─``, and may have branches of their own. A branch that
ends in ``► NAME`` leads to the step of that name. What begins with ``*`` is a footnote.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from html import escape
from typing import Any

WIDTH = 740
"""Of the picture, in pixels."""

_CARD = 612
_GAP = 18
_LINE = 17
_PAD = 14
_INDENT = 22
_TARGET = 60
_LETTER = 6.5
"""The mean width of a letter."""
_LANE = 36

_BRANCH = re.compile(r"([ │]*)[├└]─ (.*)")
_STEP = re.compile(r"^ *(?:([A-Z]+|\*) +)?(.+)")
_TARGET_AT_END = re.compile(r" *─*► ([A-Z]+)$")


@dataclass
class Branch:
    """What may come of a step.

    :param column: where it begins in the text.
    :param text: when, and what happens then.
    :param target: the name of the step that follows, or an empty string.
    """

    column: int
    text: str
    target: str = ""


@dataclass
class Step:
    """A step, and what may come of it.

    :param name: empty for the first.
    :param text: what it does.
    """

    name: str
    text: str
    branches: list[Branch] = field(default_factory=list)

    def depth(self, branch: Branch) -> int:
        """Return how many branches a branch of this step is in."""
        return sorted({other.column for other in self.branches}).index(branch.column)


def parse(lines: Iterable[str]) -> list[Step]:
    """Read a chart; a footnote is a step without branches, named ``*``.

    :raises ValueError: if a branch leads to a step that does not exist.
    """
    steps: list[Step] = []
    for block in re.split(r"\n\s*\n", "\n".join(lines).strip("\n")):
        first, *rest = block.splitlines()
        ((name, text),) = _STEP.findall(first)
        steps.append(Step(name, text.replace("─►", "→")))
        for line in rest:
            _read(line, steps[-1])
    names = {step.name for step in steps}
    for step in steps:
        for branch in step.branches:
            if branch.target and branch.target not in names:
                raise ValueError(f"There is no step {branch.target}, to which this leads: {branch.text!r}")
    return steps


def _read(line: str, step: Step) -> None:
    """Add a line to its step: a branch, or more of the text before it."""
    if found := _BRANCH.fullmatch(line.rstrip()):
        step.branches.append(Branch(len(found[1]), ""))
        line = found[2]
    part: Step | Branch = step.branches[-1] if step.branches else step
    line = line.strip(" │")
    if isinstance(part, Branch) and (leads := _TARGET_AT_END.search(line)):
        part.target = leads[1]
        line = line[: leads.start()]
    part.text = f"{part.text} {re.sub(' ─{2,} ', ': ', line)}".strip()


def svg(steps: Iterable[Step]) -> str:
    """Return a chart as an SVG image, in the colors of the page around it."""
    drawing = _Drawing()
    for step in steps:
        drawing.add(step)
    size = f'viewBox="0 0 {WIDTH} {drawing.y + 6}" role="img"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" class="rooms" {size}'
    parts = [*drawing.parts, *drawing.lanes()]
    return "\n".join([f'{head} aria-label="What an attempt of a task does">', *parts, "</svg>"])


class _Drawing:
    """A chart that grows downwards: a card for each step, and on the right a lane that leads to each."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.y = 4
        self._heads: dict[str, int] = {}
        self._ways: list[tuple[str, int]] = []

    def add(self, step: Step) -> None:
        if step.name == "*":
            self._write(f"* {step.text}", _PAD, _CARD)
            return
        top, place = self.y, len(self.parts)
        self.y += 6
        self._heads[step.name] = self.y + _LINE - 4
        if step.name:
            self.parts.append(_text("path", step.name, 4 + _PAD, self.y + _LINE))
        self._write(step.text, 4 + _PAD + len(step.name) * 10, _CARD - _PAD)
        for branch in step.branches:
            self._add_branch(branch, step.depth(branch))
        self.y += 12
        box = f'<rect class="box" x="4" y="{top}" width="{_CARD}" height="{self.y - top}" rx="4"/>'
        self.parts.insert(place, box)
        self.y += _GAP

    def _add_branch(self, branch: Branch, depth: int) -> None:
        self.y += 4
        x = 4 + _PAD + _INDENT * (depth + 1)
        self.parts.append(f'<circle class="dot" cx="{x - 11}" cy="{self.y + _LINE - 4}" r="2.5"/>')
        if branch.target:
            self._ways.append((branch.target, self.y + _LINE - 4))
            self.parts.append(_text("path end", branch.target, 4 + _CARD - _PAD, self.y + _LINE))
        self._write(branch.text, x, _CARD - _PAD - bool(branch.target) * _TARGET)

    def _write(self, text: str, x: int, until: int) -> None:
        for line in textwrap.wrap(text, int((until - x) / _LETTER)):
            self.y += _LINE
            self.parts.append(_text("", line, x, self.y))

    def lanes(self) -> Iterator[str]:
        """Yield, for each step that another leads to, a line past the cards with an arrow into its own."""
        edge = 4 + _CARD
        for number, target in enumerate(name for name in self._heads if name):
            x, head = edge + 30 + _LANE * number, self._heads[target]
            heights = [y for name, y in self._ways if name == target]
            yield f'<path class="arrow" d="M {x} {min(head, *heights)} V {max(head, *heights)}"/>'
            yield f'<path class="arrow" d="M {x} {head} H {edge + 2} m 7 -5 l -7 5 l 7 5"/>'
            for y in heights:
                yield f'<path class="arrow" d="M {edge} {y} H {x}"/>'
                yield f'<circle class="dot" cx="{x}" cy="{y}" r="2.5"/>'


def _text(kind: str, text: str, x: float, y: float) -> str:
    return f'<text class="{kind}" x="{x}" y="{y}">{escape(text)}</text>'


def setup(app: Any) -> dict[str, bool]:
    """Add the directive ``flow`` to Sphinx."""
    from docutils import nodes
    from docutils.parsers.rst import Directive

    class Flow(Directive):
        has_content = True

        def run(self) -> list[nodes.Node]:
            return [nodes.raw("", svg(parse(self.content)), format="html")]

    app.add_directive("flow", Flow)
    return {"parallel_read_safe": True}
