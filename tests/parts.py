# SPDX-License-Identifier: Apache-2.0
"""The processes that tests start: each can be ended in every way, and none outlives its end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol, TypeVar

import psutil


def wait_for(what: str, condition: Callable[[], object], seconds: float, evidence: Callable[[], str]) -> None:
    """Wait until a condition is true; fail with the evidence if that takes too long."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise AssertionError(f"{what}: not within {seconds:g} s.\n{evidence()}")
        time.sleep(0.2)


def end_of(file: Path, lines: int) -> str:
    """Return the end of a log."""
    text = file.read_text(errors="replace") if file.exists() else "(there is none)"
    return "\n".join([f"--- {file.name}", *text.splitlines()[-lines:]])


class Startable(Protocol):
    """Something of several processes."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


StartableT = TypeVar("StartableT", bound=Startable)


@contextlib.contextmanager
def running(whole: StartableT) -> Iterator[StartableT]:
    """Start something, and end it in any case, even if this process is terminated."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        whole.start()
        yield whole
    finally:
        whole.stop()
        signal.signal(signal.SIGTERM, before)


class Part:
    """A process with all its descendants, which are in a session of their own.

    :param home: the folder where it runs and keeps its log.
    :param user: the user as whom it runs; the current one unless given.
    """

    def __init__(
        self,
        name: str,
        command: tuple[str, ...],
        environment: dict[str, str],
        home: Path,
        user: str | None = None,
    ) -> None:
        self.name = name
        self.log = home / f"{name}.log"
        self._command = command
        self._environment = environment
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, for the first time or again."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                cwd=self.log.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=self._user,
            )

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self, seconds: float = 30, number: int = signal.SIGTERM) -> None:
        """End it as a service manager does: its first process gets a signal, what is left later is killed."""
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            pass
        self.kill()

    def kill(self) -> None:
        """Kill it at once, with all its descendants."""
        if self._process is None:
            return
        while family := self.family():
            for member in family:
                _signal(member, signal.SIGKILL)
            psutil.wait_procs(family, timeout=5)
        self._process.wait()
        self._process = None

    def family(self) -> list[psutil.Process]:
        """Return it and its descendants, as far as they run."""
        return [process for process in psutil.process_iter() if self._is_mine(process)]

    def _is_mine(self, process: psutil.Process) -> bool:
        if self._process is None:
            return False
        try:
            return os.getsid(process.pid) == self._process.pid and process.status() != psutil.STATUS_ZOMBIE
        except (ProcessLookupError, psutil.NoSuchProcess):
            return False


def _signal(process: psutil.Process, number: int) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        pass
