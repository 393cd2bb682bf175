# SPDX-License-Identifier: Apache-2.0
"""What is assumed of a login: the account's encoding, the token's cookie, and refusals."""

from __future__ import annotations

import base64
import json
import re

from airflow_provider_nebula_explorer.doctor.check import Check
from airflow_provider_nebula_explorer.doctor.findings import CannotTryError, Finding, differs, ok
from airflow_provider_nebula_explorer.doctor.observation import Observation
from airflow_provider_nebula_explorer.doctor.prober import Prober
from airflow_provider_nebula_explorer.explorer.client.api import connect, list_jobs
from airflow_provider_nebula_explorer.explorer.client.logins import COOKIE

LOGIN = "login"
_LONGEST_LIFE = 400 * 86400
_ATTRIBUTES = ("path", "max-age", "httponly", "secure", "samesite", "expires", "domain")
_RENEWED = "Nothing to do: the package renews a session when Explorer refuses it."
_NOTHING_TO_DO = "Nothing to do: the package reads the token alone and sends it in a header of its own."


def login(prober: Prober) -> Finding:
    """Try whether a login is answered as documented."""
    seen = _login_of(prober)
    data = (seen.envelope or {}).get("data")
    if seen.response.status == 200 and isinstance(data, dict) and data.get("success") is True:
        return ok("HTTP 200, code 0, success: true")
    return differs(
        f"{seen.describe()}, without success: true",
        "Nothing to do: the package needs code 0 and the cookie.",
    )


def account_encoding(prober: Prober) -> Finding:
    """Try which account encoding is accepted; only the first refused one makes the next one tried."""
    if prober.accepted is None:
        raise CannotTryError("no login")
    worked = prober.accepted.encoding
    if worked == prober.settings.account.encodings[0]:
        return ok(worked, account_encoding=worked)
    return differs(
        f"{worked}; the one tried first was refused",
        f"Set account_encoding to {worked} in the connection. Without it, each first login begins with a "
        "refused one, and graphd can be set to lock an account after some of those.",
        account_encoding=worked,
    )


def cookie(prober: Prober) -> Finding:
    """Try whether the token's cookie is written as documented."""
    found = _attributes_of(_login_of(prober))
    names = ", ".join(name for name in _ATTRIBUTES if name in found) or "none"
    others = set(found) - set(_ATTRIBUTES)
    if others or not {"path", "httponly"} <= set(found):
        unusual = " and others that no browser knows" if others else ""
        return differs(f"attributes {names}{unusual}", _NOTHING_TO_DO)
    return ok(f"attributes {names}")


def token_life(prober: Prober) -> Finding:
    """Try whether the cookie says how long a session lasts."""
    text = _attributes_of(_login_of(prober)).get("max-age", "")
    if not re.fullmatch(r"[0-9]{1,9}", text):
        return differs("no Max-Age", _RENEWED)
    seconds = int(text)
    if not 60 <= seconds <= _LONGEST_LIFE:
        return differs(
            "under a minute" if seconds < 60 else "more than 400 days",
            "Each login takes room, of which Explorer has little: ask its operator for a longer life."
            if seconds < 60
            else _RENEWED,
            max_age=min(seconds, _LONGEST_LIFE) or None,
        )
    return ok(f"{seconds} s", max_age=seconds)


def secure_cookie(prober: Prober) -> Finding:
    """Try whether the cookie may be sent back over HTTP."""
    is_secure = "secure" in _attributes_of(_login_of(prober))
    if is_secure and prober.settings.base_url.startswith("http:"):
        return differs("Secure, though Explorer is reached over http", _NOTHING_TO_DO, secure_cookie=True)
    return ok("Secure" if is_secure else "not Secure", secure_cookie=is_secure)


def token(prober: Prober) -> Finding:
    """Try whether the token is the kind of secret that it is taken for."""
    text = prober.accepted.token if prober.accepted else ""
    if prober.settings.account.password in _claims_of(text):
        return ok("it holds the password")
    return differs(
        "it does not show the password", "Nothing to do: the package treats each token like the password."
    )


def refused_login(prober: Prober) -> Finding:
    """Try how a login is refused: one without an account, which no account can be locked for."""
    refused = [seen for seen in prober.observations if seen.endpoint == "connect" and seen.code != 0]
    account = prober.settings.account
    request = connect(account, account.encodings[0]).request
    headers = {name: value for name, value in request.headers.items() if name != "Authorization"}
    bare = type(request)(request.method, request.target, headers, request.body)
    seen = refused[0] if refused else prober.observe("connect without an account", bare)
    if seen.response.status == 400 and seen.code == 40004000:
        return ok(seen.describe())
    if seen.category in (400, 401) and seen.response.status < 500:
        return differs(
            seen.describe(), "Nothing to do: the package tries the next account encoding all the same."
        )
    return differs(
        seen.describe(),
        "With account_encoding auto, the package tries the second encoding only after a refusal with a code "
        "of 400 or 401: set account_encoding in the connection.",
    )


def no_token(prober: Prober) -> Finding:
    """Try a call without a token."""
    return _refused_session(prober, prober.observe("list jobs", list_jobs(None, {}, 1, 1).request))


def wrong_token(prober: Prober) -> Finding:
    """Try a call with a token that Explorer never gave out: so it answers when a session has ended."""
    request = list_jobs(None, {}, 1, 1).request
    headers = {"Cookie": f"{COOKIE}=airflow.provider.doctor"}
    return _refused_session(
        prober, prober.observe("list jobs", type(request)(request.method, request.target, headers))
    )


def _refused_session(prober: Prober, seen: Observation) -> Finding:
    if seen.response.status == 401 and seen.code == 40104001:
        return ok(seen.describe())
    if seen.category == 401 or (seen.code is None and seen.response.status == 401):
        return differs(seen.describe(), "Nothing to do: the package renews the session on each such refusal.")
    if seen.code == 0:
        return differs(seen.describe(), "Explorer answers without a login: check who can reach it.")
    prober.list({})  # if this account may not list jobs, the refusal says nothing of the token
    return differs(
        seen.describe(),
        "Report this: the package does not recognize a session that has ended, so calls fail until the "
        "process that makes them ends.",
    )


def _login_of(prober: Prober) -> Observation:
    for seen in reversed(prober.observations):
        if seen.endpoint == "connect" and seen.code == 0:
            return seen
    raise CannotTryError("no login")


def _cookie_of(login: Observation) -> str:
    """Return the token and its attributes, as the header has them."""
    own = [header for header in login.response.set_cookies if f"{COOKIE}=" in header]
    return own[-1].rpartition(f"{COOKIE}=")[2] if own else ""


def _attributes_of(login: Observation) -> dict[str, str]:
    """Return the cookie's attributes; another cookie that follows in the same header begins after a comma."""
    text = re.sub(r"(expires=\w+),", r"\1", _cookie_of(login), flags=re.IGNORECASE).partition(",")[0]
    parts = (part.partition("=") for part in text.split(";")[1:] if part.strip())
    return {name.strip().lower(): value.strip() for name, _, value in parts}


def _claims_of(token: str) -> list[object]:
    """Return the values in the middle part of a JWT; nothing for what is none."""
    parts = token.split(".")
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "==")) if len(parts) == 3 else {}
    except (ValueError, RecursionError):
        return []
    return list(claims.values()) if isinstance(claims, dict) else []


LOGIN_CHECKS = (
    Check("login", "HTTP 200, code 0, success: true", login),
    Check("account encoding", "json (Explorer 3.3 and later), or the connection's", account_encoding),
    Check("cookie", "explorer_token=…; Path=/; Max-Age=…; HttpOnly", cookie),
    Check("token's life", "in the cookie's Max-Age, 259200 s unless set otherwise", token_life),
    Check("secure cookie", "not Secure over http", secure_cookie),
    Check("token", "a JWT of up to 8 KB that holds the password", token),
    Check("refused login", "HTTP 400, code 40004000", refused_login),
    Check("call without a token", "HTTP 401, code 40104001", no_token),
    Check("call with a wrong token", "HTTP 401, code 40104001", wrong_token),
)
