# SPDX-License-Identifier: Apache-2.0
"""What a state folder shares, and with whom it does not."""

from __future__ import annotations

import os
import secrets
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from airflow_provider_nebula_explorer.explorer.state_folder import (
    MAX_FILE_BYTES,
    HeldByThisThreadError,
    UnusableFolderError,
    file_name,
    open_state_folder,
    warn_once,
)

NAME = file_name("note", "a subject")
LOCK = file_name("lock", "a subject")
FAR = 4e9


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state"


def write(path, content=b"content", name=NAME, until=FAR):
    with open_state_folder(str(path)) as folder:
        folder.replace(name, content, until=until)


def read(path, name=NAME):
    with open_state_folder(str(path)) as folder:
        return folder.read(name)


def names(path):
    return sorted(entry.name for entry in path.iterdir())


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_written_is_read_by_whoever_opens_the_folder_again(path):
    assert read(path) is None
    write(path, b"one")
    write(path, b"two")
    assert read(path) == b"two"
    assert names(path) == [NAME]


def test_the_folder_and_its_files_are_this_users_alone_whatever_the_umask(path):
    before = os.umask(0)
    try:
        write(path)
    finally:
        os.umask(before)
    assert (mode(path), mode(path / NAME)) == (0o700, 0o600)


def test_a_folder_below_the_home_is_found(path, monkeypatch):
    monkeypatch.setenv("HOME", str(path.parent))
    write("~/state")
    assert read(path) == b"content"


def a_file(path):
    path.write_text("")


def a_link(path):
    (path.parent / "elsewhere").mkdir(mode=0o700)
    path.symlink_to(path.parent / "elsewhere")


def a_folder_for_all(path):
    path.mkdir()
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("make", "reason"),
    [(a_file, "not a folder"), (a_link, "a link to one"), (a_folder_for_all, "used by others, .* 0755")],
)
def test_a_folder_that_is_not_ours_alone_is_not_used(path, make, reason):
    make(path)
    with pytest.raises(UnusableFolderError, match=reason):
        write(path)
    assert not list(path.parent.glob("*/*"))


@pytest.mark.parametrize("odd", ["", "state", "./state", "/tmp/a\0b", "~nobody-of-this-name/state"])
def test_a_path_must_be_absolute(odd):
    with pytest.raises(UnusableFolderError, match="absolute"):
        write(odd)


def test_the_folder_above_is_not_made(path):
    with pytest.raises(UnusableFolderError, match="above it does not exist"):
        write(path / "below")
    assert not path.exists()


def test_a_folder_or_file_of_another_user_is_not_used(path, monkeypatch):
    write(path)
    user = os.geteuid()
    with open_state_folder(str(path)) as folder:
        monkeypatch.setattr(os, "geteuid", lambda: user + 1)
        with pytest.raises(UnusableFolderError, match=f"belongs to user {user}"):
            folder.read(NAME)
    with pytest.raises(UnusableFolderError, match=f"it belongs to user {user}, not to user {user + 1}"):
        read(path)


def a_symbolic_link(path):
    path.symlink_to(__file__)


def a_second_name(path):
    other = path.with_name("other")
    other.touch(mode=0o600)
    path.hardlink_to(other)


def a_pipe(path):
    os.mkfifo(path, 0o600)


def a_socket(path):
    where = Path.cwd()
    os.chdir(path.parent)  # its path may be short only
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(where)
    path.chmod(0o600)


def a_subfolder(path):
    path.mkdir(mode=0o700)


def a_file_for_the_group(path):
    path.touch()
    path.chmod(0o640)


def a_large_file(path):
    path.touch(mode=0o600)
    os.truncate(path, MAX_FILE_BYTES + 1)


NOT_OURS = (
    "regular file|second name|mode is 0640|too large|levels of symbolic links|No such device|Is a directory"
)
PLANTED = (a_symbolic_link, a_second_name, a_pipe, a_socket, a_subfolder, a_file_for_the_group, a_large_file)


@pytest.mark.parametrize("plant", PLANTED)
def test_a_file_that_is_not_ours_alone_is_not_read(path, plant):
    path.mkdir(mode=0o700)
    plant(path / NAME)
    with pytest.raises(OSError, match=NOT_OURS):
        read(path)


@pytest.mark.parametrize("plant", PLANTED)
def test_a_lock_that_is_not_ours_alone_is_not_taken(path, plant):
    path.mkdir(mode=0o700)
    plant(path / LOCK)
    for _ in range(2):  # neither the first time nor afterwards
        with open_state_folder(str(path)) as folder, pytest.raises(OSError, match=NOT_OURS):
            folder.lock(LOCK)


def test_too_large_a_content_is_not_written(path):
    write(path, b"x" * MAX_FILE_BYTES)
    with pytest.raises(UnusableFolderError, match="too large"):
        write(path, b"y" * (MAX_FILE_BYTES + 1))
    assert read(path) == b"x" * MAX_FILE_BYTES
    assert names(path) == [NAME]


def test_a_write_that_fails_leaves_the_file_before_and_nothing_else(path, monkeypatch):
    write(path, b"before")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write(path, b"after")
    assert read(path) == b"before"
    assert names(path) == [NAME]


def test_what_lies_in_the_way_of_a_new_file_is_not_written_to(path, monkeypatch):
    write(path, b"before")
    monkeypatch.setattr(secrets, "token_hex", lambda length: "0" * 2 * length)
    planted = path / f"{NAME}.{'0' * 16}.new"
    planted.write_bytes(b"planted")
    planted.chmod(0o600)
    with pytest.raises(FileExistsError):
        write(path, b"after")
    assert (read(path), planted.read_bytes()) == (b"before", b"planted")


def test_a_folder_that_takes_the_path_of_an_open_one_is_not_used(path):
    with open_state_folder(str(path)) as folder:
        path.rename(path.with_name("moved"))
        path.mkdir(mode=0o700)
        folder.replace(NAME, b"content", until=FAR)
        assert folder.read(NAME) == b"content"
    assert names(path) == []


def test_a_reader_sees_the_whole_of_one_content(path):
    contents = [bytes([number]) * 50_000 for number in range(20)]
    write(path, contents[0])
    writers = [
        threading.Thread(target=lambda own=own: [write(path, it) for it in own]) for own in (contents,) * 3
    ]
    for writer in writers:
        writer.start()
    seen = 0
    while any(writer.is_alive() for writer in writers):
        assert read(path) in contents
        seen += 1
    for writer in writers:
        writer.join()
    assert seen
    assert names(path) == [NAME]


def test_what_has_expired_is_swept_and_nothing_else(path):
    now = time.time()
    others = ["notes.txt", f"{NAME}.bak", "a" * 64]
    write(path, name=NAME, until=now + 60)
    write(path, name=file_name("note", "long ago"), until=now - 4000)
    for name in (*others, f"{file_name('note', 'torn')}.0123456789abcdef.new", LOCK):
        (path / name).touch(mode=0o600)
        os.utime(path / name, (now - 4000, now - 4000))
    with open_state_folder(str(path)) as folder:
        folder.sweep(now)
    assert names(path) == sorted([NAME, LOCK, file_name("swept"), *others])


def test_a_sweep_is_due_once_an_hour_and_when_the_clock_was_set_back(path):
    now = time.time()
    expired = file_name("note", "long ago")
    remaining = []
    for later in (0, 3599, 3600, -7200):
        write(path, name=expired, until=now - 20_000)
        with open_state_folder(str(path)) as folder:
            folder.sweep(now + later)
        remaining.append(expired in names(path))
    assert remaining == [False, True, False, False]


def test_names_tell_nothing_and_no_two_subjects_share_one():
    names = {file_name("note", *subject) for subject in (["a", "b"], ["ab"], ["a"], ["a", ["b"]], ["\udc80"])}
    assert len(names) == 5
    assert {len(name) for name in names} == {64 + len(".note")}


def take(path, **more):
    with open_state_folder(str(path)) as folder:
        return folder.lock(LOCK, **more)


def in_thread(work):
    found = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]


def test_one_thread_at_a_time_has_the_lock(path):
    lock = take(path)
    assert in_thread(lambda: take(path)) is None
    lock.release()
    second = in_thread(lambda: take(path))
    lock.release()  # again, which takes nothing from its new holder
    assert in_thread(lambda: take(path)) is None
    second.release()


def test_a_lock_that_its_own_thread_holds_is_not_waited_for(path):
    lock = take(path)
    with pytest.raises(HeldByThisThreadError):
        take(path)
    lock.release()
    lock = in_thread(lambda: take(path, owner=threading.main_thread()))
    with pytest.raises(HeldByThisThreadError):
        take(path)
    lock.release()
    take(path).release()


def test_locks_on_different_subjects_are_independent(path):
    with open_state_folder(str(path)) as folder:
        locks = [folder.lock(file_name("lock", number)) for number in range(3)]
    for lock in locks:
        lock.release()


HOLDER = r"""
import os, sys
from airflow_provider_nebula_explorer.explorer.state_folder import open_state_folder
path, name, forks = sys.argv[1:]
with open_state_folder(path) as folder:
    lock = folder.lock(name)
parent = os.getpid()
if forks == "yes" and os.fork() == 0:
    with open_state_folder(path) as folder:
        assert folder.lock(name) is None, "a child has no lock of its parent's"
    os.write(1, b"child\n")
    sys.stdin.read()
    os._exit(0)
os.write(1, b"locked\n" if lock else b"busy\n")
sys.stdin.read()
"""


def hold(path, forks="no"):
    command = [sys.executable, "-c", HOLDER, str(path), LOCK, forks]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("forks", ["no", "yes"])
def test_a_killed_process_holds_no_lock_even_if_a_child_of_its_lives(path, forks):
    with hold(path, forks) as holder:
        assert {holder.stdout.readline() for _ in range(1 if forks == "no" else 2)} >= {"locked\n"}
        assert take(path) is None
        holder.kill()
        holder.wait()
        take(path).release()
        holder.stdin.close()


def test_one_process_at_a_time_has_the_lock(path):
    lock = take(path)
    with hold(path) as other:
        assert other.stdout.readline() == "busy\n"
        other.stdin.close()
    lock.release()
    with hold(path) as other:
        assert other.stdout.readline() == "locked\n"
        other.stdin.close()


def test_a_folder_without_locks_is_an_error_not_a_wait(path, monkeypatch):
    import fcntl

    def refuse(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    for _ in range(2):
        with pytest.raises(OSError, match="No locks available"):
            take(path)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="descriptors are counted as Linux shows them")
def test_no_descriptor_is_left_open(path):
    def opened():
        return len(names(Path("/proc/self/fd")))

    write(path)
    before = opened()
    a_pipe(path / LOCK)
    for _ in range(3):
        write(path)
        read(path)
        with pytest.raises(UnusableFolderError, match="regular file"):
            take(path)
    assert opened() == before


def test_a_process_warns_once_of_a_folder(caplog):
    for error in (OSError(30, "Read-only file system"), UnusableFolderError("it is odd")):
        warn_once("/some/folder", error)
    warn_once("/another", UnusableFolderError("it is odd"))
    assert caplog.messages == [
        "Nothing is shared through state_dir '/some/folder': Read-only file system.",
        "Nothing is shared through state_dir '/another': it is odd.",
    ]
