"""The proxy on the way to Explorer: the connection's, else the environment's."""

from __future__ import annotations

from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from airflow_provider_nebula_explorer.exceptions import NebulaExplorerConfigError
from airflow_provider_nebula_explorer.explorer.client.addresses import check_proxy
from airflow_provider_nebula_explorer.explorer.settings import Settings


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
    if not url or proxy_bypass(target.netloc):
        return None
    try:
        check_proxy(urlsplit(url if "://" in url else f"http://{url}"))
    except (TypeError, ValueError):
        raise unusable_proxy() from None
    return url
