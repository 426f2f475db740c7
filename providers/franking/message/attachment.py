"""A file to attach: checked when it is named, opened only when it is sent, read in chunks. How it is encoded stands in
``mime.py``.
"""

from __future__ import annotations

import os
import re
import stat
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from franking.errors import Evidence, MessageError
from franking.message.headers import refuse_controls
from franking.text import DIRECTION_CONTROLS, DIRECTION_MARKS

__all__ = ["CHUNK", "Attachment"]

CHUNK = 57 * 1024  # octets read at a time; 57 make one line of base64 (RFC 2045 section 6.8)

_TOKEN = r"[A-Za-z0-9!#$&^_.+'*`{|}~%-]+"  # noqa: S105  (RFC 2045 section 5.1)
_TYPE = rf'({_TOKEN}/{_TOKEN})((?:\s*;\s*{_TOKEN}=(?:{_TOKEN}|"(?:[^"\\]|\\.)*"))*)\Z'
_CID = r"(<)?([!-;=?-~]{1,200})(?(1)>)\Z"  # with or without its brackets
_TURNS = f"[{DIRECTION_MARKS}{DIRECTION_CONTROLS}]"  # "exe.fdp" must not look like "pdf.exe"
_KINDS = {stat.S_IFDIR: "a directory", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}
_seeking = threading.Lock()  # one file object may be in several messages, sent by several threads


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Attachment:
    """A file to attach: ``path``, ``data`` or an open binary ``file`` (re-readable: seekable; the whole of it is sent).

        franking.Attachment(data=octets, name="logo.png", cid="logo")

    ``name`` is what the recipient sees (default: the file's own), ``content_type`` a media type (default: guessed from
    the name). With ``cid`` it is inline (``<img src="cid:logo">``). Raises ``MessageError`` for what cannot be read, is
    no ordinary file, or has a name that would mislead. The file is opened only when it is sent, and must then still
    have the size that it had when sending began.
    """

    path: str | None
    data: bytes | None
    file: BinaryIO | None
    name: str | None
    content_type: str
    cid: str | None

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        data: bytes | None = None,
        file: BinaryIO | None = None,
        name: str | None = None,
        content_type: str | None = None,
        cid: str | None = None,
    ) -> None:
        if [path, data, file].count(None) != 2:
            raise _wrong("give one of path, data and file", field="attachments")
        own_name = None
        if path is not None:
            path = _checked_path(path)
            own_name = Path(path).name
        elif data is not None:
            if not isinstance(data, bytes | bytearray | memoryview):
                raise _wrong(f"data is bytes, not {type(data).__name__}; encode a text first", field="data")
            data = bytes(data)
        elif file is not None:
            own_name = _checked_file(file)
        if name is None:
            name = own_name
        if name is not None:
            name = _checked_name(name)
        if cid is not None:
            cid = _checked_cid(cid)
        kind = _guessed(name) if content_type is None else _checked_type(content_type)
        values = {"path": path, "data": data, "file": file, "name": name, "content_type": kind, "cid": cid}
        for key, value in values.items():
            object.__setattr__(self, key, value)
        self.measure()

    def __repr__(self) -> str:
        source = "file=…"
        if self.path is not None:
            source = f"path={self.path!r}"
        elif self.data is not None:
            source = f"data=<{len(self.data)} bytes>"
        return f"Attachment({source}, name={self.name!r}, content_type={self.content_type!r}, cid={self.cid!r})"

    @property
    def shown(self) -> str:
        """Return what an error calls it."""
        return repr(self.name or self.cid or self.content_type)

    def measure(self) -> int:
        """Return its size in octets, now. Raises ``MessageError``."""
        if self.data is not None:
            return len(self.data)
        try:
            if self.path is not None:
                found = Path(self.path).stat()
                _refuse_special(found.st_mode, self.shown)
                return found.st_size
            assert self.file is not None
            with _seeking:
                at = self.file.tell()
                size = self.file.seek(0, os.SEEK_END)
                self.file.seek(at)
            return size
        except (OSError, ValueError) as problem:  # ValueError: the file object is closed
            raise self._unreadable(problem) from problem

    def read(self, size: int) -> Iterator[bytes]:
        """Return exactly ``size`` octets, in chunks of ``CHUNK`` but the last.

        Raises ``MessageError`` where it vanished, shrank or grew since it was measured: before the first chunk if it
        can be known, else at the end.
        """
        try:
            yield from self._read(size)
        except MessageError:
            raise
        except (OSError, ValueError) as problem:
            raise self._unreadable(problem) from problem

    def _read(self, size: int) -> Iterator[bytes]:
        if self.data is not None:
            for start in range(0, size, CHUNK):
                yield self.data[start : start + CHUNK]
        elif self.path is not None:
            with open(self.path, "rb", buffering=0, opener=_patiently) as file:
                _refuse_special(os.fstat(file.fileno()).st_mode, self.shown)
                self._expect(os.fstat(file.fileno()).st_size, size)
                left = size
                while left:
                    chunk = self._full(file, min(CHUNK, left), size, size - left)
                    left -= len(chunk)
                    yield chunk
                if file.read(1):
                    raise self.changed("grew")
        else:
            assert self.file is not None
            self._expect(self.measure(), size)
            for start in range(0, size, CHUNK):
                with _seeking:
                    self.file.seek(start)
                    chunk = self._full(self.file, min(CHUNK, size - start), size, start)
                yield chunk
            self._expect(self.measure(), size)

    def _full(self, file: BinaryIO, wanted: int, size: int, at: int) -> bytes:
        """Read exactly so many octets: a raw read may give fewer."""
        chunk = file.read(wanted)
        while len(chunk) < wanted:
            more = file.read(wanted - len(chunk))
            if not more:
                self._expect(at + len(chunk), size)
            chunk += more
        return chunk

    def _expect(self, found: int, size: int) -> None:
        if found != size:
            raise self.changed("grew" if found > size else "shrank")

    def changed(self, how: str) -> MessageError:
        """Return the error that says what happened to the file meanwhile."""
        return self._error("attachment-changed", f"{how} while the message was being sent")

    def _unreadable(self, problem: Exception) -> MessageError:
        why = getattr(problem, "strerror", None) or str(problem)
        return self._error("attachment-unreadable", f"cannot be read: {why}")

    def _error(self, reason: str, what: str) -> MessageError:
        evidence = Evidence("message", reason=reason, details={"attachment": self.name or self.cid})
        return MessageError(f"The attachment {self.shown} {what}.", field="attachments", evidence=evidence)


def _checked_path(path: str | os.PathLike[str]) -> str:
    if not isinstance(path, str | os.PathLike):
        raise _wrong(f"path is text or a Path, not {type(path).__name__}", field="path")
    text = os.fspath(path)
    try:
        mode = Path(text).stat().st_mode
    except (OSError, ValueError) as problem:
        why = getattr(problem, "strerror", "this is no path")
        raise _wrong(f"{text!r} cannot be read: {why}", field="path") from None
    _refuse_special(mode, repr(text))
    if not os.access(text, os.R_OK):
        raise _wrong(f"{text!r} cannot be read: Permission denied", field="path")
    return str(Path(text).absolute())  # it stays the same file when the program changes its directory


def _refuse_special(mode: int, shown: str) -> None:
    if not stat.S_ISREG(mode):
        raise _wrong(f"{shown} is {_KINDS.get(stat.S_IFMT(mode), 'a device')}, not a file", field="path")


def _patiently(path: str, flags: int) -> int:
    # a named pipe that took the file's place since must not block us before we can look at it
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _checked_file(file: BinaryIO) -> str | None:
    """Return the name that an open file has, if it has one that can be shown."""
    try:
        if not file.seekable():
            raise _wrong(
                "the file object cannot be read twice (it is not seekable); read it and give data=", field="file"
            )
        if hasattr(file, "encoding"):
            raise _wrong('the file is open as text; open it with "rb"', field="file")
    except MessageError:
        raise
    except (AttributeError, OSError, ValueError) as problem:
        raise _wrong(f"file is an open binary file: {problem}", field="file") from None
    name = getattr(file, "name", None)  # a number, where it was opened by one
    return Path(name).name if isinstance(name, str) and name.isprintable() else None


def _checked_name(name: str) -> str:
    refuse_controls(name, "name")
    name = name.strip()  # blanks at the ends get lost on the way
    if not name or len(name) > 255 or "\t" in name or re.search(_TURNS, name):
        raise _wrong(
            "the name is empty, longer than 255 characters, or has a sign in it that turns the direction of writing",
            field="name",
        )
    return name


def _checked_cid(cid: str) -> str:
    refuse_controls(cid, "cid")
    found = re.match(_CID, cid)
    if not found:
        raise _wrong(
            f"{cid[:80]!r} is no content id: 1 to 200 letters, digits and signs of ASCII, without blanks", field="cid"
        )
    return found[2]


def _checked_type(content_type: str) -> str:
    refuse_controls(content_type, "content_type")
    found = re.match(_TYPE, content_type)
    if not content_type.isascii() or len(content_type) > 500 or not found or found[1].lower().startswith("multipart/"):
        raise _wrong(f"{content_type[:80]!r} is no media type of a file, such as application/pdf", field="content_type")
    return content_type


def _guessed(name: str | None) -> str:
    import mimetypes  # reads the system's table once

    kind, packed = mimetypes.guess_type(name or "")
    if packed == "gzip":
        return "application/gzip"
    return (not packed and kind) or "application/octet-stream"


def _wrong(why: str, *, field: str) -> MessageError:
    evidence = Evidence("message", reason="attachment-unreadable") if field in ("path", "file") else None
    return MessageError(f"Attachment: {why}.", field=field, evidence=evidence)
