# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from airflow_provider_nebula_explorer.connection.fields import EXTRA_FIELDS, STANDARD_FIELDS
from airflow_provider_nebula_explorer.connection.reading import read_connection, unknown_extras
from airflow_provider_nebula_explorer.exceptions import NebulaExplorerConfigError

GOOD = {
    "conn_id": "graph",
    "conn_type": "nebula_explorer",
    "host": "graph",
    "port": None,
    "schema": None,
    "login": "root",
    "password": "very-secret",
    "extra_dejson": {"nebula_address": "10.0.0.9"},
}


def a_connection(extra=(), **fields):
    return SimpleNamespace(**{**GOOD, **fields, "extra_dejson": {**GOOD["extra_dejson"], **dict(extra)}})


@pytest.mark.parametrize("kind", ["postgres", "http", "nebula", "nebula_explorer "])
def test_the_connection_of_another_service_is_refused_before_its_password_is_read(kind):
    with pytest.raises(
        NebulaExplorerConfigError, match="conn_type is '.*'; allowed: 'nebula_explorer'"
    ) as raised:
        read(conn_type=kind)
    assert "very-secret" not in str(raised.value)


@pytest.mark.parametrize("kind", ["nebula_explorer", "nebula-explorer", "", None])
def test_a_connection_of_ours_or_of_no_type_is_read(kind):
    assert read(conn_type=kind).account.login == "root"


def read(extra=(), **fields):
    return read_connection(a_connection(extra, **fields))


def refused(extra=(), **fields):
    with pytest.raises(NebulaExplorerConfigError) as raised:
        read(extra, **fields)
    assert str(raised.value).startswith("Connection 'graph': ")
    assert "very-secret" not in str(raised.value)
    return str(raised.value).removeprefix("Connection 'graph': ")


def test_defaults():
    settings = read()
    assert settings.base_url == "http://graph:7002"
    account = settings.account
    assert (account.login, account.password) == ("root", "very-secret")
    assert (account.nebula_address, account.nebula_port) == ("10.0.0.9", 9669)
    assert account.encodings == ("json", "colon")
    assert (settings.timeout, settings.verify, settings.proxy) == (30, True, None)
    assert (settings.client_cert, settings.client_key) == (None, None)
    assert (settings.max_retries, settings.max_consecutive_failures) == (5, 12)
    assert settings.job_link(7, "9") == "http://graph:7002/"


def test_the_default_failures_are_about_ten_minutes_at_the_usual_poll_interval():
    settings = read()
    mean_pauses = sum(0.75 * min(30, 2**attempt) for attempt in range(settings.max_retries))
    assert 540 <= settings.max_consecutive_failures * (30 + mean_pauses) <= 900


@pytest.mark.parametrize(
    ("fields", "base_url"),
    [
        ({"host": "graph"}, "http://graph:7002"),
        ({"host": " graph "}, "http://graph:7002"),
        ({"host": "graph", "port": 80}, "http://graph:80"),
        ({"host": "graph", "port": "8080"}, "http://graph:8080"),
        ({"host": "graph", "schema": "https"}, "https://graph:7002"),
        ({"host": "graph", "schema": "HTTPS"}, "https://graph:7002"),
        ({"host": "10.0.0.1"}, "http://10.0.0.1:7002"),
        ({"host": "::1"}, "http://[::1]:7002"),
        ({"host": "https://graph.example.com/explorer"}, "https://graph.example.com/explorer"),
        ({"host": "https://graph.example.com/explorer/"}, "https://graph.example.com/explorer"),
        ({"host": "http://graph.example.com"}, "http://graph.example.com"),
        ({"host": "https://graph.example.com:8443/a/b"}, "https://graph.example.com:8443/a/b"),
        ({"host": "https://graph.example.com", "port": 8443}, "https://graph.example.com:8443"),
        ({"host": "https://graph.example.com", "schema": "https"}, "https://graph.example.com"),
        ({"host": "https://[::1]:8443/x"}, "https://[::1]:8443/x"),
        ({"host": "fe80::1%eth0"}, "http://[fe80::1%eth0]:7002"),
        (
            {"host": "https://graph.example.com/a%3Fb%23c%0D%0Ad"},
            "https://graph.example.com/a%3Fb%23c%0D%0Ad",
        ),
        ({"host": "https://graph.example.com/a%252e%252e"}, "https://graph.example.com/a%252e%252e"),
        ({"host": "https://graph.example.com/a b"}, "https://graph.example.com/a%20b"),
        ({"host": "https://graph.example.com/a%20b"}, "https://graph.example.com/a%20b"),
    ],
)
def test_the_base_address(fields, base_url):
    assert read(**fields).base_url == base_url


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (
            {"host": None},
            "host is ''; allowed: a host name or address (the port has its own field), or a whole URL",
        ),
        ({"host": ""}, "host is ''"),
        ({"host": "graph:7002"}, "host is 'graph:7002'"),
        ({"host": "graph/explorer"}, "host is 'graph/explorer'"),
        ({"host": "gr aph"}, "host is 'gr aph'"),
        ({"host": "graph..example"}, "host is 'graph..example'"),
        ({"host": "x" * 64}, "host is 'xxx"),
        ({"host": "graph\\@evil"}, "host is "),
        ({"host": "graph%2Fevil"}, "host is "),
        ({"host": "ftp://graph"}, "host is 'ftp://graph'"),
        ({"host": "https://"}, "host is ''"),
        ({"host": "https://graph?x=1"}, "host is"),
        ({"host": "https://graph#x"}, "host is"),
        ({"host": "https://graph:99999"}, "host is"),
        ({"host": "https://[::1"}, "host is"),
        ({"host": "http://graph:0"}, "host is"),
        ({"host": "::1%\r\nX-Header: y"}, "host is"),
        ({"host": "http://[::1%25\r\nX-Header: y]"}, "host is"),
        ({"host": "https://gra\nph"}, "host is"),
        ({"host": "https://[::1]evil"}, "host is"),
        ({"host": "https://graph/a/.."}, "host is 'https://graph/a/..'"),
        ({"host": "https://graph/%2e%2E/a"}, "host is"),
        ({"host": "https://graph/a%2f..%2fb"}, "host is"),
        ({"host": "https://graph/./a"}, "host is"),
        ({"host": "https://graph//evil.example.com"}, "host is"),
        ({"host": "https://graph/\\\\evil"}, "host is"),
        ({"host": "https://graph\\@evil"}, "host is"),
        ({"host": "*"}, "host is '*'"),
        ({"host": "gr\0aph"}, "host is"),
        ({"host": "\ud800"}, "host is"),
        ({"host": "ü" * 60}, "host is"),
        ({"login": "\ud800"}, "login is"),
        ({"host": "http://graph/\ud800"}, "host is"),
        ({"host": "http://root:very-secret@graph"}, "host is not shown, as it may hold a secret; allowed"),
        ({"port": 70000}, "port is 70000; allowed: a whole number from 1 to 65535"),
        ({"port": 0}, "port is 0"),
        ({"port": "x"}, "port is 'x'"),
        ({"port": "1_000"}, "port is '1_000'"),
        ({"port": "７００２"}, "port is '７００２'"),
        ({"schema": "ftp"}, "schema is 'ftp'; allowed: http or https"),
        ({"host": "https://graph", "schema": "http"}, "schema is 'http'; allowed: https or nothing"),
        ({"host": "https://graph:1", "port": 2}, "port is 2; allowed: 1 or nothing"),
        ({"login": None}, "login is ''"),
        ({"login": " "}, "login is ''"),
        ({"password": "\ud800"}, "password is not shown"),
    ],
)
def test_a_wrong_standard_field_is_named_with_its_value(fields, text):
    assert refused(**fields).startswith(text)


@pytest.mark.parametrize("password", [None, ""])
def test_a_password_may_be_empty_where_authentication_is_off(password):
    assert read(password=password).account.password == ""


def test_a_password_is_taken_as_it_is():
    assert read(password=' a:"ü ').account.password == ' a:"ü '


@pytest.fixture
def pem(tmp_path):
    path = tmp_path / "some.pem"
    path.touch()
    return str(path)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("nebula_port", "9669", 9669),
        ("nebula_port", 1, 1),
        ("timeout", "2.5", 2.5),
        ("timeout", 10, 10),
        ("verify", "true", True),
        ("verify", True, True),
        ("verify", "False", False),
        ("verify", False, False),
        ("proxy", "http://proxy:3128", "http://proxy:3128"),
        ("max_retries", "0", 0),
        ("max_retries", 100, 100),
        ("max_consecutive_failures", "3", 3),
        (
            "job_url",
            "{base_url}/#/jobs/{job_id}?w={workflow_id}",
            "{base_url}/#/jobs/{job_id}?w={workflow_id}",
        ),
    ],
)
def test_extras_are_read_in_both_forms(name, value, expected):
    settings = read({name: value})
    found = settings.account.nebula_port if name == "nebula_port" else getattr(settings, name)
    assert (found, type(found)) == (expected, type(expected)) or (name == "timeout" and found == expected)


@pytest.mark.parametrize("name", ["nebula_port", "account_encoding", "timeout", "verify", "proxy", "job_url"])
@pytest.mark.parametrize("value", ["", " ", None])
def test_an_empty_extra_is_its_default(name, value):
    assert read({name: value}) == read()


@pytest.mark.parametrize(
    ("value", "encodings"), [("auto", ("json", "colon")), ("json", ("json",)), ("colon", ("colon",))]
)
def test_account_encodings(value, encodings):
    assert read({"account_encoding": value}).account.encodings == encodings


def test_paths_must_exist(pem):
    settings = read({"verify": pem, "client_cert": pem, "client_key": pem})
    assert (settings.verify, settings.client_cert, settings.client_key) == (pem, pem, pem)


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("nebula_address", "", "the host name or IP address of graphd"),
        ("nebula_address", "10.0.0.9:9669", "without a port"),
        ("nebula_address", "http://x", "without a port"),
        ("nebula_address", 5, "without a port"),
        ("nebula_port", 70000, "a whole number from 1 to 65535"),
        ("nebula_port", "x", "a whole number from 1 to 65535"),
        ("nebula_port", True, "a whole number from 1 to 65535"),
        ("nebula_port", [1], "a whole number from 1 to 65535"),
        ("account_encoding", "base64", "auto, json or colon"),
        ("account_encoding", ["json"], "auto, json or colon"),
        ("timeout", 0, "a number of seconds above 0"),
        ("timeout", "soon", "a number of seconds above 0"),
        ("timeout", float("nan"), "a number of seconds above 0"),
        ("timeout", True, "a number of seconds above 0"),
        ("timeout", "1_0", "a number of seconds above 0"),
        ("timeout", "３", "a number of seconds above 0"),
        ("nebula_address", "::1%a b", "without a port"),
        ("nebula_address", "fe80::1%", "without a port"),
        ("nebula_address", "10.0.0.1%eth0", "without a port"),
        ("proxy", "http://10.0.0.1%zz:3128", "an http:// or https:// URL"),
        ("timeout", {}, "a number of seconds above 0"),
        ("verify", "maybe", "true, false, or the path of an existing CA bundle"),
        ("verify", 1, "true, false, or the path of an existing CA bundle"),
        ("verify", "/no/such/file.pem", "true, false, or the path of an existing CA bundle"),
        ("client_cert", "/no/such/file.pem", "the path of an existing file"),
        ("client_key", "/", "the path of an existing file"),
        ("proxy", "proxy:3128", "an http:// or https:// URL"),
        ("proxy", "http://proxy:99999", "an http:// or https:// URL"),
        ("proxy", "http://proxy:0", "an http:// or https:// URL"),
        ("proxy", "http://", "an http:// or https:// URL"),
        ("proxy", "socks5://proxy", "an http:// or https:// URL"),
        ("proxy", 5, "an http:// or https:// URL"),
        ("proxy", "http://proxy\t:80", "an http:// or https:// URL"),
        ("proxy", "http://[::2]N:", "an http:// or https:// URL"),
        ("proxy", "http://proxy?x", "an http:// or https:// URL"),
        ("proxy", "http://proxy#x", "an http:// or https:// URL"),
        ("max_retries", -1, "a whole number from 0 to 100"),
        ("max_retries", 1.5, "a whole number from 0 to 100"),
        ("max_consecutive_failures", 0, "a whole number from 1 to 100000"),
        ("job_url", "{password}", "an http address"),
        ("job_url", "{base_url.__class__}", "an http address"),
        ("job_url", "{base_url", "an http address"),
        ("job_url", "{}", "an http address"),
        ("job_url", "http://x/{workflow_id:d}", "an http address"),
        ("job_url", "http://x/{workflow_id!r}", "an http address"),
        ("job_url", "{job_id!r:>{base_url}}", "an http address"),
        ("job_url", "javascript:alert({job_id})", "an http address"),
        ("job_url", 5, "an http address"),
        ("job_url", "http://[_f1]:1/", "an http address"),
        ("job_url", "{base_url}/\tx", "an http address"),
    ],
)
def test_a_wrong_extra_is_named_with_its_value_and_what_is_allowed(name, value, allowed):
    text = refused({name: value})
    assert text.startswith(f"{name} is {value!r}; allowed: ")
    assert allowed in text


def test_a_key_needs_its_certificate(pem):
    assert "only together with client_cert" in refused({"client_key": pem})


def test_a_proxy_password_is_not_shown():
    for secret in ("x" * 200, "sec/ret", 'q"uo\\te', "\ud800"):
        text = refused({"proxy": f"socks5://user:{secret}@proxy"})
        assert text.startswith(
            "proxy is not shown, as it may hold a secret; allowed: an http:// or https:// URL"
        )


@pytest.mark.parametrize("account", ["user:p%E2%82%ACss", "user:p€ss", "€ser:pass"])
def test_a_proxy_account_that_requests_cannot_write_is_refused(account):
    assert "Latin-1" in refused({"proxy": f"http://{account}@proxy:3128"})


@pytest.mark.parametrize("account", ["user:p%C3%A4ss", "user:päss", "user", "user:"])
def test_a_proxy_account_that_requests_can_write_is_taken(account):
    proxy = f"http://{account}@proxy:3128"
    assert read({"proxy": proxy}).proxy == proxy


@pytest.mark.parametrize("name", ["verify", "account_encoding", "nebula_port", "max_retries"])
def test_a_password_in_the_wrong_field_is_not_shown(name):
    for password in ("very-secret", "pa\\ss'w\"ord", "x" * 200):
        assert password not in refused({name: password}, password=password)
        assert "is not shown" in refused({name: f"a{password}b"}, password=password)


def test_a_password_inside_of_a_wrong_value_is_not_shown():
    password = "pa\\ss'word"
    for value in ([password], {"key": password}, [[f"a{password}b"]]):
        assert "is not shown" in refused({"nebula_port": value}, password=password)


def test_a_password_in_the_host_is_not_shown_with_another_field():
    fields = {"host": "https://graph:1/very-secret", "schema": "http"}
    assert refused(**fields).startswith("schema is 'http'; allowed: https or nothing")
    assert refused(**{**fields, "schema": None, "port": 2}).startswith("port is 2; allowed: 1 or nothing")


def test_a_value_that_python_cannot_write_is_refused_in_words():
    assert refused({"nebula_port": 10**5000}).startswith("nebula_port is a huge int")
    nested = []
    for _ in range(100_000):
        nested = [nested]
    assert refused({"verify": nested}).startswith("verify is a huge list")


def test_unknown_keys_are_written_so_that_a_log_can_hold_them():
    connection = SimpleNamespace(**{**GOOD, "extra_dejson": {"a\nb\ud800": 1}})
    with pytest.raises(NebulaExplorerConfigError, match=r"extra has 'a\\nb\\ud800', which is unknown"):
        read_connection(connection)


def test_a_key_in_place_of_its_path_is_not_shown(pem):
    key = "-----BEGIN PRIVATE KEY-----\n" + "c2VjcmV0" * 100
    assert refused({"client_cert": pem, "client_key": key}).startswith("client_key is not shown")
    assert refused({"verify": "x" * 5000}).startswith("verify is 'xxx")


def test_the_address_of_graphd_is_required():
    connection = SimpleNamespace(**{**GOOD, "extra_dejson": {}})
    with pytest.raises(NebulaExplorerConfigError, match="nebula_address is None; allowed"):
        read_connection(connection)


def test_a_misspelt_address_of_graphd_is_named():
    connection = SimpleNamespace(**{**GOOD, "extra_dejson": {"nebula_adress": "graphd"}})
    with pytest.raises(NebulaExplorerConfigError, match="extra has 'nebula_adress', which is unknown"):
        read_connection(connection)


def test_extra_must_be_an_object():
    with pytest.raises(NebulaExplorerConfigError, match="extra is 'list'; allowed: a JSON object"):
        read_connection(SimpleNamespace(**{**GOOD, "extra_dejson": [1]}))


def test_unknown_extras_are_found():
    assert unknown_extras(a_connection({"nebula_adress": "x", "verify": True, "Timeout": 5})) == [
        "Timeout",
        "nebula_adress",
    ]


def test_a_job_link_fills_in_the_template():
    settings = read({"job_url": "{base_url}/#/jobs/{job_id}?w={workflow_id}"})
    assert settings.job_link(7, 9) == "http://graph:7002/#/jobs/7?w=9"


def test_settings_hold_no_secret_in_their_text():
    settings = read({"proxy": "http://user:proxy-secret@proxy:1"})
    assert "secret" not in repr(settings)
    assert json.dumps(str(settings))


def test_the_form_begins_with_no_text_that_airflow_takes_for_too_short_a_secret():
    filled_in = [field.form_default for field in EXTRA_FIELDS]
    assert [text for text in filled_in if isinstance(text, str) and len(text) < 5] == []


def test_the_page_about_connections_has_every_field_and_its_default():
    page = (Path(__file__).parents[2] / "docs" / "connection.md").read_text()
    rows = dict(re.findall(r"^\| `?(\w+)`? \|.*\| (.*?) \|$", page, re.MULTILINE))
    assert {field.name for field in (*STANDARD_FIELDS, *EXTRA_FIELDS)} <= set(rows)
    for field in EXTRA_FIELDS:
        if field.default is not None:
            assert rows[field.name] == f"`{field.default}`"
