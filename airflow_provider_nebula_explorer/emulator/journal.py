"""What happened to an emulator, in a file: a killed one restarts with its jobs, workflows and clock."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from airflow_provider_nebula_explorer.emulator.refusals import RefusedError


class Journal:
    """A file of happenings, a line of JSON each: the name of what happened, and its arguments.

    A line is with the operating system before the emulator answers: it outlives the emulator, not the
    machine.

    :param file: is made with the first happening, where it is not there.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def note(self, happening: str, **arguments: Any) -> None:
        """Add a happening; its arguments are JSON values and plans."""
        line = json.dumps([happening, arguments], default=asdict) + "\n"
        with self._file.open("a", encoding="utf-8") as file:
            file.write(line)

    def replay(self, happenings: Mapping[str, Callable[..., object]]) -> None:
        """Have everything happen again, in its order.

        :param happenings: what each does, by name.
        :raises ValueError: where the file is not a journal.
        :raises OSError: where it cannot be read.
        """
        if not self._file.exists():
            return
        *lines, rest = self._file.read_text(encoding="utf-8").split("\n")
        for number, line in enumerate(lines, start=1):
            try:
                happening, arguments = json.loads(line)
                happenings[happening](**arguments)
            except (KeyError, RefusedError, TypeError, ValueError) as error:
                raise self._is_none(number, line) from error
        if rest:
            self._cut(rest, len(lines) + 1)

    def _cut(self, rest: str, number: int) -> None:
        """Remove a last line that a kill cut short: nobody had an answer to it."""
        if not rest.startswith('["'[: len(rest)]):
            raise self._is_none(number, rest)
        with self._file.open("r+b") as file:
            file.truncate(self._file.stat().st_size - len(rest.encode()))

    def _is_none(self, number: int, line: str) -> ValueError:
        return ValueError(f"{self._file}, line {number} is not a journal's: {line!r:.80}")
