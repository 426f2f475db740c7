"""One message in the outbox, as people and programs see it. A value: nothing here reads or writes files."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from franking.diagnosis.diagnosis import Diagnosis
from franking.errors import Evidence, SendError
from franking.provider import Receipt

__all__ = [
    "FINISHED",
    "STATES",
    "OutboxEntry",
    "about",
    "moment",
    "read_diagnosis",
    "read_receipt",
    "write_value",
    "written",
]

STATES = ("queued", "sending", "accepted", "refused", "failed", "unknown", "cancelled")
FINISHED = ("accepted", "refused", "failed", "cancelled")
"""States from which nothing follows by itself; ``unknown`` waits for a person."""


@lru_cache(maxsize=16)
def moment(seconds: float) -> str:
    """Return a point in time (seconds since 1970) as ISO 8601 in UTC, such as ``2026-11-02T10:00:00.123Z``. Kept: those
    of one commit have the same.
    """
    whole = math.floor(seconds)
    return f"{_second(whole)}.{int((seconds - whole) * 1000):03d}Z"


@lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    """Return a whole second without its zone. Kept: many messages are put down within one."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


@dataclass(frozen=True)
class OutboxEntry:
    """What is known of one message in the outbox.

    ``id`` sorts in the order of creation. ``state`` is one of ``STATES``; while ``queued``, ``held`` is the diagnosis
    code of why its account cannot send now. ``sender`` and ``to`` are the envelope's; ``waiting`` are recipients who
    have neither got it nor refused it for good. ``bytes`` is the size with Bcc. ``receipt`` adds up what was accepted
    so far, ``diagnosis`` is the last attempt's. Times are ISO 8601, UTC.
    """

    id: str
    key: str | None
    account: str
    state: str
    held: str | None
    sender: str
    to: tuple[str, ...]
    waiting: tuple[str, ...]
    subject: str
    message_id: str
    bytes: int
    attempts: int
    created_at: str
    next_at: str | None
    expires_at: str
    receipt: Receipt | None = None
    diagnosis: Diagnosis | None = None

    @classmethod
    def made(cls, fields: dict[str, Any]) -> OutboxEntry:
        """Return one of all its fields, set at once: one by one, as a frozen dataclass does, takes more than twice as
        long, and that for each message that is put down.
        """
        entry = object.__new__(cls)
        object.__setattr__(entry, "__dict__", fields)
        return entry

    def as_dict(self, language: str = "en") -> dict[str, Any]:
        """Return the JSON object of ``franking outbox list --json``; the diagnosis in ``language``."""
        return {
            "id": self.id,
            "key": self.key,
            "account": self.account,
            "state": self.state,
            "held": self.held,
            "sender": self.sender,
            "to": list(self.to),
            "waiting": list(self.waiting),
            "subject": self.subject,
            "message_id": self.message_id,
            "bytes": self.bytes,
            "attempts": self.attempts,
            "created_at": self.created_at,
            "next_at": self.next_at,
            "expires_at": self.expires_at,
            "receipt": None if self.receipt is None else self.receipt.as_dict(),
            "diagnosis": None if self.diagnosis is None else self.diagnosis.as_dict(language),
        }


def write_value(value: Receipt | Diagnosis | None) -> str | None:
    """Return a receipt or a diagnosis as it is written down: its fields, its texts are looked up when it is read."""
    if value is None:
        return None
    found = {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, Diagnosis):
        found["values"] = {name: known for name, known in value.values.items() if name != "hints"}
    return json.dumps(found, ensure_ascii=False, default=_plain)


def _plain(value: Any) -> Any:
    """Return what JSON has no form for as something that a text can be filled with."""
    if isinstance(value, set | frozenset):
        return sorted(value)
    if hasattr(value, "items"):
        return dict(value)
    return str(value)


def read_receipt(text: str | None) -> Receipt | None:
    """Return the receipt that was written down."""
    if text is None:
        return None
    found = json.loads(text)
    for name in ("accepted", "warnings"):
        found[name] = tuple(found.get(name, ()))
    return Receipt(**found)


def read_diagnosis(text: str | None) -> Diagnosis | None:
    """Return the diagnosis that was written down."""
    if text is None:
        return None
    found = json.loads(text)
    # JSON knows no tuples: the words of a command are one
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in found["values"].items()}
    return Diagnosis(**{**found, "values": values})


def about(reason: str, **details: Any) -> Diagnosis:
    """Return the diagnosis of what the outbox itself has to say of a message."""
    from franking.diagnosis.generic import GENERIC
    from franking.diagnosis.rules import diagnose

    return diagnose(SendError("", evidence=Evidence("outbox", reason=reason, details=details)), GENERIC, details)


def written(number: int, mark: str) -> str:
    """Return an entry's id: it sorts in the order of creation."""
    return "%012d-%s" % (number, mark)  # noqa: UP031  # half the time of an f-string
