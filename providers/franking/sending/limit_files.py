"""Limits that all programs keep together which share a state directory: a file for each mailbox, and one for each of
its connections.

A process that is killed leaves the old or the new count, and the connections that it had are free at once: the lock of
an open file says so, and no clock. Whoever shares more than a directory stands in the place of this
(``limit_places.SharedLimits``).
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from franking.atomic import locked, make_private, not_made
from franking.sending.counts import Counts, Turn

if TYPE_CHECKING:
    from franking.provider import RouteFacts

__all__ = ["FileLimits", "FileSlot"]

LOCK_SECONDS = 10.0
"""How long another program may hold a count; it does for less than a millisecond."""


class FileLimits:
    """Keep limits in a directory, made when it is first needed."""

    def __init__(self, directory: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._directory, self._clock = directory, clock
        self._made = False

    def take(self, mailbox: str, limits: RouteFacts, recipients: int) -> Turn:
        """Count a message, or say how long there is no room for it. Raises ``FrankingError`` where nothing can be
        written.
        """
        with self._counts(mailbox) as counts:
            return counts.take(limits, recipients, self._clock())

    def give_back(self, mailbox: str, turn: Turn) -> None:
        """Count a message less: surely nothing of it was sent."""
        with self._counts(mailbox) as counts:
            counts.give_back(turn)

    def hold_off(self, mailbox: str, seconds: float) -> None:
        """Let nobody send for so long: the server said so."""
        with self._counts(mailbox) as counts:
            counts.hold_off(seconds, self._clock())

    def connection(self, mailbox: str, most: int) -> FileSlot | None:
        """Return one of a mailbox's connections, or None while all are in use."""
        path = self._path(mailbox)
        for number in range(most):
            if slot := FileSlot.take(path.with_suffix(f".{number}.lock")):
                return slot
        return None

    def _path(self, mailbox: str) -> Path:
        if not self._made:
            try:
                make_private(self._directory)
            except OSError as problem:
                raise not_made(self._directory, "made", problem) from problem
            self._made = True
        return self._directory / hashlib.sha256(mailbox.encode()).hexdigest()[:32]

    @contextmanager
    def _counts(self, mailbox: str) -> Iterator[Counts]:
        """Read a mailbox's counts, and write them down again."""
        path = self._path(mailbox)
        with locked(path.with_suffix(".lock"), "The count of what this mailbox sent", LOCK_SECONDS):
            try:
                before = path.read_bytes() if path.exists() else b""
                counts = Counts.from_bytes(before)
                yield counts
                after = counts.to_bytes()
                if after != before:
                    draft = path.with_suffix(".tmp")  # one at a time: the lock is held
                    draft.unlink(missing_ok=True)
                    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                        file.write(after)
                    draft.replace(path)
            except OSError as problem:
                raise not_made(path, "written", problem) from problem


class FileSlot:
    """One connection that a mailbox may have, for as long as this process lives or until it is given back."""

    lapsed = False

    def __init__(self, handle: Any) -> None:
        self._handle, self._process = handle, os.getpid()

    @classmethod
    def take(cls, path: Path) -> FileSlot | None:
        """Return the slot of a file, or None while somebody has it."""
        try:
            import fcntl
        except ImportError:  # Windows
            return cls._by_filelock(path)
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as problem:
            raise not_made(path, "locked", problem) from problem
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as problem:
            os.close(handle)
            if isinstance(problem, BlockingIOError):
                return None
            raise not_made(path, "locked", problem) from problem
        return cls(handle)

    @classmethod
    def _by_filelock(cls, path: Path) -> FileSlot | None:
        import filelock

        lock = filelock.FileLock(path, mode=0o600, thread_local=False)
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            return None
        return cls(lock)

    def when_lost(self, act: Callable[[], object]) -> None:
        """Do nothing: it is not lost while this process lives."""

    def release(self) -> None:
        """Give it back. In a forked child nothing happens: it is the parent's."""
        handle, self._handle = self._handle, None
        if handle is None:
            return
        if not isinstance(handle, int):
            handle.release()
            return
        if self._process == os.getpid():
            import fcntl

            with suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_UN)  # a forked child may have this handle too
        os.close(handle)
