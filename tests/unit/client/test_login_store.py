# SPDX-License-Identifier: Apache-2.0
"""One login for all who share a folder, and nothing of it for anyone else."""

from __future__ import annotations

import base64
import builtins
import hashlib
import os
import pickle
import shutil
import signal
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from factories import settings
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st

from airflow_provider_nebula_explorer.explorer.client import login_file
from airflow_provider_nebula_explorer.explorer.client.login_file import LoginFile
from airflow_provider_nebula_explorer.explorer.client.login_store import LoginStore
from airflow_provider_nebula_explorer.explorer.client.logins import Login, Refusal
from airflow_provider_nebula_explorer.explorer.client.redaction import redact
from airflow_provider_nebula_explorer.explorer.settings import Account
from airflow_provider_nebula_explorer.explorer.state_folder import MAX_FILE_BYTES

FIRST = Login("first.token.here", "json", ("AWSALB=0", "sid=0123456789"))
SECOND = Login("second.token.here", "colon")
REFUSAL = Refusal(40004000, "ErrBadRequest::failed to authenticate", "goroutine 1", 400)
OTHER_PASSWORD = {"account": Account("root", "another-password", "10.0.0.9")}


class Sharing:
    """Processes that share a folder: each turn is another one's."""

    def __init__(self, path):
        self.path = path
        self.now = time.time()
        self.waited = 0.0

    def begin(self, refused=None, **changes):
        store = LoginStore(
            settings(**changes), str(self.path), clock=lambda: self.now, monotonic=lambda: self.waited
        )
        turn = store.turn(refused)
        for pause in turn.attempts():
            self.waited += pause
        return turn

    def find(self, refused=None, **changes):
        turn = self.begin(refused, **changes)
        turn.end()
        return turn.found

    def keep(self, outcome, refused=None, **changes):
        turn = self.begin(refused, **changes)
        turn.keep(outcome)
        turn.end()

    def file(self, kind="login"):
        (found,) = self.path.glob(f"*.{kind}")
        return found

    def other_process(self, *steps):
        """Take steps as another process would, as one thread never waits for itself."""
        thread = threading.Thread(target=lambda: [step() for step in steps])
        thread.start()
        return thread


@pytest.fixture
def shared(tmp_path):
    return Sharing(tmp_path / "state")


def test_a_login_is_found_by_whoever_comes_later(shared):
    assert shared.find() is None
    shared.keep(FIRST)
    assert shared.find() == FIRST


def test_a_refused_token_is_replaced(shared):
    shared.keep(FIRST)
    assert shared.find(FIRST.token) is None
    shared.keep(SECOND, FIRST.token)
    assert shared.find(FIRST.token) == shared.find() == SECOND


def test_whoever_logs_in_sweeps_the_folder_once_an_hour_as_others_may_wait(shared):
    expired = shared.path / f"{'0' * 64}.note"
    remains = []
    for later in (0, 3599, 3600):
        shared.now += later
        shared.keep(REFUSAL, **OTHER_PASSWORD)
        remains.append(expired.exists())
        expired.touch(mode=0o600)
        os.utime(expired, (0, 0))
    assert remains == [False, True, False]


def test_a_token_is_not_replaced_by_whoever_was_refused_with_another(shared):
    shared.keep(FIRST)
    late = shared.begin("an older token")
    assert late.found == FIRST
    late.keep(SECOND)
    late.end()
    assert shared.find() == FIRST


ELSEWHERE = [
    {"base_url": "http://other:7002"},
    {"account": Account("other", "nebula-password", "10.0.0.9")},
    {"account": Account("root", "nebula-password", "10.0.0.8")},
    {"account": Account("root", "nebula-password", "10.0.0.9", 9670)},
    {"account": Account("root", "nebula-password", "10.0.0.9", encodings=("colon",))},
    {"proxy": "http://proxy:3128"},
    {"verify": False},
    {"client_cert": "/some/where.pem"},
]


@pytest.mark.parametrize("changes", ELSEWHERE, ids=str)
def test_another_explorer_account_graphd_or_way_there_has_a_login_of_its_own(shared, changes):
    shared.keep(FIRST)
    ours = shared.file()
    assert shared.find(**changes) is None
    shared.keep(SECOND, **changes)
    assert (shared.find(), shared.find(**changes)) == (FIRST, SECOND)
    (theirs,) = set(shared.path.glob("*.login")) - {ours}
    shutil.copy2(ours, theirs)
    assert shared.find(**changes) is None, "one file in the place of another is not accepted"


def test_another_user_has_files_of_another_name(shared, monkeypatch):
    mine = LoginFile(settings()).name("login")
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert LoginFile(settings()).name("login") != mine


def test_the_proxys_account_has_no_part_in_a_name():
    names = {
        LoginFile(settings(proxy=proxy)).name("login")
        for proxy in ("http://user:one@proxy:3128", "http://user:t@wo@proxy:3128")
    }
    assert len(names) == 1


def test_a_refusal_in_the_place_of_a_login_is_not_accepted(shared):
    shared.keep(FIRST)
    shared.keep(REFUSAL, FIRST.token)
    shutil.copy2(shared.file("refusal"), shared.file("login"))
    shared.now += 60
    assert shared.find() is None


def test_no_kind_of_content_is_accepted_as_another_and_none_is_encrypted_alike_twice():
    file = LoginFile(settings())
    sealed = [file.seal_login(FIRST) for _ in range(9)]
    assert file.read_login(sealed[0]) == FIRST
    assert file._unseal("refusal", sealed[0]) == {}
    assert len(set(sealed)) == 9


def test_another_password_finds_nothing_and_its_refusal_harms_nobody(shared):
    shared.keep(FIRST)
    assert shared.find(**OTHER_PASSWORD) is None
    shared.keep(REFUSAL, **OTHER_PASSWORD)
    assert shared.find(**OTHER_PASSWORD) == REFUSAL
    assert shared.find() == FIRST
    assert shared.find(FIRST.token) is None


def test_a_changed_password_takes_the_place_of_the_one_before(shared):
    shared.keep(FIRST)
    shared.keep(SECOND, **OTHER_PASSWORD)
    assert shared.find(**OTHER_PASSWORD) == SECOND
    assert shared.find() is None


@pytest.mark.parametrize(
    ("later", "found"), [(0, REFUSAL), (29.9, REFUSAL), (30, None), (9999, None), (-1, None), (-9999, None)]
)
def test_a_refused_account_is_remembered_for_half_a_minute(shared, later, found):
    shared.keep(REFUSAL)
    shared.now += later
    assert shared.find() == found


def test_a_login_counts_more_than_a_refusal_before_it(shared):
    shared.keep(REFUSAL)
    turn = shared.begin()
    turn.keep(FIRST)
    turn.end()
    assert shared.find() == FIRST


def test_a_clock_that_is_set_back_loses_no_login(shared):
    shared.keep(FIRST)
    shared.now -= 1e6
    assert shared.find() == FIRST
    shared.keep(SECOND, FIRST.token)
    assert shared.find() == SECOND


def test_whoever_comes_second_waits_and_gets_what_the_first_one_got(shared):
    first = shared.begin()
    found = []
    second = shared.other_process(lambda: found.append(shared.find(timeout=1e6)))
    while not shared.waited:
        time.sleep(0.001)
    assert not found
    first.keep(FIRST)
    first.end()
    second.join()
    assert found == [FIRST]


def test_a_refusal_is_what_the_second_gets_too(shared):
    first = shared.begin()
    found = []
    second = shared.other_process(lambda: found.append(shared.find(timeout=1e6)))
    while not shared.waited:
        time.sleep(0.001)
    first.keep(REFUSAL)
    first.end()
    second.join()
    assert found == [REFUSAL]


def test_nobody_waits_longer_than_the_timeout_and_then_logs_in_for_itself(shared, caplog):
    caplog.set_level("INFO")
    first = shared.begin()
    shared.other_process(lambda: shared.keep(SECOND, timeout=7)).join()
    assert shared.waited == pytest.approx(7, abs=0.1)
    assert caplog.messages == ["Another process still logs in after 7 s: not waiting for it."]
    assert shared.find() == SECOND
    first.keep(FIRST)
    first.end()
    assert shared.find() == SECOND, "what others already use stays"


def test_others_do_not_wait_for_each_other(shared):
    first = shared.begin()
    second = shared.begin(account=Account("other", "nebula-password", "10.0.0.9"))
    assert second.found is None
    assert shared.waited == 0
    second.end()
    first.end()


def test_a_signal_handler_does_not_wait_for_the_function_that_it_interrupts(shared):
    first = shared.begin()
    handler = shared.begin()
    assert (handler.found, shared.waited) == (None, 0)
    handler.end()
    shared.other_process(lambda: shared.find(timeout=1)).join()
    assert shared.waited > 1, "the interrupted function has its turn still"
    first.end()


def test_a_turn_that_has_ended_takes_no_lock(shared):
    store = LoginStore(settings(), str(shared.path))
    turn = store.turn(None)
    turn.end()
    assert list(turn.attempts()) == []
    shared.other_process(shared.find).join()
    assert shared.waited == 0


def torn(content):
    return content[: len(content) // 2]


def of_a_newer_version(content):
    at = len(b"nebula-explorer-login")
    return content[:at] + bytes([content[at] + 1]) + content[at + 1 :]


def with_a_bit_flipped(content):
    return content[:-1] + bytes([content[-1] ^ 1])


def of_another_salt(content):
    at = len(b"nebula-explorer-login") + 1
    return content[:at] + bytes(16) + content[at + 16 :]


@pytest.mark.parametrize(
    "spoil",
    [
        torn,
        of_a_newer_version,
        with_a_bit_flipped,
        of_another_salt,
        lambda content: b"",
        lambda content: content[:22],
        lambda content: b"{}",
        lambda content: b"\0" * MAX_FILE_BYTES,
        lambda content: content + b"\0",
    ],
)
def test_a_spoilt_file_is_replaced_without_a_word(shared, spoil, caplog):
    shared.keep(FIRST)
    shared.file().write_bytes(spoil(shared.file().read_bytes()))
    assert shared.find() is None
    shared.keep(SECOND)
    assert shared.find() == SECOND
    assert caplog.messages == []


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"token": "a b", "encoding": "json", "cookies": []},
        {"token": "t\r\nX: y", "encoding": "json", "cookies": []},
        {"token": 7, "encoding": "json", "cookies": []},
        {"token": "t", "encoding": "yaml", "cookies": []},
        {"token": "t", "encoding": "json", "cookies": None},
        {"token": "t", "encoding": "json", "cookies": ["a=1\r\nX: y"]},
        {"token": "t", "encoding": "json", "cookies": ["explorer_token=u"]},
        {"token": "t", "encoding": "json", "cookies": [7]},
    ],
)
def test_what_could_not_be_a_login_is_none(value):
    file = LoginFile(settings())
    assert file.read_login(file._seal("login", value)) is None
    fits = {"token": "t", "encoding": "json", "cookies": ["a=1"]}
    assert file.read_login(file._seal("login", fits)) == Login("t", "json", ("a=1",))


@pytest.mark.parametrize("value", [{}, {"at": "now"}, {"at": 5.0, "code": 1}, {"at": 5.0, "other": 1}])
def test_what_could_not_be_a_refusal_is_none(value):
    file = LoginFile(settings())
    assert file.read_refusal(file._seal("refusal", value), now=6.0) is None
    assert file.read_refusal(file.seal_refusal(REFUSAL, at=5.0), now=6.0) == REFUSAL


def unusable_folder(shared, monkeypatch):
    shared.path.write_text("")


def full_disk(shared, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)


def read_only(shared, monkeypatch):
    opened = os.open

    def read_only(path, flags, *args, **kwargs):
        if flags & (os.O_CREAT | os.O_WRONLY | os.O_RDWR):
            raise OSError(30, "Read-only file system")
        return opened(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", read_only)


def no_cryptography(shared, monkeypatch):
    imported = builtins.__import__

    def missing(name, *args, **kwargs):
        if name.startswith("cryptography"):
            raise ModuleNotFoundError("No module named 'cryptography'")
        return imported(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)


def no_scrypt(shared, monkeypatch):
    monkeypatch.delattr(hashlib, "scrypt")


@pytest.mark.parametrize("happens", [unusable_folder, full_disk, read_only, no_cryptography, no_scrypt])
def test_whatever_is_wrong_each_logs_in_for_itself_with_one_warning(shared, monkeypatch, caplog, happens):
    happens(shared, monkeypatch)
    for _ in range(3):
        assert shared.find() is None
        shared.keep(FIRST)
        shared.keep(REFUSAL)
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith(f"Nothing is shared through state_dir '{shared.path}': ")


def test_a_read_only_folder_still_gives_the_login_that_it_has(shared, monkeypatch, caplog):
    shared.keep(FIRST)
    read_only(shared, monkeypatch)
    assert shared.find() == FIRST
    assert caplog.messages == []


def test_the_key_is_derived_once_in_a_process_at_the_cost_of_the_format(shared, monkeypatch):
    derived = []
    scrypt = hashlib.scrypt

    def observed(password, **cost):
        derived.append((cost.pop("salt"), cost))
        return scrypt(password, **cost, salt=derived[-1][0])

    monkeypatch.setattr(hashlib, "scrypt", observed)
    shared.keep(FIRST)
    shared.keep(SECOND, FIRST.token)
    shared.keep(REFUSAL, SECOND.token)
    assert shared.find(SECOND.token) == REFUSAL
    (cost,) = [cost for _, cost in derived]
    assert cost == {"n": 2**14, "r": 8, "p": 1, "dklen": 32}
    assert 128 * cost["n"] * cost["r"] <= 32 * 2**20


def test_threads_that_need_keys_at_once_derive_each_once_and_one_at_a_time(monkeypatch):
    under_way, derived = [], []
    scrypt = hashlib.scrypt

    def observed(password, *, salt, **cost):
        derived.append((salt, len(under_way)))
        under_way.append(salt)
        key = scrypt(password, salt=salt, **cost)
        under_way.remove(salt)
        return key

    monkeypatch.setattr(hashlib, "scrypt", observed)
    salts = sorted(os.urandom(16) for _ in range(2))
    together = threading.Barrier(8)

    def derive(salt):
        together.wait()
        return login_file.derive_key("password", salt)

    with ThreadPoolExecutor(8) as threads:
        keys = list(threads.map(derive, salts * 4))
    assert len(set(keys)) == 2
    assert sorted(derived) == [(salt, 0) for salt in salts]


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_child_of_a_process_that_derives_a_key_derives_it_for_itself(monkeypatch):
    has_begun, may_end, salt = threading.Event(), threading.Event(), os.urandom(16)

    def lasting(password, *, salt, **cost):
        has_begun.set()
        may_end.wait()
        return salt

    monkeypatch.setattr(hashlib, "scrypt", lasting)
    thread = threading.Thread(target=login_file.derive_key, args=("password", salt))
    thread.start()
    has_begun.wait()
    child = os.fork()
    if child == 0:
        signal.alarm(10)  # ends a child that waits for its parent's thread
        may_end.set()
        os._exit(login_file.derive_key("password", salt) != salt)
    may_end.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_signal_handler_derives_a_key_amid_the_derivation_that_it_interrupts(monkeypatch):
    interrupted, handlers = os.urandom(16), os.urandom(16)

    def derive(password, *, salt, **cost):
        return salt if salt == handlers else login_file.derive_key("password", handlers)

    monkeypatch.setattr(hashlib, "scrypt", derive)
    thread = threading.Thread(target=login_file.derive_key, args=("password", interrupted), daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()


def test_no_two_files_of_different_passwords_have_a_salt_in_common(shared):
    at = slice(22, 38)
    shared.keep(FIRST)
    before = shared.file().read_bytes()[at]
    shared.keep(SECOND, **OTHER_PASSWORD)
    assert shared.file().read_bytes()[at] != before


def test_the_key_is_in_no_text_and_no_pickle(shared):
    shared.keep(FIRST)
    turn = shared.begin()
    turn.end()
    file = LoginFile(settings())
    file.read_login(shared.file().read_bytes())
    key = login_file.derive_key(settings().account.password, file._salt)
    shown = (
        repr(turn),
        repr(vars(turn)),
        repr(vars(turn._store)),
        repr(vars(file)),
        repr(login_file.derive_key),
    )
    assert not [text for text in shown if repr(key) in text or key.hex() in text]
    with pytest.raises(TypeError, match="Account"):
        pickle.dumps(file)


@pytest.mark.parametrize(
    ("max_age", "days"), [(None, 3), (86400, 1), (0, 1 / 24), (7 * 86400, 7), (9_999_999_999, 400)]
)
def test_a_file_goes_with_its_token(shared, max_age, days):
    shared.keep(Login("some.token", "json", max_age=max_age))
    gone = shared.file()
    assert gone.stat().st_mtime == pytest.approx(shared.now + days * 86400, abs=1)
    shared.now += days * 86400 + 3601
    shared.keep(FIRST, base_url="http://other:7002")
    assert shared.file() != gone


def written_forms(secret):
    """Return a secret as it could be in a file: as it is, and as others write it."""
    raw = secret.encode()
    encoded = {base64.b64encode(raw), base64.urlsafe_b64encode(raw), raw.hex().encode(), raw[::-1]}
    return {raw, *encoded, *(form.rstrip(b"=") for form in encoded)}


SECRETS = st.text(st.characters(exclude_categories=("Cs",)), min_size=6, max_size=40)
TOKENS = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_.", min_size=6, max_size=200)


@how(max_examples=25, deadline=None, derandomize=True)
@given(SECRETS, TOKENS, TOKENS)
def test_no_secret_is_in_the_folder_at_any_time(password, token, cookie):
    account = Account("root", password, "10.0.0.9")
    login = Login(token, "json", (f"sid={cookie}",))
    secrets = (password, token, cookie, account.encoded("json"), account.encoded("colon"))
    forms = {form for secret in secrets for form in written_forms(secret)}
    seen = []
    sync = os.fsync
    with tempfile.TemporaryDirectory() as parent, pytest.MonkeyPatch.context() as patch:
        shared = Sharing(Path(parent) / "state")

        def look_and_sync(descriptor):
            seen.extend((path.name, path.read_bytes()) for path in shared.path.iterdir())
            sync(descriptor)

        patch.setattr(os, "fsync", look_and_sync)
        shared.keep(login, account=account)
        shared.keep(REFUSAL, login.token, account=account)
        assert shared.find(account=account) == login
    assert any(name.endswith(".new") and content for name, content in seen)
    for name, content in seen:
        assert redact(secrets, name) == name
        assert not [form for form in forms if form in content]
