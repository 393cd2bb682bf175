# SPDX-License-Identifier: Apache-2.0
"""A response's body: unpacked as it arrives, and never further than its budget allows."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterator

from airflow_provider_nebula_explorer.explorer.client.limits import Budget

ACCEPTED_CODING = "gzip"
"""For ``Accept-Encoding``. The libraries accept more, even a coding within another, and unpack all of it."""

_CODINGS = {"": False, "identity": False, "gzip": True, "x-gzip": True}
_PART = 64 * 1024
"""Bytes that are unpacked at once: a bomb of JSON values exceeds its budget in the first."""

_GZIP_WINDOW = zlib.MAX_WBITS | 16


class ResponseTooLargeError(OSError):
    """A response exceeds its budget; the text says which part of it."""


class UnknownCodingError(OSError):
    """A response is packed in a way that was not requested."""


class BrokenBodyError(OSError):
    """A body is no gzip, or ends too soon or too late."""


class Body:
    """The body of one response.

    :param coding: the value of ``Content-Encoding``; ``""`` if there is none.
    :raises UnknownCodingError: if it is not one that was requested.
    """

    def __init__(self, coding: str, budget: Budget) -> None:
        is_packed = _CODINGS.get(coding.strip().lower())
        if is_packed is None:
            raise UnknownCodingError
        self._gzip = zlib.decompressobj(_GZIP_WINDOW) if is_packed else None
        self._budget = budget
        self._received = 0
        self._packed: deque[bytes] = deque()
        self._values = 0
        self._body = bytearray()

    def append(self, piece: bytes) -> None:
        """Add what has arrived.

        :raises ResponseTooLargeError: if that exceeds the budget.
        :raises BrokenBodyError: if it cannot be unpacked.
        """
        self.receive(piece)
        for _ in self.unpack():
            pass

    def receive(self, piece: bytes) -> None:
        """Keep what has arrived, for :meth:`unpack`.

        :raises ResponseTooLargeError: if what has arrived exceeds the budget.
        """
        self._received += len(piece)
        if self._received > 2 * self._budget.size:
            raise self._too_large()
        self._packed.append(piece)

    def unpack(self) -> Iterator[None]:
        """Unpack what was received, and yield after each piece, so that others can run in between.

        :raises ResponseTooLargeError: if the body exceeds the budget.
        :raises BrokenBodyError: if it cannot be unpacked.
        """
        while self._packed:
            piece = self._packed.popleft()
            for unpacked in self._unpacked(piece) if self._gzip else (piece,):
                self._add(unpacked)
            yield

    def _too_large(self) -> ResponseTooLargeError:
        return ResponseTooLargeError(f"{self._budget.size // 2**20} MiB")

    def _add(self, unpacked: bytes) -> None:
        self._body += unpacked
        self._values += sum(map(unpacked.count, (b"{", b"[", b",", b"\\")))
        if len(self._body) > self._budget.size:
            raise self._too_large()
        if self._values > self._budget.values:
            raise ResponseTooLargeError(f"{self._budget.values} JSON values")

    def finish(self) -> bytes:
        """Return the whole body.

        :raises BrokenBodyError: if its end is missing.
        """
        if self._gzip and self._received and not self._gzip.eof:
            raise BrokenBodyError
        return bytes(self._body)

    def _unpacked(self, piece: bytes) -> Iterator[bytes]:
        """Yield what a piece contains in small parts: what exceeds the budget must not be unpacked first."""
        assert self._gzip is not None  # noqa: S101 - its caller knows
        is_full = True
        while piece or is_full:  # when a part is full, zlib may have taken the whole piece, and hold more
            most = min(_PART, self._budget.size + 1 - len(self._body))
            try:
                part = self._gzip.decompress(piece, most)
            except zlib.error as error:
                raise BrokenBodyError from error
            if self._gzip.unused_data:
                raise BrokenBodyError
            yield part
            piece, is_full = self._gzip.unconsumed_tail, len(part) == most
