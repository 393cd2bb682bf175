# SPDX-License-Identifier: Apache-2.0
"""The addresses that a connection may contain: for others, these raise ``ValueError`` or ``TypeError``."""

from __future__ import annotations

import ipaddress
import re
import string
from typing import Any
from urllib.parse import SplitResult, quote, unquote, urlsplit

_HOST_NAME = re.compile(r"[\w-]+(\.[\w-]+)*\.?")
_ZONE = re.compile(r"[A-Za-z0-9._~-]+")
"""``eth0`` in ``fe80::1%eth0``; Python's own check of an IPv6 address accepts any zone, line ends too."""

_PLACE = re.compile(r"(\[[^][]*\]|[^][:]*)(:[0-9]*)?")


def read_address(value: Any) -> str:
    """Return a host's name or IP address."""
    if not isinstance(value, str):
        raise TypeError
    if not _HOST_NAME.fullmatch(value):
        address, percent, zone = value.partition("%")
        if percent and not (ipaddress.IPv6Address(address) and _ZONE.fullmatch(zone)):
            raise ValueError
        ipaddress.ip_address(address)
    value.encode("idna")
    return value


def read_url(value: str) -> SplitResult:
    """Return the parts of a URL."""
    parts = urlsplit(value)
    place = parts.netloc.rpartition("@")[2]
    # urlsplit silently removes line ends, and ignores what follows the brackets of an IPv6 address;
    # before Python 3.11.4, it does not check what is between them either.
    if not value.isprintable() or not _PLACE.fullmatch(place):
        raise ValueError
    if place.startswith("["):
        ipaddress.IPv6Address(place[1:].partition("]")[0].partition("%")[0])
    return parts


def read_prefix(path: str) -> str:
    """Return a URL's path without a slash at its end, to be put before the API's paths."""
    prefix = unquote(path).rstrip("/")
    # Clients and proxies resolve these in different ways.
    if "\\" in prefix or {"", ".", ".."} & set(prefix.split("/")[1:]):
        raise ValueError
    return quote(prefix)


def read_proxy(value: Any) -> str:
    """Return a proxy's URL, which may hold an account."""
    if not isinstance(value, str) or " " in value:
        raise ValueError
    parts = read_url(value)
    if parts.scheme not in ("http", "https") or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError
    check_proxy(parts)
    return value


def check_proxy(parts: SplitResult) -> None:
    """Refuse addresses for which the HTTP libraries raise errors of all kinds, which show the password."""
    read_address(parts.hostname)
    if parts.port == 0:
        raise ValueError
    unquote(f"{parts.username}{parts.password}").encode("latin-1")  # requests can write no other characters


def read_job_url(value: Any) -> str:
    """Return the template of the address of a job's page."""
    for _, name, specification, conversion in string.Formatter().parse(value):
        if name not in (None, "job_id", "workflow_id", "base_url") or specification or conversion:
            raise ValueError
    link = value.format(job_id=1, workflow_id=1, base_url="http://host")
    if read_url(link).scheme not in ("http", "https"):
        raise ValueError
    return str(value)
