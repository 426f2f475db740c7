"""Lines of more than 998 octets, which mail does not allow (RFC 5321 §4.5.3.1.6), encoded anew in what somebody else
composed. Whether a message needs that is decided elsewhere.

Only parts with such a line change, and what they say stays the same, octet by octet: text becomes quoted-printable or
base64, anything else base64, what was encoded gets more lines, a header field is folded where it has a blank. A
signature covers the encoding too, so what is signed stays as it is: multipart/signed (RFC 1847 §2.1), and a message
with a DKIM signature.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from franking.errors import MessageError
from franking.message.content import Content
from franking.message.mime import base64_lines, encoded_text
from franking.message.raw import Fields, Raw, from_fields, read_header

__all__ = ["shortened"]

_LONGEST = 998  # octets of a line without its CRLF
_LONG = re.compile(rb"[^\r\n]{999}")
_PLAIN = (b"", b"7bit", b"8bit", b"binary")
_ENCODING = b"content-transfer-encoding"
_LEFT = ("multipart/signed", "multipart/encrypted", "multipart/digest")  # a digest's parts are messages by default
_WRAPS = {  # what makes a line of at most 76 characters (RFC 2045 §6.7, §6.8), and what ends it
    b"base64": (re.compile(rb".{1,76}"), b"\r\n"),
    b"quoted-printable": (re.compile(rb"(?:=[0-9A-Fa-f]{2}|.){1,25}"), b"=\r\n"),  # =3D is never cut in two
}
_SIGNED = frozenset((b"dkim-signature", b"domainkey-signature", b"arc-message-signature", b"arc-seal"))


class _Unfit(Exception):
    """Say that a long line stands where it cannot be encoded."""


def shortened(content: Content) -> Raw | None:
    """Return a message with every line within 998 octets; its Message-ID and what it says stay.

    None where no line is longer, or where one cannot be made shorter.
    """
    if not _any_long(content.chunks(bcc=True)):
        return None
    try:
        fields, body = _entity(b"".join(content.chunks(bcc=True)), whole=True)
    except (_Unfit, MessageError, RecursionError):
        return None
    return from_fields(fields, memoryview(body), content.message_id, clean=True, seven_bit=body.isascii())


def _any_long(chunks: Iterable[bytes]) -> bool:
    begun = 0  # octets of the line that has not ended yet
    for chunk in chunks:
        first, *others = chunk.split(b"\n")
        if max(begun + len(first), *map(len, others), 0) > _LONGEST + 1:  # with its CR
            return True
        begun = len(others[-1]) if others else begun + len(first)
    return False


def _entity(data: bytes, *, whole: bool) -> tuple[Fields, bytes]:
    """Return header and body of a message (``whole``) or of one of its parts, with short lines. Raises ``_Unfit``."""
    fields, view = read_header(data)
    body = bytes(view)
    if _joined(fields, body) != data:
        raise _Unfit  # a header so odd that it would not come back as it was
    if whole and not _SIGNED.isdisjoint([name for name, _ in fields]):
        raise _Unfit
    if _LONG.search(body):
        fields, body = _short_body(fields, body, whole=whole)
    return [(name, _folded(line)) for name, line in fields], body


def _joined(fields: Fields, body: bytes) -> bytes:
    return b"".join([*(line + b"\r\n" for _, line in fields), b"\r\n", body])


def _folded(line: bytes) -> bytes:
    """Break the lines of a header field before a blank: unfolded it reads as before (RFC 5322 §2.2.3)."""
    lines: list[bytes] = []
    for rest in line.split(b"\r\n"):
        while len(rest) > _LONGEST:
            at = max(rest.rfind(b" ", 1, _LONGEST), rest.rfind(b"\t", 1, _LONGEST))
            if not (rest[: max(at, 0)].strip() and rest[at:].strip()):
                raise _Unfit
            lines.append(rest[:at])
            rest = rest[at:]  # noqa: PLW2901
        lines.append(rest)
    return b"\r\n".join(lines)


def _short_body(fields: Fields, body: bytes, *, whole: bool) -> tuple[Fields, bytes]:
    """Return header and body of an entity whose body has a long line, the line made short."""
    kind, boundary = _described(fields)
    encodings = [_value(line).lower() for name, line in fields if name == _ENCODING] or [b""]
    if len(encodings) > 1:
        raise _Unfit
    plain = encodings[0] in _PLAIN
    if kind == "message/rfc822" and plain:
        return fields, _joined(*_entity(body, whole=True))
    if kind.startswith(("multipart/", "message/")):
        if boundary is None or kind in _LEFT or not plain:
            raise _Unfit
        return fields, _short_parts(body, boundary.encode("latin-1", "replace"))
    if not plain:
        return fields, _rewrapped(encodings[0], body)
    encoding, encoded = encoded_text(body) if kind.startswith("text/") else (b"base64", base64_lines(body))
    if encoding == b"base64":
        encoded = encoded.removesuffix(b"\r\n")  # the boundary brings its own
    return _labelled(fields, encoding, body, whole=whole), encoded


def _described(fields: Fields) -> tuple[str, str | None]:
    """Return type and boundary as everybody reads them; of several Content-Types the first one counts."""
    from email.message import Message

    described = Message()
    for name, line in fields:
        if name == b"content-type":
            described["Content-Type"] = _value(line).decode("latin-1")
    return described.get_content_type(), described.get_boundary()


def _value(line: bytes) -> bytes:
    return b" ".join(line.partition(b":")[2].split())


def _short_parts(body: bytes, boundary: bytes) -> bytes:
    pieces = re.split(rb"((?:\A|\r\n)--%b(?:--)?[ \t]*(?=\r\n|\Z))" % re.escape(boundary), body)
    for number in range(0, len(pieces), 2):  # every other piece is a delimiter
        piece = pieces[number]
        if not _LONG.search(piece):
            continue
        outside = number == 0 or pieces[number - 1].rstrip().endswith(boundary + b"--")
        if outside or not piece.startswith(b"\r\n"):
            raise _Unfit  # before the first part or behind the last
        pieces[number] = b"\r\n" + _joined(*_entity(piece[2:], whole=False))
    return b"".join(pieces)


def _labelled(fields: Fields, encoding: bytes, body: bytes, *, whole: bool) -> Fields:
    """Return the header with the name of the encoding, and what a message needs so that the name counts."""
    names = {name for name, _ in fields}
    label = (_ENCODING, b"Content-Transfer-Encoding: " + encoding)
    labelled = [label if name == _ENCODING else (name, line) for name, line in fields]
    if whole and b"mime-version" not in names:
        labelled.append((b"mime-version", b"MIME-Version: 1.0"))
    if whole and b"content-type" not in names:
        labelled.append((b"content-type", b"Content-Type: text/plain; charset=" + _charset(body)))
    if _ENCODING not in names:
        labelled.append(label)
    return labelled


def _charset(text: bytes) -> bytes:
    try:
        text.decode()
    except UnicodeDecodeError:
        return b"unknown-8bit"  # RFC 1428: what nobody said
    return b"us-ascii" if text.isascii() else b"utf-8"


def _rewrapped(encoding: bytes, body: bytes) -> bytes:
    """Return encoded text in shorter lines: it says the same."""
    if encoding not in _WRAPS:
        raise _Unfit
    piece, end = _WRAPS[encoding]
    lines = body.split(b"\r\n")
    return b"\r\n".join([end.join(piece.findall(line)) if len(line) > _LONGEST else line for line in lines])
