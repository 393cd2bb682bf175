# SPDX-License-Identifier: Apache-2.0
"""The content of the files in which processes share a login: encrypted, and bound to what it is for.

* The key comes from the account's password, by scrypt with a salt of the file's own. So the file is worth
  nothing to whoever does not have the password, and a changed or wrong password finds nothing.
* Authenticated with the content are its kind, the format, Explorer's address, the account, graphd, the
  account encodings, the proxy, how TLS is verified, and the user. A file in the place of another is not
  accepted.
* scrypt's cost belongs to the format: nothing in a file can raise it.
* What is read is a hint: an outdated token costs one refused call.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from airflow_provider_nebula_explorer.explorer.client.logins import Login, Refusal, is_cookie, is_token
from airflow_provider_nebula_explorer.explorer.client.proxies import proxy_of
from airflow_provider_nebula_explorer.explorer.settings import Settings
from airflow_provider_nebula_explorer.explorer.state_folder import file_name

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

REFUSED_SECONDS = 30.0
"""How long a refused account is not tried again with the same password: graphd may lock an account that is
(``failed_login_attempts``)."""

_FORMAT = 1
_MAGIC = b"nebula-explorer-login" + bytes([_FORMAT])
_SALT = slice(len(_MAGIC), len(_MAGIC) + 16)
_NONCE = slice(_SALT.stop, _SALT.stop + 12)
_SEALED = slice(_NONCE.stop, None)
_SHORTEST = _NONCE.stop + 16  # with the tag of AES-GCM


class LoginFile:
    """Writes and reads what is shared about one account.

    :param settings: whose login it is.
    """

    def __init__(self, settings: Settings) -> None:
        account = self._account = settings.account
        self._subject = (
            _FORMAT,
            settings.base_url,
            account.login,
            [account.nebula_address, account.nebula_port],
            list(account.encodings),
            # Without the proxy's account: a name must not be a means of guessing a password.
            (proxy_of(settings) or "").rpartition("@")[2],
            [settings.verify, settings.client_cert],
            os.geteuid(),
        )
        self._salt: bytes | None = None  # of a file that our password opens: its key is known already

    def name(self, kind: str) -> str:
        """Return a file's name, which is this subject's and this format's alone.

        :param kind: ``login``, ``refusal`` or ``lock``.
        """
        return file_name(kind, *self._subject)

    def seal_login(self, login: Login) -> bytes:
        """Return the content of a login's file."""
        value = {"token": login.token, "encoding": login.encoding, "cookies": login.cookies}
        return self._seal("login", value)

    def seal_refusal(self, refusal: Refusal, at: float) -> bytes:
        """Return the content of a refusal's file.

        :param at: when it was, in epoch seconds.
        """
        return self._seal("refusal", {**vars(refusal), "at": at})

    def read_login(self, content: bytes | None) -> Login | None:
        """Return the login in a file; ``None`` if it has none that this account can use."""
        value = self._unseal("login", content)
        token, encoding, cookies = (value.get(name) for name in ("token", "encoding", "cookies"))
        if not isinstance(token, str) or not is_token(token) or encoding not in self._account.encodings:
            return None
        if not isinstance(cookies, list) or not all(isinstance(it, str) and is_cookie(it) for it in cookies):
            return None
        return Login(token, encoding, tuple(cookies))

    def read_refusal(self, content: bytes | None, now: float) -> Refusal | None:
        """Return the refusal in a file, if it is fresh.

        :param now: epoch seconds. A refusal later than that, as the clock was set back, is not fresh.
        """
        value = dict(self._unseal("refusal", content))
        at = value.pop("at", None)
        if not isinstance(at, float) or not 0 <= now - at < REFUSED_SECONDS:
            return None
        try:
            return Refusal(**value)
        except TypeError:
            return None

    def _seal(self, kind: str, value: Mapping[str, Any]) -> bytes:
        salt = self._salt = self._salt or os.urandom(16)
        nonce = os.urandom(12)
        return _MAGIC + salt + nonce + self._cipher(salt).encrypt(nonce, _json(value), self._bound_to(kind))

    def _unseal(self, kind: str, content: bytes | None) -> Mapping[str, Any]:
        from cryptography.exceptions import InvalidTag

        if content is None or not content.startswith(_MAGIC) or len(content) < _SHORTEST:
            return {}
        salt = content[_SALT]
        try:
            text = self._cipher(salt).decrypt(content[_NONCE], content[_SEALED], self._bound_to(kind))
        except InvalidTag:
            return {}
        self._salt = salt
        value: Mapping[str, Any] = json.loads(text)
        return value

    def _cipher(self, salt: bytes) -> AESGCM:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        return AESGCM(derive_key(self._account.password, salt))

    def _bound_to(self, kind: str) -> bytes:
        return _json([kind, *self._subject])


def derive_key(password: str, salt: bytes) -> bytes:
    """Derive a key, once in a process, and one at a time: 16 MiB and about 50 ms (RFC 7914)."""
    with _DERIVING.setdefault(os.getpid(), threading.RLock()):
        return _derive(password, salt)


_DERIVING: dict[int, threading.RLock] = {}
"""By process, as a forked child would wait for ever for a thread that it does not have. A signal handler may
derive a key amid a derivation of its own thread."""


@lru_cache(maxsize=256)
def _derive(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=2**14, r=8, p=1, dklen=32)


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
