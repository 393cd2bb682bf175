# SPDX-License-Identifier: Apache-2.0
"""The asynchronous client, based on httpx: it performs the steps of a session's exchanges."""

from __future__ import annotations

import asyncio
import http.cookiejar
import logging
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic

import anyio
import httpx

from airflow_provider_nebula_explorer.exceptions import NebulaExplorerConnectionError, NebulaExplorerError
from airflow_provider_nebula_explorer.explorer.client.account_budget import AccountBudget
from airflow_provider_nebula_explorer.explorer.client.body import Body
from airflow_provider_nebula_explorer.explorer.client.http_errors import (
    HEADERS,
    LibraryErrors,
    connection_error,
    no_cookies,
    redact_loggers,
)
from airflow_provider_nebula_explorer.explorer.client.limits import LOOP_BUDGET, READ_ON_LOOP_BYTES
from airflow_provider_nebula_explorer.explorer.client.login_store import LoginStore
from airflow_provider_nebula_explorer.explorer.client.logins import Login, Refusal
from airflow_provider_nebula_explorer.explorer.client.protocol import (
    Call,
    Exchange,
    FindLogin,
    Pause,
    Request,
    Response,
    SingleFlight,
    Step,
    StepResult,
    T,
)
from airflow_provider_nebula_explorer.explorer.client.proxies import proxy_of, unusable_proxy
from airflow_provider_nebula_explorer.explorer.client.session import Session
from airflow_provider_nebula_explorer.explorer.client.tls import tls_context
from airflow_provider_nebula_explorer.explorer.settings import Settings

log = logging.getLogger(__name__)

_MAX_CONNECTIONS = 8


class AsyncClient:
    """Makes calls on an event loop; one login and a few connections serve them all.

    Any number of calls may be made at the same time. Those that need a login share one; if Explorer
    requests a pause (``Retry-After``), all of them pause. Creating a client reads files, so do not create
    it on the event loop.

    :param settings: how to reach Explorer, and as whom.
    :param on_secret: awaited with each secret before it is first used: the encoded account, the token.
    :param sleep: makes the pauses, in seconds.
    :param clock: a monotonic clock, in seconds; it times the pauses that Explorer requests, and the budget.
    :param budget: what the account may do, if several clients share it.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        on_secret: Callable[[str], Awaitable[None]] | None = None,
        sleep: Callable[[float], Awaitable[None]] | None = None,
        clock: Callable[[], float] = time.monotonic,
        budget: AccountBudget | None = None,
    ) -> None:
        self._settings = settings
        self._session = Session(settings)
        self._store = LoginStore.of(settings)
        self._on_secret = on_secret
        self._sleep = sleep or asyncio.sleep
        self._login: asyncio.Task[Login] | None = None
        self._clock = clock
        self._budget = budget or AccountBudget()
        self._paused_until = -math.inf
        self._free = asyncio.Semaphore(_MAX_CONNECTIONS)
        # One response at a time: several would hold the event loop, or Python's lock, together too long.
        self._reading = asyncio.Lock()
        self._http = _open_httpx(settings)
        # httpcore logs the headers of responses at DEBUG, and so our token; httpx each request at INFO.
        redact_loggers("httpx", "httpcore.http11", "httpcore.proxy")

    @property
    def server_time(self) -> float | None:
        """Explorer's clock in its last response, in epoch seconds; ``None`` if that had no ``Date``."""
        return self._session.server_time

    async def run(self, call: Call[T]) -> T:
        """Make a call.

        :param call: what to send and how to read the response, from ``explorer.client.api``.
        :return: the data of the response, of the type that the call names.
        :raises NebulaExplorerError: the most specific class for what came back instead of the data.
        """
        return await self._drive(self._session.call(call))

    async def login(self) -> None:
        """Log in, whether or not there is a token."""
        await self._drive(self._session.login())

    async def close(self) -> None:
        """Close all connections to Explorer, permanently."""
        if self._login is not None:
            self._login.cancel()
            await asyncio.wait([self._login])
        await self._http.aclose()

    async def _drive(self, exchange: Exchange[T]) -> T:
        step = _advance(exchange, None)
        while not isinstance(step, (_Returned, _Raised)):
            step = await self._continue(exchange, await self._perform(step))
        if isinstance(step, _Raised):
            raise step.error
        return step.value

    async def _continue(self, exchange: Exchange[T], result: StepResult) -> Step | _Returned[T] | _Raised:
        if isinstance(result, Response) and len(result.body) > READ_ON_LOOP_BYTES:
            async with self._reading:
                return await asyncio.to_thread(_advance, exchange, result)
        return _advance(exchange, result)

    async def _perform(self, step: Step) -> StepResult:
        if isinstance(step, Request):
            return await self._send(step)
        if isinstance(step, SingleFlight):
            return await self._share(step)
        if isinstance(step, FindLogin):
            return await self._find_login(step)
        if isinstance(step, Pause):
            await self._pause(step)
        elif self._on_secret:
            await self._on_secret(step.text)
        return None

    async def _share(self, step: SingleFlight) -> Login:
        if self._login is None:
            self._login = asyncio.create_task(self._drive(step.begin()), name=f"{__name__}: login")
            self._login.add_done_callback(self._forget_login)
        # A caller that is cancelled must not cancel the login of the others.
        return await asyncio.shield(self._login)

    def _forget_login(self, done: asyncio.Task[Login]) -> None:
        self._login = None
        if not done.cancelled():
            done.exception()  # asyncio would log it as never retrieved if all callers were cancelled

    async def _find_login(self, step: FindLogin) -> Login | Refusal:
        if pause := self._budget.pause_before_login(self._clock()):
            url = self._settings.base_url
            log.warning("%s ended many logins within an hour. The next one is in %.0f s.", url, pause)
            await self._sleep(pause)
        # In threads of asyncio's: in the only one of asgiref's, Airflow answers others meanwhile.
        if self._store is None:
            return await self._log_in(step)
        turn = self._store.turn(step.refused)
        try:
            attempts = turn.attempts()
            # No event of this process could say that another one is done.
            while (seconds := await asyncio.to_thread(next, attempts, None)) is not None:  # noqa: ASYNC110
                await asyncio.sleep(seconds)
            if turn.found is not None:
                return turn.found
            outcome = await self._log_in(step)
            await asyncio.to_thread(turn.keep, outcome)
            return outcome
        finally:
            # Shielded, as a second cancellation must not leave others waiting.
            await asyncio.shield(asyncio.to_thread(turn.end))

    async def _log_in(self, step: FindLogin) -> Login | Refusal:
        self._budget.count_login(self._clock())
        return await self._drive(step.log_in())

    async def _pause(self, pause: Pause) -> None:
        if pause.is_for_all:  # made before the next request of any call
            self._paused_until = max(self._paused_until, self._clock() + pause.seconds)
        else:
            await self._sleep(pause.seconds)

    async def _send(self, request: Request) -> Response | NebulaExplorerConnectionError:
        async with self._free:
            now = self._clock()
            pause = max(self._paused_until - now, self._budget.pause_before_request(now))
            if pause > 0:
                await self._sleep(pause)
            try:
                # Not asyncio.wait_for, which before Python 3.12 may lose the cancellation of its caller.
                with anyio.fail_after(self._settings.timeout):
                    return await self._transmit(request)
            except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
                return connection_error(request, self._settings, error, _HTTPX)

    async def _transmit(self, request: Request) -> Response:
        url = self._settings.base_url + request.target
        async with self._http.stream(
            request.method, url, headers=request.headers, content=request.body
        ) as response:
            body = Body(response.headers.get("Content-Encoding", ""), LOOP_BUDGET)
            async for piece in response.aiter_raw():
                body.receive(piece)  # no pause here: a cancelled one would leave httpx's generators open
        async with self._reading:
            for _ in body.unpack():
                await asyncio.sleep(0)
        cookies = response.headers.get_list("Set-Cookie")
        return Response(response.status_code, response.headers, body.finish(), cookies)


@dataclass(frozen=True)
class _Returned(Generic[T]):
    """The end of an exchange: a thread cannot pass on its ``StopIteration``."""

    value: T


@dataclass(frozen=True)
class _Raised:
    """Its end in an error, without a traceback, whose frames would keep the response as long as it exists."""

    error: NebulaExplorerError


def _advance(exchange: Exchange[T], result: StepResult) -> Step | _Returned[T] | _Raised:
    try:
        return exchange.send(result)
    except StopIteration as done:
        return _Returned(done.value)
    except NebulaExplorerError as error:
        if error.__suppress_context__:
            error.__context__ = None
        return _Raised(error.with_traceback(None))


def _open_httpx(settings: Settings) -> httpx.AsyncClient:
    tls = tls_context(settings)
    # Before httpx 0.28 it does not know socks5h, which means what it does anyway: the proxy resolves names.
    proxy = (proxy_of(settings) or "").replace("socks5h://", "socks5://") or None
    try:
        return httpx.AsyncClient(
            headers=HEADERS,
            cookies=http.cookiejar.CookieJar(no_cookies()),
            timeout=settings.timeout,
            verify=tls or False,
            proxy=proxy,
            trust_env=False,
            # By default, httpx drops idle connections after 5 s, so before the next poll.
            limits=httpx.Limits(
                max_connections=_MAX_CONNECTIONS,
                max_keepalive_connections=_MAX_CONNECTIONS,
                keepalive_expiry=600,
            ),
        )
    except (httpx.InvalidURL, ValueError):
        raise unusable_proxy() from None


_HTTPX = LibraryErrors(
    proxy=(httpx.ProxyError,),
    timeout=(httpx.TimeoutException,),
    before_sending=(httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout),
    permanent=(httpx.InvalidURL, httpx.UnsupportedProtocol),
)
