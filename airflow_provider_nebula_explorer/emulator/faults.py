"""What goes wrong on purpose: faults, and the queue that assigns them to requests."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass
from fnmatch import fnmatchcase

from airflow_provider_nebula_explorer.emulator.api import ENDPOINTS, WEB_APP
from airflow_provider_nebula_explorer.emulator.messages import (
    JSON_TYPE,
    Response,
    html_response,
    json_response,
)
from airflow_provider_nebula_explorer.emulator.plans import from_object
from airflow_provider_nebula_explorer.emulator.refusals import RefusedError, is_code

KINDS = {
    "status": "the HTTP status of `status` (503) with an empty body",
    "code": "Explorer's own refusal with the 8-digit `code`",
    "html": "an HTML page, with the HTTP status of `status` (200)",
    "garbage": "HTTP 200 with a body that is not JSON",
    "redirect": "HTTP 302 to `location`",
    "huge": "a body of 256 MiB",
    "gzip_bomb": "a small body that unpacks to 256 MiB",
    "session_loss": "every session is forgotten, then the request is processed",
    "graphd_session_loss": "graphd drops every session, then the request is processed",
    "slow": "`seconds` pass, then the request is processed",
    "drip": "the request is processed; its response takes `seconds`, byte by byte",
    "truncate": "the request is processed; the connection ends in the middle of its response",
    "overrun": "the request is processed; its response is longer than its Content-Length",
    "hangup": "the request is processed; the connection is closed after its response, unannounced",
    "reset_amid": "the request is processed; the connection is reset in the middle of its response",
    "reset_after": "the request is processed; the connection is reset after its response",
    "reset": "the connection is reset; the request is not processed",
    "closed": "the connection is closed without a response; the request is not processed",
    "lost": "the request is processed; the connection is reset without a response",
}
"""Every kind of fault, and what then happens."""

INSTEAD = frozenset({"status", "code", "html", "garbage", "redirect", "huge", "gzip_bomb"})
"""The kinds whose response replaces Explorer's."""


@dataclass(frozen=True)
class Fault:
    """Something that happens to a request instead of, or in addition to, its response.

    :param kind: one of :data:`KINDS`.
    :param endpoint: the name of an endpoint, or a pattern such as ``*`` or ``list_*``.
    :param times: how many requests it hits; ``None`` for all.
    :param after: how many matching requests it lets pass first.
    :param probability: how likely it hits a matching request.
    :param processed: whether the request is processed before the fault replaces its response, for the kinds
        in :data:`INSTEAD`.
    :param status: the HTTP status, if the kind has one.
    :param code: Explorer's 8-digit code, for ``code``.
    :param retry_after: the ``Retry-After`` header, for ``status`` and ``code``: seconds, or a text as it is.
    :param seconds: how long the response takes, for ``slow`` and ``drip``.
    :param location: the target, for ``redirect``.
    """

    kind: str
    endpoint: str = "*"
    times: int | None = 1
    after: int = 0
    probability: float = 1.0
    processed: bool = False
    status: int | None = None
    code: int | None = None
    retry_after: float | str | None = None
    seconds: float = 1.0
    location: str = "/"

    def __post_init__(self) -> None:
        checks = {
            "kind": (self.kind in KINDS, ", ".join(KINDS)),
            "endpoint": (_matches_any(self.endpoint), f"a name or a pattern of {', '.join(ENDPOINTS)}"),
            "times": (self.times is None or _is_whole(self.times, 1), "1 or more, or None for always"),
            "after": (_is_whole(self.after, 0), "0 or more"),
            "probability": (_is_number(self.probability, 1), "0 to 1"),
            "processed": (not self.processed or self.kind in INSTEAD, f"for {', '.join(sorted(INSTEAD))}"),
            "status": (self.status is None or _is_whole(self.status, 200, 599), "200 to 599"),
            "code": (
                self.code is None if self.kind != "code" else is_code(self.code),
                "8 digits, for the kind 'code' and for no other",
            ),
            "seconds": (_is_number(self.seconds, 86_400), "0 to 86400"),
        }
        for name, (holds, allowed) in checks.items():
            if not holds:
                raise ValueError(f"a fault's {name!r} is {getattr(self, name)!r:.80}; allowed: {allowed}")

    @classmethod
    def from_json(cls, data: object) -> Fault:
        """Read a fault, an object with this class's fields as its keys.

        :raises ValueError: if a key is not known or a value is wrong.
        """
        return from_object(cls, data, "a fault")

    @property
    def response(self) -> Response:
        """The response of a kind in :data:`INSTEAD`."""
        retry = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        if self.kind == "code" and self.code is not None:
            refusal = RefusedError(self.code)
            return json_response(refusal.envelope, self.status or refusal.http_status, retry)
        if self.kind == "html":
            return html_response(WEB_APP, self.status or 200)
        if self.kind == "garbage":
            return Response(self.status or 200, b'{"code": 0, "data": \x00\xff', {"Content-Type": JSON_TYPE})
        if self.kind == "redirect":
            return Response(self.status or 302, b"", {"Location": self.location})
        return Response(self.status or 503, b"", retry)


class FaultQueue:
    """The faults that wait for a request, in the order they were added. It may be used from any thread.

    :param seed: makes the faults with a probability the same in every run.
    """

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)  # noqa: S311 - the same in every run, not secret
        self._waiting: list[_Waiting] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        """Add a fault after the faults that are waiting."""
        with self._lock:
            self._waiting.append(_Waiting(fault, fault.after, fault.times))

    def clear(self) -> None:
        """Remove every fault."""
        with self._lock:
            self._waiting.clear()

    def take(self, endpoint: str) -> Fault | None:
        """Return the first fault that hits a request, and count that hit."""
        with self._lock:
            hit = next((it for it in self._waiting if it.hits(endpoint, self._random.random())), None)
            if hit is not None and hit.left == 0:
                self._waiting.remove(hit)
        return hit.fault if hit else None


@dataclass(eq=False)
class _Waiting:
    fault: Fault
    pass_first: int
    left: int | None

    def hits(self, endpoint: str, chance: float) -> bool:
        if not fnmatchcase(endpoint, self.fault.endpoint):
            return False
        if self.pass_first > 0:
            self.pass_first -= 1
            return False
        if chance >= self.fault.probability:
            return False
        self.left = None if self.left is None else self.left - 1
        return True


def _matches_any(pattern: object) -> bool:
    return isinstance(pattern, str) and any(fnmatchcase(name, pattern) for name in ENDPOINTS)


def _is_whole(value: object, least: int, most: float = float("inf")) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_number(value: object, most: float) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= most
