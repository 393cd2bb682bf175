"""The changes of an emulator, in a file: after a kill, it restarts with its jobs, workflows and clock."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from airflow_provider_nebula_explorer.emulator.refusals import RefusedError


class Journal:
    """A file of changes, a line of JSON each: the change's name, and its arguments.

    The operating system has a line before the emulator responds: the line survives the emulator's death, but
    not the machine's.

    :param file: is created by the first change if it does not exist.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def append(self, change: str, **arguments: Any) -> None:
        """Add a change; its arguments are JSON values and plans."""
        line = json.dumps([change, arguments], default=asdict) + "\n"
        with self._file.open("a", encoding="utf-8") as file:
            file.write(line)

    def replay(self, changes: Mapping[str, Callable[..., object]]) -> None:
        """Repeat every change, in order.

        :param changes: what each change does, by name.
        :raises ValueError: if the file is not a journal.
        :raises OSError: if it cannot be read.
        """
        if not self._file.exists():
            return
        *lines, rest = self._file.read_text(encoding="utf-8").split("\n")
        for number, line in enumerate(lines, start=1):
            try:
                change, arguments = json.loads(line)
                changes[change](**arguments)
            except (KeyError, RefusedError, TypeError, ValueError) as error:
                raise self._not_a_journal(number, line) from error
        if rest:
            self._cut(rest, len(lines) + 1)

    def _cut(self, rest: str, number: int) -> None:
        """Remove a last line that a kill cut short: no client had a response to it."""
        if not rest.startswith('["'[: len(rest)]):
            raise self._not_a_journal(number, rest)
        with self._file.open("r+b") as file:
            file.truncate(self._file.stat().st_size - len(rest.encode()))

    def _not_a_journal(self, number: int, line: str) -> ValueError:
        return ValueError(f"{self._file}, line {number} is not a journal's: {line!r:.80}")
