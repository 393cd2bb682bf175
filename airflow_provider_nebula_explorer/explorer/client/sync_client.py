# SPDX-License-Identifier: Apache-2.0
"""The blocking client, based on requests: it performs the steps of a session's exchanges."""

from __future__ import annotations

import contextlib
import math
import ssl
import time
import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import requests
import requests.adapters
import urllib3.exceptions

from airflow_provider_nebula_explorer.exceptions import NebulaExplorerConnectionError
from airflow_provider_nebula_explorer.explorer.client.body import Body
from airflow_provider_nebula_explorer.explorer.client.bounded_io import BoundedResponse
from airflow_provider_nebula_explorer.explorer.client.http_errors import (
    HEADERS,
    LibraryErrors,
    connection_error,
    no_cookies,
    redact_loggers,
)
from airflow_provider_nebula_explorer.explorer.client.limits import WORKER_BUDGET
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
from airflow_provider_nebula_explorer.explorer.client.proxies import proxy_of
from airflow_provider_nebula_explorer.explorer.client.session import Session
from airflow_provider_nebula_explorer.explorer.client.tls import tls_context, trust
from airflow_provider_nebula_explorer.explorer.settings import Settings

_PIECE_BYTES = 64 * 1024


class Client:
    """Makes calls, blocking; one login and one connection serve them all.

    :param settings: how to reach Explorer, and as whom.
    :param on_secret: called with each secret before it is first used: the encoded account, the token.
    :param sleep: makes the pauses, in seconds.
    :param clock: a monotonic clock, in seconds; it times the pauses that Explorer requests.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        on_secret: Callable[[str], None] | None = None,
        sleep: Callable[[float], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._session = Session(settings)
        self._store = LoginStore.of(settings)
        self._on_secret = on_secret
        self._sleep = sleep or time.sleep
        self._clock = clock
        self._paused_until = -math.inf
        # urllib3 warns of headers that it cannot read, and quotes what follows them, which may be our token.
        redact_loggers("urllib3.connection", "urllib3.connectionpool")
        self._http = _NoRedirects()
        # Unusable files and proxies are errors now, with the same text for both clients.
        adapter = _Adapter(tls_context(settings))
        for scheme in ("http", "https"):
            self._http.mount(f"{scheme}://", adapter)
        # Otherwise requests would find a proxy by rules of its own, and overwrite our header from ~/.netrc.
        self._http.trust_env = False
        proxy = proxy_of(settings)
        self._proxies = {"http": proxy, "https": proxy} if proxy else {}
        self._http.headers.update(HEADERS)
        self._http.cookies.set_policy(no_cookies())

    def run(self, call: Call[T]) -> T:
        """Make a call.

        :param call: what to send and how to read the response, from ``explorer.client.api``.
        :return: the data of the response, of the type that the call names.
        :raises NebulaExplorerError: the most specific class for what came back instead of the data.
        """
        return self._drive(self._session.call(call))

    def login(self) -> None:
        """Log in, whether or not there is a token."""
        self._drive(self._session.login())

    def send(self, request: Request) -> Response:
        """Send one request as it is: without a login, and once.

        :raises NebulaExplorerConnectionError: if no response came.
        """
        reply = self._send(request)
        if isinstance(reply, Response):
            return reply
        raise reply

    @property
    def server_time(self) -> float | None:
        """Explorer's clock in its last response, in epoch seconds; ``None`` if that had no ``Date``."""
        return self._session.server_time

    def clone(self) -> Client:
        """Return another client under the same login, with a connection of its own.

        It can be used while this one is in the middle of a call, for example from a signal handler.
        """
        clone = Client(self._settings, sleep=self._sleep, clock=self._clock)
        clone._session = self._session.copy()
        return clone

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

    def _perform(self, step: Step) -> StepResult:
        if isinstance(step, Request):
            return self._send(step)
        if isinstance(step, SingleFlight):
            return self._drive(step.begin())
        if isinstance(step, FindLogin):
            return self._find_login(step)
        if isinstance(step, Pause):
            self._pause(step)
        elif self._on_secret:
            self._on_secret(step.text)
        return None

    def _find_login(self, step: FindLogin) -> Login | Refusal:
        if self._store is None:
            return self._drive(step.log_in())
        turn = self._store.turn(step.refused)
        try:
            for seconds in turn.attempts():
                time.sleep(seconds)
            if turn.found is not None:
                return turn.found
            outcome = self._drive(step.log_in())
            turn.keep(outcome)
            return outcome
        finally:
            turn.end()

    def _pause(self, pause: Pause) -> None:
        if pause.is_for_all:
            self._paused_until = max(self._paused_until, self._clock() + pause.seconds)
        else:
            self._sleep(pause.seconds)

    def _send(self, request: Request) -> Response | NebulaExplorerConnectionError:
        left = self._paused_until - self._clock()
        if left > 0:
            self._sleep(left)
        try:
            return self._transmit(request)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            return connection_error(request, self._settings, error, _REQUESTS)

    def _transmit(self, request: Request) -> Response:
        settings = self._settings
        with (
            _no_warning_at_every_request(),
            self._http.request(
                request.method,
                settings.base_url + request.target,
                headers=dict(request.headers),
                data=request.body,
                timeout=urllib3.Timeout(total=settings.timeout),  # type: ignore[arg-type]
                allow_redirects=False,
                stream=True,
                verify=trust(settings),
                proxies=self._proxies,
            ) as response,
        ):
            return Response(
                response.status_code,
                response.headers,
                _read_body(response.raw),
                response.raw.headers.getlist("Set-Cookie"),
            )


def _read_body(response: urllib3.HTTPResponse) -> bytes:
    body = Body(response.headers.get("Content-Encoding", ""), WORKER_BUDGET)
    while piece := response.read1(_PIECE_BYTES, decode_content=False):
        body.append(piece)
    return body.finish()


class _NoRedirects(requests.Session):
    """Ignores where a redirect leads: to find out, requests would read the whole response."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        return None


class _Adapter(requests.adapters.HTTPAdapter):
    """Makes connections, to Explorer or to a proxy, whose responses are bounded in time and size.

    :param tls: how to speak TLS, as the other client does; ``None`` if Explorer is reached without it.
    """

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self._options: dict[str, Any] = {} if tls is None else {"ssl_context": tls}
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **{**options, **self._options})
        _bound(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **options: Any) -> urllib3.PoolManager:
        is_new = proxy not in self.proxy_manager
        manager: urllib3.PoolManager = super().proxy_manager_for(proxy, **options, **self._options)
        if is_new:
            _bound(manager)
        return manager


def _bound(manager: urllib3.PoolManager) -> None:
    manager.pool_classes_by_scheme = {
        scheme: _bounded(pool) for scheme, pool in manager.pool_classes_by_scheme.items()
    }


@lru_cache
def _bounded(pool: Any) -> Any:
    """Return a kind of connection pool whose connections read bounded responses."""
    connection = type("BoundedConnection", (pool.ConnectionCls,), {"response_class": BoundedResponse})
    return type("BoundedPool", (pool,), {"ConnectionCls": connection})


@contextlib.contextmanager
def _no_warning_at_every_request() -> Iterator[None]:
    # urllib3 would warn of verify=false at each poll; whoever set it knows.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", urllib3.exceptions.InsecureRequestWarning)
        yield


_REQUESTS = LibraryErrors(
    proxy=(requests.exceptions.ProxyError,),
    timeout=(requests.Timeout, urllib3.exceptions.TimeoutError),
    before_sending=(urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError),
    permanent=(
        requests.exceptions.InvalidURL,
        requests.exceptions.InvalidSchema,
        requests.exceptions.InvalidProxyURL,
    ),
)
