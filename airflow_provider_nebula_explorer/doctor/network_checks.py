# SPDX-License-Identifier: Apache-2.0
"""What is assumed of the way to Explorer: its clock, its speed, TLS, proxies and graphd's address."""

from __future__ import annotations

import ipaddress
from statistics import median

from airflow_provider_nebula_explorer.doctor.check import Check
from airflow_provider_nebula_explorer.doctor.findings import CannotTryError, Finding, differs, ok
from airflow_provider_nebula_explorer.doctor.prober import Prober
from airflow_provider_nebula_explorer.explorer.client.proxies import proxy_of

_CLOSE_SECONDS = 5
_SLOW_SECONDS = 1.0


def date_header(prober: Prober) -> Finding:
    """Try whether each response tells the server's clock."""
    without = [seen for seen in prober.observations if seen.server_time is None]
    if without:
        return differs(
            f"missing in {len(without)} of {len(prober.observations)} responses",
            "The package then takes this machine's clock for Explorer's where it looks for the job of a lost "
            "response: keep both synchronized, and let gateways pass Date.",
        )
    return ok(f"in {len(prober.observations)} responses")


def clock(prober: Prober) -> Finding:
    """Compare Explorer's clock with this machine's."""
    # A date has whole seconds, so on average half of one has passed since.
    differences = [
        seen.server_time + 0.5 - (seen.sent_at + seen.seconds / 2)
        for seen in prober.observations
        if seen.server_time is not None
    ]
    if not differences:
        raise CannotTryError("no response has a Date")
    difference = round(median(differences))
    if abs(difference) > _CLOSE_SECONDS:
        return differs(
            f"{difference:+d} s",
            "Starts and waits are unaffected, but times such as created_after are compared with Explorer's "
            "clock: synchronize both machines.",
            clock_difference=difference,
        )
    return ok(f"{difference:+d} s", clock_difference=difference)


def latency(prober: Prober) -> Finding:
    """Measure how long responses take, by call."""
    times: dict[str, list[float]] = {}
    for seen in prober.observations:
        times.setdefault(seen.endpoint, []).append(seen.seconds)
    if not times:
        raise CannotTryError("no response")
    middle = round(median([seen.seconds for seen in prober.observations]), 4)
    each = ", ".join(f"{endpoint} {median(taken):.3g} s" for endpoint, taken in sorted(times.items()))
    text = f"median {middle:.3g} s ({each})"
    if middle > _SLOW_SECONDS:
        return differs(
            text, "Raise timeout in the connection, and poll less often (poll_interval).", latency=middle
        )
    return ok(text, latency=middle)


def tls(prober: Prober) -> Finding:
    """Say how the way to Explorer is encrypted."""
    settings = prober.settings
    if settings.base_url.startswith("http:"):
        return ok("http: not encrypted")
    if settings.verify is False:
        return differs(
            "https, certificate not verified",
            "Whoever is between can read the account: set verify to the path of the CA bundle that signed "
            "Explorer's certificate.",
        )
    return ok(f"https, certificate verified{'' if settings.verify is True else ' by a CA bundle of its own'}")


def proxy(prober: Prober) -> Finding:
    """Say whether a proxy is used."""
    if prober.settings.proxy:
        return ok("the connection's")
    if proxy_of(prober.settings):
        return differs(
            "the environment's",
            "Processes with another environment take another way: set proxy in the connection, or add "
            "Explorer's host to the variable NO_PROXY.",
        )
    return ok("none")


def graphd_address(prober: Prober) -> Finding:
    """Try whether graphd's address means the same machine from everywhere."""
    address = prober.settings.account.nebula_address
    if _is_loopback(address):
        return differs(
            "a loopback address",
            "It works now, but means another machine once Explorer moves: give graphd's IP address or name, "
            "as Explorer's documentation asks.",
        )
    return ok("no loopback address")


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return address.rstrip(".").lower() == "localhost"


WAY_CHECKS = (
    Check("TLS", "http, or https with a verified certificate", tls),
    Check("proxy", "none, or the connection's", proxy),
    Check("graphd's address", "not localhost or 127.0.0.1", graphd_address),
)

CLOCK_CHECKS = (
    Check("Date header", "in every response", date_header),
    Check("clock", f"within {_CLOSE_SECONDS} s of this machine's", clock),
    Check("latency", f"a median up to {_SLOW_SECONDS:g} s", latency),
)
"""They judge all responses so far, so they come last."""
