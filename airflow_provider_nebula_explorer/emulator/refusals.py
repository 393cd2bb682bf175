# SPDX-License-Identifier: Apache-2.0
"""How Explorer refuses a request."""

from __future__ import annotations

from airflow_provider_nebula_explorer.emulator.messages import Response, json_response
from airflow_provider_nebula_explorer.exceptions import CODES, category_of
from airflow_provider_nebula_explorer.explorer.models import JsonObject

BAD_REQUEST = 40004000
WRONG_PARAMETER = 40004001
NO_SESSION = 40104001
FORBIDDEN = 40304000
NOT_FOUND = 40404000


class RefusedError(Exception):
    """A request that Explorer refuses.

    :param code: one of Explorer's 8-digit codes.
    :param detail: what follows the error's name in the message.
    """

    def __init__(self, code: int, detail: str = "") -> None:
        name = CODES.get(code, CODES[90004000])[0]
        self.code = code
        self.message = f"{name}::{detail}" if detail else name
        super().__init__(self.message)

    @property
    def http_status(self) -> int:
        """The HTTP status: the code's category, or 500 if that is no HTTP status, such as 900."""
        category = category_of(self.code)
        return category if category in range(400, 600) else 500

    @property
    def envelope(self) -> JsonObject:
        """The body of the response."""
        return {"code": self.code, "message": self.message}

    @property
    def response(self) -> Response:
        """The response to the refused request."""
        return json_response(self.envelope, self.http_status)


class MissingError(RefusedError):
    """A request about something that does not exist.

    :param what: names it.
    """

    def __init__(self, what: str) -> None:
        super().__init__(NOT_FOUND, f"{what} does not exist")


def is_code(value: object) -> bool:
    """Whether a value has the form of Explorer's codes: a number of 8 digits."""
    return isinstance(value, int) and not isinstance(value, bool) and 10_000_000 <= value <= 99_999_999


def wrong_parameter(name: str, allowed: str) -> RefusedError:
    """Return the refusal of a request in which one parameter is wrong."""
    return RefusedError(WRONG_PARAMETER, f"{name} is not {allowed}")
