"""A message for the outbox: composed and checked as if it were sent now, but no session is opened."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from franking.account.fields import WRONG_VALUE
from franking.errors import MessageError, SettingsError
from franking.outbox.rows import Draft
from franking.outbox.store import Store
from franking.provider import SupportsPlan

if TYPE_CHECKING:
    from franking.message.address import Envelope
    from franking.message.prepare import Prepared
    from franking.outbox.entry import OutboxEntry
    from franking.sending.mailer import Mailer

__all__ = ["checked_key", "draft", "put"]

LONGEST_KEY = 200
_SUBJECT = re.compile(rb"^subject[ \t]*:([^\r\n]*(?:\r\n[ \t][^\r\n]*)*)", re.IGNORECASE | re.MULTILINE)


def put(mailer: Mailer, message: Any, key: str | None, **more: Any) -> OutboxEntry:
    """Put one message into the outbox, as ``Mailer.queue`` says; ``more`` is what ``draft`` takes."""
    made = draft(mailer, message, key, **more)
    if mailer.outbox is None:
        mailer.outbox = Store()
    return mailer.outbox.add((made,))[0]


def draft(
    mailer: Mailer,
    message: Any,
    key: str | None = None,
    *,
    not_before: datetime | float | None = None,
    give_up: float | None = None,
    envelope: Envelope | None = None,
) -> Draft:
    """Compose a message and check what can be checked before connecting. Raises as ``Mailer.queue`` does."""
    name = mailer.account.name
    if mailer.secret_given or mailer.account.reference != name:
        raise _unnamed()
    try:
        prepared = mailer.prepare(message, envelope=envelope)
        if _plans(type(mailer.provider)):  # what the route cannot carry
            provider: Any = mailer.provider
            provider.plan(mailer.account, prepared.content)
    except BaseException:
        with mailer.explained():
            raise
    made = Draft(name, prepared, _subject(message, prepared))
    if key is not None:
        made.key, made.digest = checked_key(key), _digest(name, prepared.envelope, message)
    if not_before is not None:
        made.not_before = _seconds(not_before)
    if give_up is not None:
        made.give_up = _checked_give_up(give_up)
    return made


def _unnamed() -> SettingsError:
    """Make the error of an account that no later process could find."""
    return SettingsError(
        "The outbox sends with the settings and the secret that are there at that time: it needs the name of "
        "an account that is saved, not an Account, a URL or secret=. Save it with: franking accounts add",
        field="account",
    )


def checked_key(key: str) -> str:
    """Return what names a message. Raises ``MessageError`` for what cannot."""
    if not 1 <= len(key) <= LONGEST_KEY or not key.isprintable() or key != key.strip():
        raise MessageError(f"key: {key!r} is no key; use 1 to {LONGEST_KEY} visible characters.", field="key")
    return key


def _digest(account: str, envelope: Envelope, message: Any) -> bytes:
    from franking.outbox.fingerprint import fingerprint

    return fingerprint(account, envelope, message)


@lru_cache(maxsize=16)
def _plans(kind: type) -> bool:
    """Return whether providers of a kind say in which way a message goes. Kept: asking costs as much as the rest."""
    return issubclass(kind, SupportsPlan)


def _checked_give_up(give_up: float) -> float:
    if not (math.isfinite(give_up) and give_up > 0):
        raise SettingsError(
            f"give_up: {give_up!r} is no number of seconds above 0.", field="give_up", evidence=WRONG_VALUE
        )
    return float(give_up)


def _seconds(moment: datetime | float) -> float:
    if isinstance(moment, int | float):
        return moment
    if moment.tzinfo is None:
        raise SettingsError(
            f"not_before: {moment.isoformat()} has no time zone; use datetime.now(timezone.utc) and the like.",
            field="not_before",
            evidence=WRONG_VALUE,
        )
    return moment.astimezone(UTC).timestamp()


def _subject(message: Any, prepared: Prepared) -> str:
    """Return the subject as a person reads it."""
    if type(message) is not bytes and isinstance(known := getattr(message, "subject", None), str):
        return known
    data = next(prepared.content.chunks(bcc=False), b"")
    at = data.find(b"\nSubject:")
    line = data.find(b"\r\n", at)  # as most programs write it; searching takes longer than all around it
    if at >= 0 and data.find(b"\r\n\r\n", 0, at + 1) < 0 and data[line + 2] not in b" \t":
        value = data[at + 9 : line]
        if value.isascii() and value.find(b"=?") < 0:  # not "in", which asks first whether it is a number
            return value.decode().strip()
    else:
        found = _SUBJECT.search(data, 0, data.find(b"\r\n\r\n") + 2)
        if found is None:
            return ""
        value = found[1]
        if value.isascii() and b"=?" not in value and b"\r\n" not in value:
            return value.decode().strip()
    from franking.message.parser import decoded  # and the standard library's, which is slow

    return decoded("subject", value.decode("utf-8", "surrogateescape"))
