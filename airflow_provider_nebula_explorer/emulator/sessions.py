"""Logins and their tokens: which account is accepted, in which encoding, and for how long."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from dataclasses import dataclass, field
from typing import Literal

from airflow_provider_nebula_explorer.emulator.accounts import ENCODINGS, Encoding, read_accounts
from airflow_provider_nebula_explorer.emulator.refusals import BAD_REQUEST, NO_SESSION, RefusedError

Cookie = Literal["plain", "secure", "misspelt", "bare"]

COOKIE_NAME = "explorer_token"
DEFAULT_PASSWORD = "stand-in-secret"  # noqa: S105 - to be read by all
"""Of the account ``root``. Airflow masks a password wherever it stands in a log, so it is no common word."""
_ATTRIBUTES = {
    "plain": "Path=/; Max-Age={ttl}; HttpOnly",
    "secure": "Path=/; Max-Age={ttl}; HttpOnly; Secure; SameSite=None",
    "misspelt": "Path=/; # Max-Age={ttl}; HttpOnly",
    "bare": "Path=/; HttpOnly",
}


@dataclass
class Sessions:
    """The sessions of those who logged in.

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
    logins: int = field(default=0, init=False)
    _ends: dict[str, float] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.encoding not in ENCODINGS:
            raise ValueError(f"encoding is {self.encoding!r}; allowed: {', '.join(ENCODINGS)}")
        if self.cookie not in _ATTRIBUTES:
            raise ValueError(f"cookie is {self.cookie!r}; allowed: {', '.join(_ATTRIBUTES)}")
        if not 0 < self.ttl < math.inf:
            raise ValueError(f"token_ttl is {self.ttl}; allowed: more than 0 seconds")

    @property
    def tokens(self) -> set[str]:
        """The tokens of all sessions."""
        return {*self._ends}

    def connect(self, authorization: str, address: str, port: int, now: float) -> str:
        """Log in, and return the text of the ``Set-Cookie`` header.

        :raises RefusedError: if the account is refused or graphd cannot be reached.
        """
        if [self.login, self.password] not in read_accounts(authorization, self.encoding):
            raise RefusedError(BAD_REQUEST, "failed to authenticate")
        if self.graphd not in (None, (address, port)):
            dial = f"dial tcp {address}:{port}: connect: connection refused"
            raise RefusedError(
                BAD_REQUEST, f"failed to authenticate, failed to open transport, error: {dial}"
            )
        self.logins += 1
        token = self._token(address, port, now)
        self._ends[token] = now + self.ttl
        return f"{COOKIE_NAME}={token}; {_ATTRIBUTES[self.cookie].format(ttl=int(self.ttl))}"

    def check(self, token: str | None, now: float) -> None:
        """Refuse a token that is missing, expired or forgotten.

        :raises RefusedError: if it is.
        """
        if token is None or self._ends.get(token, now) <= now:
            raise RefusedError(NO_SESSION)

    def forget(self) -> None:
        """Forget every session, as Explorer does when it restarts."""
        self._ends.clear()

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
