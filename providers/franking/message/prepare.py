"""What an application hands over → ``Prepared``: the envelope, and the content that leaves. It composes nothing itself.

Only what is needed is imported: a program that hands over ready octets does without ``Message``, one that composes with
it needs no parser.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from franking.errors import MessageError
from franking.message.address import Address, Envelope
from franking.message.content import Content

if TYPE_CHECKING:
    import email.message

    from franking.message.headers import Added
    from franking.message.message import Message

__all__ = ["Prepared", "own_author", "own_id", "prepare"]

_OCTETS = (bytes, bytearray, memoryview)  # a tuple: making the union anew costs half a microsecond per message


@dataclass(frozen=True, slots=True)
class Prepared:
    """A message ready for a session."""

    envelope: Envelope
    content: Content


def prepare(
    message: Message | email.message.Message | bytes | bytearray | memoryview,
    *,
    sender: Address,
    envelope: Envelope | None = None,
    rewrite_from: bool = False,
    added: Added | None = None,
) -> Prepared:
    """Make envelope and content out of what the application gave; ``sender`` is the account's From.

    The envelope's sender is the address of ``sender`` unless ``envelope`` says otherwise; its recipients are To, Cc and
    Bcc (Resent-* where present), each once, in order. A missing Date and Message-ID are added, those of ``added`` where
    they are known from before; a Message-ID stays the same through every attempt. With ``rewrite_from`` the header From
    becomes ``sender``, and the original goes to Reply-To if there is none. Raises ``MessageError``.
    """
    content = _content(message, sender, rewrite_from=rewrite_from, added=added)
    if envelope is None:
        recipients = content.recipients
        if not recipients:
            raise MessageError("to: the message names no recipient.", field="to")
        envelope = Envelope.checked(sender, recipients)
    return Prepared(envelope, content)


def own_author(message: Message | email.message.Message | bytes | bytearray | memoryview) -> Address | None:
    """Return the first address in a message's own From, or None where it has none that can be read."""
    if isinstance(message, _OCTETS):
        from franking.message.raw import read_header

        lines = [line.partition(b":")[2] for name, line in read_header(bytes(message))[0] if name == b"from"]
        value = b"".join(lines[:1]).decode("utf-8", "replace")
    else:
        from franking.message.message import Message

        if isinstance(message, Message):
            return message.sender
        value = str(message.get("From", ""))
    from franking.message.headers import read_addresses

    try:
        found = read_addresses(value.replace("\r\n", "").strip(), "from")
    except MessageError:
        return None
    return found[0] if found else None


def own_id(message: Message | email.message.Message | bytes | bytearray | memoryview) -> str | None:
    """Return a message's own Message-ID, or None where it has none."""
    if isinstance(message, _OCTETS):
        from franking.message.raw import read_header

        values = [line.partition(b":")[2] for name, line in read_header(bytes(message))[0] if name == b"message-id"]
        value = b"".join(values[:1]).decode("utf-8", "replace")
    else:
        from franking.message.message import Message

        if isinstance(message, Message):
            return message.message_id
        value = str(message.get("Message-ID", ""))
    return "".join(value.split()) or None


@cache
def _of_octets() -> Callable[..., Content]:
    """Return what reads ready octets; importing it anew takes a twentieth of all the rest of a message."""
    from franking.message.raw import from_bytes

    return from_bytes


@cache
def _of_messages() -> tuple[type[Message], Callable[..., Content]]:
    from franking.message.message import Message
    from franking.message.mime import compose

    return Message, compose


def _content(message: Any, sender: Address, *, rewrite_from: bool, added: Added | None) -> Content:
    if isinstance(message, _OCTETS):
        return _of_octets()(message, sender=sender, rewrite_from=rewrite_from, added=added)
    kind, compose = _of_messages()
    if isinstance(message, kind):
        return compose(message, sender, rewrite_from=rewrite_from, added=added)
    from franking.message.raw import from_email

    return from_email(message, sender=sender, rewrite_from=rewrite_from, added=added)
