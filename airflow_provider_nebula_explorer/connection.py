# SPDX-License-Identifier: Apache-2.0
"""The fields of an Airflow connection to Explorer: one table to read them, check them and show the form.

Airflow's discovery of providers imports this module, which therefore does not import Airflow.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from airflow_provider_nebula_explorer.exceptions import NebulaExplorerConfigError
from airflow_provider_nebula_explorer.explorer.client.addresses import (
    read_address,
    read_job_url,
    read_prefix,
    read_proxy,
    read_url,
)
from airflow_provider_nebula_explorer.explorer.models import JobStatus, show
from airflow_provider_nebula_explorer.explorer.settings import Account, AccountEncoding, Settings

CONNECTION_TYPE = "nebula_explorer"
HOOK_NAME = "NebulaGraph Explorer"
DEFAULT_CONNECTION_ID = "nebula_explorer_default"
DEFAULT_PORT = 7002
SCHEME = "nebula-explorer"
"""Of the addresses of assets: ``nebula-explorer://<connection id>/workflows/<workflow id>``."""


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


@dataclass(frozen=True)
class StandardField:
    """A field that every Airflow connection has, as our form labels it."""

    name: str
    label: str
    placeholder: str


@dataclass(frozen=True)
class ExtraField:
    """A field of our own, kept in the connection's ``extra``.

    :param help: explains the field to a newcomer.
    :param allowed: the allowed values, for the error text.
    :param read: returns the setting for a value of the form; raises ``ValueError`` for a wrong one.
    :param schema: the field's JSON schema, as Airflow 3's form reads it.
    :param default: the value for a field that is left empty, as the form would give it.
    :param is_filled_in: whether the form shows the default in the field. Airflow 3 takes each text in
        ``extra`` for a secret and warns, in task logs, of secrets under five letters: it does not show these.
    """

    name: str
    label: str
    help: str
    allowed: str
    read: Callable[[Any], Any]
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": ["string", "null"]})
    default: Any = None
    is_required: bool = False
    is_filled_in: bool = True

    @property
    def form_default(self) -> Any:
        """The value that an empty form shows."""
        return self.default if self.is_filled_in else None


def _whole_number(minimum: int, maximum: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value.strip()):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not minimum <= value <= maximum:
            raise ValueError
        return value

    return read


def _read_seconds(value: Any) -> float:
    # Python's float() also reads 1_0, and digits of other scripts.
    is_odd = isinstance(value, str) and not re.fullmatch(r"[0-9.eE+-]+", value)
    if is_odd or isinstance(value, bool) or not 0 < float(value) <= 3600:
        raise ValueError
    return float(value)


def _read_encodings(value: Any) -> tuple[AccountEncoding, ...]:
    encodings: dict[str, tuple[AccountEncoding, ...]] = {
        "auto": ("json", "colon"),
        "json": ("json",),
        "colon": ("colon",),
    }
    if value not in encodings:
        raise ValueError
    return encodings[value]


def _read_verify(value: Any) -> bool | str:
    if isinstance(value, bool):
        return value
    text = str(value)
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    return _read_path(text)


def _read_flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if not isinstance(value, str) or value.lower() not in ("true", "false"):
        raise ValueError
    return value.lower() == "true"


def _read_path(value: Any) -> str:
    if not isinstance(value, str) or not Path(value).exists():
        raise ValueError
    return value


STANDARD_FIELDS = (
    StandardField("host", "Explorer host", "graph.example.com, or https://graph.example.com/explorer"),
    StandardField("port", "Explorer port", f"{DEFAULT_PORT}, or the URL's port"),
    StandardField("schema", "http or https", "http, or what the URL begins with"),
    StandardField("login", "NebulaGraph account", "root"),
    StandardField("password", "NebulaGraph password", ""),
)

STANDARD_FORM = {
    "relabeling": {field.name: field.label for field in STANDARD_FIELDS},
    "placeholders": {field.name: field.placeholder for field in STANDARD_FIELDS},
}
"""The form's names for the standard fields, under the keys that every version of Airflow reads."""

EXTRA_FIELDS = (
    ExtraField(
        "nebula_address",
        "graphd address",
        "Required. The address of NebulaGraph's graphd as Explorer reaches it: the machine's own IP or name, "
        "not localhost, even where both run on one machine.",
        "the host name or IP address of graphd, without a port",
        read_address,
        {"type": "string"},
        is_required=True,
    ),
    ExtraField(
        "nebula_port",
        "graphd port",
        "graphd's port, as Explorer reaches it.",
        "a whole number from 1 to 65535",
        _whole_number(1, 65535),
        {"type": ["integer", "null"], "minimum": 1, "maximum": 65535},
        default=Account.nebula_port,
    ),
    ExtraField(
        "account_encoding",
        "Account encoding",
        "How the account is written at login: json for Explorer 3.3 and later, colon for 3.1 and 3.2. "
        "Left empty, or auto: both are tried.",
        "auto, json or colon",
        _read_encodings,
        {"type": ["string", "null"], "enum": ["auto", "json", "colon"]},
        default="auto",
        is_filled_in=False,
    ),
    ExtraField(
        "timeout",
        "Request timeout (s)",
        "Seconds that one request may take in all.",
        "a number of seconds above 0, up to 3600",
        _read_seconds,
        {"type": ["number", "null"], "minimum": 0.1, "maximum": 3600},
        default=Settings.timeout,
    ),
    ExtraField(
        "verify",
        "Verify TLS",
        "For https. Left empty, or true: Explorer's certificate is checked. false: it is not. "
        "Or the path, on the machines that run tasks, of the CA bundle that signed it.",
        "true, false, or the path of an existing CA bundle",
        _read_verify,
        default="true",
        is_filled_in=False,
    ),
    ExtraField(
        "client_cert",
        "Client certificate",
        "If Explorer requires one (mutual TLS): its path on the machines that run tasks.",
        "the path of an existing file",
        _read_path,
    ),
    ExtraField(
        "client_key",
        "Client key",
        "The path of the certificate's key, if it is in a separate file.",
        "the path of an existing file",
        _read_path,
    ),
    ExtraField(
        "proxy",
        "Proxy",
        "Such as http://proxy.example.com:3128. Left empty: the environment's proxy variables apply.",
        "an http:// or https:// URL; an account in it may only contain Latin-1 characters",
        read_proxy,
    ),
    ExtraField(
        "max_retries",
        "Retries per request",
        "How often a failed request is retried, if that is safe.",
        "a whole number from 0 to 100",
        _whole_number(0, 100),
        {"type": ["integer", "null"], "minimum": 0, "maximum": 100},
        default=Settings.max_retries,
    ),
    ExtraField(
        "max_consecutive_failures",
        "Failed polls of a job",
        "How many polls of a job may fail in a row, after their retries, before a wait ends in an error. "
        f"{Settings.max_consecutive_failures} take about 10 minutes at the usual poll intervals.",
        "a whole number from 1 to 100000",
        _whole_number(1, 100_000),
        {"type": ["integer", "null"], "minimum": 1, "maximum": 100_000},
        default=Settings.max_consecutive_failures,
    ),
    ExtraField(
        "share_login",
        "Share the login",
        "Left empty, or true: the processes of a machine share one login; each login takes room in Explorer. "
        "false: each process makes its own.",
        "true or false",
        _read_flag,
        {"type": ["string", "null"], "enum": ["true", "false"]},
        default="true",
        is_filled_in=False,
    ),
    ExtraField(
        "job_url",
        "Link to a job",
        "Address of a job's web page, for the link on a task. {base_url}, {job_id} and {workflow_id} are "
        "filled in; {base_url}/ is Explorer's start page.",
        "an http address; {base_url}, {job_id} and {workflow_id} are filled in",
        read_job_url,
        default=Settings.job_url,
    ),
)


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
            return _whole_number(1, 65535)(value)
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


_HOST_ALLOWED = "a host name or address (the port has its own field), or a whole URL such as https://graph.example.com/explorer"
