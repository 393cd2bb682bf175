# SPDX-License-Identifier: Apache-2.0
"""Settings are read from an Airflow connection here; an error names the field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from airflow_provider_nebula_explorer.connection.fields import (
    CONNECTION_TYPE,
    DEFAULT_PORT,
    EXTRA_FIELDS,
    ExtraField,
    whole_number,
)
from airflow_provider_nebula_explorer.exceptions import NebulaExplorerConfigError
from airflow_provider_nebula_explorer.explorer.client.addresses import read_address, read_prefix, read_url
from airflow_provider_nebula_explorer.explorer.models import JobStatus, show
from airflow_provider_nebula_explorer.explorer.settings import Account, Settings

_HOST_ALLOWED = "a host name or address (the port has its own field), or a whole URL such as https://graph.example.com/explorer"


class AirflowConnection(Protocol):
    """The part of an Airflow connection that is read; every version's class has it."""

    conn_id: str
    conn_type: str | None
    host: str | None
    port: Any
    schema: str | None
    login: str | None
    password: str | None

    @property
    def extra_dejson(self) -> dict[str, Any]:
        """The extra field, read from JSON."""


def read_connection(connection: AirflowConnection) -> Settings:
    """Read and check an Airflow connection.

    :raises NebulaExplorerConfigError: names the field, its value and what is allowed.
    """
    reader = _Reader(connection)
    reader.check_type()
    extra = {field.name: reader.ours(field) for field in EXTRA_FIELDS}
    if extra["client_key"] and not extra["client_cert"]:
        raise reader.wrong("client_key", extra["client_key"], "only together with client_cert")
    account = Account(
        login=reader.required("login", "the name of a NebulaGraph account"),
        password=reader.password(),
        nebula_address=extra.pop("nebula_address"),
        nebula_port=extra.pop("nebula_port"),
        encodings=extra.pop("account_encoding"),
    )
    return Settings(base_url=reader.base_url(), account=account, **extra)


def read_fields(values: Mapping[str, object]) -> dict[str, Any]:
    """Read and check values of extra fields that a caller gives; ``None`` is left out.

    :raises NebulaExplorerConfigError: names the field, its value and what is allowed.
    """
    fields = [field for field in EXTRA_FIELDS if values.get(field.name) is not None]
    return {field.name: _read_given(field, values[field.name]) for field in fields}


def _read_given(field: ExtraField, value: object) -> Any:
    try:
        return field.read(value)
    except (ValueError, TypeError, OverflowError):
        raise NebulaExplorerConfigError(f"{field.name} is {show(value)}; allowed: {field.allowed}.") from None


def unknown_extras(connection: AirflowConnection) -> list[str]:
    """Return the keys of ``extra`` that are not known here, such as a misspelt one."""
    return sorted(set(connection.extra_dejson) - {field.name for field in EXTRA_FIELDS})


_COMMON_TEXTS = (
    "airflow_provider_nebula_explorer.operators",
    "NebulaExplorer",
    "NebulaGraph",
    "Explorer",
    "Workflow",
    "a job of the workflow: graph, query, task, result, status, root",
    *(status.name for status in JobStatus),
)
"""What logs of this package are full of."""


def is_common(account: Account) -> bool:
    """Return whether the masking of an account's password makes logs unreadable.

    Airflow masks a password wherever it appears, within other words and numbers, too.
    """
    password = account.password
    is_in_numbers = password.isdigit() and len(password) < 6
    texts = (account.login, *_COMMON_TEXTS)
    return bool(password) and (is_in_numbers or any(password in text for text in texts))


class _Reader:
    """Reads the fields of one connection; its errors name the field."""

    def __init__(self, connection: AirflowConnection) -> None:
        self._connection = connection
        extra = connection.extra_dejson
        if not isinstance(extra, dict):
            raise self.wrong("extra", type(extra).__name__, "a JSON object")
        self._extra = extra

    def check_type(self) -> None:
        """Refuse the connection of another service, whose password Explorer shall not get."""
        kind = self._connection.conn_type
        if kind and kind.replace("-", "_") != CONNECTION_TYPE:
            raise self.wrong("conn_type", kind, f"{CONNECTION_TYPE!r}")

    def wrong(self, name: str, value: object, allowed: str) -> NebulaExplorerConfigError:
        shown = "not shown, as it may hold a secret" if self._may_be_secret(name, value) else show(value)
        return NebulaExplorerConfigError(
            f"Connection {self._connection.conn_id!r}: {name} is {shown}; allowed: {allowed}."
        )

    def _may_be_secret(self, name: str, value: object) -> bool:
        # A password may be in the wrong field, an address with an @ may contain one, and a text of several
        # lines may be a key in the place of its path.
        password = self._connection.password
        signs = ("@", "\n", *((password, repr(password)[1:-1]) if password else ()))
        return name == "password" or any(sign in text for sign in signs for text in _forms_of(value))

    def required(self, name: str, allowed: str) -> str:
        text = self.text(name)
        if not text:
            raise self.wrong(name, text, allowed)
        return text

    def text(self, name: str) -> str:
        return self._writable(name, str(getattr(self._connection, name) or "").strip())

    def password(self) -> str:
        return self._writable("password", self._connection.password or "")

    def _writable(self, name: str, text: str) -> str:
        try:
            text.encode()
        except UnicodeEncodeError:  # lone surrogates
            raise self.wrong(name, text, "text that UTF-8 can encode") from None
        return text

    def ours(self, field: ExtraField) -> Any:
        value = self._extra.get(field.name)
        value = value.strip() if isinstance(value, str) else value
        if value is None or value == "":
            if field.is_required:
                unknown = ", ".join(map(show, unknown_extras(self._connection)))
                hint = f"; extra has {unknown}, which is unknown" if unknown else ""
                raise self.wrong(field.name, value, field.allowed + hint)
            value = field.default
        try:
            return None if value is None else field.read(value)
        except (ValueError, TypeError, OverflowError, OSError, RecursionError):
            raise self.wrong(field.name, value, field.allowed) from None

    def base_url(self) -> str:
        host = self.required("host", _HOST_ALLOWED)
        schema, port = self.text("schema").lower(), self._port()
        if schema not in ("", "http", "https"):
            raise self.wrong("schema", schema, "http or https")
        if "://" not in host:
            return f"{schema or 'http'}://{self._host_name(host)}:{port or DEFAULT_PORT}"
        return self._whole_url(host, schema, port)

    def _port(self) -> int | None:
        value = self._connection.port
        if value in (None, ""):
            return None
        try:
            return whole_number(1, 65535)(value)
        except ValueError:
            raise self.wrong("port", value, "a whole number from 1 to 65535") from None

    def _host_name(self, host: str) -> str:
        try:
            read_address(host)
        except (ValueError, TypeError):
            raise self.wrong("host", host, _HOST_ALLOWED) from None
        return f"[{host}]" if ":" in host else host

    def _whole_url(self, url: str, schema: str, port: int | None) -> str:
        try:
            parts = read_url(url)
            own_port, prefix = parts.port, read_prefix(parts.path)
        except ValueError:
            raise self.wrong("host", url, _HOST_ALLOWED) from None
        if parts.scheme not in ("http", "https") or parts.query or parts.fragment or "@" in parts.netloc:
            raise self.wrong("host", url, _HOST_ALLOWED)
        if schema and schema != parts.scheme:
            raise self.wrong("schema", schema, f"{parts.scheme} or nothing, as the host begins with it")
        if own_port == 0:
            raise self.wrong("host", url, _HOST_ALLOWED)
        if port and own_port and port != own_port:
            raise self.wrong("port", port, f"{own_port} or nothing, as the host has it")
        host = self._host_name(parts.hostname or "")
        place = f"{host}:{own_port or port}" if own_port or port else host
        return f"{parts.scheme}://{place}{prefix}"


def _forms_of(value: object) -> tuple[str, ...]:
    """Return the texts of a value in which a secret would be found."""
    try:
        return (str(value), repr(value))
    except (ValueError, RecursionError):  # neither is shown
        return ()
