"""The only I/O of :mod:`.explorer`: a blocking driver over requests and an asynchronous one over httpx.

Both send what a :class:`~.session.Session` asks for and hand back what came; neither decides anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.cookiejar
import logging
import socket
import ssl
import time
import warnings
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import requests
import urllib3.exceptions

from airflow_provider_nebula_explorer import __version__
from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerConfigError,
    NebulaExplorerConnectionError,
)
from airflow_provider_nebula_explorer.explorer.protocol import (
    MAX_ANSWER_BYTES,
    Call,
    Exchange,
    Once,
    Pause,
    Reply,
    Request,
    Response,
    Step,
    T,
)
from airflow_provider_nebula_explorer.explorer.session import COOKIE, Session
from airflow_provider_nebula_explorer.explorer.settings import Settings
from airflow_provider_nebula_explorer.explorer.tls import client_cert, tls_context, trust

_HEADERS = {"Accept": "application/json", "User-Agent": f"airflow-provider-nebula-explorer/{__version__}"}
_CHUNK_BYTES = 64 * 1024
_MAX_CONNECTIONS = 8


class Client:
    """Makes calls, blocking; one login and one connection serve them all.

    :param on_secret: told each secret before it is first used: the encoded account, the token.
    :param sleep: makes the pauses, in seconds.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        on_secret: Callable[[str], None] | None = None,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        self._settings = settings
        self._session = Session(settings)
        self._on_secret = on_secret
        self._sleep = sleep or time.sleep
        tls_context(settings)  # what is wrong with its files is said now, and in the same words for both
        self._http = requests.Session()
        self._http.headers.update(_HEADERS)
        self._http.cookies.set_policy(_no_cookies())
        # Without an auth of its own, requests takes one from ~/.netrc and overwrites our header.
        self._http.auth = _leave_as_it_is

    def run(self, call: Call[T]) -> T:
        """Make a call.

        :raises NebulaExplorerError: the narrowest class for what came back instead of the data.
        """
        return self._drive(self._session.call(call))

    def login(self) -> None:
        """Log in, whether or not there is a token."""
        self._drive(self._session.login())

    def close(self) -> None:
        """Close the connection to Explorer. The next call opens a new one, under the same login."""
        self._http.close()

    def _drive(self, exchange: Exchange[T]) -> T:
        try:
            step = next(exchange)
            while True:
                step = exchange.send(self._perform(step))
        except StopIteration as done:
            value: T = done.value
            return value

    def _perform(self, step: Step) -> Reply:
        if isinstance(step, Request):
            return self._answer(step)
        if isinstance(step, Once):
            return self._drive(step.begin())
        if isinstance(step, Pause):
            self._sleep(step.seconds)
        elif self._on_secret:
            self._on_secret(step.text)
        return None

    def _answer(self, request: Request) -> Reply:
        try:
            return self._send(request)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            return _failure(request, self._settings, error)

    def _send(self, request: Request) -> Response:
        settings = self._settings
        deadline = time.monotonic() + settings.timeout
        with (
            _no_warning_at_every_request(),
            self._http.request(
                request.method,
                settings.base_url + request.target,
                headers=dict(request.headers),
                data=request.body,
                timeout=settings.timeout,
                allow_redirects=False,
                stream=True,
                verify=trust(settings),
                cert=client_cert(settings),
                proxies={"http": settings.proxy, "https": settings.proxy} if settings.proxy else None,
            ) as answer,
        ):
            return Response(answer.status_code, answer.headers, _read_body(answer, deadline))


class AsyncClient:
    """Makes calls on an event loop; one login and a few connections serve them all.

    Any number of calls may be made at the same time. Those that need a login share one; where Explorer
    asks for a pause (``Retry-After``), all of them make it. Building one reads files: not on the loop.

    :param on_secret: awaited with each secret before it is first used: the encoded account, the token.
    :param sleep: makes the pauses, in seconds.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        on_secret: Callable[[str], Awaitable[None]] | None = None,
        sleep: Callable[[float], Awaitable[None]] | None = None,
    ) -> None:
        self._settings = settings
        self._session = Session(settings)
        self._on_secret = on_secret
        self._sleep = sleep or asyncio.sleep
        self._login: asyncio.Task[str] | None = None
        self._silent_until = 0.0
        self._free = asyncio.Semaphore(_MAX_CONNECTIONS)
        self._http = _open_httpx(settings)
        _keep_tokens_out_of_logs()

    async def run(self, call: Call[T]) -> T:
        """Make a call; see :meth:`Client.run`."""
        return await self._drive(self._session.call(call))

    async def login(self) -> None:
        """Log in, whether or not there is a token."""
        await self._drive(self._session.login())

    async def close(self) -> None:
        """Close all connections to Explorer, for good."""
        if self._login is not None:
            self._login.cancel()
            await asyncio.wait([self._login])
        await self._http.aclose()

    async def _drive(self, exchange: Exchange[T]) -> T:
        try:
            step = next(exchange)
            while True:
                step = exchange.send(await self._perform(step))
        except StopIteration as done:
            value: T = done.value
            return value

    async def _perform(self, step: Step) -> Reply:
        if isinstance(step, Request):
            return await self._answer(step)
        if isinstance(step, Once):
            return await self._share(step)
        if isinstance(step, Pause):
            await self._pause(step)
        elif self._on_secret:
            await self._on_secret(step.text)
        return None

    async def _share(self, step: Once) -> str:
        if self._login is None:
            self._login = asyncio.ensure_future(self._drive(step.begin()))
            self._login.add_done_callback(self._forget_login)
        # A caller that is cancelled must not take the others' login with it.
        return await asyncio.shield(self._login)

    def _forget_login(self, done: asyncio.Task[str]) -> None:
        self._login = None
        if not done.cancelled():
            done.exception()  # told to whoever waits for it; there may be nobody any more

    async def _pause(self, pause: Pause) -> None:
        if pause.is_for_all:  # made before the next request, whoever's it is
            self._silent_until = max(self._silent_until, time.monotonic() + pause.seconds)
        else:
            await self._sleep(pause.seconds)

    async def _answer(self, request: Request) -> Reply:
        async with self._free:
            silence = self._silent_until - time.monotonic()
            if silence > 0:
                await self._sleep(silence)
            try:
                return await asyncio.wait_for(self._send(request), self._settings.timeout)
            except (httpx.HTTPError, httpx.InvalidURL, OSError, asyncio.TimeoutError) as error:
                return _failure(request, self._settings, error)

    async def _send(self, request: Request) -> Response:
        url = self._settings.base_url + request.target
        async with self._http.stream(
            request.method, url, headers=request.headers, content=request.body
        ) as answer:
            body = bytearray()
            async for chunk in answer.aiter_bytes():
                _append(body, chunk)
            return Response(answer.status_code, answer.headers, bytes(body))


def _open_httpx(settings: Settings) -> httpx.AsyncClient:
    try:
        return httpx.AsyncClient(
            headers=_HEADERS,
            cookies=http.cookiejar.CookieJar(_no_cookies()),
            timeout=settings.timeout,
            verify=tls if (tls := tls_context(settings)) else False,
            proxy=settings.proxy,
            # httpx drops idle connections after 5 s, so before the next poll, unless told otherwise.
            limits=httpx.Limits(
                max_connections=_MAX_CONNECTIONS,
                max_keepalive_connections=_MAX_CONNECTIONS,
                keepalive_expiry=600,
            ),
        )
    except ImportError as error:
        raise NebulaExplorerConfigError(
            f"The environment's proxy cannot be used: {error} Set the connection's proxy to an http one."
        ) from error


class _AnswerTooLargeError(OSError):
    """An answer holds more than :data:`.protocol.MAX_ANSWER_BYTES`."""


def _append(body: bytearray, chunk: bytes) -> None:
    body += chunk
    if len(body) > MAX_ANSWER_BYTES:
        raise _AnswerTooLargeError


def _read_body(answer: requests.Response, deadline: float) -> bytes:
    # requests' own timeout counts from byte to byte, so a slow answer could take for ever; read1 comes
    # back with what is there, and so gives the chance to look at the clock.
    body = bytearray()
    while chunk := answer.raw.read1(_CHUNK_BYTES, decode_content=True):
        if time.monotonic() > deadline:
            raise TimeoutError
        _append(body, chunk)
    return bytes(body)


@contextlib.contextmanager
def _no_warning_at_every_request() -> Iterator[None]:
    # urllib3 would warn of verify=false at each poll; whoever set it knows.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", urllib3.exceptions.InsecureRequestWarning)
        yield


def _leave_as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _no_cookies() -> http.cookiejar.DefaultCookiePolicy:
    """Return a policy that keeps no cookie: the session sends the token itself."""
    return http.cookiejar.DefaultCookiePolicy(allowed_domains=[])


class _TokenFilter(logging.Filter):
    """Drops log records that hold a token."""

    def filter(self, record: logging.LogRecord) -> bool:
        return COOKIE not in record.getMessage()


_TOKEN_FILTER = _TokenFilter()


def _keep_tokens_out_of_logs() -> None:
    # httpcore logs the headers of answers at DEBUG, and so our token. These are its loggers' names.
    for name in ("httpcore.http11", "httpcore.proxy"):
        logging.getLogger(name).addFilter(_TOKEN_FILTER)


def _failure(request: Request, settings: Settings, error: Exception) -> NebulaExplorerConnectionError:
    """Return the error for an answer that did not come, in words, and whether the request may have."""
    causes = list(_causes(error))
    failure = NebulaExplorerConnectionError(
        f"{request.method} {settings.base_url}{request.path}: {_in_words(settings, causes)} "
        f"({type(error).__name__})",
        sent=not any(isinstance(cause, _BEFORE_SENDING) for cause in causes),
        transient=not any(isinstance(cause, _PERMANENT) for cause in causes),
    )
    failure.__cause__ = error
    return failure


_BEFORE_SENDING = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    socket.gaierror,
    ConnectionRefusedError,
    ssl.SSLCertVerificationError,
)
"""Failures that came before the first byte of a request could have left."""

_PERMANENT = (
    _AnswerTooLargeError,
    ssl.SSLCertVerificationError,
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidProxyURL,
    httpx.InvalidURL,
    httpx.UnsupportedProtocol,
)
"""Failures that time does not mend."""


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


def _in_words(settings: Settings, causes: list[BaseException]) -> str:
    for kinds, words in _WORDS:
        found = next((cause for cause in causes if isinstance(cause, kinds)), None)
        if found is not None:
            return words.format(
                timeout=settings.timeout, limit=MAX_ANSWER_BYTES // 2**20, verify=settings.verify, error=found
            )
    return (
        "the connection broke before the whole answer came. Explorer may have restarted, "
        "or the schema is wrong, http or https."
    )


_WORDS: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((_AnswerTooLargeError,), "the answer holds more than {limit} MiB and was refused. Is this Explorer?"),
    (
        (requests.exceptions.ProxyError, httpx.ProxyError),
        "the proxy did not let it through. Check proxy, or the environment's proxy variables.",
    ),
    ((socket.gaierror,), "the host's name cannot be resolved. Check the connection's host."),
    (
        (ConnectionRefusedError,),
        "connection refused: nothing listens there. Check host and port, and that Explorer runs.",
    ),
    (
        (ssl.SSLCertVerificationError,),
        (
            "TLS: the certificate is not trusted ({error.verify_message}). "
            "Set verify (now: {verify}) to the path of the CA bundle that signed it, and host to a name "
            "that is in it."
        ),
    ),
    ((ssl.SSLError,), "TLS failed ({error.reason}). Is the schema right, http or https?"),
    (
        (
            TimeoutError,
            asyncio.TimeoutError,  # another class before Python 3.11
            requests.Timeout,
            urllib3.exceptions.TimeoutError,
            httpx.TimeoutException,
        ),
        "no answer within {timeout:g} s. Check host and port, or raise timeout.",
    ),
)
