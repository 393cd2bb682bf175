"""Which faults befall requests, and how often: a fifth of all, of every kind that there is."""

from __future__ import annotations

from airflow_provider_nebula_explorer.emulator import Fault

SLOW = 0.15
TIMEOUT = 1.0
"""Of a client's request, in seconds that nothing hurries."""

_NEVER_ENDS = 1.3
"""Longer than that."""

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
"""What gateways say, and an Explorer that sheds load."""

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
"""Pauses of centuries that Explorer asks for. A client makes a minute of them."""

_REFUSALS_THAT_PASS = tuple(
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
_BEYOND_THE_TIMEOUT = (Fault("slow", seconds=_NEVER_ENDS), Fault("drip", seconds=2 * _NEVER_ENDS))

REFUSALS = (
    Fault("code", code=40004000),
    Fault("code", code=40304000),
    Fault("code", code=50004003),
    Fault("redirect"),
    Fault("code", code=40404000),
)
"""What a caller has to be told at once, as asking again is not expected to help."""

REFUSALS_BUT_GONE = REFUSALS[:-1]
"""Without the one that says that a job is gone, which ends all looking for it."""

_TOO_LARGE = (Fault("huge"), Fault("gzip_bomb"))


def mixed(faults: tuple[Fault, ...], share: float, endpoint: str = "*") -> list[Fault]:
    """Return faults that together befall a share of the requests, each the same, for ever."""
    each = 1 - (1 - share) ** (1 / len(faults))
    return [_always(fault, each, endpoint) for fault in faults]


def _always(fault: Fault, probability: float, endpoint: str) -> Fault:
    changes = {"probability": probability, "endpoint": endpoint, "times": None}
    return Fault(**{**vars(fault), **changes})


def everything(refusals: tuple[Fault, ...] = REFUSALS) -> list[Fault]:
    """Return a mixture that befalls a fifth of all requests, one in twenty of those for good."""
    return [
        *mixed((*_STATUSES, *_REFUSALS_THAT_PASS, *_WIRE), 0.16),
        *mixed(_ODD_PAUSES, 0.02),
        *mixed(_LONG_PAUSES, 0.001),
        *mixed(_BEYOND_THE_TIMEOUT, 0.004),
        *mixed((Fault("session_loss"),), 0.01),
        *mixed(refusals, 0.01, "[!c]*"),  # but logins and cancels
        *mixed(_TOO_LARGE, 0.001, "[!c]*"),
    ]


def that_pass() -> list[Fault]:
    """Return a mixture that befalls a fifth of all requests, and all of it passes."""
    return [
        *mixed((*_STATUSES, *_REFUSALS_THAT_PASS, *_WIRE), 0.18),
        *mixed((Fault("session_loss"),), 0.01),
        *mixed(_BEYOND_THE_TIMEOUT, 0.004),
    ]


def around_starts() -> list[Fault]:
    """Return a mixture that befalls a third of all starts of a job, and a fifth of what else is asked."""
    acted = (
        Fault("lost"),
        Fault("reset_amid"),
        Fault("reset_after"),
        Fault("truncate"),
        Fault("status", processed=True),
        Fault("status", status=429, processed=True),
        Fault("html", status=502, processed=True),
        Fault("garbage", processed=True),
        Fault("drip", seconds=2 * _NEVER_ENDS),
        Fault("slow", seconds=_NEVER_ENDS),
    )
    not_acted = (Fault("reset"), Fault("closed"), Fault("status"), Fault("status", status=429))
    refused = tuple(Fault("code", code=code) for code in (40004000, 40404000, 50004001, 50004003))
    return [
        *mixed(acted, 0.15, "run_workflow"),
        *mixed(not_acted, 0.1, "run_workflow"),
        *mixed(refused, 0.05, "run_workflow"),
        *mixed((Fault("session_loss"),), 0.005),
        *mixed((*_STATUSES, *_WIRE), 0.18, "list_*"),
        *mixed((*_STATUSES, *_WIRE), 0.18, "connect"),
    ]
