# SPDX-License-Identifier: Apache-2.0
"""Which faults hit requests, and how often: a fifth of all requests, every kind of fault that there is."""

from __future__ import annotations

from airflow_provider_nebula_explorer.emulator import Fault

SLOW = 0.15
TIMEOUT = 1.0
"""Of a client's request, in seconds of real time."""

_TOO_LONG = 1.3
"""Longer than ``TIMEOUT``, so that a request which takes as long times out."""

_STATUSES = (
    Fault("status"),
    Fault("status", status=500),
    Fault("status", status=502),
    Fault("status", status=504, processed=True),
    Fault("status", status=429),
    Fault("status", status=429, retry_after=1),
    Fault("html", status=503),
    Fault("html"),
    Fault("garbage"),
)
"""What gateways return, and an Explorer that sheds load."""

_ODD_PAUSES = tuple(
    Fault("status", status=status, retry_after=after)
    for status, after in (
        (503, 2),
        (429, "0"),
        (429, "-5"),
        (503, "soon"),
        (429, "1e9"),
        (503, "Thu, 01 Jan 1970 00:00:00 GMT"),
    )
)
_LONG_PAUSES = (
    Fault("status", status=429, retry_after="9" * 400),
    Fault("status", status=503, retry_after="Fri, 01 Jan 2100 00:00:00 GMT"),
)
"""Explorer requests pauses of centuries, of which a client makes a minute at most."""

_TRANSIENT_REFUSALS = tuple(
    Fault("code", code=code) for code in (50004000, 50004001, 50004002, 90004000, 50304999, 42904000)
)

_WIRE = (
    Fault("reset"),
    Fault("closed"),
    Fault("lost"),
    Fault("reset_amid"),
    Fault("reset_after"),
    Fault("truncate"),
    Fault("overrun"),
    Fault("hangup"),
    Fault("drip", seconds=SLOW),
    Fault("slow", seconds=SLOW),
)
_BEYOND_THE_TIMEOUT = (Fault("slow", seconds=_TOO_LONG), Fault("drip", seconds=2 * _TOO_LONG))

REFUSALS = (
    Fault("code", code=40004000),
    Fault("code", code=40304000),
    Fault("code", code=50004003),
    Fault("redirect"),
    Fault("code", code=40404000),
)
"""Errors that a caller must get at once, as a retry is not expected to help."""

REFUSALS_BUT_NOT_FOUND = REFUSALS[:-1]
"""Without "not found", after which a job is no longer observed."""

_SESSION_LOSSES = (Fault("session_loss"), Fault("graphd_session_loss"))
"""Explorer forgets all logins, or graphd drops their sessions. Those of logins that Explorer forgot stay at
graphd for hours, and there is room for 300."""

_TOO_LARGE = (Fault("huge"), Fault("gzip_bomb"))


def mixed(faults: tuple[Fault, ...], share: float, endpoint: str = "*") -> list[Fault]:
    """Return faults that together hit a share of the requests, each an equal part, for ever."""
    each = 1 - (1 - share) ** (1 / len(faults))
    return [_always(fault, each, endpoint) for fault in faults]


def _always(fault: Fault, probability: float, endpoint: str) -> Fault:
    changes = {"probability": probability, "endpoint": endpoint, "times": None}
    return Fault(**{**vars(fault), **changes})


def all_kinds(refusals: tuple[Fault, ...] = REFUSALS) -> list[Fault]:
    """Return a mixture that hits a fifth of all requests; one in twenty of these faults is permanent."""
    return [
        *mixed((*_STATUSES, *_TRANSIENT_REFUSALS, *_WIRE), 0.16),
        *mixed(_ODD_PAUSES, 0.02),
        *mixed(_LONG_PAUSES, 0.001),
        *mixed(_BEYOND_THE_TIMEOUT, 0.004),
        *mixed(_SESSION_LOSSES, 0.01),
        *mixed(refusals, 0.01, "[!c]*"),  # but logins and cancels
        *mixed(_TOO_LARGE, 0.001, "[!c]*"),
    ]


def transient_ones() -> list[Fault]:
    """Return a mixture that hits a fifth of all requests, each fault of it transient."""
    return [
        *mixed((*_STATUSES, *_TRANSIENT_REFUSALS, *_WIRE), 0.18),
        *mixed(_SESSION_LOSSES, 0.01),
        *mixed(_BEYOND_THE_TIMEOUT, 0.004),
    ]


def around_starts() -> list[Fault]:
    """Return a mixture that hits a third of all starts of a job, and a fifth of the other requests."""
    acted = (
        Fault("lost"),
        Fault("reset_amid"),
        Fault("reset_after"),
        Fault("truncate"),
        Fault("status", processed=True),
        Fault("status", status=429, processed=True),
        Fault("html", status=502, processed=True),
        Fault("garbage", processed=True),
        Fault("drip", seconds=2 * _TOO_LONG),
        Fault("slow", seconds=_TOO_LONG),
    )
    not_acted = (Fault("reset"), Fault("closed"), Fault("status"), Fault("status", status=429))
    refused = tuple(Fault("code", code=code) for code in (40004000, 40404000, 50004001, 50004003))
    return [
        *mixed(acted, 0.15, "run_workflow"),
        *mixed(not_acted, 0.1, "run_workflow"),
        *mixed(refused, 0.05, "run_workflow"),
        *mixed(_SESSION_LOSSES, 0.005),
        *mixed((*_STATUSES, *_WIRE), 0.18, "list_*"),
        *mixed((*_STATUSES, *_WIRE), 0.18, "connect"),
    ]
