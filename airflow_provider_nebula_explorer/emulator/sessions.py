# SPDX-License-Identifier: Apache-2.0
"""Logins: what Explorer keeps for each, its token, and when it refuses one."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from dataclasses import dataclass, field
from typing import Literal

from airflow_provider_nebula_explorer.emulator.accounts import ENCODINGS, Encoding, read_accounts
from airflow_provider_nebula_explorer.emulator.graphd import Graphd, GraphdSession
from airflow_provider_nebula_explorer.emulator.limits import Limits
from airflow_provider_nebula_explorer.emulator.refusals import BAD_REQUEST, NO_SESSION, RefusedError

Cookie = Literal["plain", "secure", "misspelt", "bare"]

COOKIE_NAME = "explorer_token"
DEFAULT_PASSWORD = "stand-in-secret"  # noqa: S105 - to be read by all
"""Of the account ``root``. Airflow masks a password wherever it stands in a log, so it is no common word."""
_NO_ROOM = "There is no idle connection now, please try it later"
_ATTRIBUTES = {
    "plain": "Path=/; Max-Age={ttl}; HttpOnly",
    "secure": "Path=/; Max-Age={ttl}; HttpOnly; Secure; SameSite=None",
    "misspelt": "Path=/; # Max-Age={ttl}; HttpOnly",
    "bare": "Path=/; HttpOnly",
}


@dataclass
class _Client:
    """What Explorer keeps for one login.

    :param ends: when its token expires, in epoch seconds.
    :param used: when it last made a request, in epoch seconds.
    """

    ends: float
    used: float
    graphd_session: GraphdSession


@dataclass
class Sessions:
    """The clients that Explorer keeps, one for each login, as its sibling does (``pkg/client/client.go``).

    :param encoding: how the account is written before base64.
    :param ttl: how long a token is valid, in seconds.
    :param cookie: how the cookie is written; all forms are found in the wild.
    :param graphd: the only graphd that can be reached; ``None`` if any can.
    """

    login: str = "root"
    password: str = field(default=DEFAULT_PASSWORD, repr=False)
    encoding: Encoding = "json"
    ttl: float = 259200
    cookie: Cookie = "plain"
    graphd: tuple[str, int] | None = None
    limits: Limits = field(default_factory=Limits)
    logins: int = field(default=0, init=False)
    most_clients: int = field(default=0, init=False)
    _clients: dict[str, _Client] = field(default_factory=dict, init=False, repr=False)
    _graphd: Graphd = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.encoding not in ENCODINGS:
            raise ValueError(f"encoding is {self.encoding!r}; allowed: {', '.join(ENCODINGS)}")
        if self.cookie not in _ATTRIBUTES:
            raise ValueError(f"cookie is {self.cookie!r}; allowed: {', '.join(_ATTRIBUTES)}")
        if not 0 < self.ttl < math.inf:
            raise ValueError(f"token_ttl is {self.ttl}; allowed: more than 0 seconds")
        self._graphd = Graphd(self.login, self.password, self.limits)

    @property
    def tokens(self) -> set[str]:
        """The tokens of all clients."""
        return {*self._clients}

    def connect(self, authorization: str, address: str, port: int, now: float) -> str:
        """Log in, and return the text of the ``Set-Cookie`` header.

        :raises RefusedError: if there is no room, the account is refused, or graphd cannot be reached.
        """
        self._check_room(now)
        if self.graphd not in (None, (address, port)):
            dial = f"dial tcp {address}:{port}: connect: connection refused"
            raise RefusedError(
                BAD_REQUEST, f"failed to authenticate, failed to open transport, error: {dial}"
            )
        session = self._graphd.open_session(read_accounts(authorization, self.encoding), now)
        self.logins += 1
        token = self._token(address, port, now)
        self._clients[token] = _Client(now + self.ttl, now, session)
        self.most_clients = max(self.most_clients, len(self._clients))
        return f"{COOKIE_NAME}={token}; {_ATTRIBUTES[self.cookie].format(ttl=int(self.ttl))}"

    def check(self, token: str | None, now: float) -> None:
        """Let the owner of a token make a request.

        :raises RefusedError: if the token is missing, expired or forgotten, or graphd dropped its session.
        """
        client = self._clients.get(token or "")
        if client is None or client.ends <= now:
            raise RefusedError(NO_SESSION)
        client.used = now
        self._graphd.use(client.graphd_session, now)

    def forget(self) -> None:
        """Forget every client, as Explorer does when it restarts; their sessions at graphd remain."""
        for client in self._clients.values():
            client.graphd_session.has_client = False
        self._clients.clear()

    def drop_graphd_sessions(self, code: int) -> None:
        """Let graphd drop every session: whoever uses one is refused with a code until their next login."""
        self._graphd.drop_sessions(code)

    def _check_room(self, now: float) -> None:
        # The sibling counts its clients before it closes idle ones, so a login that finds no room only makes
        # room for the next login.
        number = len(self._clients)
        is_full = 0 < self.limits.max_clients <= number
        if is_full or number > self.limits.recycle_above:
            self._close_idle_clients(now)
        if is_full:
            raise RefusedError(BAD_REQUEST, _NO_ROOM)

    def _close_idle_clients(self, now: float) -> None:
        idle = self.limits.client_idle
        closed = [token for token, client in self._clients.items() if 0 < idle < now - client.used]
        for token in closed:
            self._graphd.close(self._clients.pop(token).graphd_session)

    def _token(self, address: str, port: int, now: float) -> str:
        """Return a JWT like Explorer's, the password in its payload included: a leaked token must hurt."""
        nsid = hashlib.sha256(f"{self.logins}/{now}/{id(self)}".encode()).hexdigest()
        account = {"address": address, "port": port, "username": self.login, "password": self.password}
        claims = {**account, "nsid": nsid, "exp": int(now + self.ttl)}
        head = f"{_segment({'alg': 'HS256', 'typ': 'JWT'})}.{_segment(claims)}"
        return f"{head}.{_encode(hashlib.sha256(head.encode()).digest())}"


def _segment(value: object) -> str:
    return _encode(json.dumps(value, separators=(",", ":")).encode())


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
