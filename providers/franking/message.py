"""Messages: ``Message`` and ``Attachment`` → ``Content``, a serialised message that streams. It sends nothing and knows no provider.

What an application wrote itself (``EmailMessage``, bytes) becomes content in ``given.py``; the body of a ``Message`` is composed in ``mime.py``;
``prepare.py`` decides between them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from franking.address import Address
from franking.attachment import Attachment
from franking.content import Content, gathered
from franking.errors import MessageError
from franking.headers import address_field, date_now, field, new_id, refuse_controls
from franking.mime import Encoded, Piece, body

if TYPE_CHECKING:
    from franking.parts import Part, Parts

__all__ = ["Attachment", "Content", "Message", "compose"]

AddressLike = str | Address

_MESSAGE_ID = re.compile(r"<[!-;=?A-~]+@[!-;=?A-~]+>\Z")
_PARAMETERS = {"from": "sender", "to": "to", "cc": "cc", "bcc": "bcc", "reply-to": "reply_to", "subject": "subject"}
_ADDRESSED = {"sender", "disposition-notification-to", "return-receipt-to", "errors-to", "mail-followup-to", "mail-reply-to"}


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Message:
    """A message as an application means it. Everything is checked at once: ``MessageError`` names the field.

    One text is one address (``"Jana <jana@example.cz>"``); several go in a list. ``headers`` are further header fields; those that have a
    parameter here, and those of MIME's structure, are refused. ``sender`` is the header From, by default the account's. Date and Message-ID are
    made anew each time the message is sent, unless ``message_id``, or ``headers`` with ``Date`` or ``Message-ID``, give them.
    """

    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    bcc: tuple[Address, ...]
    reply_to: tuple[Address, ...]
    sender: Address | None
    subject: str
    text: str | None
    html: str | None
    attachments: tuple[Attachment, ...]
    headers: tuple[tuple[str, str], ...]
    message_id: str | None

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
        refuse_controls(subject, "subject")
        if text is not None:
            _refuse_in_body(text, "text")
        if html is not None:
            _refuse_in_body(html, "html")
        given, own_id = _custom(headers) if headers else ((), None)
        if message_id is not None:
            if own_id is not None:
                raise MessageError("message_id: it stands in headers too; give it once.", field="message_id")
            own_id = _checked_id(message_id)
        put = object.__setattr__
        put(self, "to", _addresses(to, "to"))
        put(self, "cc", _addresses(cc, "cc") if cc else ())
        put(self, "bcc", _addresses(bcc, "bcc") if bcc else ())
        put(self, "reply_to", _addresses(reply_to, "reply_to") if reply_to else ())
        put(self, "sender", None if sender is None else _address(sender, "sender"))
        put(self, "subject", subject)
        put(self, "text", text)
        put(self, "html", html)
        put(self, "attachments", _attachments(attachments) if attachments else ())
        put(self, "headers", given)
        put(self, "message_id", own_id)

    def __repr__(self) -> str:
        sizes = "".join(
            f", {name}=<{len(value)} characters>" for name, value in (("text", self.text), ("html", self.html)) if value is not None
        )
        to = ", ".join(map(str, self.to))
        return f"Message(to={to!r}, subject={self.subject!r}{sizes}, attachments={list(self.attachments)!r})"

    def as_bytes(self, sender: AddressLike | None = None) -> bytes:
        """Compose without sending; Bcc stays in. ``sender`` is the From, unless the message has its own. Raises ``MessageError``."""
        origin = self.sender if sender is None else _address(sender, "sender")
        if origin is None:
            raise MessageError("sender: neither the message nor the call says who sends.", field="sender")
        return b"".join(compose(self, origin, rewrite_from=False).chunks(bcc=True))


class Composed:
    """The content of a ``Message``: a header, and the pieces of a body that stream."""

    __slots__ = ("_bcc", "_date", "_head", "_message", "_origin", "_pieces", "_reply_to", "message_id", "size", "smtputf8")
    eight_bit = False

    def __init__(self, message: Message, origin: Address, reply_to: tuple[Address, ...], date: str, message_id: str) -> None:
        self._message, self._origin, self._reply_to, self._date, self.message_id = message, origin, reply_to, date, message_id
        head, self._bcc = _head(message, origin, reply_to, date, message_id)
        self.smtputf8 = not (head.isascii() and self._bcc.isascii())
        first, *rest = body(message.text, message.html, message.attachments)
        assert isinstance(first, bytes)
        self._head = head.encode()
        self._pieces: list[Piece] = [first, *rest]
        self.size = len(self._head) + sum([piece.size if isinstance(piece, Encoded) else len(piece) for piece in self._pieces])

    @property
    def recipients(self) -> tuple[str, ...]:
        message = self._message
        return tuple(dict.fromkeys([address.wire for address in (*message.to, *message.cc, *message.bcc)]))

    def size_with_bcc(self) -> int:
        return self.size + len(self._bcc)

    def chunks(self, *, bcc: bool) -> Iterator[bytes]:
        if len(self._pieces) == 1:
            text = self._pieces[0]
            assert isinstance(text, bytes)
            yield self._bcc.encode() + self._head + text if bcc else self._head + text
            return
        yield from gathered(self._flow(bcc=bcc))

    def _flow(self, *, bcc: bool) -> Iterator[bytes]:
        if bcc:
            yield self._bcc.encode()
        yield self._head
        for piece in self._pieces:
            if isinstance(piece, Encoded):
                yield from piece
            else:
                yield piece

    def parts(self) -> Parts:
        from franking.parts import Parts  # only Graph's JSON needs it

        message = self._message
        fields = [("From", str(self._origin))]
        for name, addresses in (("Reply-To", self._reply_to), ("To", message.to), ("Cc", message.cc), ("Bcc", message.bcc)):
            if addresses:
                fields.append((name, ", ".join(map(str, addresses))))
        fields += [("Subject", message.subject)] if message.subject else []
        fields += [("Date", self._date), ("Message-ID", self.message_id)]
        fields += [(name, value) for name, value in message.headers if name.lower() != "date"]
        return Parts(tuple(fields), message.text, message.html, tuple(map(_part, message.attachments)))


def _part(attachment: Attachment) -> Part:
    from franking.parts import Part

    size = attachment.measure()
    return Part(attachment.content_type, attachment.name, attachment.cid, attachment.cid is not None, size, lambda: attachment.read(size))


def compose(message: Message, sender: Address, *, rewrite_from: bool) -> Composed:
    """Make content of a message; ``sender`` is the From, unless the message has its own. Raises ``MessageError``."""
    origin, reply_to = message.sender or sender, message.reply_to
    if rewrite_from and origin.wire != sender.wire:
        origin, reply_to = sender, reply_to or (origin,)
    date = next((value for name, value in message.headers if name.lower() == "date"), None)
    return Composed(message, origin, reply_to, date or date_now(), message.message_id or new_id(origin))


def _head(message: Message, origin: Address, reply_to: tuple[Address, ...], date: str, message_id: str) -> tuple[str, str]:
    lines = [address_field("From", (origin,))]
    if reply_to:
        lines.append(address_field("Reply-To", reply_to))
    if message.to:
        lines.append(address_field("To", message.to))
    if message.cc:
        lines.append(address_field("Cc", message.cc))
    if message.subject:
        lines.append(field("Subject", message.subject))
    lines.append(f"Date: {date}\r\nMessage-ID: {message_id}\r\n")
    for name, value in message.headers:
        if name.lower() != "date":
            lines.append(_custom_field(name, value))
    lines.append("MIME-Version: 1.0\r\n")
    return "".join(lines), address_field("Bcc", message.bcc) if message.bcc else ""


def _custom_field(name: str, value: str) -> str:
    if name.lower() in _ADDRESSED and not value.isascii():
        from franking.headers import read_addresses  # a name outside ASCII: the address must stay readable for machines

        return address_field(name, read_addresses(value, name.lower()))
    return field(name, value, where="headers")


def _custom(headers: Mapping[str, str]) -> tuple[tuple[tuple[str, str], ...], str | None]:
    """Check further header fields; give them, and the Message-ID if it is among them."""
    if not isinstance(headers, Mapping):
        raise MessageError(f"headers: a mapping of names to texts is needed, not {type(headers).__name__}.", field="headers")
    given: list[tuple[str, str]] = []
    message_id = None
    for name, value in headers.items():
        refuse_controls(name, "headers")
        lower = name.lower()
        if lower in _PARAMETERS:
            raise MessageError(f"headers: {name} has a parameter of its own; use {_PARAMETERS[lower]}=.", field="headers")
        if lower.startswith(("content-", "resent-")) or lower in ("mime-version", "return-path"):
            raise MessageError(f"headers: {name} cannot be set here; it follows from how the message is made and sent.", field="headers")
        if lower == "message-id":
            message_id = _checked_id(value)
            continue
        _custom_field(name, value)  # raises what it would raise when sending
        if lower == "date":
            _check_date(value)
        given.append((name, value))
    return tuple(given), message_id


def _check_date(value: str) -> None:
    from email.utils import parsedate_tz

    if parsedate_tz(value) is None or len(value) > 60 or not value.isascii():
        raise MessageError(f"headers: {value[:80]!r} is no date as RFC 5322 writes it: Mon, 02 Nov 2026 10:00:00 +0100.", field="headers")


def _checked_id(value: str) -> str:
    refuse_controls(value, "message_id")
    wrapped = value if value.startswith("<") else f"<{value}>"
    if not _MESSAGE_ID.match(wrapped) or len(wrapped) > 900:
        raise MessageError(f"message_id: {value[:80]!r} is no Message-ID, such as <20261102.1@example.cz>.", field="message_id")
    return wrapped


def _refuse_in_body(value: str, name: str) -> None:
    if not isinstance(value, str):
        raise MessageError(f"{name}: this is text, not {type(value).__name__}.", field=name)
    if "\0" in value:
        raise MessageError(f"{name}: the text has a NUL character in it.", field=name)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise MessageError(f"{name}: the text has half a character in it (a lone surrogate).", field=name) from None


def _addresses(value: AddressLike | Iterable[AddressLike], name: str) -> tuple[Address, ...]:
    if isinstance(value, str | Address):
        return (_address(value, name),)
    try:
        return tuple([_address(item, name) for item in value])
    except TypeError:
        raise MessageError(f"{name}: give an address or a list of addresses, not {type(value).__name__}.", field=name) from None


def _address(value: AddressLike, name: str) -> Address:
    if isinstance(value, Address):
        return value
    try:
        return Address.parse(value)
    except MessageError as problem:
        raise MessageError(f"{name}: {problem}", field=name) from None


def _attachments(given: Sequence[Attachment | str | os.PathLike[str]]) -> tuple[Attachment, ...]:
    if isinstance(given, str | bytes | os.PathLike | Attachment):
        raise MessageError("attachments: give a list, even of one.", field="attachments")
    try:
        made = tuple(item if isinstance(item, Attachment) else Attachment(item) for item in given)
    except MessageError as problem:
        raise MessageError(f"attachments: {problem}", field="attachments", evidence=problem.evidence) from None
    cids = [item.cid for item in made if item.cid is not None]
    if len(cids) != len(set(cids)):
        raise MessageError("attachments: two of them have the same cid.", field="attachments")
    return made
