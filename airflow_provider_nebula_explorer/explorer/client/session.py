# SPDX-License-Identifier: Apache-2.0
"""The rules for talking to Explorer: login, renewal, retry. They are pure: a driver sends and pauses."""

from __future__ import annotations

import copy
import logging
import random
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerAmbiguousSubmitError,
    NebulaExplorerApiError,
    NebulaExplorerConnectionError,
    NebulaExplorerError,
)
from airflow_provider_nebula_explorer.explorer.client.api import connect
from airflow_provider_nebula_explorer.explorer.client.login_errors import (
    LoginProblem,
    is_end_of_session,
    login_error,
    problem_of,
    refusal_of,
)
from airflow_provider_nebula_explorer.explorer.client.logins import COOKIE, Login, Refusal, read_login
from airflow_provider_nebula_explorer.explorer.client.protocol import (
    Call,
    Exchange,
    FindLogin,
    Request,
    Response,
    Secret,
    SingleFlight,
    T,
    parse_date,
    pause_before_retry,
    read_result,
)
from airflow_provider_nebula_explorer.explorer.client.redaction import redact
from airflow_provider_nebula_explorer.explorer.metrics import increment
from airflow_provider_nebula_explorer.explorer.settings import AccountEncoding, Settings

log = logging.getLogger(__name__)

_RENEWALS = 2
"""How often one call may renew the login: an Explorer that restarts twice forgets it twice."""

_LOGINS_KEPT = 3
"""Only so many of the latest are redacted, as a call that is under way may have sent one: in a triggerer,
renewals go on for as long as it runs."""


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
        self._logins: deque[Login] = deque(maxlen=_LOGINS_KEPT)
        self._masked: set[str] = set()
        self._encodings = settings.account.encodings
        self._login: Login | None = None  # the latest, though Explorer may have forgotten it
        self._untried: str | None = None  # the token of a new one, until Explorer did not refuse it once
        self._date = ""

    @property
    def server_time(self) -> float | None:
        """Explorer's clock in its last response, in epoch seconds; ``None`` if that had no ``Date``."""
        return parse_date(self._date)

    def copy(self) -> Session:
        """Return an independent session that begins with the same login."""
        clone = copy.copy(self)
        clone._logins, clone._masked = self._logins.copy(), self._masked.copy()  # noqa: SLF001 - its own class
        return clone

    def call(self, call: Call[T]) -> Exchange[T]:
        """Make a call: find a login first if there is none, and another one if its token is refused.

        Adding a job is repeated then, too, as a refusal of Explorer's own means that it was not done.

        A new login that worked once (any response but a refusal of it) and is refused then has ended, too: a
        second renewal follows. One that is refused at its first use is an error.

        :raises NebulaExplorerError: the narrowest class for what came back instead of the data.
        """
        login = self._login or (yield from self._renew(None))
        refusals = 0
        while True:
            try:
                result = yield from self._call_with(login, call)
            except NebulaExplorerApiError as error:
                if not is_end_of_session(error):
                    raise
                refusals += 1
                if refusals > 1 and (login.token == self._untried or refusals > _RENEWALS):
                    raise
            else:
                self._mark_tried(login.token)
                return result
            login = yield from self._renew(login.token)

    def _mark_tried(self, token: str) -> None:
        """Note that Explorer did not refuse a token: a refusal from now on means that the login has ended."""
        if token == self._untried:
            self._untried = None

    def _renew(self, refused: str | None) -> Exchange[Login]:
        """Return another login than that of the refused token; concurrent calls share it."""

        def find_unless_done() -> Exchange[Login]:
            if self._login is not None and self._login.token != refused:
                return self._login
            found = yield FindLogin(refused, self._log_in)
            assert isinstance(found, (Login, Refusal))  # noqa: S101 - what comes of this step
            return (yield from self._accept(found))

        login = yield SingleFlight(find_unless_done)
        assert isinstance(login, Login)  # noqa: S101 - what the exchange returns
        return login

    def login(self) -> Exchange[Login]:
        """Log in to Explorer itself, no matter what other processes know.

        :return: the login, which is as secret as the password.
        :raises NebulaExplorerLoginError: if Explorer refuses the account in every encoding.
        """
        return (yield from self._accept((yield from self._log_in())))

    def _accept(self, found: Login | Refusal) -> Exchange[Login]:
        """Take a login, whoever made it, for the calls from now on.

        :raises NebulaExplorerLoginError: if it is a refusal.
        """
        if isinstance(found, Refusal):
            raise login_error(self._settings, found, worked_before=self._login is not None)
        if found not in self._logins:
            self._logins.append(found)
            for secret in found.secrets:
                yield Secret(secret)
        self._login = found
        others = (encoding for encoding in self._encodings if encoding != found.encoding)
        self._encodings = (found.encoding, *others)
        return found

    def _log_in(self) -> Exchange[Login | Refusal]:
        """Log in: first with the account encoding that worked before, then with the others.

        :return: a login, or Explorer's refusal of the account in every encoding.
        :raises NebulaExplorerError: if it was not the account that was refused.
        """
        refusals: list[Refusal] = []
        for encoding in self._encodings:
            try:
                login = yield from self._connect(encoding)
            except NebulaExplorerApiError as error:
                refusal = refusal_of(error)
                if refusal is None or error.is_transient:
                    raise
                refusals.append(refusal)
            else:
                increment("logins")
                self._untried = login.token
                return login
        increment("logins.refused")
        if problem_of(refusals[0]) is LoginProblem.ACCOUNT:
            return refusals[0]
        raise login_error(self._settings, refusals[0], worked_before=self._login is not None)

    def _connect(self, encoding: AccountEncoding) -> Exchange[Login]:
        call = connect(self._settings.account, encoding)
        encoded = self._settings.account.encoded(encoding)
        if encoded not in self._masked:
            self._masked.add(encoded)
            yield Secret(encoded)

        def read(response: Response) -> Login:
            self._read_login_response(call, response)
            login = read_login(response.set_cookies, encoding)
            if login is None:
                raise NebulaExplorerConnectionError(
                    f"{self._describe(call.request)}: accepted the login, but sent no usable {COOKIE!r} "
                    "cookie. Does a proxy in front of Explorer remove cookies?"
                )
            return login

        return (yield from self._send_with_retries(call.request, read))

    def _read_login_response(self, call: Call[None], response: Response) -> None:
        """Read the response to a login.

        :raises NebulaExplorerLoginError: transient, if there is no room for another login.
        """
        try:
            self._read(call, response)
        except NebulaExplorerApiError as error:
            refusal = refusal_of(error)
            if refusal is None or not problem_of(refusal).is_lack_of_room:
                raise
            increment("logins.refused")
            raise login_error(self._settings, refusal, worked_before=True) from None

    def _call_with(self, login: Login, call: Call[T]) -> Exchange[T]:
        request = replace(call.request, headers={**call.request.headers, "Cookie": login.header})
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
                failure = error
            token = _token_of(request)
            has_ended = bool(token) and is_end_of_session(failure)
            if not has_ended:
                self._mark_tried(token)
            is_safe = is_repeatable or not failure.was_sent
            may_help = failure.is_transient and is_safe and not has_ended
            pause = pause_before_retry(attempt, response, self._jitter())
            if attempt >= self._settings.max_retries or not may_help:
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
        return read_result(call, self._describe(call.request), response, self._redact)

    def _describe(self, request: Request) -> str:
        return f"{request.method} {self._settings.base_url}{request.path}"

    def _redact(self, text: str) -> str:
        logins = tuple(self._logins)  # a copy, as another thread may add one meanwhile
        tokens = [secret for login in logins for secret in login.secrets]
        return redact(self._account_secrets, text, tokens=tokens)


def _token_of(request: Request) -> str:
    return request.headers.get("Cookie", "").partition(";")[0].removeprefix(f"{COOKIE}=")
