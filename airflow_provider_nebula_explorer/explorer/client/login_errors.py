# SPDX-License-Identifier: Apache-2.0
"""Why Explorer refused a login, and what to do about it.

Explorer refuses nearly every login with the same code. Only its text, which may be graphd's or that of Go's
net package within other words, distinguishes a wrong password from an unreachable graphd and a lack of room.
"""

from __future__ import annotations

import re
from enum import Enum, auto

from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerApiError,
    NebulaExplorerAuthError,
    NebulaExplorerError,
    NebulaExplorerLoginError,
    category_of,
)
from airflow_provider_nebula_explorer.explorer.client.logins import Refusal
from airflow_provider_nebula_explorer.explorer.settings import Settings


class LoginProblem(Enum):
    """What is behind a refused login."""

    ACCOUNT = auto()
    GRAPHD_UNREACHABLE = auto()
    NO_ROOM_IN_EXPLORER = auto()
    NO_ROOM_IN_GRAPHD = auto()

    @property
    def is_lack_of_room(self) -> bool:
        """Whether the same login is accepted as soon as others have ended."""
        return self in (LoginProblem.NO_ROOM_IN_EXPLORER, LoginProblem.NO_ROOM_IN_GRAPHD)


# In this order, as a lack of room may be reported within words about authentication or the network.
_WORDS = {
    # nebula-studio, server/api/studio/pkg/client/client.go: there are clientMaxNum clients
    LoginProblem.NO_ROOM_IN_EXPLORER: r"no\s+idle\s+connection",
    # nebula, GraphSessionManager: the account has max_sessions_per_ip_per_user sessions
    LoginProblem.NO_ROOM_IN_GRAPHD: r"too\s+many\s+sessions",
    LoginProblem.GRAPHD_UNREACHABLE: (
        r"dial tcp|connection refused|no such host|no route to host|unreachable|i/o timeout|failed to open"
    ),
}


def problem_of(refusal: Refusal) -> LoginProblem:
    """Return what is behind a refused login, as far as its text says."""
    text = f"{refusal.message} {refusal.details}"
    found = (problem for problem, words in _WORDS.items() if re.search(words, text, re.IGNORECASE))
    return next(found, LoginProblem.ACCOUNT)


def refusal_of(error: NebulaExplorerApiError) -> Refusal | None:
    """Return how Explorer refused a login; ``None`` if it did not get as far as that."""
    if error.code is None:
        return None
    refusal = Refusal(error.code, error.message, error.details, error.http_status or 0)
    if problem_of(refusal).is_lack_of_room:
        return refusal
    is_about_the_login = category_of(error.code) in (400, 401)
    return refusal if is_about_the_login and not error.is_transient and refusal.http_status < 500 else None


def is_end_of_session(error: NebulaExplorerError) -> bool:
    """Say whether Explorer refused a call as its login, or the session at graphd behind it, has ended."""
    if isinstance(error, NebulaExplorerAuthError):
        return True
    if not isinstance(error, NebulaExplorerApiError) or error.code not in _CODES_OF_GRAPHD:
        return False
    return _ENDED_AT_GRAPHD.search(f"{error.message} {error.details}") is not None


_CODES_OF_GRAPHD = (40004000, 50004001)
"""With these, Explorer passes on what graphd says (vesoft-inc/nebula-studio #214)."""

_ENDED_AT_GRAPHD = re.compile(
    r"\bget session ?id\b|\bsession(?: ?id)?\b.{0,40}?\b(?:not exist|expired|invalid)", re.IGNORECASE
)


def login_error(settings: Settings, refusal: Refusal, *, worked_before: bool) -> NebulaExplorerLoginError:
    """Return the error for a refused login: what was refused, why, and what to do.

    :param worked_before: whether this account logged in before, so that graphd's address is right.
    """
    account, problem = settings.account, problem_of(refusal)
    details = f"; details: {refusal.details}" if refusal.details else ""
    advice = _ADVICE[problem].format(
        graphd=f"nebula_address {account.nebula_address!r}, nebula_port {account.nebula_port}",
        encodings=", ".join(account.encodings),
    )
    return NebulaExplorerLoginError(
        f"Explorer at {settings.base_url} refused to log in account {account.login!r} "
        f"(code {refusal.code}, {refusal.message}{details}). {advice}",
        transient=problem.is_lack_of_room or (problem is LoginProblem.GRAPHD_UNREACHABLE and worked_before),
        code=refusal.code,
        message=refusal.message,
        details=refusal.details,
        http_status=refusal.http_status,
    )


_FEWER_LOGINS = (
    "To make fewer logins: keep share_login on, let the machines share one state_dir, or use fewer machines"
)
_ADVICE = {
    LoginProblem.ACCOUNT: (
        "Check three things: 1. login and password; "
        "2. graphd's address as Explorer reaches it, not localhost ({graphd}); "
        "3. account_encoding (tried: {encodings}; Explorer 3.1 and 3.2 want colon, 3.3 and later json)."
    ),
    LoginProblem.GRAPHD_UNREACHABLE: (
        "Explorer cannot reach graphd: check {graphd}, which must be graphd's as Explorer reaches it."
    ),
    LoginProblem.NO_ROOM_IN_EXPLORER: (
        "Nothing is wrong with the account: Explorer has no room for another login, of anybody. It drops a "
        f"login that was not used for an hour, so there is room within that time. {_FEWER_LOGINS}."
    ),
    LoginProblem.NO_ROOM_IN_GRAPHD: (
        "Nothing is wrong with the password: graphd has no room for another session of this account from "
        "Explorer's machine, and each login takes one. A session ends when Explorer drops a login that was "
        "not used for an hour, or else after graphd's session_idle_timeout_secs (8 hours by default). "
        f"{_FEWER_LOGINS}, or raise graphd's max_sessions_per_ip_per_user."
    ),
}
