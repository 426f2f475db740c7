"""Files written whole or not at all, directories of one's own, locks between processes, and whether files can be opened
at all. It knows no content.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

from franking.errors import Evidence, FrankingError, SendError, SettingsError

__all__ = ["locked", "make_private", "not_made", "room", "sweep", "sync_directory", "unusable", "write_whole"]

DEBRIS_SECONDS = 600.0
"""Age at which a draft is surely left over from a process that was killed."""


def make_private(directory: Path) -> None:
    """Make a directory, and those that are missing above it, for this user alone whatever the umask; what is made is on
    disk, with its name, when this returns.

    One that is there stays as it is. The XDG Base Directory Specification asks for 0700 too. Who may rename a directory
    on the way puts their own in its place. Raises ``OSError``.
    """
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        return
    except FileNotFoundError:
        if directory.parent == directory:
            raise
        make_private(directory.parent)
        directory.mkdir(mode=0o700, exist_ok=True)
    if os.name == "posix" and stat.S_IMODE(directory.lstat().st_mode) != 0o700:
        directory.chmod(0o700)
    sync_directory(directory.parent)


def sync_directory(directory: Path) -> None:
    """Make names that were given or taken away in a directory durable. Raises ``OSError``."""
    if os.name != "posix":
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_whole(path: Path, data: bytes, *, like: os.stat_result | None = None, mode: int = 0o600) -> None:
    """Write a file so that every reader, at every moment, sees the whole old or the whole new content.

    Its mode is ``mode``, or that of ``like``, whose owner it then also gets (where root edits somebody's file). Raises
    ``OSError``; the old file is then untouched and nothing is left behind.
    """
    mode = stat.S_IMODE(like.st_mode) if like else mode
    draft = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}.tmp")
    flags = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | flags, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            if os.name == "posix":
                if like and os.geteuid() == 0:
                    os.fchown(handle, like.st_uid, like.st_gid)
                os.fchmod(handle, mode)  # whatever the umask took away
            file.write(data)
            file.flush()
            os.fsync(handle)
        _rename(draft, path)
    except BaseException:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)
    sweep(path)


def sweep(path: Path, age: float = DEBRIS_SECONDS) -> None:
    """Remove drafts of this file that are at least ``age`` seconds old: a killed process left them behind."""
    for draft in path.parent.iterdir():
        if draft.name.startswith(f".{path.name}.") and draft.suffix == ".tmp":
            with suppress(OSError):
                if draft.lstat().st_mtime <= time.time() - age:
                    draft.unlink()


def _rename(draft: Path, path: Path) -> None:
    for _ in range(99):
        try:
            draft.replace(path)
            return
        except PermissionError:
            if os.name != "nt":  # Windows refuses while somebody reads the old file
                raise
            time.sleep(0.01)
    draft.replace(path)


def unusable(
    path: Path, what: str, reason: str, problem: OSError | None = None, *, repair: str | None = None
) -> SettingsError:
    """Make the error of a file or directory that is not as it must be; ``repair`` is the command that mends it."""
    details: dict[str, Any] = {"path": str(path)}
    if problem is not None:
        details["errno"] = problem.errno
    evidence = Evidence("store", text=what, reason=reason, details=details)
    return SettingsError(f"{path} {what}.", step="secret", repair=repair, evidence=evidence)


# --- locks ------------------------------------------------------------------------------------------------------------

THREAD_LOCKS: dict[str, threading.Lock] = {}
"""One for each lock file in this process: two stores on one directory exclude each other too."""


@contextmanager
def locked(path: Path, what: str, wait: float) -> Iterator[None]:
    """Hold the lock file ``path`` for this thread of this process alone; it stays behind, empty, for who waits for it.

    Raises ``SettingsError`` where no file can be made, as on a read-only file system, or where it is a link, which is
    never followed. All else is a temporary ``SendError``: that ``wait`` seconds were not enough, and whatever keeps the
    system from locking, because nobody then knows whether somebody holds it.
    """
    with held(THREAD_LOCKS.setdefault(str(path), threading.Lock()), what, wait), _file_lock(path, what, wait):
        yield


def _file_lock(path: Path, what: str, wait: float) -> AbstractContextManager[None]:
    try:
        import fcntl  # noqa: F401
    except ImportError:  # Windows
        return _filelock(path, what, wait)
    return _flock(path, what, wait)


@contextmanager
def _flock(path: Path, what: str, wait: float) -> Iterator[None]:
    import fcntl

    until, pause = time.monotonic() + wait, 0.005
    handle = -1
    try:
        while True:
            try:
                if handle < 0:
                    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                    handle = os.open(path, flags, 0o600)
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _same(handle, path):
                    break
                os.close(handle)  # somebody removed the file meanwhile, and others lock the new one
                handle = -1
            except BlockingIOError:
                if time.monotonic() >= until:
                    raise _busy(what, wait) from None
                time.sleep(pause)
                pause = min(0.05, 2 * pause)
            except OSError as problem:
                raise not_made(path, "locked", problem) from problem
        try:
            yield
        finally:
            with suppress(OSError):  # a forked child may have this handle too
                fcntl.flock(handle, fcntl.LOCK_UN)
    finally:
        if handle >= 0:
            os.close(handle)


def _same(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.lstat(path))
    except FileNotFoundError:
        return False


@contextmanager
def _filelock(path: Path, what: str, wait: float) -> Iterator[None]:
    import filelock

    # a new object each time: filelock lets the holder of an object in again, and we want nobody in
    lock = filelock.FileLock(path, timeout=wait, mode=0o600, thread_local=False)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise _busy(what, wait) from None
    except (OSError, NotImplementedError) as problem:
        raise not_made(path, "locked", problem) from problem
    try:
        yield
    finally:
        lock.release()


_NO_PLACE = frozenset({errno.EROFS, errno.ENOENT, errno.ENOTDIR})
_NO_RIGHT = frozenset({errno.EACCES, errno.EPERM})


def not_made(path: Path, verb: str, problem: OSError | NotImplementedError) -> FrankingError:
    """Return the error of a file or directory that could not be made, locked or read (``verb``).

    Where there is no place for it at all (a read-only or missing file system, a directory that is not ours to write),
    that is a setting to mend; else the system could not do it now.
    """
    number = getattr(problem, "errno", None)
    why = f"could not be {verb}: {getattr(problem, 'strerror', None) or problem}"
    if number in _NO_PLACE or (number in _NO_RIGHT and not os.access(path.parent, os.W_OK)):
        return unusable(path, why, "unwritable", problem if isinstance(problem, OSError) else None)
    if number == errno.ELOOP or path.is_symlink():
        return unusable(path, "is a symbolic link, which is not followed; remove it", "link")
    evidence = Evidence("store", text=why, reason="not-now", details={"path": str(path), "errno": number})
    return SendError(f"{path} {why}; try again.", step="secret", temporary=True, evidence=evidence)


@contextmanager
def held(lock: threading.Lock, what: str, wait: float) -> Iterator[None]:
    """Hold a lock of this process; raises a temporary ``SendError`` when ``wait`` seconds were not enough."""
    if not lock.acquire(timeout=wait):
        raise _busy(what, wait)
    try:
        yield
    finally:
        lock.release()


def _busy(what: str, wait: float) -> SendError:
    return SendError(
        f"{what} has been in use by another program for {wait:g} seconds; try again.",
        step="secret",
        temporary=True,
        evidence=Evidence("store", reason="lock-timeout", details={"seconds": wait}),
    )


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=THREAD_LOCKS.clear)  # a child must not wait for a thread that it does not have


def room(descriptors: int) -> None:
    """Raise ``OSError`` where so many cannot be opened: some libraries do not say that this is what they lack."""
    held: list[int] = []
    try:
        while len(held) < descriptors:
            held.append(os.open(os.devnull, os.O_RDONLY))
    finally:
        for one in held:
            os.close(one)
