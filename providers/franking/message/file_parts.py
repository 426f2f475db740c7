"""A message that lies in a file, taken apart without being held: large attachments stay in the file and are decoded
while they are read. What is small is ``parser.py``'s, and so is any message in which something is odd.
"""

from __future__ import annotations

import binascii
import io
from collections.abc import Iterator
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path
from typing import BinaryIO

from franking.message.parser import Leaf, Part, Parts, assembled, leaves_of, parse_parts, part_of

__all__ = ["parse_file"]

SMALL = 1 << 18
"""Octets up to which a part is read as a whole."""

_STEP = 1 << 16
_BLANKS = b"\r\n\t "
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


class _Odd(Exception):
    """The message is not what a mail program writes: the standard library's parser makes the best of it."""


def parse_file(path: Path) -> Parts:
    """Do what ``parse_parts`` does with a file's octets, in little memory. Raises ``OSError``."""
    with path.open("rb") as file:
        end = file.seek(0, io.SEEK_END)
        try:
            message, start = _header(file, 0, end)
            return assembled(message, list(_leaves(path, file, message, start, end, ())))
        except _Odd:
            file.seek(0)
            return parse_parts(file.read())


def _header(file: BinaryIO, start: int, end: int) -> tuple[EmailMessage, int]:
    """Return the header that begins at ``start``, and where its body does."""
    file.seek(start)
    head = file.read(min(_STEP, end - start))
    if head.startswith(b"\r\n"):
        found = 0
    elif (found := head.find(b"\r\n\r\n") + 2) == 1:
        raise _Odd
    return _parsed(head[: found + 2]), start + found + 2


def _parsed(data: bytes) -> EmailMessage:
    return BytesParser(_class=EmailMessage, policy=policy.default).parsebytes(data)


def _leaves(
    path: Path, file: BinaryIO, part: EmailMessage, start: int, end: int, parents: tuple[str, ...]
) -> Iterator[Leaf]:
    """Return the leaves of a part whose body lies between ``start`` and ``end``."""
    kind = part.get_content_type()
    if part.get_content_maintype() != "multipart":
        if not _stays(part):
            raise _Odd
        yield Leaf(part, parents, _in_file(path, part, start, end))
        return
    boundary = part.get_boundary()
    if not boundary or kind == "multipart/digest":
        raise _Odd
    for first, last in _split(file, boundary.encode("ascii", "replace"), start, end):
        inner, body = _header(file, first, last)
        if last - first > SMALL and (_stays(inner) or inner.get_content_maintype() == "multipart"):
            yield from _leaves(path, file, inner, body, last, (*parents, kind))
        else:
            file.seek(first)
            yield from leaves_of(_parsed(file.read(last - first)), (*parents, kind))


def _stays(part: EmailMessage) -> bool:
    """Return whether a part may be left in the file: base64, as files are written, and no text that is a body."""
    encoding = str(part.get("Content-Transfer-Encoding", "")).strip().lower()
    body = part.get_content_type() in ("text/plain", "text/html") and part.get_content_disposition() != "attachment"
    return encoding == "base64" and not body


def _split(file: BinaryIO, boundary: bytes, start: int, end: int) -> list[tuple[int, int]]:
    """Return where each part begins and ends: the line end before a delimiter is the delimiter's (RFC 2046 §5.1.1)."""
    delimiter = b"--" + boundary
    found: list[tuple[int, int]] = []
    begun: int | None = None
    place, whole = start, True  # ``whole``: a line begins here
    file.seek(start)
    while place < end:
        line = file.readline(min(_STEP, end - place))
        if whole and line.startswith(delimiter):
            rest = line[len(delimiter) :].rstrip(_BLANKS)
            if rest in (b"", b"--"):
                if begun is not None:
                    found.append((begun, max(begun, place - 2)))
                begun = place + len(line)
                if rest:
                    return found
        place += len(line)
        whole = line.endswith(b"\n")
    raise _Odd  # no last delimiter: it was cut off


def _in_file(path: Path, part: EmailMessage, start: int, end: int) -> Part:
    """Return the part with its octets left in the file."""
    size = padding = 0
    for piece in _pieces(path, start, end):
        letters = piece.rstrip(b"=")
        if letters.translate(None, _BASE64) or (padding and letters):
            raise _Odd
        size += len(piece)
        padding += len(piece) - len(letters)
    if size % 4 or padding > 2:
        raise _Odd
    return part_of(part, size // 4 * 3 - padding, lambda: _decoded(path, start, end))


def _decoded(path: Path, start: int, end: int) -> Iterator[bytes]:
    rest = b""
    for piece in _pieces(path, start, end):
        rest += piece
        whole = len(rest) - len(rest) % 4
        yield binascii.a2b_base64(rest[:whole])
        rest = rest[whole:]


def _pieces(path: Path, start: int, end: int) -> Iterator[bytes]:
    """Return what lies between two places, without blanks and line ends."""
    with path.open("rb") as file:
        file.seek(start)
        left = end - start
        while left and (piece := file.read(min(_STEP, left))):
            left -= len(piece)
            yield piece.translate(None, _BLANKS)
