"""Messages: ``Message`` and ``Attachment`` → ``Content``, a serialised message that streams. It sends nothing and knows no provider."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from typing import BinaryIO, Protocol

from franking.address import Address, Envelope

__all__ = ["Attachment", "Content", "Message", "Part", "Parts", "Prepared", "prepare"]


class Attachment:
    """A file to attach: ``path``, ``data`` or an open binary ``file`` (re-readable: seekable). With ``cid`` it is inline (``<img src="cid:logo">``)."""

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
        raise NotImplementedError


AddressLike = str | Address


class Message:
    """A message as an application means it. Everything is checked at once: ``MessageError`` names the field."""

    def __init__(
        self,
        *,
        to: AddressLike | Sequence[AddressLike] = (),
        subject: str = "",
        text: str | None = None,
        html: str | None = None,
        cc: AddressLike | Sequence[AddressLike] = (),
        bcc: AddressLike | Sequence[AddressLike] = (),
        reply_to: AddressLike | Sequence[AddressLike] | None = None,
        attachments: Sequence[Attachment | str | os.PathLike[str]] = (),
        headers: Mapping[str, str] | None = None,
        sender: AddressLike | None = None,
        message_id: str | None = None,
    ) -> None:
        raise NotImplementedError

    def as_bytes(self, sender: AddressLike | None = None) -> bytes:
        """Compose without sending; Bcc stays in."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Part:
    """One leaf of a message for routes that take it apart (Graph's JSON): decoded size and chunks, not base64."""

    content_type: str  # "text/plain", "image/png"
    name: str | None
    cid: str | None
    inline: bool
    size: int
    open: object  # () -> Iterator[bytes]: the decoded octets, in chunks


@dataclass(frozen=True, slots=True)
class Parts:
    """The message taken apart: headers in order (decoded to text), bodies, attachments."""

    headers: tuple[tuple[str, str], ...]
    text: str | None
    html: str | None
    attachments: tuple[Part, ...]


class Content(Protocol):
    """A serialised message that can be read more than once, in chunks; ``size`` is in octets, CRLF line ends, without Bcc."""

    @property
    def message_id(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def eight_bit(self) -> bool: ...
    @property
    def smtputf8(self) -> bool: ...
    def chunks(self, *, bcc: bool) -> Iterator[bytes]:
        """Give the octets, with CRLF line ends and no dot-stuffing; ``bcc`` keeps the Bcc header (API routes).

        Raises ``MessageError`` where an attachment changed its size or vanished meanwhile.
        """
        ...
    def size_with_bcc(self) -> int: ...
    def parts(self) -> Parts: ...


@dataclass(frozen=True, slots=True)
class Prepared:
    """A message ready for a session."""

    envelope: Envelope
    content: Content


def prepare(
    message: Message | EmailMessage | bytes,
    *,
    sender: Address,
    envelope: Envelope | None = None,
    rewrite_from: bool = False,
) -> Prepared:
    """Make envelope and content out of what the application gave; ``sender`` is the account's From.

    The envelope's sender is the address of ``sender`` unless ``envelope`` says otherwise; its recipients are To, Cc and Bcc (Resent-* where
    present), each once, in order. A missing Date and Message-ID are added; a Message-ID stays the same through every attempt.
    """
    raise NotImplementedError


def _iterate(chunks: Iterable[bytes]) -> Iterator[bytes]:
    yield from chunks
