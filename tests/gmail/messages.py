"""What the tests of the Gmail API send."""

from __future__ import annotations

import os
from typing import Any

import franking
from franking.provider import Session


def prepared(message: Any = None, **parts: Any) -> Any:
    from franking.message.address import Address
    from franking.message.prepare import prepare

    envelope = parts.pop("envelope", None)
    message = message or franking.Message(
        **{"to": ["jana@example.cz"], "subject": "Faktura", "text": "Dobrý den\n", **parts}
    )
    return prepare(message, sender=Address.parse("Me <me@gmail.com>"), envelope=envelope)


def post(session: Session, message: Any = None, **parts: Any) -> franking.Receipt:
    ready = prepared(message, **parts)
    return session.send(ready.envelope, ready.content)


def large(octets: int = 3_000_000) -> dict[str, Any]:
    return {"attachments": [franking.Attachment(data=os.urandom(octets), name="film.bin")]}
