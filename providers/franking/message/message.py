"""``Message``: what an application means to say, checked at once. Nothing is serialised or sent here.

It becomes content in ``mime.py``; what an application wrote itself (``EmailMessage``, bytes) does so in ``raw.py``;
``prepare.py`` decides between them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from franking.errors import MessageError
from franking.message.address import Address
from franking.message.attachment import Attachment
from franking.message.headers import custom_field, refuse_controls
from franking.message.mime import compose

__all__ = ["Message"]


AddressLike = str | Address
_ONE = (str, Address)  # a tuple: making the union anew costs half a microsecond per message

_MESSAGE_ID = re.compile(r"<[!-;=?A-~]+@[!-;=?A-~]+>\Z")
_PARAMETERS = {"from": "sender", "to": "to", "cc": "cc", "bcc": "bcc", "reply-to": "reply_to", "subject": "subject"}


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Message:
    """A message as an application means it. Everything is checked at once: ``MessageError`` names the field.

        message = franking.Message(
            to=["Jana <jana@example.cz>"], subject="Faktura", text="Dobrý den …", attachments=["faktura.pdf"]
        )

    One text is one address (``"Jana <jana@example.cz>"``); several go in a list. ``headers`` are further header fields;
    those that have a parameter here, and those of MIME's structure, are refused. ``sender`` is the header From, by
    default the account's. Date and Message-ID are made anew each time the message is sent, unless ``message_id``, or
    ``headers`` with ``Date`` or ``Message-ID``, give them.
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
        fields, own_id = _checked_headers(headers)
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
        put(self, "attachments", _attachments(attachments))
        put(self, "headers", fields)
        put(self, "message_id", own_id)

    def __repr__(self) -> str:
        bodies = {"text": self.text, "html": self.html}
        sizes = "".join(f", {name}=<{len(body)} characters>" for name, body in bodies.items() if body is not None)
        to = ", ".join(map(str, self.to))
        return f"Message(to={to!r}, subject={self.subject!r}{sizes}, attachments={list(self.attachments)!r})"

    def as_bytes(self, sender: AddressLike | None = None) -> bytes:
        """Compose without sending; Bcc stays in. ``sender`` is the From, unless the message has its own. Raises
        ``MessageError``.
        """
        sender = self.sender if sender is None else _address(sender, "sender")
        if sender is None:
            raise MessageError("sender: neither the message nor the call says who sends.", field="sender")
        return b"".join(compose(self, sender, rewrite_from=False).chunks(bcc=True))


def _checked_headers(headers: Mapping[str, str] | None) -> tuple[tuple[tuple[str, str], ...], str | None]:
    """Check further header fields; return them, and the Message-ID if it is among them."""
    if not headers:
        return (), None
    if not isinstance(headers, Mapping):
        raise MessageError(
            f"headers: a mapping of names to texts is needed, not {type(headers).__name__}.", field="headers"
        )
    fields: list[tuple[str, str]] = []
    message_id = None
    for name, value in headers.items():
        refuse_controls(name, "headers")
        lower = name.lower()
        if lower in _PARAMETERS:
            raise MessageError(
                f"headers: {name} has a parameter of its own; use {_PARAMETERS[lower]}=.", field="headers"
            )
        if lower.startswith(("content-", "resent-")) or lower in ("mime-version", "return-path"):
            raise MessageError(
                f"headers: {name} cannot be set here; it follows from how the message is made and sent.",
                field="headers",
            )
        if lower == "message-id":
            message_id = _checked_id(value)
            continue
        custom_field(name, value)  # raises what it would raise when sending
        if lower == "date":
            _check_date(value)
        fields.append((name, value))
    return tuple(fields), message_id


def _check_date(value: str) -> None:
    from email.utils import parsedate_tz

    if parsedate_tz(value) is None or len(value) > 60 or not value.isascii():
        raise MessageError(
            f"headers: {value[:80]!r} is no date as RFC 5322 writes it: Mon, 02 Nov 2026 10:00:00 +0100.",
            field="headers",
        )


def _checked_id(value: str) -> str:
    refuse_controls(value, "message_id")
    message_id = value if value.startswith("<") else f"<{value}>"
    if not _MESSAGE_ID.match(message_id) or len(message_id) > 900:
        raise MessageError(
            f"message_id: {value[:80]!r} is no Message-ID, such as <20261102.1@example.cz>.", field="message_id"
        )
    return message_id


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
    if isinstance(value, _ONE):
        return (_address(value, name),)
    try:
        return tuple([_address(item, name) for item in value])
    except TypeError:
        raise MessageError(
            f"{name}: give an address or a list of addresses, not {type(value).__name__}.", field=name
        ) from None


def _address(value: AddressLike, name: str) -> Address:
    if isinstance(value, Address):
        return value
    try:
        return Address.parse(value)
    except MessageError as problem:
        raise MessageError(f"{name}: {problem}", field=name) from None


def _attachments(attachments: Sequence[Attachment | str | os.PathLike[str]]) -> tuple[Attachment, ...]:
    if not attachments:
        return ()
    if isinstance(attachments, str | bytes | os.PathLike | Attachment):
        raise MessageError("attachments: give a list, even of one.", field="attachments")
    try:
        made = tuple(item if isinstance(item, Attachment) else Attachment(item) for item in attachments)
    except MessageError as problem:
        raise MessageError(f"attachments: {problem}", field="attachments", evidence=problem.evidence) from None
    cids = [item.cid for item in made if item.cid is not None]
    if len(cids) != len(set(cids)):
        raise MessageError("attachments: two of them have the same cid.", field="attachments")
    return made
