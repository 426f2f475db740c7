"""What an application handed over → a digest, so that the same key with the same content is the same message.

Only what was given counts (texts, header fields, attachments' octets and names, ready octets as they are), not what
composing adds: Message-ID, Date, boundaries. Where octets are known to have been composed for each attempt anew, these
do not count in them either.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from franking.message.address import Envelope

__all__ = ["fingerprint"]

_STEP = 1 << 16


class _Digest:
    """SHA-256 over named values, each with its length before it: no two lists of values look alike."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, name: str, *values: str | bytes | None) -> None:
        for value in (name, *values):
            data = b"\0none" if value is None else value
            octets = data if isinstance(data, bytes) else data.encode("utf-8", "surrogateescape")
            self._hash.update(b"%d:" % len(octets) + octets)

    def add_file(self, name: str, pieces: Iterable[bytes]) -> None:
        inner = hashlib.sha256()
        for piece in pieces:
            inner.update(piece)
        self.add(name, inner.digest())

    @property
    def value(self) -> bytes:
        return self._hash.digest()


_ADDED = re.compile(rb"^(?:date|message-id)[ \t]*:[^\n]*\n(?:[ \t][^\n]*\n)*", re.IGNORECASE | re.MULTILINE)
_BLANK = re.compile(rb"\n\r?\n")
_BOUNDARY = re.compile(rb"=_[123]_[0-9a-f]{24}|={15}\d{19}==")
"""The boundaries that Franking makes up, and those of Python's email package."""


def _given(octets: bytes) -> bytes:
    """Return octets without what composing adds."""
    blank = _BLANK.search(octets)
    end = len(octets) if blank is None else blank.end()
    return _BOUNDARY.sub(b"", _ADDED.sub(b"", octets[:end]) + octets[end:])


def fingerprint(account: str, envelope: Envelope, message: Any, *, composed: bool = False) -> bytes:
    """Return the SHA-256 of a message for an account and an envelope; ``composed`` octets may have been made for each
    attempt anew. Raises ``MessageError`` for a missing file.
    """
    digest = _Digest()
    digest.add("account", account)
    digest.add("envelope", envelope.sender, *envelope.recipients)
    if isinstance(message, bytes | bytearray | memoryview):
        digest.add("octets", _given(bytes(message)) if composed else bytes(message))
        return digest.value
    from franking.message.message import Message
    from franking.message.prepare import Prepared

    if isinstance(message, Prepared):
        digest.add_file("octets", message.content.chunks(bcc=True))
    elif isinstance(message, Message):
        _add_message(digest, message)
    else:
        _add_email(digest, message)
    return digest.value


def _add_message(digest: _Digest, message: Any) -> None:
    for name in ("to", "cc", "bcc", "reply_to"):
        digest.add(name, *map(str, getattr(message, name)))
    digest.add("sender", None if message.sender is None else str(message.sender))
    for name in ("subject", "text", "html", "message_id"):
        digest.add(name, getattr(message, name))
    for name, value in message.headers:
        digest.add("header", name, value)
    for attachment in message.attachments:
        digest.add("attachment", attachment.name, attachment.content_type, attachment.cid)
        digest.add_file("octets", attachment.read(attachment.measure()))


def _add_email(digest: _Digest, message: Any) -> None:
    for part in message.walk():
        for name, value in part.raw_items():
            if name.lower() == "content-type":  # a boundary is made up when the message is written down
                digest.add("type", part.get_content_type(), part.get_content_charset(), part.get_filename())
            else:
                digest.add("header", name, str(value))
        payload = part.get_payload()
        digest.add("payload", payload if isinstance(payload, str) else None)
