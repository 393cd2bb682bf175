# SPDX-License-Identifier: Apache-2.0
"""Opens clients within Airflow: no secret that a client learns may appear in a log."""

from __future__ import annotations

import base64
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from airflow_provider_nebula_explorer.explorer.client.proxies import proxy_of
from airflow_provider_nebula_explorer.explorer.metrics import Metric, install
from airflow_provider_nebula_explorer.explorer.settings import Settings

if TYPE_CHECKING:
    from airflow_provider_nebula_explorer.explorer.client.account_budget import AccountBudget
    from airflow_provider_nebula_explorer.explorer.client.async_client import AsyncClient
    from airflow_provider_nebula_explorer.explorer.client.sync_client import Client


def open_client(settings: Settings) -> Client:
    """Return a blocking client whose secrets Airflow masks."""
    # Imported here, so that a DAG file does not load an HTTP library.
    from airflow_provider_nebula_explorer.explorer.client.sync_client import Client

    install(measure)
    _mask_proxy(settings)
    return Client(settings, on_secret=_mask)


async def open_async_client(settings: Settings, budget: AccountBudget) -> AsyncClient:
    """Return an asynchronous client whose secrets Airflow masks.

    :param budget: what the account may do.
    """
    from asgiref.sync import sync_to_async

    def build() -> AsyncClient:
        from airflow_provider_nebula_explorer.explorer.client.async_client import AsyncClient

        install(measure)
        _mask_proxy(settings)
        return AsyncClient(settings, on_secret=sync_to_async(_mask), budget=budget)

    # In threads: importing and building it reads files, and Airflow's masking calls its supervisor.
    return await sync_to_async(build)()


@cache
def load_metrics() -> Any:
    """Return Airflow's metrics. The first call imports them, so do not make it on an event loop."""
    from airflow.providers.common.compat.sdk import Stats

    return Stats


def measure(metric: Metric) -> None:
    """Add one to a metric of Airflow's, whether this process has opened a client or not."""
    with suppress(Exception):  # an error of the metrics backend stops no work
        load_metrics().incr(f"nebula_explorer.{metric}")


def _mask_proxy(settings: Settings) -> None:
    # Airflow itself masks the connection's password, but neither parts of extra nor of the environment.
    parts = urlsplit(proxy_of(settings) or "")
    if not parts.password:
        return
    account = f"{unquote(parts.username or '')}:{unquote(parts.password)}"
    # A proxy may quote the account in a header, and httpcore logs headers at DEBUG. The two clients encode
    # an account differently.
    encoded = (base64.b64encode(account.encode(encoding, "replace")) for encoding in ("utf-8", "latin-1"))
    for secret in (parts.password, unquote(parts.password), *(header.decode() for header in encoded)):
        _mask(secret)


def _mask(secret: str) -> None:
    try:
        from airflow.sdk.log import mask_secret
    except ImportError:  # Airflow 2
        from airflow.utils.log.secrets_masker import (  # type: ignore[import-not-found, no-redef]
            mask_secret,
        )
    mask_secret(secret)
