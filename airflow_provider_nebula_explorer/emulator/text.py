# SPDX-License-Identifier: Apache-2.0
"""Text from outside, before it reaches a log line, an error or a web page."""

from __future__ import annotations


def one_line(value: object, most: int = 120) -> str:
    """Return a value as one printable line of at most this many characters."""
    text = str(value)[: most + 1]
    line = "".join(character if character.isprintable() else " " for character in text)
    return line if len(line) <= most else f"{line[: most - 1]}…"
