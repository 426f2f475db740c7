"""A message taken apart, ``Parts``: for routes that want JSON instead of MIME. What somebody else composed is read by
the standard library's parser.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email import policy
from email.errors import MessageError as EmailError
from email.message import EmailMessage
from email.parser import BytesParser

from franking.errors import MessageError
from franking.message.address import Address
from franking.message.headers import ADDRESSED, read_addresses

__all__ = ["Part", "Parts", "parse_parts"]

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


def parse_parts(data: bytes) -> Parts:
    """Parse a whole message. The first text and the first html are the bodies, every other leaf is an attachment."""
    message = BytesParser(_class=EmailMessage, policy=policy.default).parsebytes(data)
    fields = tuple(
        (name, decoded(name, value)) for name, value in message.raw_items() if not name.lower().startswith(_STRUCTURE)
    )
    found: dict[str, EmailMessage] = {}
    others: list[Part] = []
    complete = True
    for leaf, parents in _leaves(message, ()):
        kind = leaf.get_content_type()
        complete = complete and set(parents) <= set(_FAITHFUL)
        if (
            kind in ("text/plain", "text/html")
            and kind not in found
            and leaf.get_content_disposition() != "attachment"
            and not leaf.get_filename()
        ):
            found[kind] = leaf
            continue
        if parents[-1:] == ("multipart/alternative",):
            complete = False  # a further form of the same message, such as an invitation
        others.append(_part(leaf))
    texts = {kind: _text(leaf) for kind, leaf in found.items()}
    return Parts(fields, texts.get("text/plain"), texts.get("text/html"), tuple(others), complete)


def _leaves(part: EmailMessage, parents: tuple[str, ...]) -> Iterator[tuple[EmailMessage, tuple[str, ...]]]:
    if part.is_multipart() and part.get_content_maintype() == "multipart":
        for child in part.get_payload():
            assert isinstance(child, EmailMessage)
            yield from _leaves(child, (*parents, part.get_content_type()))
    else:
        yield part, parents


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
    kind = leaf.get_content_type()
    charset = leaf.get_content_charset()
    if charset and kind.startswith("text/"):
        kind = f"{kind}; charset={charset}"
    cid = str(leaf.get("Content-ID", "")).strip().removeprefix("<").removesuffix(">") or None
    inline = leaf.get_content_disposition() == "inline" or (cid is not None and leaf.get_content_disposition() is None)
    return Part(kind, leaf.get_filename(), cid, inline, len(octets), lambda: iter((octets,)))
