# SPDX-License-Identifier: Apache-2.0
"""The doctor's options, and the settings that they lead to."""

from __future__ import annotations

import argparse
import getpass
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_provider_nebula_explorer.connection.fields import DEFAULT_CONNECTION_ID, EXTRA_FIELDS
from airflow_provider_nebula_explorer.connection.reading import read_connection, unknown_extras
from airflow_provider_nebula_explorer.exceptions import NebulaExplorerConfigError
from airflow_provider_nebula_explorer.explorer.arguments import parse_id
from airflow_provider_nebula_explorer.explorer.settings import Settings

PASSWORD_VARIABLE = "NEBULA_EXPLORER_PASSWORD"  # noqa: S105 - the variable's name

_OPTIONS = (
    "nebula_address",
    "nebula_port",
    "account_encoding",
    "timeout",
    "verify",
    "client_cert",
    "client_key",
)
"""The connection's extra fields that are options, too: not the proxy, whose address may hold a password."""


@dataclass
class _GivenConnection:
    """A connection given by options; read like one of Airflow's."""

    host: str | None
    login: str | None
    password: str | None = field(repr=False)
    extra_dejson: dict[str, Any]
    conn_id: str = "command line"
    conn_type: str | None = None
    port: Any = None
    schema: str | None = None


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; exits with status 2 where it is wrong."""
    parser = _parser()
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        # Not their values: one may be a password.
        names = ", ".join(text.partition("=")[0] for text in unknown if text.startswith("-"))
        parser.error(f"unknown: {names or 'an argument without an option'}. See --help.")
    given = [_option(name) for name in ("login", *_OPTIONS) if getattr(options, name) is not None]
    if options.url is None and given:
        parser.error(f"only with --url: {', '.join(given)}")
    if options.url is not None and options.conn_id is not None:
        parser.error("either --url or --conn-id, not both")
    return options


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_nebula_explorer.doctor",
        description="Try what this package assumes of NebulaGraph Explorer against yours, and say what "
        "differs. It only reads, unless --run is given.",
        epilog="The password comes from the connection; with --url, from the variable "
        f"{PASSWORD_VARIABLE}, else from a prompt. Exit status: 0 as assumed, 1 something differs, "
        "2 no login or no examination.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--conn-id", metavar="ID", help=f"Airflow connection; {DEFAULT_CONNECTION_ID} unless --url is given")
    add("--url", help="instead: Explorer's address, such as http://graph.example.com:7002; needs no Airflow")
    add("--login", help="with --url: the NebulaGraph account")
    for extra in EXTRA_FIELDS:
        if extra.name in _OPTIONS:
            add(_option(extra.name), metavar="VALUE", help=f"with --url: {extra.help}")
    run = "also start a job of this workflow, watch it and cancel it"
    add("--run", type=_workflow_id, metavar="WORKFLOW_ID", help=run)
    add("--json", type=Path, metavar="FILE", help="write a report that contains nothing of yours")
    return parser


def _workflow_id(text: str) -> int:
    try:
        return parse_id("--run", text)
    except NebulaExplorerConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def settings_of(options: argparse.Namespace, warn: Callable[[str], None]) -> Settings:
    """Return the settings of the connection that is meant.

    :param warn: called with what the user should know of it.
    :raises NebulaExplorerConfigError: names what is wrong.
    """
    if options.url is None:
        return _settings_of_airflow(options.conn_id or DEFAULT_CONNECTION_ID, warn)
    extra = {name: getattr(options, name) for name in _OPTIONS if getattr(options, name) is not None}
    # Checked before the password is asked for.
    read_connection(_GivenConnection(options.url, options.login, "", extra))
    return read_connection(_GivenConnection(options.url, options.login, _password(), extra))


def _settings_of_airflow(conn_id: str, warn: Callable[[str], None]) -> Settings:
    try:
        from airflow_provider_nebula_explorer.hooks.stored_connections import (  # noqa: TID251 - only this needs Airflow
            find_connection,
        )
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] != "airflow":
            raise
        raise NebulaExplorerConfigError(
            "--conn-id needs Airflow, which is not installed: use --url."
        ) from None
    connection = find_connection(conn_id)
    for key in unknown_extras(connection):
        warn(f"connection {conn_id!r}: extra {key!r} is unknown and is ignored")
    return read_connection(connection)


def _password() -> str:
    if PASSWORD_VARIABLE in os.environ:
        return os.environ[PASSWORD_VARIABLE]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)  # it would be shown as it is typed
            return getpass.getpass("NebulaGraph password: ")
    except (EOFError, OSError, getpass.GetPassWarning):
        raise NebulaExplorerConfigError(
            f"No password: set the variable {PASSWORD_VARIABLE}, or start this in a terminal."
        ) from None
