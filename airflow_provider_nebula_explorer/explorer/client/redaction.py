# SPDX-License-Identifier: Apache-2.0
"""Removes secrets from a server's messages, however they are escaped: it may quote what it was sent."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from urllib.parse import quote, quote_plus

_BASE64 = re.compile(r"[A-Za-z0-9+/]{8,}={0,2}")


def redact(secrets: Iterable[str], text: str) -> str:
    """Return a text with ``***`` in the place of secrets."""
    written = {writing for secret in secrets for writing in _writings(secret) if writing}
    for secret in sorted(written, key=len, reverse=True):  # a long one may begin with a short one
        text = text.replace(secret, "***")
    return text


@lru_cache(maxsize=64)
def _writings(secret: str) -> frozenset[str]:
    """Return how a secret may be written: as it is, escaped, or escaped twice."""
    escaped = {secret, *(escape(secret) for escape in _ESCAPES)}
    twice = {escape(text) for text in escaped for escape in _ESCAPES}
    return frozenset(escaped | twice | _as_base64(secret))


def _as_base64(secret: str) -> set[str]:
    """Return how else base64, as of an encoded account, may be written; nothing for other secrets."""
    if not _BASE64.fullmatch(secret):
        return set()
    bare = secret.rstrip("=")
    return {bare, bare.replace("+", "-").replace("/", "_")}


def _escape_json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _escape_json_as_go(text: str) -> str:
    escaped = _escape_json(text)
    for character in "<>&":
        escaped = escaped.replace(character, f"\\u{ord(character):04x}")
    return escaped


def _escape_html_as_go(text: str) -> str:
    return html.escape(text).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")


_ESCAPES: tuple[Callable[[str], str], ...] = (
    _escape_json,
    _escape_json_as_go,
    lambda text: json.dumps(text)[1:-1],
    lambda text: repr(text)[1:-1],
    lambda text: ascii(text)[1:-1],
    lambda text: repr(f"{text}'\"")[1:-4],  # within a text that contains both quotation marks
    lambda text: quote(text, safe=""),
    lambda text: quote(text, safe="/"),
    lambda text: quote(text, safe="!'()*"),  # JavaScript
    quote_plus,
    html.escape,
    _escape_html_as_go,
)
