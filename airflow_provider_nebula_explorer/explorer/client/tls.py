# SPDX-License-Identifier: Apache-2.0
"""TLS: which certificates are trusted, and which one the client shows; one rule for both clients."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
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
            context.load_cert_chain(settings.client_cert, settings.client_key, _refuse_pass_phrase(settings))
    except OSError as error:
        raise _wrong_file("client_cert, or client_key,", settings.client_cert, error) from error
    return context


def _refuse_pass_phrase(settings: Settings) -> Callable[[], str]:
    """Return what OpenSSL calls for an encrypted key; it would otherwise wait for somebody at a terminal."""

    def refuse() -> str:
        name = "client_key" if settings.client_key else "client_cert"
        raise NebulaExplorerConfigError(
            f"{name} is {settings.client_key or settings.client_cert!r}, whose key is encrypted; allowed: a "
            "key without a pass phrase, as openssl pkey -in encrypted.key -out plain.key writes it."
        )

    return refuse


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


def advice_on(error: ssl.SSLCertVerificationError, settings: Settings) -> str:
    """Return what to do about a certificate that is not trusted."""
    if error.verify_code in _STRICT_CODES:
        return (
            "Python 3.13 and later check certificates strictly. Issue the CA's again by openssl req -x509 "
            "with -addext keyUsage=critical,keyCertSign,cRLSign, and the server's by openssl x509 -req with "
            "authorityKeyIdentifier=keyid in its -extfile."
        )
    return (
        f"Set verify (now: {settings.verify}) to the path of the CA bundle that signed it, and host to a "
        "name that the certificate contains."
    )


_STRICT_CODES = range(80, 95)
"""OpenSSL's (``x509_vfy.h``) with ``ssl.VERIFY_X509_STRICT``, which is Python's default from 3.13 on."""


def _wrong_file(name: str, path: object, error: OSError) -> NebulaExplorerConfigError:
    return NebulaExplorerConfigError(
        f"{name} is {path!r}; allowed: the path of a readable file in PEM form ({type(error).__name__})."
    )
