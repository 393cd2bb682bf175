"""The rules for talking to Explorer: login, renewal, retry. They are pure: a driver sends and pauses."""

from __future__ import annotations

import copy
import logging
import random
import re
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerAmbiguousSubmitError,
    NebulaExplorerApiError,
    NebulaExplorerAuthError,
    NebulaExplorerConnectionError,
    NebulaExplorerError,
    NebulaExplorerLoginError,
    category_of,
)
from airflow_provider_nebula_explorer.explorer.client.api import connect
from airflow_provider_nebula_explorer.explorer.client.protocol import (
    COOKIE,
    Call,
    Exchange,
    Request,
    Response,
    Secret,
    SingleFlight,
    T,
    parse_date,
    pause_before_retry,
    read_data,
)
from airflow_provider_nebula_explorer.explorer.client.redaction import redact
from airflow_provider_nebula_explorer.explorer.metrics import increment
from airflow_provider_nebula_explorer.explorer.settings import AccountEncoding, Settings

log = logging.getLogger(__name__)

_SECRET_PART_LENGTH = 40
"""Parts of a token from this length on are redacted, too; words are shorter, and so is a JWT's header."""

_RENEWALS = 2
"""How often one call may renew the login: an Explorer that restarts twice forgets it twice."""

_TOKENS_KEPT = 10
"""Only so many of the latest are redacted: in a triggerer, renewals go on for as long as it runs."""


class Session:
    """One login of one account, and the calls made under it.

    A token is used until it is refused with 401: its ``Max-Age`` may be missing or wrong, and Explorer
    may end the login long before.

    :param jitter: returns random numbers from 0 to 1.
    """

    def __init__(self, settings: Settings, *, jitter: Callable[[], float] = random.random) -> None:
        self._settings = settings
        self._jitter = jitter
        self._account_secrets = settings.account.secrets
        self._tokens: deque[str] = deque(maxlen=_TOKENS_KEPT)
        self._masked: set[str] = set()
        self._encodings = settings.account.encodings
        self._token: str | None = None  # the latest, though Explorer may have forgotten it
        self._untried: str | None = None  # that token, until Explorer did not refuse it once
        self._date = ""

    @property
    def server_time(self) -> float | None:
        """Explorer's clock in its last response, in epoch seconds; ``None`` if that had no ``Date``."""
        return parse_date(self._date)

    def copy(self) -> Session:
        """Return an independent session that begins with the same login."""
        clone = copy.copy(self)
        clone._tokens, clone._masked = self._tokens.copy(), self._masked.copy()  # noqa: SLF001 - its own class
        return clone

    def call(self, call: Call[T]) -> Exchange[T]:
        """Make a call: log in first if there is no token, and once more if the token is refused.

        If the new token is accepted, or meets an error of another kind, before it is refused as well, that
        login has ended, too: a second renewal follows.

        :raises NebulaExplorerError: the narrowest class for what came back instead of the data.
        """
        token = self._token or (yield from self._renew(None))
        refusals = 0
        while True:
            try:
                result = yield from self._call_with(token, call)
            except NebulaExplorerAuthError:
                refusals += 1
                if refusals > 1 and (token == self._untried or refusals > _RENEWALS):
                    raise
            else:
                self._mark_tried(token)
                return result
            token = yield from self._renew(token)

    def _mark_tried(self, token: str) -> None:
        """Note that Explorer did not refuse a token: a refusal from now on means that the login has ended."""
        if token == self._untried:
            self._untried = None

    def _renew(self, refused: str | None) -> Exchange[str]:
        """Return another token than the refused one; concurrent calls share the login."""

        def login_unless_done() -> Exchange[str]:
            if self._token is not None and self._token != refused:
                return self._token
            return (yield from self.login())

        token = yield SingleFlight(login_unless_done)
        assert isinstance(token, str)  # noqa: S101 - what the exchange returns
        return token

    def login(self) -> Exchange[str]:
        """Log in: first with the account encoding that worked before, then with the others.

        :return: the token, which is as secret as the password.
        :raises NebulaExplorerLoginError: if Explorer refuses the account in every encoding.
        """
        refusals: list[NebulaExplorerApiError] = []
        for encoding in self._encodings:
            try:
                self._token = self._untried = yield from self._connect(encoding)
                increment("logins")
            except NebulaExplorerApiError as error:
                if not _refuses_account(error):
                    raise
                refusals.append(error)
            else:
                self._encodings = (encoding, *(other for other in self._encodings if other != encoding))
                return self._token
        raise self._login_error(refusals[0]) from None

    def _connect(self, encoding: AccountEncoding) -> Exchange[str]:
        call = connect(self._settings.account, encoding)
        encoded = self._settings.account.encoded(encoding)
        if encoded not in self._masked:
            self._masked.add(encoded)
            yield Secret(encoded)

        def read_token(response: Response) -> str:
            self._read(call, response)
            token = _token_in(response)
            if token is None:
                raise NebulaExplorerConnectionError(
                    f"{self._describe(call.request)}: accepted the login, but sent no {COOKIE!r} cookie. "
                    "Does a proxy in front of Explorer remove cookies?"
                )
            return token

        token = yield from self._send_with_retries(call.request, read_token)
        if token not in self._tokens:
            self._tokens.append(token)
            yield Secret(token)
        return token

    def _call_with(self, token: str, call: Call[T]) -> Exchange[T]:
        request = replace(call.request, headers={**call.request.headers, "Cookie": f"{COOKIE}={token}"})
        read = partial(self._read, call)
        try:
            result = yield from self._send_with_retries(request, read, is_repeatable=call.is_repeatable)
        except NebulaExplorerError as error:
            if call.is_repeatable or not error.may_have_acted:
                raise
            raise NebulaExplorerAmbiguousSubmitError(
                f"{error} A job may or may not have been started."
            ) from error
        if call.metric:
            increment(call.metric)
        return result

    def _send_with_retries(
        self, request: Request, read: Callable[[Response], T], *, is_repeatable: bool = True
    ) -> Exchange[T]:
        """Send a request and read its response; again, after a pause, while that is safe and may help."""
        attempt = 0
        while True:
            response = None
            try:
                response = yield from self._send(request)
                return read(response)
            except NebulaExplorerError as error:
                if not isinstance(error, NebulaExplorerAuthError):
                    self._mark_tried(_token_of(request))
                failure = error
            is_safe = is_repeatable or not failure.was_sent
            pause = pause_before_retry(attempt, response, self._jitter())
            if attempt >= self._settings.max_retries or not (failure.is_transient and is_safe):
                if pause.is_for_all:
                    yield pause  # Explorer requests it for later calls, too
                raise failure
            log.info("%s Trying again in %.1f s.", failure, pause.seconds)
            yield pause
            increment("retries")
            attempt += 1

    def _send(self, request: Request) -> Exchange[Response]:
        result = yield request
        if isinstance(result, NebulaExplorerConnectionError):
            raise result
        assert isinstance(result, Response)  # noqa: S101 - what else comes of a request
        self._date = result.header("date")
        return result

    def _read(self, call: Call[T], response: Response) -> T:
        request_text = self._describe(call.request)
        data = read_data(request_text, response, self._redact)
        try:
            return call.read(data)
        except ValueError as error:
            raise NebulaExplorerConnectionError(
                f"{request_text}: the response is not as Explorer's API documents it: "
                f"{self._redact(str(error))}.",
                transient=False,
            ) from None

    def _describe(self, request: Request) -> str:
        return f"{request.method} {self._settings.base_url}{request.path}"

    def _redact(self, text: str) -> str:
        tokens = tuple(self._tokens)  # a copy, as another thread may add one meanwhile
        # The middle part of a token that is a JWT may itself contain the password.
        parts = (part for token in tokens for part in token.split(".") if len(part) >= _SECRET_PART_LENGTH)
        return redact((*self._account_secrets, *tokens, *parts), text)

    def _login_error(self, refusal: NebulaExplorerApiError) -> NebulaExplorerLoginError:
        account = self._settings.account
        graphd = f"nebula_address {account.nebula_address!r}, nebula_port {account.nebula_port}"
        is_unreachable = _GRAPHD_UNREACHABLE.search(refusal.message) is not None
        advice = (
            f"Explorer cannot reach graphd: check {graphd}, which must be graphd's as Explorer reaches it."
            if is_unreachable
            else "Check three things: 1. login and password; "
            f"2. graphd's address as Explorer reaches it, not localhost ({graphd}); "
            f"3. account_encoding (tried: {', '.join(self._encodings)}; Explorer 3.1 and 3.2 want colon, "
            "3.3 and later json)."
        )
        return NebulaExplorerLoginError(
            f"Explorer at {self._settings.base_url} refused to log in account {account.login!r} "
            f"(code {refusal.code}, {refusal.message}). {advice}",
            transient=is_unreachable and self._token is not None,
            code=refusal.code,
            message=refusal.message,
            http_status=refusal.http_status,
        )


# Explorer refuses every login with the same code. Only its message, in the words of graphd or of Go's net
# package, distinguishes an unreachable graphd from a wrong password.
_GRAPHD_UNREACHABLE = re.compile(
    r"dial tcp|connection refused|no such host|no route to host|unreachable|i/o timeout|failed to open",
    re.IGNORECASE,
)


def _refuses_account(error: NebulaExplorerApiError) -> bool:
    if error.code is None or error.is_transient or (error.http_status or 0) >= 500:
        return False
    return category_of(error.code) in (400, 401)


def _token_of(request: Request) -> str:
    return request.headers.get("Cookie", "").removeprefix(f"{COOKIE}=")


def _token_in(response: Response) -> str | None:
    """Return the last token that the response sets; the cookie's attributes do not matter."""
    tokens = re.findall(rf'(?:^|[\s,;]){COOKIE}="?([!#-+\--:<-~]+)', response.header("set-cookie"))
    return tokens[-1] if tokens else None
