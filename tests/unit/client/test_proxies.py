# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from factories import settings

from airflow_provider_nebula_explorer.exceptions import NebulaExplorerConfigError
from airflow_provider_nebula_explorer.explorer.client.proxies import is_direct, proxy_of


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name}_PROXY".upper(), raising=False)


def is_excepted(url, no_proxy):
    return is_direct(urlsplit(url), no_proxy)


@pytest.mark.parametrize(
    ("url", "no_proxy"),
    [
        ("http://127.0.0.1:7002", "127.0.0.0/8"),
        ("http://127.0.0.1:7002", "localhost, 127.0.0.1"),
        ("http://127.0.0.1:7002", "127.0.0.1:7002"),
        ("http://127.0.0.1", "127.0.0.1:80"),
        ("https://10.1.2.3", "10.1.2.3:443"),
        ("http://10.1.2.3", "10.1.2.9/16"),
        ("http://[fd00::1]:7002", "fd00::/8"),
        ("http://[fd00::1]:7002", "FD00:0::1"),
        ("http://[fd00::1]:7002", "[fd00::1]"),
        ("http://[fd00::1]:7002", "[fd00::1]:7002"),
        ("http://[fe80::1%25eth0]:7002", "fe80::1"),
        ("http://graph.example.com:7002", "example.com"),
        ("http://graph.example.com:7002", ".example.com"),
        ("http://graph.example.com:7002", "*.example.com"),
        ("http://graph.example.com:7002", "*example.com"),
        ("http://graph.example.com:7002", "example.com:7002"),
        ("http://graph.example.com:7002", "GRAPH.Example.com"),
        ("http://GRAPH.example.com.:7002", "graph.example.com"),
        ("http://graph.example.com", "a b,graph.example.com , c"),
        ("http://graph.example.com", ".graph.example.com"),
        ("http://graph", "*"),
        ("http://graph", "x, *"),
    ],
)
def test_no_proxy_excepts(url, no_proxy):
    assert is_excepted(url, no_proxy)


@pytest.mark.parametrize(
    ("url", "no_proxy"),
    [
        ("http://graph", ""),
        ("http://graph", ", ,"),
        ("http://127.0.0.1:7002", "127.0.0.1:7003"),
        ("http://127.0.0.1:7002", "10.0.0.0/8"),
        ("http://127.0.0.1:7002", "127.0.0"),
        ("http://127.0.0.1:7002", "127.0.0.0/99"),
        ("http://127.0.0.1:7002", "0.0.1"),
        ("http://graph.example.com", "notexample.com"),
        ("http://notexample.com", "example.com"),
        ("http://example.com.evil", "example.com"),
        ("http://graph.example.com:7002", "example.com:80"),
        ("http://graph.example.com", "."),
        ("http://graph.example.com", "*."),
        ("http://[fd00::1]:7002", "fd00::2"),
        ("http://[fd00::1]:7002", "[fd00::1]:80"),
        ("http://graph", "10.0.0.0/8"),
    ],
)
def test_no_proxy_does_not_except(url, no_proxy):
    assert not is_excepted(url, no_proxy)


@pytest.mark.parametrize(
    ("environment", "base_url", "proxy"),
    [
        ({"http_proxy": "http://p:1"}, "http://graph", "http://p:1"),
        ({"HTTPS_PROXY": "p:1"}, "https://graph", "http://p:1"),
        ({"all_proxy": "https://p:1"}, "http://graph", "https://p:1"),
        ({"all_proxy": "http://p:1", "http_proxy": "http://q:1"}, "http://graph", "http://q:1"),
        ({"https_proxy": "http://p:1"}, "http://graph", None),
        ({"https_proxy": "socks5://p:1"}, "http://graph", None),
        ({"all_proxy": "socks5://p:1", "no_proxy": "graph"}, "http://graph", None),
        ({"all_proxy": "nonsense", "NO_PROXY": "graph"}, "http://graph", None),
    ],
)
def test_the_environments_proxy(monkeypatch, environment, base_url, proxy):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert proxy_of(settings(base_url=base_url)) == proxy
    assert proxy_of(settings(base_url=base_url, proxy="http://mine:1")) == "http://mine:1"


@pytest.mark.parametrize("url", ["socks4://p:1", "ftp://p:1", "nonsense://p", "file:///x"])
def test_a_proxy_of_another_kind_is_refused(monkeypatch, url):
    monkeypatch.setenv("all_proxy", url)
    with pytest.raises(NebulaExplorerConfigError, match="must be an http:// or https:// URL"):
        proxy_of(settings())
