# SPDX-License-Identifier: Apache-2.0
"""The fields of an Airflow connection to Explorer: one table to read them, check them and show the form."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_provider_nebula_explorer.explorer.client.addresses import read_address, read_job_url, read_proxy
from airflow_provider_nebula_explorer.explorer.settings import Account, AccountEncoding, Settings

CONNECTION_TYPE = "nebula_explorer"
HOOK_NAME = "NebulaGraph Explorer"
DEFAULT_CONNECTION_ID = "nebula_explorer_default"
DEFAULT_PORT = 7002
SCHEME = "nebula-explorer"
"""Of the addresses of assets: ``nebula-explorer://<connection id>/workflows/<workflow id>``."""


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


def whole_number(minimum: int, maximum: int) -> Callable[[Any], int]:
    """Return a function that reads a number in these bounds, from text, too; it raises ``ValueError``."""

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


def _read_file(value: Any) -> str:
    if not Path(_read_path(value)).is_file():
        raise ValueError
    return str(value)


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
        whole_number(1, 65535),
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
        _read_file,
    ),
    ExtraField(
        "client_key",
        "Client key",
        "The path of the certificate's key, if it is in a separate file.",
        "the path of an existing file",
        _read_file,
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
        whole_number(0, 100),
        {"type": ["integer", "null"], "minimum": 0, "maximum": 100},
        default=Settings.max_retries,
    ),
    ExtraField(
        "max_consecutive_failures",
        "Failed polls of a job",
        "How many polls of a job may fail in a row, after their retries, before a wait ends in an error. "
        f"{Settings.max_consecutive_failures} take about 10 minutes at the usual poll intervals.",
        "a whole number from 1 to 100000",
        whole_number(1, 100_000),
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
