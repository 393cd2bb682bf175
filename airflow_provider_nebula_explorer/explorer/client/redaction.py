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


def redact(secrets: Iterable[str], text: str, *, tokens: Iterable[str] = ()) -> str:
    """Return a text with ``***`` in the place of secrets.

    :param tokens: secrets that the server made. Escapes do not change honest ones, so they are not searched
        for as escaped twice: with thousands of odd characters, that would hold an event loop for a second.
    """
    written = {writing for secret in secrets for writing in _writings(secret)}
    written.update(writing for token in tokens for writing in _escaped(token))
    for secret in sorted(written, key=len, reverse=True):  # a long one may begin with a short one
        text = text.replace(secret, "***")
    return text


@lru_cache(maxsize=16)
def _writings(secret: str) -> frozenset[str]:
    """Return how a secret may be written: as it is, escaped, or escaped twice."""
    escaped = _escaped(secret)
    twice = {escape(text) for text in escaped for escape in _ESCAPES}
    return escaped.union(twice) - {""}


@lru_cache(maxsize=64)
def _escaped(secret: str) -> frozenset[str]:
    """Return how a secret may be written: as it is, or escaped."""
    return frozenset({secret, *(escape(secret) for escape in _ESCAPES), *_as_base64(secret)} - {""})


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
