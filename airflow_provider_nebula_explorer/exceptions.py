# SPDX-License-Identifier: Apache-2.0
"""The errors of this package.

.. code-block:: text

    NebulaExplorerError
    ├── NebulaExplorerConfigError           a wrong connection field or argument (also a ValueError)
    ├── NebulaExplorerConnectionError       Explorer cannot be reached, or something else responds
    ├── NebulaExplorerApiError              Explorer refused: .code, .message, .http_status
    │   ├── NebulaExplorerBadRequestError   400xxxxx
    │   ├── NebulaExplorerAuthError         401xxxxx
    │   │   └── NebulaExplorerLoginError    any refused login
    │   ├── NebulaExplorerForbiddenError    403xxxxx
    │   ├── NebulaExplorerNotFoundError     404xxxxx
    │   └── NebulaExplorerServerError       5xxxxxxx, 900xxxxx and HTTP 5xx
    ├── NebulaExplorerJobError              a job ended in another status than the wanted one: .job, .url
    ├── NebulaExplorerTimeoutError          a wait took longer than its timeout (also a TimeoutError)
    └── NebulaExplorerAmbiguousSubmitError  a job may or may not have been started: .candidates

``NebulaExplorerFinalJobError`` and ``NebulaExplorerFinalAmbiguousSubmitError``, which Airflow does not retry,
and ``NebulaExplorerTaskKilledError`` are also errors of Airflow's: ``final_errors.py`` has them, and loads
Airflow when one of them is first read from here.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from airflow_provider_nebula_explorer.explorer.models import Job, one_line

LONGEST_TEXT = 30_000
"""Characters of an error's text: it may name fifty tasks or jobs, a screen full."""


class NebulaExplorerError(Exception):
    """Base of every error that this package raises. Its text is one printable line, whatever it quotes.

    :param text: what was requested, what came back, what to do next.
    """

    hint = "See Explorer's log for more."
    """What to do next, if nothing more specific is known."""

    def __init__(self, text: str = "") -> None:
        super().__init__(one_line(text, LONGEST_TEXT))

    @property
    def is_transient(self) -> bool:
        """Whether the same request may succeed a little later."""
        return False

    @property
    def was_sent(self) -> bool:
        """Whether Explorer may have received the request."""
        return True

    @property
    def may_have_acted(self) -> bool:
        """Whether Explorer may have done what was requested, although its response is missing."""
        return False

    @property
    def may_be_too_large(self) -> bool:
        """Whether a request for less, such as a smaller page, may succeed."""
        return False


class NebulaExplorerConfigError(NebulaExplorerError, ValueError):
    """A connection field or an argument has a wrong value; nothing was sent."""


class NebulaExplorerConnectionError(NebulaExplorerError):
    """Explorer cannot be reached, or something else responds.

    :param text: what was requested, what came back, what to do next.
    :param sent: whether Explorer may have received the request.
    :param transient: whether the same request may succeed a little later.
    :param too_large: whether there was a response, but a larger one than is read.
    """

    def __init__(
        self, text: str = "", *, sent: bool = True, transient: bool = True, too_large: bool = False
    ) -> None:
        super().__init__(text)
        self._sent = sent
        self._transient = transient
        self._too_large = too_large

    @property
    def may_be_too_large(self) -> bool:
        return self._too_large

    @property
    def is_transient(self) -> bool:
        return self._transient

    @property
    def was_sent(self) -> bool:
        return self._sent

    @property
    def may_have_acted(self) -> bool:
        return self._sent


class NebulaExplorerApiError(NebulaExplorerError):
    """Explorer, or a gateway in front of it, refused a request.

    :param text: what was requested, what came back, what to do next.
    :param code: Explorer's 8-digit code; ``None`` if the response was not Explorer's own.
    :param message: Explorer's own message, ``<ErrName>`` or ``<ErrName>::<detail>``.
    :param details: what Explorer said beyond its message.
    :param http_status: the HTTP status of the response.
    """

    def __init__(
        self,
        text: str = "",
        *,
        code: int | None = None,
        message: str = "",
        details: str = "",
        http_status: int | None = None,
    ) -> None:
        super().__init__(text)
        self.code = code
        self.message = message
        self.details = details
        self.http_status = http_status

    @property
    def is_transient(self) -> bool:
        return self.http_status == 429 or (self.code is not None and category_of(self.code) == 429)

    @property
    def may_have_acted(self) -> bool:
        # A response without a code of Explorer's comes from a gateway; what happened behind it is unknown.
        return self.code is None


class NebulaExplorerBadRequestError(NebulaExplorerApiError):
    """The request is wrong, or wrong for the job's current status."""

    hint = "Check the arguments, and that the job's status allows this."

    @property
    def may_be_too_large(self) -> bool:
        return True


class NebulaExplorerAuthError(NebulaExplorerApiError):
    """Explorer refused the account, or a session right after its renewal."""

    hint = (
        "The session was renewed and refused again, though Explorer accepts the account. Several Explorers "
        "behind one address must share their sessions, and a gateway must pass cookies."
    )

    @property
    def may_have_acted(self) -> bool:
        return False


class NebulaExplorerLoginError(NebulaExplorerAuthError):
    """Explorer refused the login, in each account encoding that was tried.

    :param transient: whether Explorer or graphd has no room for another login; or the same login worked
        before, and only graphd is unreachable now.
    :param refusal: as for :class:`NebulaExplorerApiError`.
    """

    def __init__(self, text: str = "", *, transient: bool = False, **refusal: Any) -> None:
        super().__init__(text, **refusal)
        self._transient = transient

    @property
    def is_transient(self) -> bool:
        return self._transient


class NebulaExplorerForbiddenError(NebulaExplorerApiError):
    """The account may not do this."""

    hint = "Ask Explorer's administrator for the permission, or use another account."


class NebulaExplorerNotFoundError(NebulaExplorerApiError):
    """The workflow, job or task does not exist."""

    hint = "Check the id, and that the connection's account may see it."


class NebulaExplorerServerError(NebulaExplorerApiError):
    """Explorer had an internal error, or is overloaded."""

    hint = "Try again later; Explorer's log shows the reason."

    @property
    def is_transient(self) -> bool:
        # Time does not renew a licence.
        return self.code != LICENCE_ERROR


class NebulaExplorerJobError(NebulaExplorerError):
    """A job ended in another status than the wanted one.

    :param text: the job, its status and the tasks that failed.
    :param job: the job as Explorer last returned it.
    :param url: the address of the job's page; ``None`` if it is not known.
    """

    def __init__(self, text: str = "", job: Job | None = None, url: str | None = None) -> None:
        super().__init__(text)
        self.job = job
        self.url = url


class NebulaExplorerTimeoutError(NebulaExplorerError, TimeoutError):
    """A wait timed out before its job was final; the job itself continues."""


class NebulaExplorerAmbiguousSubmitError(NebulaExplorerError):
    """Explorer's response to "run this workflow" was lost: a job may or may not have been started.

    :param text: what was requested, what came back, what to do next.
    :param candidates: the jobs that may be the one that was started.
    """

    def __init__(self, text: str = "", candidates: Sequence[Job] = ()) -> None:
        super().__init__(text)
        self.candidates: tuple[Job, ...] = tuple(candidates)


LICENCE_ERROR = 50004003

CODES = {
    40004000: ("ErrBadRequest", "request error"),
    40004001: ("ErrParam", "request parameter error"),
    40104000: ("ErrUnauthorized", "authorization error"),
    40104001: ("ErrSession", "login session error"),
    40304000: ("ErrForbidden", "denied"),
    40404000: ("ErrNotFound", "the resource does not exist"),
    50004000: ("ErrInternalServer", "internal service error"),
    50004001: ("ErrInternalDatabase", "database error"),
    50004002: ("ErrInternalController", "Dag Controller error"),
    LICENCE_ERROR: ("ErrInternalLicense", "certificate (licence) verification error"),
    90004000: ("ErrUnknown", "unknown error"),
}
"""Explorer's documented error codes: name and meaning (Explorer's API pages, "Error codes")."""

_CLASS_BY_CATEGORY: dict[int, type[NebulaExplorerApiError]] = {
    400: NebulaExplorerBadRequestError,
    401: NebulaExplorerAuthError,
    403: NebulaExplorerForbiddenError,
    404: NebulaExplorerNotFoundError,
    500: NebulaExplorerServerError,
    900: NebulaExplorerServerError,
}


def category_of(code: int) -> int:
    """Return a code's category, its first three digits: ``404`` of ``40404000``."""
    return code // 100_000


def class_of(code: int, http_status: int) -> type[NebulaExplorerApiError]:
    """Return the class for a code of Explorer's: by its category, else by the HTTP status."""
    category = category_of(code)
    if category in _CLASS_BY_CATEGORY:
        return _CLASS_BY_CATEGORY[category]
    is_of_the_server = 500 <= category < 600 or http_status >= 500
    return NebulaExplorerServerError if is_of_the_server else NebulaExplorerApiError


_OF_AIRFLOW = {
    "NebulaExplorerFinalAmbiguousSubmitError",
    "NebulaExplorerFinalJobError",
    "NebulaExplorerTaskKilledError",
}


def __getattr__(name: str) -> Any:
    if name not in _OF_AIRFLOW:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("airflow_provider_nebula_explorer.final_errors"), name)
