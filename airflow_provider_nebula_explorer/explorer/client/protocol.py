# SPDX-License-Identifier: Apache-2.0
"""What goes to Explorer and what comes back, as values: this module opens no socket."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Generic, TypeVar

from airflow_provider_nebula_explorer.exceptions import (
    CODES,
    LICENCE_ERROR,
    NebulaExplorerApiError,
    NebulaExplorerAuthError,
    NebulaExplorerConnectionError,
    NebulaExplorerError,
    NebulaExplorerNotFoundError,
    NebulaExplorerServerError,
    class_of,
)
from airflow_provider_nebula_explorer.explorer.client.limits import DEEPEST_JSON
from airflow_provider_nebula_explorer.explorer.client.logins import Login, Refusal
from airflow_provider_nebula_explorer.explorer.metrics import Metric
from airflow_provider_nebula_explorer.explorer.models import LONGEST_MESSAGE, JsonObject, one_line

T = TypeVar("T")

ROOT = "/api-open/v1"
"""All paths of the API begin with this, below the base address."""

_LONGEST_SEARCHED = 20_000
"""Secrets are searched for in this many characters of a message: in millions, that would take seconds."""


@dataclass(frozen=True)
class Request:
    """One HTTP request.

    :param target: path and query, below the base address.
    :param headers: they may hold the account or the token, so they are not shown.
    """

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]


@dataclass(frozen=True)
class Response:
    """One HTTP response.

    :param headers: names in any case; they may hold the token, so they are not shown.
    :param set_cookies: the values of the ``Set-Cookie`` headers, which no separator could keep apart.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    set_cookies: Sequence[str] = field(default=(), repr=False)

    def header(self, name: str) -> str:
        """Return a header's value, whatever the case of its name; ``""`` where there is none."""
        return next((value for key, value in self.headers.items() if key.lower() == name.lower()), "")


@dataclass(frozen=True)
class Pause:
    """A pause before this call's next request, in seconds.

    :param is_for_all: whether the server requested it; then every call pauses before its next request.
    """

    seconds: float
    is_for_all: bool = False


@dataclass(frozen=True)
class Secret:
    """A text that no log may show; it is yielded before its first use, so that it can be masked."""

    text: str = field(repr=False)


@dataclass(frozen=True)
class SingleFlight:
    """An exchange that concurrent calls share: it runs once, and all of them get its value."""

    begin: Callable[[], Exchange[Login]]


@dataclass(frozen=True)
class FindLogin:
    """A search for a login that works, among those of other processes; only if there is none, one is made.

    :param refused: the token that Explorer no longer accepts; ``None`` if there was none.
    :param log_in: makes a login.
    """

    refused: str | None = field(repr=False)
    log_in: Callable[[], Exchange[Login | Refusal]]


Step = Request | Pause | Secret | SingleFlight | FindLogin
"""What an exchange yields, for its driver to perform."""

StepResult = Response | NebulaExplorerConnectionError | Login | Refusal | None
"""What comes of a step: a response or why there is none, a login or why there is none, or nothing."""

Exchange = Generator[Step, StepResult, T]
"""A whole call: yields steps, is sent their results, returns the call's value."""


@dataclass(frozen=True)
class Call(Generic[T]):
    """One call of the API: what to send, and how to read the ``data`` that comes back.

    :param read: raises ``ValueError`` if the data does not have the documented shape,
        ``NothingThereError`` or ``OtherSubjectError`` if it is not about what was requested.
    :param is_repeatable: whether sending it twice does no more than sending it once.
    :param metric: incremented when the call succeeds.
    """

    request: Request
    read: Callable[[object], T]
    is_repeatable: bool = True
    metric: Metric | None = None


class NothingThereError(ValueError):
    """A success whose data shows that there is nothing of the kind that was requested."""


class OtherSubjectError(ValueError):
    """A response about something else than what was requested, as from a gateway that caches."""


def read_result(call: Call[T], request_text: str, response: Response, redact: Callable[[str], str]) -> T:
    """Return what a call's response says.

    :param request_text: the request, as error texts show it.
    :param redact: takes secrets out of a text that came from outside.
    :raises NebulaExplorerError: the narrowest class for what came back instead.
    """
    data = read_data(request_text, response, redact)
    try:
        return call.read(data)
    except NothingThereError as error:
        raise NebulaExplorerNotFoundError(
            f"{request_text}: Explorer reports success, but {error}. {NebulaExplorerNotFoundError.hint}",
            http_status=response.status,
        ) from None
    except ValueError as error:
        raise NebulaExplorerConnectionError(
            f"{request_text}: the response is not as Explorer's API documents it: {redact(str(error))}.",
            transient=isinstance(error, OtherSubjectError),
        ) from None


def read_data(request_text: str, response: Response, redact: Callable[[str], str] = str) -> object:
    """Return the ``data`` of a response of Explorer's.

    :param request_text: the request, as error texts show it.
    :param redact: takes secrets out of a text that came from outside.
    :raises NebulaExplorerError: the narrowest class for what came back instead.
    """
    try:
        envelope = _read_envelope(response.body)
    except RecursionError:
        raise NebulaExplorerConnectionError(
            f"{request_text}: the response's JSON has more than {DEEPEST_JSON} levels. This is not Explorer.",
            transient=False,
        ) from None
    if envelope is None:
        raise _without_envelope(request_text, response)
    if envelope["code"] != 0:
        raise _refusal(request_text, response.status, envelope, redact)
    return envelope.get("data")


def parse_envelope(body: bytes) -> JsonObject | None:
    """Return the JSON object that Explorer answers with; ``None`` for what is not Explorer's."""
    try:
        return _read_envelope(body)
    except RecursionError:
        return None


def _read_envelope(body: bytes) -> JsonObject | None:
    """Do the same.

    :raises RecursionError: if it is nested too deeply.
    """
    try:
        envelope = json.loads(body, parse_float=_finite, parse_constant=_finite)
    except ValueError:
        return None
    if _is_deeper(envelope, DEEPEST_JSON):
        raise RecursionError
    if isinstance(envelope, dict) and type(envelope.get("code")) is int and abs(envelope["code"]) < 10**20:
        return envelope
    return None


def _is_deeper(value: object, levels: int) -> bool:
    """Say whether lists and objects are nested in more levels; what reads them all may recurse."""
    nested = [value] if isinstance(value, (dict, list)) else []
    for _ in range(levels):
        if not nested:
            return False
        children = (it.values() if isinstance(it, dict) else it for it in nested)
        nested = [it for values in children for it in values if isinstance(it, (dict, list))]
    return bool(nested)


def _finite(text: str) -> float:
    """Read a number; Python's JSON also reads NaN and infinities, which databases reject."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError
    return number


def _presentable(message: object, redact: Callable[[str], str]) -> str:
    """Return a message as a log can show it: without secrets, of limited length and on one line."""
    text = message if isinstance(message, str) else ""
    redacted = redact(text[:_LONGEST_SEARCHED])
    if len(text) > _LONGEST_SEARCHED and len(redacted) < _LONGEST_SEARCHED // 2:
        return ""  # it is mostly secrets, and the last one was cut, so it was not recognized
    return one_line(redacted, LONGEST_MESSAGE)


def _refusal(
    request_text: str, http_status: int, envelope: JsonObject, redact: Callable[[str], str]
) -> NebulaExplorerApiError:
    code = envelope["code"]
    message = _presentable(envelope.get("message"), redact)
    details = _beyond(message, _presentable(envelope.get("details"), redact))
    name, meaning = CODES.get(code, ("", "a code this version does not know"))
    error_class = class_of(code, http_status)
    hint = "Renew Explorer's license." if code == LICENCE_ERROR else error_class.hint
    shown = f" Details: {details}." if details else ""
    return error_class(
        f"{request_text}: Explorer refused with code {code}, {message or name} ({meaning}).{shown} {hint}",
        code=code,
        message=message,
        details=details,
        http_status=http_status,
    )


def _beyond(message: str, details: str) -> str:
    """Return what the details say that the message does not: they often begin with it."""
    return "" if details in message else details.removeprefix(message).strip(" :;,.-")


def _without_envelope(request_text: str, response: Response) -> NebulaExplorerError:
    status = response.status
    came_back = f"{request_text}: the response is HTTP {status} with {_describe_body(response)}"
    if 300 <= status < 400:
        text = f"{came_back}, a redirect. Explorer's API sends none: set the connection to the final address."
        return NebulaExplorerConnectionError(text, transient=False)
    if status == 401:
        text = f"{came_back}. A gateway in front of Explorer may require a login of its own."
        return NebulaExplorerAuthError(text, http_status=status)
    if status == 429:
        text = f"{came_back}: too many requests. Poll less often, or raise the gateway's limit."
        return NebulaExplorerApiError(text, http_status=status)
    if status >= 500:
        text = f"{came_back}: Explorer is overloaded, restarting or down. Try again later."
        return NebulaExplorerServerError(text, http_status=status)
    text = f"{came_back}. This is not Explorer: check the connection's host, port, schema and path prefix."
    return NebulaExplorerConnectionError(text)


def _describe_body(response: Response) -> str:
    if not response.body:
        return "an empty body"
    content_type = response.header("content-type").partition(";")[0].strip().lower()
    if "html" in content_type or response.body.lstrip()[:1] == b"<":
        return "an HTML page"
    return f"{len(response.body)} bytes that are not Explorer's JSON"


BACKOFF_SECONDS = 1.0
BACKOFF_CAP_SECONDS = 30.0
RETRY_AFTER_CAP_SECONDS = 60.0


def pause_before_retry(attempt: int, response: Response | None, jitter: float) -> Pause:
    """Return the pause before a request is sent again.

    :param attempt: how many times it was sent again before; 0 for the first time.
    :param response: the response to the last try, whose ``Retry-After`` counts; ``None`` if there was none.
    :param jitter: a random number from 0 to 1; it spreads clients that failed together.
    """
    requested = _retry_after(response) if response else None
    if requested is not None:
        return Pause(min(requested, RETRY_AFTER_CAP_SECONDS) + jitter, is_for_all=True)
    backoff = min(BACKOFF_CAP_SECONDS, BACKOFF_SECONDS * 2 ** min(attempt, 10))
    return Pause(backoff * (0.5 + jitter / 2))


def _retry_after(response: Response) -> float | None:
    """Read ``Retry-After``: seconds, or a date that is compared with the server's own (RFC 9110, 10.2.3)."""
    value = response.header("retry-after").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    until, now = parse_date(value), parse_date(response.header("date"))
    return None if until is None or now is None else max(0.0, until - now)


def parse_date(text: str) -> float | None:
    """Read an HTTP date (RFC 9110, 5.6.7), in epoch seconds; ``None`` if it is none."""
    try:
        return parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
