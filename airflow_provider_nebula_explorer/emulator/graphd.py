# SPDX-License-Identifier: Apache-2.0
"""The graphd that Explorer logs in to: it checks the account and keeps a session for each client.

The rules and texts are NebulaGraph's (``GraphSessionManager.cpp``, ``MetaClient.cpp``, ``QueryEngine``).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from airflow_provider_nebula_explorer.emulator.limits import Limits
from airflow_provider_nebula_explorer.emulator.refusals import BAD_REQUEST, RefusedError

IDLE_SECONDS = 28_800.0
"""How long a session lasts that no client uses: ``session_idle_timeout_secs``."""
_EXPLORER_ADDRESS = "127.0.0.1"
_FIRST_SESSION = 1_657_593_212_000_000


@dataclass(eq=False)
class GraphdSession:
    """A session at graphd.

    :param used: when it was last used, in epoch seconds.
    :param has_client: whether a client of Explorer keeps it alive.
    """

    number: int
    used: float
    has_client: bool = True


@dataclass
class Graphd:
    """One account and its sessions.

    Explorer's machine has one address, so ``max_graphd_sessions`` counts all sessions. A session lasts as
    long as its client. A restart of Explorer closes no session: each then lasts until it was idle for
    :data:`IDLE_SECONDS`.
    """

    login: str
    password: str = field(repr=False)
    limits: Limits
    _sessions: set[GraphdSession] = field(default_factory=set, init=False)
    _opened: int = field(default=0, init=False)
    _wrong_passwords: int = field(default=0, init=False)
    _locked_until: float = field(default=0.0, init=False)
    _dropped_as: int = field(default=BAD_REQUEST, init=False)

    def open_session(self, accounts: Collection[object], now: float) -> GraphdSession:
        """Open a session.

        :param accounts: what the login's header may mean.
        :raises RefusedError: if no account is right, the account is locked, or there are too many sessions.
        """
        self._check_account(accounts, now)
        self._sessions = {it for it in self._sessions if it.has_client or now < it.used + IDLE_SECONDS}
        if 0 < self.limits.max_graphd_sessions <= len(self._sessions):
            raise RefusedError(BAD_REQUEST, self._too_many_sessions)
        self._opened += 1
        session = GraphdSession(_FIRST_SESSION + self._opened, now)
        self._sessions.add(session)
        return session

    def use(self, session: GraphdSession, now: float) -> None:
        """Use a session.

        :raises RefusedError: if graphd has dropped it.
        """
        if session not in self._sessions:
            lost = f"Get sessionId[{session.number}] failed: Session not existed!"
            raise RefusedError(self._dropped_as, lost)
        session.used = now

    def close(self, session: GraphdSession) -> None:
        """Close a session, if it is still there."""
        self._sessions.discard(session)

    def drop_sessions(self, code: int) -> None:
        """Drop every session; from now on, its use is refused with this code."""
        self._sessions.clear()
        self._dropped_as = code

    @property
    def _too_many_sessions(self) -> str:
        return (
            f"Create Session failed: Too many sessions created from {_EXPLORER_ADDRESS} "
            f"by user {self.login}. the threshold is {self.limits.max_graphd_sessions}. "
            "You can change it by modifying 'max_sessions_per_ip_per_user' in nebula-graphd.conf"
        )

    def _check_account(self, accounts: Collection[object], now: float) -> None:
        if now < self._locked_until:
            raise RefusedError(BAD_REQUEST, self._locked(now))
        if [self.login, self.password] in accounts:
            self._wrong_passwords = 0
            return
        # A header that Explorer cannot read never reaches graphd, so it is no wrong password there.
        is_wrong_password = any(isinstance(it, list) and it[:1] == [self.login] for it in accounts)
        self._wrong_passwords += is_wrong_password
        if 0 < self.limits.failed_login_attempts <= self._wrong_passwords:
            self._wrong_passwords = 0
            self._locked_until = now + self.limits.password_lock_time
            raise RefusedError(BAD_REQUEST, self._locked(now))
        raise RefusedError(BAD_REQUEST, "failed to authenticate")

    def _locked(self, now: float) -> str:
        return (
            f"failed to authenticate, error: {self.limits.failed_login_attempts} times consecutive incorrect "
            f"passwords has been input, user name: {self.login} has been locked, "
            f"try again in {self._locked_until - now:.0f} seconds"
        )
