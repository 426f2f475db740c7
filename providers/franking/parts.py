"""A message taken apart, for routes that do not carry it as it is (Graph's JSON): ``Parts``, and each ``Part`` of it. No octets are read here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from franking.address import Address
from franking.headers import read_addresses

__all__ = ["Part", "Parts"]


@dataclass(frozen=True, slots=True)
class Part:
    """One leaf of a message for routes that take it apart (Graph's JSON): decoded size and chunks, not base64.

    ``content_type`` has its parameters only where they matter for reading: ``text/csv; charset=utf-8``.
    """

    content_type: str
    name: str | None
    cid: str | None
    inline: bool
    size: int
    open: Callable[[], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class Parts:
    """The message taken apart: headers in order (decoded to text, without those of MIME's structure), bodies, attachments.

    ``complete`` is false where the parts do not say all that the message says: a signature (multipart/signed), a further
    alternative such as a calendar's invitation.
    """

    headers: tuple[tuple[str, str], ...]
    text: str | None
    html: str | None
    attachments: tuple[Part, ...]
    complete: bool = True

    def addresses(self, name: str) -> tuple[Address, ...]:
        """Read the addresses in all header fields of that name (``"to"``, any case); none where there is no such field."""
        wanted = name.lower()
        return tuple(address for field, value in self.headers if field.lower() == wanted for address in read_addresses(value, wanted))
