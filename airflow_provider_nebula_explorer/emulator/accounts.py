# SPDX-License-Identifier: Apache-2.0
"""How clients write their account in the ``Authorization`` header of a login."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Literal, get_args

from airflow_provider_nebula_explorer.emulator.messages import read_json

Encoding = Literal["json", "colon", "both"]
ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)
"""What is encoded with base64: a JSON list (Explorer 3.3 and later), ``account:password``, or either."""


def read_accounts(authorization: str, encoding: Encoding) -> list[object]:
    """Return what the header may mean, such as ``["root", "secret"]``; nothing if it is malformed."""
    scheme, _, credentials = authorization.partition(" ")
    try:
        text = base64.b64decode(credentials, validate=True).decode()
    except ValueError:
        return []
    if scheme != "Bearer":
        return []
    return [read(text) for name, read in _READERS.items() if encoding in (name, "both")]


def _read_colon(text: str) -> object:
    return text.split(":", 1)


_READERS: dict[str, Callable[[str], object]] = {"json": read_json, "colon": _read_colon}
