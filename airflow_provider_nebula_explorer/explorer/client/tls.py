"""TLS: which certificates are trusted, and which one the client shows; one rule for both clients."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import certifi

from airflow_provider_nebula_explorer.exceptions import NebulaExplorerConfigError
from airflow_provider_nebula_explorer.explorer.settings import Settings


def trust(settings: Settings) -> bool | str:
    """Return what to verify certificates with.

    A path or ``False`` wins over the environment's CA variables; ``True`` leaves them in force.
    """
    if settings.verify is not True:
        return settings.verify
    names = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")
    return next((os.environ[name] for name in names if os.environ.get(name)), True)


def client_cert(settings: Settings) -> str | tuple[str, str] | None:
    """Return the file of the client's certificate, and that of its key if it is another one."""
    if settings.client_cert and settings.client_key:
        return settings.client_cert, settings.client_key
    return settings.client_cert


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """Return how to speak TLS; ``None`` if Explorer is reached without it.

    :raises NebulaExplorerConfigError: if a file of certificates or keys cannot be used.
    """
    if not settings.base_url.startswith("https:"):
        return None
    trusted = trust(settings)
    try:
        context = _context_trusting(trusted)
    except OSError as error:
        raise _wrong_file("verify, or the environment's CA bundle,", trusted, error) from error
    try:
        if settings.client_cert:
            context.load_cert_chain(settings.client_cert, settings.client_key)
    except OSError as error:
        raise _wrong_file("client_cert, or client_key,", settings.client_cert, error) from error
    return context


def _context_trusting(trusted: bool | str) -> ssl.SSLContext:
    if trusted is False:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    place = certifi.where() if trusted is True else trusted
    is_folder = Path(place).is_dir()
    return ssl.create_default_context(
        cafile=None if is_folder else place, capath=place if is_folder else None
    )


def _wrong_file(name: str, path: object, error: OSError) -> NebulaExplorerConfigError:
    return NebulaExplorerConfigError(
        f"{name} is {path!r}; allowed: the path of a readable file in PEM form ({type(error).__name__})."
    )
