# SPDX-License-Identifier: Apache-2.0
"""One request of the doctor's and its response, and what may be said of it: never the server's own text."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeGuard

from airflow_provider_nebula_explorer.doctor.findings import CannotTryError, RefusedError
from airflow_provider_nebula_explorer.exceptions import CODES, category_of
from airflow_provider_nebula_explorer.explorer.client.protocol import (
    Request,
    Response,
    parse_date,
    parse_envelope,
)
from airflow_provider_nebula_explorer.explorer.models import JsonObject


@dataclass(frozen=True)
class Observation:
    """A request that was answered.

    :param endpoint: the call, as the API's pages name it.
    :param sent_at: when it was sent, on this machine's clock, in epoch seconds.
    :param seconds: how long the response took.
    """

    endpoint: str
    request: Request
    response: Response
    sent_at: float
    seconds: float

    @cached_property
    def envelope(self) -> JsonObject | None:
        """The response's JSON object; ``None`` if it is not Explorer's."""
        return parse_envelope(self.response.body)

    @property
    def code(self) -> int | None:
        """Explorer's code; ``None`` if the response is not Explorer's."""
        envelope = self.envelope
        return None if envelope is None else int(envelope["code"])

    @property
    def category(self) -> int | None:
        """The code's category: 404 of 40404000."""
        return None if self.code is None else category_of(self.code)

    @property
    def is_html(self) -> bool:
        """Whether a web page came back."""
        return (
            "html" in self.response.header("content-type").lower() or self.response.body.lstrip()[:1] == b"<"
        )

    @property
    def is_broken(self) -> bool:
        """Whether something between here and Explorer answered, or Explorer had no strength to."""
        return self.envelope is None and (self.response.status >= 500 or self.response.status == 429)

    @property
    def server_time(self) -> float | None:
        """The server's clock, from ``Date``, in epoch seconds."""
        return parse_date(self.response.header("date"))

    def data(self) -> object:
        """Return the ``data`` of a success.

        :raises RefusedError: if Explorer refused the request as a wrong one.
        :raises CannotTryError: if it refused for another reason, or if the response is not Explorer's.
        """
        if self.envelope is None or self.code != 0:
            refused = RefusedError if self.category in (400, 404) else CannotTryError
            raise refused(f"{self.endpoint}: {self.describe()}")
        return self.envelope.get("data")

    def describe(self) -> str:
        """Return what came back: numbers and words of this package's own."""
        return f"HTTP {self.response.status}, {self._describe_body()}"

    def _describe_body(self) -> str:
        if self.code is not None:
            return describe_code(self.code)
        if not self.response.body:
            return "an empty body"
        return "an HTML page" if self.is_html else "a body that is not Explorer's"


def describe_code(code: int) -> str:
    """Return a code in words; of one that is not documented its category alone, as it may be anything."""
    if code == 0:
        return "code 0"
    if code in CODES:
        return f"code {code} {CODES[code][0]}"
    category = category_of(code)
    known = 400 <= category < 600 or category == 900
    return f"an undocumented code of category {category}" if known else "a code of no known category"


def is_number(value: object) -> TypeGuard[int]:
    """Whether a JSON value is a whole number of a size that occurs."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**20


def kind_of(value: object) -> str:
    """Return what a JSON value is, in words, without the value."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return "text" if not value.isdigit() else "text of digits"
    return _KINDS.get(type(value), "something else")


_KINDS: dict[type, str] = {
    bool: "true or false",
    int: "a number",
    float: "a fraction",
    list: "a list",
    dict: "an object",
}
