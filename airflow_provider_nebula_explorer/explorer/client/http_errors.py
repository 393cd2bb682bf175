"""What the two drivers share: headers, limits, and the error for a response that did not arrive."""

from __future__ import annotations

import asyncio
import http.cookiejar
import logging
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from airflow_provider_nebula_explorer import __version__
from airflow_provider_nebula_explorer.exceptions import NebulaExplorerConnectionError
from airflow_provider_nebula_explorer.explorer.client.protocol import (
    COOKIE,
    MAX_RESPONSE_BYTES,
    ROOT,
    Request,
)
from airflow_provider_nebula_explorer.explorer.settings import Settings

HEADERS = {"Accept": "application/json", "User-Agent": f"airflow-provider-nebula-explorer/{__version__}"}


def no_cookies() -> http.cookiejar.DefaultCookiePolicy:
    """Return a policy that keeps no cookie: the session sends the token itself."""
    return http.cookiejar.DefaultCookiePolicy(allowed_domains=[])


class _Redacting(logging.Filter):
    """Drops log records that hold a token, or that tell of one of our requests: there is one at each poll."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        return COOKIE not in text and (record.levelno != logging.INFO or ROOT not in text)


_REDACTING = _Redacting()


def redact_loggers(*loggers: str) -> None:
    """Keep tokens and polls out of what an HTTP library logs."""
    for name in loggers:
        logging.getLogger(name).addFilter(_REDACTING)


class ResponseTooLargeError(OSError):
    """An answer holds more than :data:`.protocol.MAX_RESPONSE_BYTES`."""


def append(body: bytearray, chunk: bytes) -> None:
    """Add a chunk to an answer's body.

    :raises ResponseTooLargeError: where that makes it too large.
    """
    body += chunk
    if len(body) > MAX_RESPONSE_BYTES:
        raise ResponseTooLargeError


Kinds = tuple[type[BaseException], ...]


@dataclass(frozen=True)
class Library:
    """What an HTTP library raises, beside what the standard library does, for what we tell apart.

    :param proxy: where a proxy does not let a request through.
    :param timeout: where nothing came in time.
    :param before_sending: before the first byte of a request could have left.
    :param permanent: what time does not mend.
    """

    proxy: Kinds
    timeout: Kinds
    before_sending: Kinds
    permanent: Kinds


def failure(
    request: Request, settings: Settings, error: Exception, library: Library
) -> NebulaExplorerConnectionError:
    """Return the error for an answer that did not come, in words, and whether the request may have."""
    causes = list(_causes(error))
    before_sending: Kinds = (
        socket.gaierror,
        ConnectionRefusedError,
        ssl.SSLCertVerificationError,
        *library.before_sending,
    )
    permanent: Kinds = (ResponseTooLargeError, ssl.SSLCertVerificationError, *library.permanent)
    failed = NebulaExplorerConnectionError(
        f"{request.method} {settings.base_url}{request.path}: {_in_words(settings, causes, library)} "
        f"({type(error).__name__})",
        sent=not any(isinstance(cause, before_sending) for cause in causes),
        transient=not any(isinstance(cause, permanent) for cause in causes),
    )
    # h11 quotes a header that it cannot read, and the functions that read too large an answer hold it.
    if not any(COOKIE in str(cause) or isinstance(cause, ResponseTooLargeError) for cause in causes):
        failed.__cause__ = error
    return failed


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that it wraps: the libraries hide the socket's own error at many depths."""
    left, seen = [error], set[int]()
    while left:
        current = left.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        # Not __context__: an error that the caller is handling just now says nothing about this one.
        inner: tuple[Any, ...] = (current.__cause__, getattr(current, "reason", None))
        left.extend(item for item in (*inner, *current.args) if isinstance(item, BaseException))


def _in_words(settings: Settings, causes: list[BaseException], library: Library) -> str:
    for kinds, words in _words(library):
        found = next((cause for cause in causes if isinstance(cause, kinds)), None)
        if found is not None:
            return words.format(
                timeout=settings.timeout,
                limit=MAX_RESPONSE_BYTES // 2**20,
                verify=settings.verify,
                error=found,
            )
    return (
        "the connection broke before the whole response arrived. Explorer may have restarted, "
        "or the schema is wrong, http or https."
    )


def _words(library: Library) -> tuple[tuple[Kinds, str], ...]:
    return (
        ((ResponseTooLargeError,), "the response exceeds {limit} MiB and was rejected. Is this Explorer?"),
        (
            library.proxy,
            "the proxy did not let the request through. Check proxy, or the environment's proxy variables.",
        ),
        ((socket.gaierror,), "the host's name cannot be resolved. Check the connection's host."),
        (
            (ConnectionRefusedError,),
            "connection refused: nothing is listening there. Check host and port, and that Explorer runs.",
        ),
        (
            (ssl.SSLCertVerificationError,),
            (
                "TLS: the certificate is not trusted ({error.verify_message}). "
                "Set verify (now: {verify}) to the path of the CA bundle that signed it, and host to a name "
                "that the certificate contains."
            ),
        ),
        ((ssl.SSLError,), "TLS failed ({error.reason}). Is the schema right, http or https?"),
        (
            # Before Python 3.11 asyncio has a TimeoutError of its own.
            (TimeoutError, asyncio.TimeoutError, *library.timeout),
            "no response within {timeout:g} s. Check host and port, or raise timeout.",
        ),
    )
