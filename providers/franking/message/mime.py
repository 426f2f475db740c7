"""A ``Message`` composed: its header, and a body of texts, alternatives, inline images and attachments, as pieces that
stream (RFC 2045, 2046, 2387). How one field is written stands in ``headers.py``.

The body comes out in 7 bits, so that no server needs 8BITMIME. A piece is either octets or an attachment that is read
and encoded when its turn comes; the size of each is known beforehand.
"""

from __future__ import annotations

import binascii
import os
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING

from franking.message.address import Address
from franking.message.attachment import Attachment
from franking.message.content import crlf, gathered
from franking.message.headers import (
    Added,
    address_field,
    custom_field,
    date_now,
    disposition,
    encoded,
    new_id,
    quoted,
    text_field,
)

if TYPE_CHECKING:
    from franking.message.message import Message
    from franking.message.parser import Part, Parts

__all__ = ["body", "compose"]


class Composed:
    """The content of a ``Message``: a header, and the pieces of a body that stream."""

    __slots__ = (
        "_bcc",
        "_date",
        "_message",
        "_origin",
        "_reply_to",
        "_rest",
        "_start",
        "message_id",
        "size",
        "smtputf8",
    )
    eight_bit = False

    def __init__(
        self, message: Message, origin: Address, reply_to: tuple[Address, ...], added: Added | None = None
    ) -> None:
        self._message, self._origin, self._reply_to = message, origin, reply_to
        date, own = "", ""
        for name, value in message.headers:
            if name.lower() == "date":
                date = date or value
            else:
                own += custom_field(name, value)
        head = _addressed(message, origin, reply_to)
        if added is None:
            self._date, self.message_id = date or date_now(), message.message_id or new_id(origin)
        else:
            self._date, self.message_id = date or added.date, message.message_id or added.message_id
        head += f"Date: {self._date}\r\nMessage-ID: {self.message_id}\r\n{own}MIME-Version: 1.0\r\n"
        self._bcc = address_field("Bcc", message.bcc) if message.bcc else ""
        self.smtputf8 = not (head.isascii() and self._bcc.isascii())
        first, *self._rest = body(message.text, message.html, message.attachments)
        assert isinstance(first, bytes)
        self._start = head.encode() + first
        self.size = len(self._start) + sum(map(len, self._rest))

    @property
    def recipients(self) -> tuple[str, ...]:
        message = self._message
        if len(message.to) == 1 and not message.cc and not message.bcc:  # as in nearly every mailing
            return (message.to[0].wire,)
        return tuple(dict.fromkeys([address.wire for address in (*message.to, *message.cc, *message.bcc)]))

    def size_with_bcc(self) -> int:
        return self.size + len(self._bcc)

    def chunks(self, *, bcc: bool) -> Iterator[bytes]:
        start = self._start
        if bcc:
            start = self._bcc.encode() + start
        if self._rest:
            yield from gathered(chain((start,), *map(_streamed, self._rest)))
        else:
            yield start

    def parts(self) -> Parts:
        from franking.message.parser import Parts  # only Graph's JSON needs it

        message = self._message
        addressed = {"Reply-To": self._reply_to, "To": message.to, "Cc": message.cc, "Bcc": message.bcc}
        fields = (
            ("From", str(self._origin)),
            *((name, ", ".join(map(str, addresses))) for name, addresses in addressed.items()),
            ("Subject", message.subject),
            ("Date", self._date),
            ("Message-ID", self.message_id),
        )
        written = tuple(field for field in fields if field[1])
        own = tuple(field for field in message.headers if field[0].lower() != "date")
        return Parts((*written, *own), message.text, message.html, tuple(map(_part, message.attachments)))


def _streamed(piece: Piece) -> Iterable[bytes]:
    return (piece,) if isinstance(piece, bytes) else piece


def _part(attachment: Attachment) -> Part:
    from franking.message.parser import Part

    size = attachment.measure()
    return Part(
        attachment.content_type,
        attachment.name,
        attachment.cid,
        attachment.cid is not None,
        size,
        lambda: attachment.read(size),
    )


def compose(message: Message, sender: Address, *, rewrite_from: bool, added: Added | None = None) -> Composed:
    """Make content of a message; ``sender`` is the From, unless the message has its own. Raises ``MessageError``."""
    origin, reply_to = message.sender or sender, message.reply_to
    if rewrite_from and origin.wire != sender.wire:
        origin, reply_to = sender, reply_to or (origin,)
    return Composed(message, origin, reply_to, added)


def _addressed(message: Message, origin: Address, reply_to: tuple[Address, ...]) -> str:
    """Return the fields of addresses, and the subject."""
    lines = [address_field("From", (origin,))]
    if reply_to:
        lines.append(address_field("Reply-To", reply_to))
    if message.to:
        lines.append(address_field("To", message.to))
    if message.cc:
        lines.append(address_field("Cc", message.cc))
    if message.subject:
        lines.append(text_field("Subject", message.subject))
    return "".join(lines)


_LINE = 57  # octets that make 76 characters of base64
_LINES = 256  # lines encoded at once: the pieces stay in the processor's cache, measured as the fastest
_BLOCK = struct.Struct("76s" * _LINES)
_LONGEST = 998
_READ = 1 << 20  # octets of a text file that is read before it is sent, to see how; a larger one goes as base64
_ASCII = bytes(range(128)).replace(b"=", b"")


class Encoded:
    """A file of ``raw`` octets in the form that it travels in: as base64 lines; its length is that of all of them."""

    __slots__ = ("attachment", "raw")

    def __init__(self, attachment: Attachment, raw: int) -> None:
        self.attachment, self.raw = attachment, raw

    def __len__(self) -> int:
        quanta = -(-self.raw // 3)  # of four characters; each line has 19 and ends with CRLF
        return 4 * quanta + 2 * -(-quanta // 19)

    def __iter__(self) -> Iterator[bytes]:
        return map(base64_lines, self.attachment.read(self.raw))


class Readable:
    """A file in the form that it travels in: as text, which whoever looks at the message can read."""

    __slots__ = ("_size", "_write", "attachment", "raw")

    def __init__(self, attachment: Attachment, raw: int, write: Callable[[Iterator[bytes]], Iterator[bytes]]) -> None:
        """``write`` makes that form of the file's chunks; they are read once to know its size."""
        self.attachment, self.raw, self._write = attachment, raw, write
        self._size = sum(map(len, write(attachment.read(raw))))

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        size = 0
        for chunk in self._write(self.attachment.read(self.raw)):
            size += len(chunk)
            if size > self._size or not chunk.isascii():
                raise self.attachment.changed("changed")
            yield chunk
        if size != self._size:
            raise self.attachment.changed("changed")


Piece = bytes | Encoded | Readable


def base64_lines(data: bytes) -> bytes:
    """Encode octets as lines of 76 characters, each with CRLF (RFC 2045 section 6.8); all but the last call give a
    multiple of 57.
    """
    lines: list[bytes] = []
    whole = len(data) // _LINE // _LINES * _LINES * _LINE
    for start in range(0, whole, _LINE * _LINES):
        # one unpack cuts 256 lines: twice as fast as slices, three times as base64.encodebytes
        lines += _BLOCK.unpack(binascii.b2a_base64(data[start : start + _LINE * _LINES], newline=False))
    if whole < len(data):
        rest = binascii.b2a_base64(data[whole:], newline=False)
        lines += [rest[at : at + 76] for at in range(0, len(rest), 76)]
    lines.append(b"")
    return b"\r\n".join(lines)


def encoded_text(data: bytes) -> tuple[bytes, bytes]:
    """Return the shorter encoding of a text whose lines end with CRLF, and the text in it."""
    # an octet takes three characters in quoted-printable; from a sixth of such octets on base64 is shorter
    if len(data.translate(None, _ASCII)) * 6 > len(data):
        return b"base64", base64_lines(data)
    encoded = binascii.b2a_qp(data)
    if b"\n" not in data:  # from which it takes the line end of its own lines
        encoded = encoded.replace(b"\n", b"\r\n")
    return b"quoted-printable", encoded


def body(text: str | None, html: str | None, attachments: Sequence[Attachment]) -> list[Piece]:
    """Return the pieces of a body, beginning with its own Content-* fields (they belong to the message's header).

    text and html are alternatives; inline images go with the html that shows them; all other files stand behind.
    """
    if not attachments and html is None:
        return [_text(b"plain", text or "")]
    boundaries = _boundaries()
    inline = [item for item in attachments if item.cid is not None and html is not None]
    rest = [item for item in attachments if item.cid is None or html is None]
    pieces: list[Piece] = []
    if html is not None:
        pieces = [_text(b"html", html)]
        if inline:
            pieces = _multipart('related; type="text/html"', next(boundaries), [pieces, *map(_file, inline)])
        if text is not None:
            pieces = _multipart("alternative", next(boundaries), [[_text(b"plain", text)], pieces])
    elif text is not None:
        pieces = [_text(b"plain", text)]
    if rest:
        pieces = _multipart("mixed", next(boundaries), [part for part in (pieces, *map(_file, rest)) if part])
    return pieces


def _boundaries() -> Iterator[str]:
    # "=_" occurs neither in base64 nor in quoted-printable; the random part keeps them apart from plain text and
    # embedded messages
    token = os.urandom(12).hex()
    for level in "123":
        yield f"=_{level}_{token}"


def _multipart(kind: str, boundary: str, parts: Sequence[list[Piece]]) -> list[Piece]:
    pieces: list[Piece] = [f'Content-Type: multipart/{kind};\r\n boundary="{boundary}"\r\n'.encode()]
    delimiter = f"\r\n--{boundary}\r\n".encode()
    for part in parts:
        pieces.append(delimiter)
        pieces += part
    pieces.append(f"\r\n--{boundary}--\r\n".encode())
    return pieces


def _text(kind: bytes, text: str) -> bytes:
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.endswith("\n"):
        text += "\n"
    data = text.encode().replace(b"\n", b"\r\n")
    encoding = b"7bit"
    if not text.isascii() or not _short_lines(text):
        encoding, data = encoded_text(data)
    head = (b"Content-Type: text/", kind, b"; charset=utf-8\r\nContent-Transfer-Encoding: ", encoding, b"\r\n\r\n")
    return b"".join((*head, data))


def _short_lines(text: str) -> bool:
    """Return whether no line is too long: only one line end in as many characters as a line may have is looked for."""
    start, last = 0, len(text) - _LONGEST
    while start < last:
        start = text.rfind("\n", start, start + _LONGEST + 1) + 1
        if not start:
            return False
    return True


def _file(attachment: Attachment) -> list[Piece]:
    size = attachment.measure()
    kind, encoding, place = attachment.content_type, "base64", "attachment"
    content: Piece = Encoded(attachment, size)
    if kind.lower().startswith("message/"):
        # RFC 2046 section 5.2.1 forbids base64 for an embedded message: it goes as it is where 7 bits hold it, else as
        # an ordinary file
        if _seven_bit_size(attachment, size) is None:
            kind = "application/octet-stream"
        else:
            encoding, content = "7bit", Readable(attachment, size, crlf)
    elif kind.lower().startswith("text/") and size <= _READ:
        if _seven_bit_size(attachment, size) == size:  # its line ends are those of mail already
            encoding, content = "7bit", Readable(attachment, size, iter)
        elif all(_is_text(chunk) for chunk in attachment.read(size)):
            encoding, content = "quoted-printable", Readable(attachment, size, _quoted)
    head = f"Content-Type: {kind}"
    name = attachment.name or ""
    if not name.isascii() or "=?" in name:  # common practice, though RFC 2047 does not foresee it
        name = encoded(name)
    if 0 < len(name) < 200:  # old clients read name=
        head += f";\r\n name={quoted(name)}"
    head += f"\r\nContent-Transfer-Encoding: {encoding}\r\n"
    if attachment.cid is not None:
        place = "inline"
        head += f"Content-ID: <{attachment.cid}>\r\n"
    head += disposition(place, attachment.name)
    return [head.encode() + b"\r\n", content]


def _is_text(chunk: bytes) -> bool:
    return chunk.isascii() and b"\0" not in chunk


def _quoted(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a file's octets in quoted-printable, its line ends too, so that they arrive as they are."""
    soft = b""
    for chunk in chunks:
        yield soft + binascii.b2a_qp(chunk, istext=False).replace(b"=\n", b"=\r\n")
        soft = b"=\r\n"


def _seven_bit_size(attachment: Attachment, size: int) -> int | None:
    """Return its size with CRLF line ends, or None where it has octets above 127, NUL, or lines longer than 998."""
    total = line = 0
    for chunk in crlf(attachment.read(size)):
        first, *others = chunk.split(b"\r\n")
        if not chunk.isascii() or b"\0" in chunk or max(line + len(first), *map(len, others), 0) > _LONGEST:
            return None
        line = len(others[-1]) if others else line + len(first)
        total += len(chunk)
    return total
