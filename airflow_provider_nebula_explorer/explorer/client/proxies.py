# SPDX-License-Identifier: Apache-2.0
"""The proxy on the way to Explorer: the connection's, else the environment's.

Both clients obey this decision alone. What requests and httpx read of the environment themselves differs: one
knows network ranges in ``no_proxy``, the other does not; one of them fails for a proxy that is not used.
"""

from __future__ import annotations

import ipaddress
from importlib.util import find_spec
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies

from airflow_provider_nebula_explorer.exceptions import NebulaExplorerConfigError
from airflow_provider_nebula_explorer.explorer.client.addresses import check_proxy
from airflow_provider_nebula_explorer.explorer.settings import Settings

_SCHEMES = ("http", "https", "socks5", "socks5h")
_SOCKS_MODULES = ("socks", "socksio")
"""What requests, and httpx, need for SOCKS; both are required, so that workers and triggerers do the same."""

_DEFAULT_PORTS = {"http": 80, "https": 443}


def proxy_of(settings: Settings) -> str | None:
    """Return the proxy's URL; ``None`` if there is none.

    :raises NebulaExplorerConfigError: if the environment names one that cannot be used.
    """
    return settings.proxy or _proxy_of_environment(settings.base_url)


def unusable_proxy() -> NebulaExplorerConfigError:
    """Return the error for an unusable proxy; its address is not shown, as it may contain a password."""
    return NebulaExplorerConfigError(
        "The proxy's address cannot be used: the connection's, and the environment's, must be an http:// or "
        "https:// URL. Check proxy in the connection's extra, and the variables http_proxy, https_proxy and "
        "all_proxy."
    )


def _proxy_of_environment(base_url: str) -> str | None:
    target = urlsplit(base_url)
    known = getproxies()
    url = known.get(target.scheme) or known.get("all")
    if not url or is_direct(target, known.get("no", "")):
        return None
    url = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(url)
        check_proxy(parts)
    except (TypeError, ValueError):
        raise unusable_proxy() from None
    if parts.scheme not in _SCHEMES:
        raise unusable_proxy()
    if parts.scheme.startswith("socks") and not all(map(find_spec, _SOCKS_MODULES)):
        raise NebulaExplorerConfigError(
            "The environment's proxy is a SOCKS proxy, for which packages are missing: pip install "
            "'requests[socks]' 'httpx[socks]'. Or set the connection's proxy to an http:// URL, or add "
            "Explorer's host to the variable no_proxy."
        )
    return url


def is_direct(target: SplitResult, no_proxy: str) -> bool:
    """Say whether ``no_proxy`` excepts a server.

    An entry is ``*``, a network such as ``10.0.0.0/8``, an IP address or a name; these two may have a port. A
    name also stands for all names below it, with or without ``.`` or ``*.`` before it.
    """
    entries = no_proxy.replace(",", " ").lower().split()
    return any(entry == "*" or _is_excepted(target, entry) for entry in entries)


def _is_excepted(target: SplitResult, entry: str) -> bool:
    host = (target.hostname or "").partition("%")[0]
    place, port = (entry, "") if "/" in entry else _split_port(entry)
    if port and port != str(target.port or _DEFAULT_PORTS.get(target.scheme)):
        return False
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return _is_below(host.rstrip("."), place.removeprefix("*").strip("."))
    return _is_in_network(address, place)


def _is_below(host: str, name: str) -> bool:
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _split_port(entry: str) -> tuple[str, str]:
    """Return an entry's name and its port; ``""`` if it has none. An IPv6 address may be in brackets."""
    if entry.startswith("["):
        name, _, port = entry[1:].partition("]")
        return name, port.removeprefix(":")
    name, colon, port = entry.rpartition(":")
    return (name, port) if colon and ":" not in name else (entry, "")


def _is_in_network(address: ipaddress.IPv4Address | ipaddress.IPv6Address, network: str) -> bool:
    try:
        return address in ipaddress.ip_network(network, strict=False)
    except ValueError:  # it is a name
        return False
