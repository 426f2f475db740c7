"""What leaves of a message, looked at by several test files."""

from __future__ import annotations

from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from franking.message.address import Address
from franking.message.content import Content
from franking.message.prepare import prepare

SENDER = Address.parse("Jan Novák <info@novak.cz>")


def sent(message: Any, *, bcc: bool = False, **how: Any) -> bytes:
    """Compose, and check that the size said before is the size that came."""
    content = prepare(message, sender=SENDER, **how).content
    octets = b"".join(content.chunks(bcc=bcc))
    assert len(octets) == (content.size_with_bcc() if bcc else content.size)
    assert octets.count(b"\r\n") == octets.count(b"\n") == octets.count(b"\r")
    return octets


def content_of(message: Any, **how: Any) -> Content:
    return prepare(message, sender=SENDER, **how).content


def parsed(octets: bytes) -> EmailMessage:
    message = message_from_bytes(octets, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def leaves(octets: bytes) -> list[tuple[str, str | None, str | None, bytes]]:
    return [
        (part.get_content_type(), part.get_filename(), part.get_content_disposition(), part.get_payload(decode=True))  # type: ignore[misc]
        for part in parsed(octets).walk()
        if not part.is_multipart() and part.get_content_disposition()
    ]
