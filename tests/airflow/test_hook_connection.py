# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import base64
import json
import logging
import socket

import pytest

from airflow_provider_nebula_explorer.emulator import Emulator, Fault
from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerConfigError,
)
from airflow_provider_nebula_explorer.hooks.nebula_explorer import NebulaExplorerHook


def test_an_unknown_extra_is_a_warning(explorer, caplog):
    explorer.set_connection(extra={"nebula_adress": "x"})
    with NebulaExplorerHook() as hook:
        hook.list_jobs(limit=1)
        assert hook.settings
    (record,) = [r for r in caplog.records if "nebula_adress" in r.getMessage()]
    assert record.levelno == logging.WARNING
    assert "known are nebula_address" in record.getMessage()


@pytest.mark.parametrize(
    ("changes", "name"),
    [({"extra": {"verify": "maybe"}}, "verify"), ({"port": 70000}, "port"), ({"schema": "ftp"}, "schema")],
)
def test_a_wrong_field_is_named_before_any_request(explorer, emulator, changes, name):
    explorer.set_connection(**changes)
    with pytest.raises(NebulaExplorerConfigError, match=f"{name} is"):
        NebulaExplorerHook().get_job(1)
    assert emulator.count() == 0


def test_airflow_masks_what_the_hook_derives_from_the_password(explorer, emulator):
    from airflow.providers.common.compat.sdk import redact

    explorer.set_connection(extra={"proxy": emulator.url.replace("http://", "http://user:proxy-password@")})
    with NebulaExplorerHook() as hook:
        list(hook.list_jobs(limit=1))
        token = hook.get_conn()._session._login.token
    for secret in ("proxy-password", hook.settings.account.encoded("json"), token):
        assert redact(f"before {secret} after") == "before *** after"


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
@pytest.mark.parametrize("is_from_environment", [False, True], ids=["connection", "environment"])
def test_airflow_masks_what_a_proxy_is_sent(explorer, emulator, monkeypatch, is_from_environment, encoding):
    from airflow.providers.common.compat.sdk import redact

    proxy = emulator.url.replace("http://", "http://user:pr%C3%B6xy%20password@")
    if is_from_environment:
        monkeypatch.setenv("http_proxy", proxy)
        monkeypatch.setenv("no_proxy", "elsewhere")
    explorer.set_connection(extra={} if is_from_environment else {"proxy": proxy})
    with NebulaExplorerHook() as hook:
        hook.get_conn()
    header = base64.b64encode("user:pröxy password".encode(encoding)).decode()
    for secret in ("pröxy password", "pr%C3%B6xy%20password", header):
        assert redact(f"before {secret} after") == "before *** after"


def test_nothing_in_a_hook_shows_a_secret(hook, emulator):
    emulator.start_job(5)
    list(hook.list_jobs())
    shown = repr(hook) + repr(hook.settings) + repr(hook.get_conn())
    assert "'nebula'" not in shown


class TestTestConnection:
    def test_success_says_where_and_as_whom(self, explorer, emulator):
        ok, text = NebulaExplorerHook().test_connection()
        assert (ok, text) == (True, f"Logged in to Explorer at {emulator.url} as 'root'.")

    def test_success_names_what_is_ignored(self, explorer):
        explorer.set_connection(extra={"verfy": "false"})
        assert "Unknown, so ignored: extra 'verfy'." in NebulaExplorerHook().test_connection()[1]

    @pytest.mark.parametrize("word", ["nebula", "Explorer", "graph", "job", "SUCCESS", "root", "12345"])
    def test_success_warns_of_a_password_whose_masking_hides_other_words(self, monkeypatch, word):
        with Emulator(password=word) as emulator:
            monkeypatch.setenv("AIRFLOW_CONN_NEBULA_EXPLORER_DEFAULT", emulator.airflow_connection)
            ok, text = NebulaExplorerHook().test_connection()
        assert ok
        assert "The password is also a common word or a short number" in text

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"host": "no-such-host.invalid"}, "the host's name cannot be resolved"),
            ({"schema": "https"}, "TLS failed"),
            ({"host": None}, "host is ''; allowed"),
            ({"password": "wrong-password"}, "Check three things"),
            ({"extra": {"account_encoding": "colon"}}, "account_encoding (tried: colon"),
        ],
    )
    def test_failure_is_described_in_words(self, explorer, changes, words):
        explorer.set_connection(**changes)
        ok, text = NebulaExplorerHook().test_connection()
        assert not ok
        assert words in text
        assert "wrong-password" not in text

    def test_a_refused_connection(self, explorer):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            explorer.set_connection(port=unused.getsockname()[1])
            ok, text = NebulaExplorerHook().test_connection()
        assert not ok
        assert "connection refused: nothing is listening there" in text

    def test_something_that_is_not_explorer(self, explorer, emulator):
        emulator.fail(Fault("html"))
        ok, text = NebulaExplorerHook().test_connection()
        assert not ok
        assert "This is not Explorer: check the connection's host, port, schema and path prefix" in text

    def test_an_unreachable_graphd(self, monkeypatch):
        with Emulator(graphd=("10.0.0.9", 9669)) as emulator:
            connection = json.loads(emulator.airflow_connection)
            connection["extra"]["nebula_address"] = "127.0.0.1"
            monkeypatch.setenv("AIRFLOW_CONN_NEBULA_EXPLORER_DEFAULT", json.dumps(connection))
            ok, text = NebulaExplorerHook().test_connection()
        assert not ok
        assert "Explorer cannot reach graphd: check nebula_address '127.0.0.1', nebula_port 9669" in text

    def test_it_makes_one_try(self, explorer, emulator):
        explorer.set_connection(extra={"max_retries": 5})
        emulator.fail(Fault("status", times=None))
        assert NebulaExplorerHook().test_connection()[0] is False
        assert emulator.count() == 1

    def test_a_connection_that_is_not_there(self):
        ok, text = NebulaExplorerHook("no_such_connection").test_connection()
        assert not ok
        assert "no_such_connection" in text
        assert "check its port: it must be from 1 to 65535" in text
