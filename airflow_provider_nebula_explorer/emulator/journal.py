# SPDX-License-Identifier: Apache-2.0
"""The changes of an emulator, in a file: after a kill, it restarts with its jobs, workflows and clock."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from airflow_provider_nebula_explorer.emulator.refusals import RefusedError


class Journal:
    """A file of changes, a line of JSON each: the change's name, and its arguments.

    The operating system has a line before the emulator responds: the line survives the emulator's death, but
    not the machine's. Inputs may hold secrets, so the file belongs to its owner alone.

    :param file: is created by the first change if it does not exist.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def append(self, change: str, **arguments: Any) -> None:
        """Add a change; its arguments are JSON values and plans."""
        line = json.dumps([change, arguments], default=asdict) + "\n"
        with os.fdopen(self._open(os.O_WRONLY | os.O_APPEND | os.O_CREAT), "w", encoding="utf-8") as file:
            file.write(line)

    def replay(self, changes: Mapping[str, Callable[..., object]]) -> None:
        """Repeat every change, in order.

        :param changes: what each change does, by name.
        :raises ValueError: if the file is not a journal.
        :raises OSError: if it cannot be read, or is a link.
        """
        try:
            descriptor = self._open(os.O_RDONLY)
        except FileNotFoundError:
            return
        with os.fdopen(descriptor, encoding="utf-8") as file:
            *lines, rest = file.read().split("\n")
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
        with os.fdopen(self._open(os.O_RDWR), "r+b") as file:
            file.truncate(os.fstat(file.fileno()).st_size - len(rest.encode()))

    def _open(self, flags: int) -> int:
        """Open the file, which nobody else may read, without following a link."""
        descriptor = os.open(self._file, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            os.close(descriptor)
            raise ValueError(f"{self._file} is no journal: it is not a file of its own")
        if status.st_mode & 0o077:
            os.fchmod(descriptor, 0o600)
        return descriptor

    def _not_a_journal(self, number: int, line: str) -> ValueError:
        return ValueError(f"{self._file}, line {number} is not a journal's: {line!r:.80}")
