# SPDX-License-Identifier: Apache-2.0
"""What comes of a login: a token and what else has to be sent with calls, or a refusal."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from airflow_provider_nebula_explorer.explorer.client.limits import LONGEST_TOKEN
from airflow_provider_nebula_explorer.explorer.settings import AccountEncoding

COOKIE = "explorer_token"
"""The cookie that carries the token."""

_MAX_COOKIES_LENGTH = 8192
"""What servers accept as a header at most, as a rule; cookies beyond it are left out."""

_MOST_COOKIES = 10
"""Cookies that are sent back, the first ones: a gateway needs one or two. Each is a secret, for which the
text of each error is searched, and which Airflow's masker keeps."""

_SECRET_LENGTH = 8
"""A cookie's value that is shorter is a common word or a number, which logs need."""

_SECRET_PART_LENGTH = 40
"""Parts of a token from this length on are secrets, too; words are shorter, and so is a JWT's header."""

_TOKEN_PARTS = 5
"""A signed JWT has three parts, an encrypted one five; each error's text is searched for all of them."""


@dataclass(frozen=True)
class Login:
    """A login that worked.

    :param token: as secret as the password.
    :param encoding: the account encoding that Explorer accepted.
    :param cookies: what the login set beside the token, as ``name=value``; a gateway may need it.
    :param max_age: the token's life in seconds, where Explorer said it.
    """

    token: str = field(repr=False)
    encoding: AccountEncoding
    cookies: tuple[str, ...] = field(default=(), repr=False)
    max_age: int | None = field(default=None, compare=False)

    @property
    def header(self) -> str:
        """The ``Cookie`` header of the calls under this login."""
        return "; ".join((f"{COOKIE}={self.token}", *self.cookies))

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not appear in any text."""
        # The middle part of a token that is a JWT may itself contain the password.
        parts = (part for part in self.token.split(".")[:_TOKEN_PARTS] if len(part) >= _SECRET_PART_LENGTH)
        values = (cookie.partition("=")[2] for cookie in self.cookies)
        return (self.token, *parts, *(value for value in values if len(value) >= _SECRET_LENGTH))


@dataclass(frozen=True)
class Refusal:
    """Explorer's refusal of an account, in every account encoding that was tried.

    :param code: Explorer's 8-digit code.
    :param message: Explorer's own message, without secrets.
    :param details: what Explorer said beyond it, without secrets.
    :param http_status: the HTTP status of the response.
    """

    code: int
    message: str
    details: str
    http_status: int


def read_login(set_cookies: Sequence[str], encoding: AccountEncoding) -> Login | None:
    """Read a login's response; ``None`` if it sets no token, or an impossibly long one.

    Attributes do not matter: an Explorer behind a gateway gives some with which no cookie jar sends a cookie
    back, and one published example misspells them.

    :param set_cookies: the values of its ``Set-Cookie`` headers.
    """
    found = [match for header in set_cookies for match in _TOKEN.finditer(header)]
    if not found or len(found[-1][1]) > LONGEST_TOKEN:
        return None
    token = found[-1]
    max_age = _MAX_AGE.search(token.string, token.end())
    return Login(token[1], encoding, _other_cookies(set_cookies), int(max_age[1]) if max_age else None)


def is_token(text: str) -> bool:
    """Say whether a text can be a token, so adds nothing to the header but itself."""
    return len(text) <= LONGEST_TOKEN and _TOKEN.fullmatch(f"{COOKIE}={text}") is not None


def is_cookie(text: str) -> bool:
    """Say whether a text is ``name=value`` of a cookie that can be sent beside the token."""
    name, _, value = text.partition("=")
    return _PAIR.fullmatch(text) is not None and name != COOKIE and f"{COOKIE}=" not in value


def _other_cookies(set_cookies: Sequence[str]) -> tuple[str, ...]:
    cookies: dict[str, str] = {}
    left = _MAX_COOKIES_LENGTH
    for cookie in (pair for header in set_cookies for pair in _pairs(header) if is_cookie(pair)):
        name = cookie.partition("=")[0]
        left -= len(cookie)
        if left >= 0 and (name in cookies or len(cookies) < _MOST_COOKIES):
            cookies[name] = cookie  # a later one replaces an earlier one
    return tuple(cookies.values())


def _pairs(header: str) -> Iterator[str]:
    """Yield the ``name=value`` of each cookie in a header: a proxy may have folded several into one."""
    pair, _, attributes = header.partition(";")
    yield pair.strip()
    # A comma among the attributes is part of a date, or a folded cookie follows.
    for folded in re.split(r",\s*(?=[^\s;,=]+=)", attributes)[1:]:
        yield folded.partition(";")[0].strip()


_TOKEN = re.compile(rf'(?:^|[\s,;]){COOKIE}="?([!#-+\--:<-~]+)')
_MAX_AGE = re.compile(r"\bmax-age=([0-9]{1,10})\b", re.IGNORECASE)
_PAIR = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+=[!-:<-~]([ -:<-~]*[!-:<-~])?")
