# SPDX-License-Identifier: Apache-2.0
"""What both clients share: headers, limits, and the error for a response that did not arrive."""

from __future__ import annotations

import asyncio
import http.cookiejar
import logging
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

from airflow_provider_nebula_explorer import __version__
from airflow_provider_nebula_explorer.exceptions import NebulaExplorerConnectionError
from airflow_provider_nebula_explorer.explorer.client.body import (
    ACCEPTED_CODING,
    BrokenBodyError,
    ResponseTooLargeError,
    UnknownCodingError,
)
from airflow_provider_nebula_explorer.explorer.client.protocol import ROOT, Request
from airflow_provider_nebula_explorer.explorer.client.tls import advice_on
from airflow_provider_nebula_explorer.explorer.settings import Settings

HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": ACCEPTED_CODING,
    "User-Agent": f"airflow-provider-nebula-explorer/{__version__}",
}


def no_cookies() -> http.cookiejar.DefaultCookiePolicy:
    """Return a policy that keeps no cookie: the session sends the token itself."""
    return http.cookiejar.DefaultCookiePolicy(allowed_domains=[])


class _Redacting(logging.Filter):
    """Drops log records that may quote a response's header, and each request's own record at INFO."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        is_about_us = record.levelno != logging.DEBUG and ROOT in text
        is_header = "cookie" in text.lower() or "receive_response_" in text  # a name of httpcore's
        return not is_about_us and not is_header


_REDACTING = _Redacting()


def redact_loggers(*loggers: str) -> None:
    """Keep tokens and polls out of what an HTTP library logs."""
    for name in loggers:
        logging.getLogger(name).addFilter(_REDACTING)


ErrorTypes = tuple[type[BaseException], ...]


@dataclass(frozen=True)
class LibraryErrors:
    """What an HTTP library raises, in addition to the standard library's errors, by what it means.

    :param proxy: a proxy did not let a request through.
    :param timeout: nothing came in time.
    :param before_sending: no byte of a request can have left.
    :param permanent: the same request will fail again.
    """

    proxy: ErrorTypes
    timeout: ErrorTypes
    before_sending: ErrorTypes
    permanent: ErrorTypes


def connection_error(
    request: Request, settings: Settings, error: Exception, library: LibraryErrors
) -> NebulaExplorerConnectionError:
    """Return the error for a response that did not arrive: why, and whether the request may have arrived."""
    causes = list(_causes(error))
    before_sending: ErrorTypes = (
        socket.gaierror,
        ConnectionRefusedError,
        ssl.SSLCertVerificationError,
        *library.before_sending,
    )
    permanent: ErrorTypes = (
        ResponseTooLargeError,
        UnknownCodingError,
        ssl.SSLCertVerificationError,
        *library.permanent,
    )
    text = f"{request.method} {settings.base_url}{request.path}: {_explain(settings, causes, library)}"
    # Without the cause: the libraries quote what they cannot read, which may be a part of the token.
    return NebulaExplorerConnectionError(
        f"{text} ({type(error).__name__})",
        sent=not any(isinstance(cause, before_sending) for cause in causes),
        transient=not any(isinstance(cause, permanent) for cause in causes),
        too_large=any(isinstance(cause, ResponseTooLargeError) for cause in causes),
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that it wraps: the libraries wrap the socket's own error at various depths."""
    remaining, seen = [error], set[int]()
    while remaining:
        current = remaining.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        # Not __context__: an error that the caller is just handling says nothing about this one.
        wrapped: tuple[object, ...] = (current.__cause__, getattr(current, "reason", None), *current.args)
        remaining.extend(item for item in wrapped if isinstance(item, BaseException))


def _explain(settings: Settings, causes: list[BaseException], library: LibraryErrors) -> str:
    for types, text in _explanations(library):
        found = next((cause for cause in causes if isinstance(cause, types)), None)
        if found is not None:
            advice = advice_on(found, settings) if isinstance(found, ssl.SSLCertVerificationError) else ""
            return text.format(timeout=settings.timeout, error=found, advice=advice)
    return (
        "the connection broke before the whole response arrived. Explorer may have restarted, "
        "or the schema is wrong, http or https."
    )


_Explanations = tuple[tuple[ErrorTypes, str], ...]

_OF_THE_BODY: _Explanations = (
    ((ResponseTooLargeError,), "the response exceeds {error} and was rejected. Is this Explorer?"),
    (
        (UnknownCodingError,),
        (
            "the response is packed in a way that was not requested, and was not read. "
            "A gateway before Explorer must send it as it is, or as gzip."
        ),
    ),
    ((BrokenBodyError,), "the response is packed as gzip and cannot be unpacked."),
)

_OF_THE_CONNECTION: _Explanations = (
    ((socket.gaierror,), "the host's name cannot be resolved. Check the connection's host."),
    (
        (ConnectionRefusedError,),
        "connection refused: nothing is listening there. Check host and port, and that Explorer runs.",
    ),
    (
        (ssl.SSLCertVerificationError,),
        "TLS: the certificate is not trusted ({error.verify_message}). {advice}",
    ),
    ((ssl.SSLError,), "TLS failed ({error.reason}). Is the schema right, http or https?"),
)


def _explanations(library: LibraryErrors) -> _Explanations:
    refused_by_proxy = (
        "the proxy did not let the request through. Check proxy, or the environment's proxy variables."
    )
    # Before Python 3.11 asyncio has a TimeoutError of its own.
    timeouts: ErrorTypes = (TimeoutError, asyncio.TimeoutError, *library.timeout)
    return (
        *_OF_THE_BODY,
        (library.proxy, refused_by_proxy),
        *_OF_THE_CONNECTION,
        (timeouts, "no response within {timeout:g} s. Check host and port, or raise timeout."),
    )
