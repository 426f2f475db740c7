"""A message taken apart, ``Parts``: for routes that want JSON instead of MIME. What somebody else composed is read by
the standard library's parser.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from email import policy
from email.errors import MessageError as EmailError
from email.message import EmailMessage
from email.parser import BytesParser

from franking.errors import MessageError
from franking.message.address import Address
from franking.message.headers import ADDRESSED, read_addresses

__all__ = ["Leaf", "Part", "Parts", "assembled", "leaves_of", "parse_parts", "part_of"]

_STRUCTURE = ("content-", "mime-version")
_FAITHFUL = ("multipart/mixed", "multipart/alternative", "multipart/related")


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
    """The message taken apart: headers in order (decoded to text, without those of MIME's structure), bodies,
    attachments.

    ``complete`` is false where the parts do not say all that the message says: a signature (multipart/signed), a
    further alternative such as a calendar's invitation.
    """

    headers: tuple[tuple[str, str], ...]
    text: str | None
    html: str | None
    attachments: tuple[Part, ...]
    complete: bool = True

    def addresses(self, name: str) -> tuple[Address, ...]:
        """Read the addresses in all header fields of that name (``"to"``, any case); none where there is no such
        field.
        """
        wanted = name.lower()
        return tuple(
            address
            for field, value in self.headers
            if field.lower() == wanted
            for address in read_addresses(value, wanted)
        )


@dataclass(frozen=True, slots=True)
class Leaf:
    """A leaf as the standard library reads it, the types of the multiparts around it, and its part where its octets lie
    elsewhere.
    """

    message: EmailMessage
    parents: tuple[str, ...]
    part: Part | None = None


def parse_parts(data: bytes) -> Parts:
    """Parse a whole message. The first text and the first html are the bodies, every other leaf is an attachment."""
    message = BytesParser(_class=EmailMessage, policy=policy.default).parsebytes(data)
    return assembled(message, list(leaves_of(message, ())))


def assembled(message: EmailMessage, leaves: Iterable[Leaf]) -> Parts:
    """Return what a message with these leaves is."""
    fields = tuple(
        (name, decoded(name, value)) for name, value in message.raw_items() if not name.lower().startswith(_STRUCTURE)
    )
    found: dict[str, EmailMessage] = {}
    others: list[Part] = []
    complete = True
    for each in leaves:
        leaf, kind = each.message, each.message.get_content_type()
        complete = complete and set(each.parents) <= set(_FAITHFUL)
        if (
            kind in ("text/plain", "text/html")
            and kind not in found
            and each.part is None
            and leaf.get_content_disposition() != "attachment"
            and not leaf.get_filename()
        ):
            found[kind] = leaf
            continue
        if each.parents[-1:] == ("multipart/alternative",):
            complete = False  # a further form of the same message, such as an invitation
        others.append(each.part or _part(leaf))
    texts = {kind: _text(leaf) for kind, leaf in found.items()}
    return Parts(fields, texts.get("text/plain"), texts.get("text/html"), tuple(others), complete)


def leaves_of(part: EmailMessage, parents: tuple[str, ...]) -> Iterator[Leaf]:
    """Return the leaves of a part, in their order."""
    if part.is_multipart() and part.get_content_maintype() == "multipart":
        for child in part.get_payload():
            assert isinstance(child, EmailMessage)
            yield from leaves_of(child, (*parents, part.get_content_type()))
    else:
        yield Leaf(part, parents)


def decoded(name: str, value: str) -> str:
    """Return a header field's value as a person reads it, or as it is where it cannot be decoded."""
    text = re.sub("[\r\n]", "", value).encode(errors="surrogateescape").decode(errors="replace").strip()
    try:
        if name.lower().removeprefix("resent-") in ADDRESSED:
            return ", ".join(map(str, read_addresses(text, name.lower())))
        return str(policy.default.header_factory(name, text))
    except (MessageError, EmailError, ValueError, IndexError, AttributeError, TypeError, KeyError):
        return text  # nothing that can be decoded


def _text(leaf: EmailMessage) -> str:
    octets = _octets(leaf)
    charset = leaf.get_content_charset("utf-8")
    try:
        text = octets.decode(charset, errors="replace")
    except LookupError:
        text = octets.decode("utf-8", errors="replace")
    return text.replace("\r\n", "\n")


def _octets(leaf: EmailMessage) -> bytes:
    if leaf.get_content_maintype() == "message":
        return b"".join(part.as_bytes(policy=policy.SMTP) for part in leaf.iter_parts())
    decoded = leaf.get_payload(decode=True)
    return decoded if isinstance(decoded, bytes) else b""


def _part(leaf: EmailMessage) -> Part:
    octets = _octets(leaf)
    return part_of(leaf, len(octets), lambda: iter((octets,)))


def part_of(leaf: EmailMessage, size: int, read: Callable[[], Iterator[bytes]]) -> Part:
    """Return a leaf as a part of so many octets."""
    kind = leaf.get_content_type()
    charset = leaf.get_content_charset()
    if charset and kind.startswith("text/"):
        kind = f"{kind}; charset={charset}"
    cid = str(leaf.get("Content-ID", "")).strip().removeprefix("<").removesuffix(">") or None
    inline = leaf.get_content_disposition() == "inline" or (cid is not None and leaf.get_content_disposition() is None)
    return Part(kind, leaf.get_filename(), cid, inline, size, read)
