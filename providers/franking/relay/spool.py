"""A message while it comes in: in memory up to 256 KiB, what is more in a file in the outbox's own directory.

A file that is left over (a relay that was killed) is removed by the outbox, as any that no row names.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

__all__ = ["SMALL", "Spool"]

SMALL = 256 * 1024


class Spool:
    """Hold what has come of one message: ``begin`` in memory, ``path`` with what follows, where that was too much."""

    __slots__ = ("_digest", "_directory", "_file", "_pieces", "path", "size")

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._pieces: list[bytes] = []
        self._file: BinaryIO | None = None
        self.path: Path | None = None
        self.size = 0

    def write(self, octets: bytes) -> None:
        """Take a piece. Raises ``OSError`` where there is no room."""
        if self._file is None and self.size + len(octets) <= SMALL:
            self._pieces.append(octets)
        else:
            if self._file is None:
                self._digest = hashlib.sha256(b"".join(self._pieces))  # of what is no longer in memory
                self.path = self._directory / f".{os.getpid()}-{os.urandom(8).hex()}.tmp"
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
                self._file = os.fdopen(os.open(self.path, flags, 0o600), "wb", buffering=0)
            self._digest.update(octets)
            view = memoryview(octets)
            while view:
                view = view[self._file.write(view) :]
        self.size += len(octets)

    def finish(self) -> bytes:
        """Return what is in memory: the header, unless it is absurdly long, and the first part of the body."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._pieces = [b"".join(self._pieces)]
        return self._pieces[0]

    @property
    def digest(self) -> bytes:
        """Return what the octets are known by."""
        if self.path is None:
            return hashlib.sha256(b"".join(self._pieces)).digest()
        return self._digest.digest()

    def discard(self) -> None:
        """Forget all of it, the file too."""
        self._pieces.clear()
        if self._file is not None:
            self._file.close()
            self._file = None
        if self.path is not None:
            with suppress(OSError):
                self.path.unlink()
            self.path = None
