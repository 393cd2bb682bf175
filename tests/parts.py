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


def wait_for(what: str, holds: Callable[[], object], seconds: float, evidence: Callable[[], str]) -> None:
    """Wait until something holds; fail with the evidence where it does not in time."""
    until = time.monotonic() + seconds
    while not holds():
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
    """Start something, and end it whatever comes: also where this process is asked to end."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        whole.start()
        yield whole
    finally:
        whole.stop()
        signal.signal(signal.SIGTERM, before)


class Part:
    """A process with all that it starts: a session of its own tells which are its.

    :param home: the folder where it runs, and has its log.
    :param user: who it runs as; the one who starts it unless given.
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
        """Start it, again where it ended."""
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

    def stop(self, seconds: float = 30, ask: int = signal.SIGTERM) -> None:
        """End it as a service manager does: its first process is asked to, what is left then is killed."""
        if self._process is None:
            return
        self._process.send_signal(ask)
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            pass
        self.kill()

    def kill(self) -> None:
        """Kill it at once, with all that it started."""
        if self._process is None:
            return
        while family := self.family():
            for member in family:
                _signal(member, signal.SIGKILL)
            psutil.wait_procs(family, timeout=5)
        self._process.wait()
        self._process = None

    def family(self) -> list[psutil.Process]:
        """Return it and all that it started, as far as that runs."""
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
