# SPDX-License-Identifier: Apache-2.0
"""Keeps other websites away from the emulator's own pages and control requests.

Those need no login, so no website that a developer visits may use them through the developer's browser. A
browser says which site sends a request that is no plain navigation (``Origin``), and which host it is meant
for (``Host``): a name that an attacker has pointed at this machine is not the emulator's name.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from airflow_provider_nebula_explorer.emulator.messages import Request
from airflow_provider_nebula_explorer.emulator.refusals import FORBIDDEN, WRONG_PARAMETER, RefusedError
from airflow_provider_nebula_explorer.emulator.text import one_line

_PLAIN_TYPES = frozenset({"text/plain", "multipart/form-data"})
"""What a web page may send to any host unasked, and no client of the emulator sends."""


def check(request: Request, host: str) -> None:
    """Refuse a request that another website caused.

    :param host: the name or address that the emulator listens on.
    :raises RefusedError: if the request's ``Host``, its ``Origin`` or its body's type is foreign.
    """
    named = request.headers.get("host", "")
    if not _is_own(named, host):
        raise RefusedError(
            FORBIDDEN, f"{one_line(named)!r} is not the emulator: use its address or localhost"
        )
    origin = request.headers.get("origin", f"http://{named}")
    if origin != f"http://{named}":
        raise RefusedError(FORBIDDEN, f"another website sent this request: {one_line(origin)!r}")
    if request.content_type in _PLAIN_TYPES:
        raise RefusedError(WRONG_PARAMETER, "Content-Type is not application/json")


def _is_own(named: str, host: str) -> bool:
    try:
        name = urlsplit(f"//{named}").hostname or ""
    except ValueError:
        return False
    return name in ("localhost", host.lower()) or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
