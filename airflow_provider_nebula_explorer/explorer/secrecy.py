"""Takes secrets out of what a server says, however it writes them: it may quote what it was sent."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Iterable
from urllib.parse import quote, quote_plus


def hide(secrets: Iterable[str], text: str) -> str:
    """Return a text with stars in the place of secrets."""
    written = {writing for secret in secrets for writing in _writings(secret) if writing}
    for secret in sorted(written, key=len, reverse=True):  # a long one may begin with a short one
        text = text.replace(secret, "***")
    return text


def _writings(secret: str) -> set[str]:
    """Return how a secret may be written: as it is, escaped, or escaped within what was escaped."""
    once = {secret} | {write(secret) for write in _WAYS}
    return once | {write(text) for text in once for write in _WAYS}


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
    lambda text: text.rstrip("="),  # base64
    lambda text: text.rstrip("=").replace("+", "-").replace("/", "_"),
)
