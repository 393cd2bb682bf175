# SPDX-License-Identifier: Apache-2.0
"""What goes wrong on purpose: one fault, what it does to a request, and its response."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from airflow_provider_nebula_explorer.emulator.api import ENDPOINTS, WEB_APP
from airflow_provider_nebula_explorer.emulator.messages import (
    JSON_TYPE,
    Request,
    Response,
    html_response,
    json_response,
)
from airflow_provider_nebula_explorer.emulator.plans import from_object
from airflow_provider_nebula_explorer.emulator.refusals import RefusedError, is_code

KINDS = {
    "status": "the HTTP status of `status` (503) with an empty body",
    "code": "Explorer's own refusal with the 8-digit `code`, `message` and `details`",
    "html": "an HTML page, with the HTTP status of `status` (200)",
    "garbage": "HTTP 200 with a body that is not JSON",
    "zero_id": "a success whose data is the id 0: nothing was started",
    "null_data": "a success whose data is null",
    "no_data": "a success without data",
    "redirect": "HTTP 302 to `location`",
    "huge": "a body of 256 MiB",
    "gzip_bomb": "a small body that unpacks to 256 MiB",
    "another_job": "the request is processed as if it was about the job `job_id`",
    "another_workflow": "a workflow's list shows the jobs of all workflows",
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
    :param message: the whole message, for ``code``; the name of the code's error unless given.
    :param details: what the envelope holds besides the message, for ``code``.
    :param retry_after: the ``Retry-After`` header, for ``status`` and ``code``: seconds, or a text as it is.
    :param seconds: how long the response takes, for ``slow`` and ``drip``.
    :param location: the target, for ``redirect``.
    :param job_id: the job that the response is about, for ``another_job``.
    :raises ValueError: if a value is wrong.
    """

    kind: str
    endpoint: str = "*"
    times: int | None = 1
    after: int = 0
    probability: float = 1.0
    processed: bool = False
    status: int | None = None
    code: int | None = None
    message: str | None = None
    details: str | None = None
    retry_after: float | str | None = None
    seconds: float = 1.0
    location: str = "/"
    job_id: int | None = None

    def __post_init__(self) -> None:
        checks = {
            "kind": (self.kind in KINDS, ", ".join(KINDS)),
            "endpoint": (_matches_any(self.endpoint), f"a name or a pattern of {', '.join(ENDPOINTS)}"),
            "times": (self.times is None or _is_whole(self.times, 1), "1 or more, or None for always"),
            "after": (_is_whole(self.after, 0), "0 or more"),
            "probability": (_is_number(self.probability, 1), "0 to 1"),
            "processed": (not self.processed or self.kind in INSTEAD, f"for {', '.join(sorted(INSTEAD))}"),
            "status": (self.status is None or _is_whole(self.status, 200, 599), "200 to 599"),
            "code": (self._belongs_to("code", self.code, is_code), "8 digits, for the kind 'code' only"),
            "message": (self._fits_code(self.message), "a text, for the kind 'code' only"),
            "details": (self._fits_code(self.details), "a text, for the kind 'code' only"),
            "seconds": (_is_number(self.seconds, 86_400), "0 to 86400"),
            "job_id": (self._belongs_to("another_job", self.job_id, _is_id), "an id, for 'another_job' only"),
        }
        for name, (holds, allowed) in checks.items():
            if not holds:
                raise ValueError(f"a fault's {name!r} is {getattr(self, name)!r:.80}; allowed: {allowed}")

    @classmethod
    def from_json(cls, data: object) -> Fault:
        """Read a fault, an object with this class's fields as its keys.

        :param data: the object.
        :raises ValueError: if a key is not known or a value is wrong.
        """
        return from_object(cls, data, "a fault")

    @property
    def response(self) -> Response:
        """The response of a kind in :data:`INSTEAD`, unless it is sent in pieces."""
        return _RESPONSES[self.kind](self)

    def redirected(self, request: Request) -> Request:
        """Return the request that Explorer processes in the place of this one."""
        if self.kind == "another_job":
            return replace(request, path=re.sub("/jobs/[^/]+", f"/jobs/{self.job_id}", request.path))
        if self.kind == "another_workflow":
            return replace(request, path=re.sub("/workflows/[^/]+/", "/", request.path))
        return request

    def _belongs_to(self, kind: str, value: object, is_valid: Callable[[object], bool]) -> bool:
        return is_valid(value) if self.kind == kind else value is None

    def _fits_code(self, text: object) -> bool:
        return text is None or (self.kind == "code" and isinstance(text, str))


def _status_response(fault: Fault) -> Response:
    return Response(fault.status or 503, b"", _retry_after(fault))


def _code_response(fault: Fault) -> Response:
    refusal = RefusedError(fault.code or 0)
    envelope = {**refusal.envelope, "message": refusal.message if fault.message is None else fault.message}
    if fault.details is not None:
        envelope["details"] = fault.details
    return json_response(envelope, fault.status or refusal.http_status, _retry_after(fault))


def _success_response(**data: object) -> Callable[[Fault], Response]:
    return lambda fault: json_response({"code": 0, "message": "Success", **data}, fault.status or 200)


def _retry_after(fault: Fault) -> dict[str, str]:
    return {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}


_RESPONSES: dict[str, Callable[[Fault], Response]] = {
    "status": _status_response,
    "code": _code_response,
    "html": lambda fault: html_response(WEB_APP, fault.status or 200),
    "garbage": lambda fault: Response(
        fault.status or 200, b'{"code": 0, "data": \x00\xff', {"Content-Type": JSON_TYPE}
    ),
    "zero_id": _success_response(data={"id": 0}),
    "null_data": _success_response(data=None),
    "no_data": _success_response(),
    "redirect": lambda fault: Response(fault.status or 302, b"", {"Location": fault.location}),
}

INSTEAD = frozenset({*_RESPONSES, "huge", "gzip_bomb"})
"""The kinds whose response replaces Explorer's."""


def _matches_any(pattern: object) -> bool:
    return isinstance(pattern, str) and any(fnmatchcase(name, pattern) for name in ENDPOINTS)


def _is_whole(value: object, least: int, most: float = float("inf")) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_id(value: object) -> bool:
    return _is_whole(value, 1)


def _is_number(value: object, most: float) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= most
