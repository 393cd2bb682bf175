# SPDX-License-Identifier: Apache-2.0
"""A folder in which the processes of one user share small files, and nobody else can read or plant one.

All of the rules:

* The folder belongs to this user, is no link, and others may neither read nor write it (mode 0700). It is
  opened once for each use, checked, and then used by its descriptor: another folder that takes its path
  meanwhile is not used.
* A file is opened without following links and without waiting for a writer, and is checked before it is read:
  regular, of this user, with one name, of mode 0600, of at most :data:`MAX_FILE_BYTES`.
* A file is replaced as a whole: written under a name that nobody else uses, synced, and renamed.
* A file's modification time says until when anyone needs it, so that whoever writes can remove what has
  expired without reading it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
import os
import re
import secrets
import stat
import threading
from collections.abc import Iterator

log = logging.getLogger(__name__)

MAX_FILE_BYTES = 64 * 1024
"""Larger files are neither read nor written."""

_CAN_BE_SAFE = hasattr(os, "O_NOFOLLOW") and os.open in os.supports_dir_fd

_SWEEP_AFTER_SECONDS = 3600.0
"""How long an expired file stays: the clocks of machines differ, and writing a file takes time."""

_OURS = re.compile(r"[0-9a-f]{64}\.(?!lock$)[a-z]+(\.[0-9a-f]{16}\.new)?")
"""The files that may be removed. A lock stays: with its file removed, two processes could each hold one."""


class UnusableFolderError(OSError):
    """The folder, or a file in it, could be read or planted by others, or this system cannot check that."""


class HeldByThisThreadError(OSError):
    """This thread holds the lock itself, in a function that a signal interrupted: it would wait in vain."""


def file_name(kind: str, *subject: object) -> str:
    """Return the name of the file about a subject; it tells nothing of it.

    :param kind: what the file holds: lower-case letters.
    :param subject: JSON values.
    """
    text = json.dumps(subject, ensure_ascii=True, separators=(",", ":"))
    return f"{hashlib.sha256(text.encode()).hexdigest()}.{kind}"


_SWEPT = file_name("swept")
"""A file that is empty; it was written when the folder was swept."""


@contextlib.contextmanager
def open_state_folder(path: str) -> Iterator[StateFolder]:
    """Open the folder, and make it where it is missing; its parent has to exist.

    :param path: absolute, or below ``~``.
    :raises OSError: if it cannot be used; :class:`UnusableFolderError` says why.
    """
    descriptor = _open_folder(path)
    try:
        _check_owner("it", os.fstat(descriptor))
        yield StateFolder(descriptor)
    finally:
        os.close(descriptor)


def _open_folder(path: str) -> int:
    place = os.path.expanduser(path)  # noqa: PTH111 - Path raises where there is no home
    if not os.path.isabs(place) or "\0" in place:  # noqa: PTH117
        raise UnusableFolderError("it is not an absolute path")
    if not _CAN_BE_SAFE:
        raise UnusableFolderError("this operating system cannot open files safely enough")
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(place, 0o700)  # noqa: PTH102
        return os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise UnusableFolderError("the folder above it does not exist") from None
    except NotADirectoryError:
        raise UnusableFolderError("it is not a folder, or it is a link to one") from None


class StateFolder:
    """The open folder. All its methods raise ``OSError`` and nothing else.

    :param descriptor: of the folder, which was checked.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read(self, name: str) -> bytes | None:
        """Return a file's content; ``None`` if there is no such file."""
        try:
            descriptor = self._open(name, os.O_RDONLY)
        except FileNotFoundError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise UnusableFolderError(f"{name} is too large")
        return content

    def replace(self, name: str, content: bytes, *, until: float) -> None:
        """Write a file, in the place of the one before: a reader sees all of one of them.

        :param until: when nobody needs it any more, in epoch seconds.
        """
        if len(content) > MAX_FILE_BYTES:
            raise UnusableFolderError(f"{name} would be too large")
        new = f"{name}.{secrets.token_hex(8)}.new"
        descriptor = self._open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(descriptor)
                os.utime(descriptor, (until, until))
            os.rename(new, name, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(new, dir_fd=self._descriptor)
            raise
        with contextlib.suppress(OSError):  # some network file systems sync no folder
            os.fsync(self._descriptor)

    def sweep(self, now: float) -> None:
        """Remove the files that nobody needs any more, and what a killed writer left.

        Unless somebody did within the last hour: where there are many files, that takes a while.

        :param now: epoch seconds.
        """
        if not 0 <= now - self._swept_at() < _SWEEP_AFTER_SECONDS:
            self.replace(_SWEPT, b"", until=now)
            self._sweep(now)

    def _swept_at(self) -> float:
        try:
            return os.stat(_SWEPT, dir_fd=self._descriptor, follow_symlinks=False).st_mtime
        except FileNotFoundError:
            return -math.inf

    def _sweep(self, now: float) -> None:
        # By a descriptor of its own, as one that a fork shares has one position for both processes.
        listed = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._descriptor)
        try:
            names = [name for name in os.listdir(listed) if _OURS.fullmatch(name)]  # noqa: PTH208
        finally:
            os.close(listed)
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # another process sweeps, too
                found = os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)
                if found.st_mtime < now - _SWEEP_AFTER_SECONDS:
                    os.unlink(name, dir_fd=self._descriptor)

    def lock(self, name: str, *, owner: threading.Thread | None = None) -> FileLock | None:
        """Take the lock on a subject, without waiting; ``None`` while somebody else has it.

        :param name: of the lock's own file, which is empty and is never renamed or removed.
        :param owner: the thread whose work the lock is for; ``None`` for this one.
        :raises HeldByThisThreadError: if this thread's own work has it.
        """
        folder = os.fstat(self._descriptor)
        place = (os.getpid(), folder.st_dev, folder.st_ino, name)
        this_thread = threading.current_thread()  # not its number, which a later thread may have, too
        holder = _Holder(owner or this_thread)
        first = _HELD.setdefault(place, holder)
        if first is not holder:
            if first.thread is this_thread:
                raise HeldByThisThreadError
            return None
        try:
            descriptor = self._lock_file(name)
        except BaseException:
            _HELD.pop(place, None)
            raise
        if descriptor is None:
            _HELD.pop(place, None)
            return None
        return FileLock(descriptor, place)

    def _lock_file(self, name: str) -> int | None:
        import fcntl  # not on every operating system

        descriptor = self._open(name, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):  # which of them depends on the system
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _open(self, name: str, flags: int) -> int:
        safe = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(name, flags | safe, 0o600, dir_fd=self._descriptor)
        try:
            _check_file(name, os.fstat(descriptor))
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor


class FileLock:
    """A lock that one holder has at a time, of all threads, processes and machines that share the folder.

    It is a record lock (``lockf``). The kernel ends it with the process that holds it, even if that is
    killed. A forked child does not have it, whereas a lock of ``flock`` lasts as long as any child has the
    descriptor. NFS passes it on. Within a process, record locks do not conflict, and closing any descriptor
    of the file ends them all: so only the thread that is noted in ``_HELD`` opens the file.

    :param descriptor: of the lock's file, locked.
    :param place: the key in ``_HELD``.
    """

    def __init__(self, descriptor: int, place: _Place) -> None:
        self._descriptor: int | None = descriptor
        self._place = place

    def release(self) -> None:
        """Let the next one have it; again, it does nothing. Any thread may do that."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(descriptor)
            _HELD.pop(self._place, None)  # then only: the next holder's lock would end with our descriptor


_Place = tuple[int, int, int, str]


class _Holder:
    """Who holds a lock in this process; compared by identity.

    :param thread: the thread whose work it is for.
    """

    def __init__(self, thread: threading.Thread) -> None:
        self.thread = thread


_HELD: dict[_Place, _Holder] = {}
"""The locks that this process holds; a forked child has another process id, so holds none of them."""


def _check_file(name: str, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise UnusableFolderError(f"{name} is not a regular file")
    if found.st_nlink > 1:  # 0: it was replaced just now
        raise UnusableFolderError(f"{name} has a second name")
    _check_owner(name, found)
    if found.st_size > MAX_FILE_BYTES:
        raise UnusableFolderError(f"{name} is too large")


def _check_owner(what: str, found: os.stat_result) -> None:
    if found.st_uid != os.geteuid():
        raise UnusableFolderError(f"{what} belongs to user {found.st_uid}, not to user {os.geteuid()}")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise UnusableFolderError(
            f"{what} can be used by others, as its mode is {stat.S_IMODE(found.st_mode):04o}"
        )


def warn_once(path: str, error: Exception) -> None:
    """Say why nothing is shared; once in each process, as each call would meet the same.

    :param path: of the folder.
    """
    key = (os.getpid(), path)
    if key not in _WARNED:
        _WARNED.add(key)
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        log.warning("Nothing is shared through state_dir %r: %s.", path, reason)


_WARNED: set[tuple[int, str]] = set()
