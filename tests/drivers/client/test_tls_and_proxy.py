# SPDX-License-Identifier: Apache-2.0
"""TLS and proxies: both clients obey the same settings and the same environment."""

from __future__ import annotations

import base64
import gc
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import traceback
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from factories import settings_of
from raw_server import DrippingServer, read_request

from airflow_provider_nebula_explorer.emulator import Fault
from airflow_provider_nebula_explorer.exceptions import (
    NebulaExplorerConfigError,
    NebulaExplorerConnectionError,
    NebulaExplorerError,
)
from airflow_provider_nebula_explorer.explorer.client import api


class Relay:
    """Accepts connections on loopback, and forwards their bytes to a server."""

    def __init__(self, port):
        self.target = ("127.0.0.1", port)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.sockets, self.threads, self.seen = [self.listener], [], bytearray()
        self.start(self.accept)

    def start(self, work, *arguments):
        self.threads.append(threading.Thread(target=work, args=arguments))
        self.threads[-1].start()

    def accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            self.sockets.append(client)
            try:
                self.serve(client)
            except OSError:  # the client closed the connection
                client.close()

    def join(self, client):
        self.sockets.append(client)
        server = socket.create_connection(self.target)
        self.sockets.append(server)
        self.start(self.pump, client, server)
        self.start(self.pump, server, client)

    def pump(self, source, sink):
        try:
            while data := source.recv(65536):
                self.seen += data
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        for end in self.sockets:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self.threads:
            thread.join()
        for end in self.sockets:
            end.close()


class TlsFront(Relay):
    """Terminates TLS in front of a plain server, as Explorer's own HTTPS would."""

    def __init__(self, port, context):
        self.context = context
        super().__init__(port)
        self.url = f"https://localhost:{self.port}"

    def serve(self, client):
        self.join(self.context.wrap_socket(client, server_side=True))


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def context(authority):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    return context


@pytest.fixture
def front(explorer, context):
    front = TlsFront(explorer.port, context)
    yield front
    front.close()


@pytest.fixture
def bundle(authority, tmp_path):
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", ["verify", "client_cert"])
def test_a_file_that_holds_no_certificate_is_named_before_any_request(
    open_client, explorer, front, bundle, tmp_path, name
):
    junk = tmp_path / "junk.pem"
    junk.write_text("no certificate")
    with pytest.raises(NebulaExplorerConfigError, match=f"{name}, or .* is '.*junk.pem'; allowed"):
        open_client(settings_of(explorer, base_url=front.url, **{"verify": bundle, name: str(junk)}))
    assert explorer.connections == 0


def list_jobs(open_client, explorer, front, **changes):
    client = open_client(settings_of(explorer, base_url=front.url, max_retries=0, **changes))
    return client.run(api.list_jobs(None, {}, 1, 10))


def test_a_certificate_that_nobody_signed_is_refused_in_words(open_client, explorer, front):
    with pytest.raises(
        NebulaExplorerConnectionError, match=r"TLS: the certificate is not trusted .* Set verify"
    ) as e:
        list_jobs(open_client, explorer, front)
    assert not e.value.may_have_acted
    assert not e.value.is_transient
    assert explorer.count() == 0


def test_a_ca_bundle_of_ones_own_is_trusted(open_client, explorer, front, bundle):
    assert list_jobs(open_client, explorer, front, verify=bundle).items == ()


def test_verification_can_be_switched_off(open_client, explorer, front):
    assert list_jobs(open_client, explorer, front, verify=False).items == ()


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_true_leaves_the_environment_in_force(open_client, explorer, front, bundle, monkeypatch, name):
    monkeypatch.setenv(name, bundle)
    assert list_jobs(open_client, explorer, front, verify=True).items == ()


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_a_path_wins_over_the_environment(open_client, explorer, front, bundle, monkeypatch, tmp_path, name):
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    monkeypatch.setenv(name, str(other))
    assert list_jobs(open_client, explorer, front, verify=bundle).items == ()
    assert list_jobs(open_client, explorer, front, verify=False).items == ()
    with pytest.raises(NebulaExplorerConnectionError, match="not trusted"):
        list_jobs(open_client, explorer, front, verify=True)


def test_a_certificate_for_another_name_is_refused(open_client, explorer, front, bundle):
    client = open_client(
        settings_of(
            explorer, base_url=front.url.replace("localhost", "127.0.0.1"), max_retries=0, verify=bundle
        )
    )
    with pytest.raises(NebulaExplorerConnectionError, match="not trusted .*mismatch"):
        client.login()


@pytest.mark.parametrize("is_split", [False, True], ids=["one file", "two files"])
def test_mutual_tls(open_client, explorer, context, authority, bundle, tmp_path, is_split):
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    mine = authority.issue_cert("client")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    mine.private_key_and_cert_chain_pem.write_to_path(str(cert))
    mine.private_key_pem.write_to_path(str(key))
    front = TlsFront(explorer.port, context)
    try:
        changes = {"verify": bundle, "client_cert": str(cert), "client_key": str(key) if is_split else None}
        assert list_jobs(open_client, explorer, front, **changes).items == ()
        with pytest.raises(NebulaExplorerConnectionError):
            list_jobs(open_client, explorer, front, verify=bundle)
    finally:
        front.close()


def test_a_proxy_is_used(open_client, explorer):
    behind = "http://graph.invalid:7002"
    client = open_client(settings_of(explorer, base_url=behind, proxy=explorer.url, max_retries=0))
    client.login()
    assert explorer.logins == 1


def test_a_proxy_of_the_environment_is_used_unless_one_is_given(open_client, explorer, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", explorer.url)
    monkeypatch.setenv("http_proxy", explorer.url)
    behind = "http://graph.invalid:7002"
    open_client(settings_of(explorer, base_url=behind, max_retries=0)).login()
    assert explorer.logins == 1
    wrong = open_client(settings_of(explorer, base_url=behind, proxy="http://127.0.0.1:1", max_retries=0))
    with pytest.raises(
        NebulaExplorerConnectionError, match="the proxy did not let the request through|refused"
    ):
        wrong.login()


def test_a_certificate_that_has_expired_is_refused(open_client, explorer, authority, bundle):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    then = datetime(2020, 1, 1, tzinfo=timezone.utc)
    expired = authority.issue_cert("localhost", not_before=then, not_after=then + timedelta(days=1))
    expired.configure_cert(context)
    front = TlsFront(explorer.port, context)
    try:
        with pytest.raises(NebulaExplorerConnectionError, match="not trusted .*expired"):
            list_jobs(open_client, explorer, front, verify=bundle)
    finally:
        front.close()
    assert explorer.count() == 0


@pytest.mark.parametrize(
    "begin", [b"HTTP/1.1 200 OK\r\nX-Drip: ", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"]
)
def test_what_drips_over_tls_ends_at_the_timeout(open_client, explorer, context, bundle, begin):
    with DrippingServer(begin) as server:
        front = TlsFront(server.port, context)
        try:
            client = open_client(
                settings_of(explorer, base_url=front.url, verify=bundle, timeout=0.5, max_retries=0)
            )
            with pytest.raises(NebulaExplorerConnectionError, match=r"no response within 0\.5 s"):
                client.login()
        finally:
            front.close()


def test_no_redirect_leads_from_https_to_http(open_client, explorer, front, bundle):
    client = open_client(settings_of(explorer, base_url=front.url, verify=bundle))
    client.login()
    before = explorer.connections
    explorer.fail(Fault("redirect", "get_job", location=f"{explorer.url}/api-open/v1/jobs/1"))
    with pytest.raises(NebulaExplorerConnectionError, match="a redirect"):
        client.run(api.get_job(1))
    assert explorer.count("get_job") == 1
    assert explorer.connections <= before + 1


class ConnectProxy(Relay):
    """A proxy for https: records the requests that it can read, and accepts or refuses them."""

    def __init__(self, port, response=b"HTTP/1.1 200 Connection established\r\n\r\n"):
        self.response, self.received = response, []
        super().__init__(port)
        self.place = f"127.0.0.1:{self.port}"

    def serve(self, client):
        self.received.append(read_request(client).decode())
        client.sendall(self.response)
        if b" 200 " in self.response:
            self.join(client)
        else:
            client.shutdown(socket.SHUT_RDWR)


def test_a_proxy_for_https_receives_its_own_account_and_reads_nothing_else(
    open_client, explorer, front, bundle, caplog
):
    caplog.set_level("DEBUG")
    proxy = ConnectProxy(int(front.url.rpartition(":")[2]))
    secrets = []
    try:
        changes = {
            "base_url": front.url,
            "verify": bundle,
            "proxy": f"http://user:pr0xy-secret@{proxy.place}",
        }
        open_client(settings_of(explorer, **changes), secrets.append).run(api.list_jobs(None, {}, 1, 10))
    finally:
        proxy.close()
    account = base64.b64encode(b"user:pr0xy-secret").decode()
    assert proxy.received[0].startswith(f"CONNECT {front.url.removeprefix('https://')} ")
    assert f"Basic {account}" in proxy.received[0]
    assert len(secrets) == 4, "the account, the token and its long parts"
    for secret in secrets:
        assert secret not in proxy.received[0]
        assert secret.encode() not in proxy.seen
    assert "pr0xy-secret" not in caplog.text
    assert account not in caplog.text


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.parametrize("schema", ["http", "https"])
@pytest.mark.parametrize("status", [403, 407, 502])
def test_the_account_of_a_proxy_that_refuses_is_in_no_text(open_client, explorer, caplog, schema, status):
    caplog.set_level("DEBUG")
    proxy = ConnectProxy(0, f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode())
    try:
        changes = {"base_url": f"{schema}://graph.invalid", "max_retries": 0}
        url = f"http://user:pr0xy-secret@{proxy.place}"
        with pytest.raises(NebulaExplorerError) as raised:
            open_client(settings_of(explorer, proxy=url, **changes)).login()
    finally:
        proxy.close()
    assert len(proxy.received) == 1
    shown = "".join(traceback.format_exception(raised.value)) + caplog.text
    assert not [
        text for text in ("pr0xy-secret", base64.b64encode(b"user:pr0xy-secret").decode()) if text in shown
    ]
    # Python 3.10 itself leaves the socket to the garbage collector where a proxy refuses.
    del raised
    gc.collect()


@pytest.mark.parametrize("is_from_environment", [False, True], ids=["connection", "environment"])
@pytest.mark.parametrize("schema", ["http", "https"])
def test_the_account_of_a_proxy_that_is_not_there_is_in_no_text(
    open_client, explorer, monkeypatch, caplog, schema, is_from_environment
):
    caplog.set_level("DEBUG")
    url = "http://user:pr0xy-secret@127.0.0.1:1"
    if is_from_environment:
        monkeypatch.setenv(f"{schema}_proxy", url)
    changes = {"base_url": f"{schema}://graph.invalid", "max_retries": 0}
    client = open_client(settings_of(explorer, proxy=None if is_from_environment else url, **changes))
    with pytest.raises(NebulaExplorerError) as raised:
        client.login()
    assert "pr0xy-secret" not in "".join(traceback.format_exception(raised.value)) + caplog.text


@pytest.mark.parametrize(
    "url",
    [
        "http://user:pr0xy-secret/x@proxy",
        "http://[::2]N:",
        "nonsense://pr0xy-secret",
        "http://\u0663",
        "http://",
        "http://user:pr0xy-secret@127.0.0.1:99999",
        "user:pr0xy-secret@127.0.0.1:x",
        "http://user:pr0xy-secret\u0142@127.0.0.1:9",
    ],
)
def test_a_proxy_of_the_environment_that_is_none_is_an_error_of_ours(open_client, explorer, monkeypatch, url):
    monkeypatch.setenv("http_proxy", url)
    with pytest.raises(NebulaExplorerError) as raised:
        open_client(settings_of(explorer, base_url="http://graph.invalid", max_retries=0)).login()
    assert "pr0xy-secret" not in "".join(traceback.format_exception(raised.value))


def test_a_proxy_of_the_environment_does_not_matter_where_it_is_not_for_explorer(
    open_client, explorer, monkeypatch
):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    open_client(settings_of(explorer)).login()
    assert explorer.logins == 1


NOBODY = "http://127.0.0.1:9"


@pytest.mark.parametrize("excepted", ["127.0.0.0/8", "LOCALHOST,127.0.0.1", "*", "127.0.0.1:{port}"])
@pytest.mark.parametrize("proxy", [NOBODY, "socks5://127.0.0.1:9", "nonsense"])
def test_a_proxy_that_does_not_apply_harms_neither_client(
    open_client, explorer, monkeypatch, proxy, excepted
):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, proxy)
    monkeypatch.setenv("no_proxy", excepted.format(port=explorer.port))
    open_client(settings_of(explorer)).login()
    assert explorer.logins == 1


def test_a_proxy_for_https_harms_no_http(open_client, explorer, monkeypatch):
    monkeypatch.setenv("https_proxy", "socks5://127.0.0.1:9")
    open_client(settings_of(explorer)).login()
    assert explorer.logins == 1


def test_the_connections_proxy_wins_over_no_proxy(open_client, explorer, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    client = open_client(settings_of(explorer, base_url="http://graph.invalid", proxy=explorer.url))
    client.login()
    assert explorer.logins == 1


@pytest.mark.parametrize("missing", ["socks", "socksio"])
def test_a_socks_proxy_says_what_to_install_in_both_clients(open_client, explorer, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
    with pytest.raises(
        NebulaExplorerConfigError, match=r"a SOCKS proxy, .* 'requests\[socks\]' 'httpx\[socks\]'"
    ):
        open_client(settings_of(explorer))


@pytest.fixture
def issued(tmp_path):
    """Run openssl commands in a folder of their own, and return the folder."""
    if shutil.which("openssl") is None:
        pytest.skip("the openssl command is not installed")

    def run(*commands):
        for command in commands:
            subprocess.run(command, shell=True, check=True, capture_output=True, cwd=tmp_path)
        return tmp_path

    return run


@pytest.fixture
def strict(monkeypatch):
    """Check certificates as Python 3.13 does."""
    create = ssl.create_default_context

    def create_strictly(*arguments, **options):
        context = create(*arguments, **options)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    monkeypatch.setattr(ssl, "create_default_context", create_strictly)


def front_with(explorer, folder):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    return TlsFront(explorer.port, context)


PLAIN = (
    'openssl req -x509 -newkey rsa:2048 -nodes -subj "/CN=My CA" -keyout ca.key -out ca.pem',
    "openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout server.key -out server.csr",
    'printf "subjectAltName=DNS:localhost" > server.ext',
    (
        "openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile server.ext "
        "-out server.pem"
    ),
)


def test_certificates_that_only_a_strict_check_refuses_say_how_to_issue_them(
    open_client, explorer, issued, strict
):
    folder = issued(*PLAIN)
    front = front_with(explorer, folder)
    try:
        with pytest.raises(NebulaExplorerConnectionError) as raised:
            list_jobs(open_client, explorer, front, verify=str(folder / "ca.pem"))
    finally:
        front.close()
    assert "Python 3.13 and later check certificates strictly" in str(raised.value)
    assert "-addext keyUsage=critical,keyCertSign,cRLSign" in str(raised.value)
    assert not raised.value.is_transient


def test_certificates_as_the_documentation_issues_them_pass_the_strict_check(
    open_client, explorer, issued, strict
):
    page = (Path(__file__).parents[3] / "docs/connection.md").read_text()
    commands = re.findall(r"^    ((?:openssl|printf) .*)$", page, re.MULTILINE)
    assert len(commands) == 4
    folder = issued(*(command.replace("graph.example.com", "localhost") for command in commands))
    front = front_with(explorer, folder)
    try:
        assert list_jobs(open_client, explorer, front, verify=str(folder / "ca.pem")).items == ()
    finally:
        front.close()


@pytest.mark.parametrize("is_split", [False, True], ids=["one file", "two files"])
def test_an_encrypted_key_is_an_error_and_no_prompt(
    open_client, explorer, front, authority, bundle, tmp_path, is_split
):
    mine = authority.issue_cert("client")
    key = serialization.load_pem_private_key(mine.private_key_pem.bytes(), None)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"pass phrase"),
    )
    chain = b"".join(blob.bytes() for blob in mine.cert_chain_pems)
    cert_file, key_file = tmp_path / "cert.pem", tmp_path / "encrypted.key"
    cert_file.write_bytes(chain if is_split else chain + encrypted)
    key_file.write_bytes(encrypted)
    changes = {"client_cert": str(cert_file), "client_key": str(key_file) if is_split else None}
    name = "client_key is '.*encrypted.key'" if is_split else "client_cert is '.*cert.pem'"
    with pytest.raises(NebulaExplorerConfigError, match=f"{name}, whose key is encrypted; allowed"):
        open_client(settings_of(explorer, base_url=front.url, verify=bundle, **changes))


def test_a_folder_of_certificates_is_trusted(open_client, explorer, front, authority, bundle, tmp_path):
    folder = tmp_path / "certs"
    folder.mkdir()
    if shutil.which("openssl") is None:
        pytest.skip("the openssl command, which names such a folder's files, is not installed")
    digest = subprocess.run(
        ["openssl", "x509", "-hash", "-noout", "-in", bundle], check=True, capture_output=True, text=True
    ).stdout.strip()
    shutil.copy(bundle, folder / f"{digest}.0")
    assert list_jobs(open_client, explorer, front, verify=str(folder)).items == ()
