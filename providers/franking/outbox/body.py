"""The octets of a message in the outbox: small ones in the database, large ones in a file each, streamed in and out.

A file is written under a draft's name, synced and renamed before the row that names it is committed: no row ever names
half a message.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from franking.atomic import sync_directory
from franking.errors import Evidence, SendError
from franking.message.content import gathered
from franking.message.raw import read_header

if TYPE_CHECKING:
    from franking.message.content import Content
    from franking.message.parser import Parts

__all__ = ["SMALL", "Stored", "orphans", "place", "remove", "write_draft"]

SMALL = 256 * 1024
"""Octets up to which a message lies in the database itself."""

ORPHAN_SECONDS = 3600.0
"""Age at which a file that no row names is surely left over: nobody takes an hour to write one."""

_STEP = 1 << 16
_HIDDEN = (b"bcc", b"resent-bcc")


class Stored:
    """A message that was composed before, as content: its header is held, its body is read when it leaves."""

    __slots__ = (
        "_body",
        "_head",
        "_head_with_bcc",
        "eight_bit",
        "message_id",
        "recipients",
        "size",
        "smtputf8",
    )

    def __init__(
        self,
        source: bytes | Path,
        *,
        message_id: str,
        recipients: tuple[str, ...],
        eight_bit: bool,
        smtputf8: bool,
    ) -> None:
        """Raises ``SendError`` where the file is gone."""
        head, total = _head_of(source)
        visible = b"".join([line + b"\r\n" for name, line in read_header(head)[0] if name not in _HIDDEN]) + b"\r\n"
        self._head, self._head_with_bcc = visible, head
        self._body = (source, len(head))
        self.message_id, self.recipients = message_id, recipients
        self.eight_bit, self.smtputf8 = eight_bit, smtputf8
        self.size = total - len(head) + len(visible)

    def size_with_bcc(self) -> int:
        return self.size - len(self._head) + len(self._head_with_bcc)

    def chunks(self, *, bcc: bool) -> Iterator[bytes]:
        yield from gathered(self._pieces(self._head_with_bcc if bcc else self._head))

    def _pieces(self, head: bytes) -> Iterator[bytes]:
        yield head
        source, start = self._body
        if isinstance(source, bytes):
            yield source[start:]
            return
        with _opened(source) as file:
            file.seek(start)
            while piece := file.read(_STEP):
                yield piece

    def parts(self) -> Parts:
        source, _ = self._body
        if isinstance(source, Path):
            from franking.message.file_parts import parse_file

            try:
                return parse_file(source)
            except FileNotFoundError as problem:
                raise missing(source) from problem
        from franking.message.parser import parse_parts

        return parse_parts(source)


def _head_of(source: bytes | Path) -> tuple[bytes, int]:
    """Return the header with its blank line, and how many octets there are in all."""
    if isinstance(source, bytes):
        return source[: _end(source)], len(source)
    head = b""
    with _opened(source) as file:
        while b"\r\n\r\n" not in head and (piece := file.read(_STEP)):
            head += piece
        return head[: _end(head)], os.fstat(file.fileno()).st_size


def _end(data: bytes) -> int:
    end = data.find(b"\r\n\r\n")
    return len(data) if end < 0 else end + 4


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError as problem:
        raise missing(path) from problem


def missing(path: Path) -> SendError:
    """Make the error of a message whose octets are gone."""
    return SendError(
        f"The message itself is gone: {path} is not there any more.",
        step="message",
        evidence=Evidence("outbox", reason="body-missing", details={"path": str(path)}),
    )


def write_draft(directory: Path, content: Content) -> Path:
    """Write a message to a draft's file, on disk when this returns. Raises ``OSError``; then nothing is left."""
    draft = directory / f".{os.getpid()}-{os.urandom(8).hex()}.tmp"
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            for chunk in content.chunks(bcc=True):
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        remove(draft)
        raise
    return draft


def remove(path: Path) -> None:
    """Remove octets that nobody needs any more; where that cannot be done now, ``purge`` does it later."""
    with suppress(OSError):
        path.unlink()


def place(draft: Path, path: Path) -> None:
    """Give a draft its name, on disk when this returns."""
    draft.rename(path)
    sync_directory(path.parent)


def orphans(directory: Path, named: set[str]) -> Iterator[Path]:
    """Return the files older than an hour that no row names: a process died between writing and committing."""
    border = time.time() - ORPHAN_SECONDS
    for path in directory.iterdir():
        with suppress(OSError):
            if path.name not in named and path.lstat().st_mtime < border:
                yield path
