# SPDX-License-Identifier: Apache-2.0
"""Shares one login among all processes that use the same folder, Explorer, account and graphd.

Nothing here ever fails a call: whatever is wrong with the folder, the process logs in for itself.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator

from airflow_provider_nebula_explorer.explorer.client.login_file import REFUSED_SECONDS, LoginFile
from airflow_provider_nebula_explorer.explorer.client.logins import Login, Refusal
from airflow_provider_nebula_explorer.explorer.settings import Settings
from airflow_provider_nebula_explorer.explorer.state_folder import (
    FileLock,
    HeldByThisThreadError,
    StateFolder,
    open_state_folder,
    warn_once,
)

log = logging.getLogger(__name__)

_ATTEMPT_SECONDS = 0.05
_LIFE_SECONDS = 3 * 86400.0
"""A token's life where Explorer does not say it: what it is unless the operator changed it."""
_SHORTEST_LIFE_SECONDS = 3600.0
"""A shorter one may be a gateway's mistake; the token may work all the same."""
_LONGEST_LIFE_SECONDS = 400 * 86400.0


class LoginStore:
    """The shared login of one account.

    :param path: of the folder; see :func:`.state_folder.open_state_folder`.
    :param clock: epoch seconds, as other machines know them, too.
    :param monotonic: seconds; they measure how long a lock is waited for.
    """

    def __init__(
        self,
        settings: Settings,
        path: str,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = path
        self.timeout = settings.timeout
        self.file = LoginFile(settings)
        self.clock = clock
        self.monotonic = monotonic

    @classmethod
    def of(cls, settings: Settings) -> LoginStore | None:
        """Return the store of an account; ``None`` if its login is not shared."""
        if not settings.share_login or settings.state_dir is None:
            return None
        return cls(settings, settings.state_dir)

    def turn(self, refused: str | None) -> LoginTurn:
        """Look for a login.

        :param refused: the token that Explorer no longer accepts; ``None`` if there was none.
        """
        return LoginTurn(self, refused)


class LoginTurn:
    """One process's way to a login: another process's, or the turn to log in, which others wait for.

    .. code-block:: text

        for pause in turn.attempts():   # each attempt is short; they end after the connection's timeout
            sleep(pause)
        if turn.found is None:
            turn.keep(log_in())
        turn.end()                      # whatever happens

    The methods read and write files, so none of them may run on an event loop. Each may run in a thread of
    its own.
    """

    def __init__(self, store: LoginStore, refused: str | None) -> None:
        self.found: Login | Refusal | None = None
        self._store = store
        self._refused = refused
        self._thread = threading.current_thread()
        self._mutex = threading.Lock()
        self._lock: FileLock | None = None
        self._has_ended = False

    def attempts(self) -> Iterator[float]:
        """Yield pauses, in seconds, until :attr:`found` is set, or this process is to log in."""
        deadline = self._store.monotonic() + self._store.timeout
        while not self._attempt():
            if self._store.monotonic() >= deadline:
                log.info(
                    "Another process still logs in after %g s: not waiting for it.",
                    self._store.timeout,
                )
                return
            yield _ATTEMPT_SECONDS

    def keep(self, outcome: Login | Refusal) -> None:
        """Share what came of logging in."""
        try:
            with open_state_folder(self._store.path) as folder:
                if isinstance(outcome, Login):
                    self._keep_login(folder, outcome)
                else:
                    self._keep_refusal(folder, outcome)
                folder.sweep(self._store.clock())
        except Exception as error:  # noqa: BLE001 - whatever it is, the login itself is there
            warn_once(self._store.path, error)

    def end(self) -> None:
        """Let others have their turn. An attempt that still runs in another thread ends, too."""
        with self._mutex:
            self._has_ended = True
            self._unlock()

    def _attempt(self) -> bool:
        """Say whether the search is over."""
        with self._mutex:
            if self._has_ended:
                return True
            try:
                with open_state_folder(self._store.path) as folder:
                    return self._search(folder)
            except HeldByThisThreadError:
                return True
            except Exception as error:  # noqa: BLE001 - whatever it is, this process logs in for itself
                warn_once(self._store.path, error)
                return True

    def _search(self, folder: StateFolder) -> bool:
        self.found = self._other_login(folder)
        if self.found is not None:
            return True
        self._lock = folder.lock(self._store.file.name("lock"), owner=self._thread)
        if self._lock is None:
            return False
        # Whoever had the lock until now may have changed both files.
        self.found = self._other_login(folder) or self._fresh_refusal(folder)
        if self.found is not None:
            self._unlock()
        return True

    def _other_login(self, folder: StateFolder) -> Login | None:
        """Return the shared login, unless it is the refused one."""
        file = self._store.file
        login = file.read_login(folder.read(file.name("login")))
        return None if login is None or login.token == self._refused else login

    def _fresh_refusal(self, folder: StateFolder) -> Refusal | None:
        file = self._store.file
        return file.read_refusal(folder.read(file.name("refusal")), self._store.clock())

    def _keep_login(self, folder: StateFolder, login: Login) -> None:
        if self._other_login(folder) is not None:
            return  # of a process that did not wait for us
        life = _LIFE_SECONDS if login.max_age is None else login.max_age
        until = self._store.clock() + min(max(life, _SHORTEST_LIFE_SECONDS), _LONGEST_LIFE_SECONDS)
        folder.replace(self._store.file.name("login"), self._store.file.seal_login(login), until=until)

    def _keep_refusal(self, folder: StateFolder, refusal: Refusal) -> None:
        now = self._store.clock()
        content = self._store.file.seal_refusal(refusal, now)
        folder.replace(self._store.file.name("refusal"), content, until=now + REFUSED_SECONDS)

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None
