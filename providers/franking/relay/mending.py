"""A header with octets above 127, as old programs write it (in UTF-8, or in whatever their computer used) → the same in
encoded words (RFC 2047), which every server takes.
"""

from __future__ import annotations

import re

from franking.errors import MessageError
from franking.message.headers import ADDRESSED, address_field, field, read_addresses
from franking.message.raw import Fields

__all__ = ["in_ascii"]

_CHARSET = re.compile(rb'charset[ \t]*=[ \t]*"?([A-Za-z0-9._-]{1,40})', re.IGNORECASE)
_USUAL = "cp1252"
"""What is assumed where nothing says what it is; most of Western Europe's old programs write it."""


def in_ascii(fields: Fields) -> Fields:
    """Return a header's fields in ASCII alone; one that cannot be read as what it should be is left as it is."""
    if all(line.isascii() for _, line in fields):
        return fields
    charset = _USUAL
    for name, line in fields:
        if name == b"content-type" and (found := _CHARSET.search(line)):
            charset = found[1].decode()
    return [(name, line if line.isascii() else _encoded(name, line, charset)) for name, line in fields]


def _encoded(name: bytes, line: bytes, charset: str) -> bytes:
    spelled, _, value = line.partition(b":")
    title = spelled.decode("ascii", "replace").strip()
    text = " ".join(_decoded(value, charset).split())
    try:
        if name.decode() in ADDRESSED:
            written = address_field(title, read_addresses(text, name.decode()))
        else:
            written = field(title, text)
    except MessageError:
        return line
    return written.encode().removesuffix(b"\r\n")


def _decoded(value: bytes, charset: str) -> str:
    for one in ("utf-8", charset):
        try:
            return value.decode(one)
        except (UnicodeDecodeError, LookupError):
            continue
    return value.decode(_USUAL, "replace")
