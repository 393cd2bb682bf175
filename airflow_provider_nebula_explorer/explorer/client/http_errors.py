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
from airflow_provider_nebula_explorer.explorer.client.logins import COOKIE
from airflow_provider_nebula_explorer.explorer.client.protocol import MAX_RESPONSE_BYTES, ROOT, Request
from airflow_provider_nebula_explorer.explorer.settings import Settings

HEADERS = {"Accept": "application/json", "User-Agent": f"airflow-provider-nebula-explorer/{__version__}"}


def no_cookies() -> http.cookiejar.DefaultCookiePolicy:
    """Return a policy that keeps no cookie: the session sends the token itself."""
    return http.cookiejar.DefaultCookiePolicy(allowed_domains=[])


class _Redacting(logging.Filter):
    """Drops log records that contain a token, and the one that each of our requests makes at INFO."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        return not _may_quote_cookies(text) and (record.levelno != logging.INFO or ROOT not in text)


def _may_quote_cookies(text: str) -> bool:
    return COOKIE in text or "cookie" in text.lower()


_REDACTING = _Redacting()


def redact_loggers(*loggers: str) -> None:
    """Keep tokens and polls out of what an HTTP library logs."""
    for name in loggers:
        logging.getLogger(name).addFilter(_REDACTING)


class ResponseTooLargeError(OSError):
    """A response is larger than :data:`.protocol.MAX_RESPONSE_BYTES`."""


def append(body: bytearray, chunk: bytes) -> None:
    """Add a chunk to a response's body.

    :raises ResponseTooLargeError: if that makes it too large.
    """
    body += chunk
    if len(body) > MAX_RESPONSE_BYTES:
        raise ResponseTooLargeError


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
    permanent: ErrorTypes = (ResponseTooLargeError, ssl.SSLCertVerificationError, *library.permanent)
    text = f"{request.method} {settings.base_url}{request.path}: {_explain(settings, causes, library)}"
    failed = NebulaExplorerConnectionError(
        f"{text} ({type(error).__name__})",
        sent=not any(isinstance(cause, before_sending) for cause in causes),
        transient=not any(isinstance(cause, permanent) for cause in causes),
    )
    # h11 quotes a header that it cannot read. The traceback of a response that is too large keeps its body.
    if not any(_may_quote_cookies(str(it)) or isinstance(it, ResponseTooLargeError) for it in causes):
        failed.__cause__ = error
    return failed


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
            return text.format(
                timeout=settings.timeout,
                limit=MAX_RESPONSE_BYTES // 2**20,
                verify=settings.verify,
                error=found,
            )
    return (
        "the connection broke before the whole response arrived. Explorer may have restarted, "
        "or the schema is wrong, http or https."
    )


def _explanations(library: LibraryErrors) -> tuple[tuple[ErrorTypes, str], ...]:
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
