# SPDX-License-Identifier: Apache-2.0
"""How many logins Explorer and graphd bear."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Limits:
    """The limits of Explorer and of the graphd behind it; 0 switches a limit off.

    :param max_clients: Explorer refuses every login while it keeps this many clients.
    :param client_idle: Explorer may close a client that made no request for this many seconds.
    :param recycle_above: Explorer closes idle clients at a login that finds more clients than this, or finds
        no room.
    :param max_graphd_sessions: graphd refuses every login while it has this many sessions.
    :param failed_login_attempts: graphd locks the account after this many wrong passwords in a row.
    :param password_lock_time: the seconds for which the account is then locked.
    :raises ValueError: if a value is negative or not finite.
    """

    max_clients: int = 200
    client_idle: float = 3600
    recycle_above: int = 30
    max_graphd_sessions: int = 300
    failed_login_attempts: int = 0
    password_lock_time: float = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 <= value < math.inf:
                raise ValueError(f"{field.name} is {value}; allowed: 0 or more")
