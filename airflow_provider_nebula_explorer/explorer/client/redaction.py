"""Removes secrets from what a server says, no matter how it writes them: it may quote what it was sent."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from urllib.parse import quote, quote_plus

_BASE64 = re.compile(r"[A-Za-z0-9+/]{8,}={0,2}")


def redact(secrets: Iterable[str], text: str) -> str:
    """Return a text with stars in the place of secrets."""
    written = {writing for secret in secrets for writing in _writings(secret) if writing}
    for secret in sorted(written, key=len, reverse=True):  # a long one may begin with a short one
        text = text.replace(secret, "***")
    return text


@lru_cache(maxsize=64)
def _writings(secret: str) -> frozenset[str]:
    """Return how a secret may be written: as it is, escaped, or escaped within what was escaped."""
    once = {secret} | {write(secret) for write in _WAYS}
    return frozenset(once | {write(text) for text in once for write in _WAYS} | _as_base64(secret))


def _as_base64(secret: str) -> set[str]:
    """Return how else an encoded account or token may be written; none of a password, which is no base64."""
    if not _BASE64.fullmatch(secret):
        return set()
    bare = secret.rstrip("=")
    return {bare, bare.replace("+", "-").replace("/", "_")}


def _in_json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _in_json_of_go(text: str) -> str:
    escaped = _in_json(text)
    for character in "<>&":
        escaped = escaped.replace(character, f"\\u{ord(character):04x}")
    return escaped


def _in_html_of_go(text: str) -> str:
    return html.escape(text).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")


_WAYS: tuple[Callable[[str], str], ...] = (
    _in_json,
    _in_json_of_go,
    lambda text: json.dumps(text)[1:-1],
    lambda text: repr(text)[1:-1],
    lambda text: ascii(text)[1:-1],
    lambda text: repr(f"{text}'\"")[1:-4],  # in a text with both quotation marks
    lambda text: quote(text, safe=""),
    lambda text: quote(text, safe="/"),
    lambda text: quote(text, safe="!'()*"),  # JavaScript
    quote_plus,
    html.escape,
    _in_html_of_go,
)
