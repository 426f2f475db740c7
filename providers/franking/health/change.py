"""A change that is told, and what a program is told of several. Values only."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from franking.health.finding import iso

__all__ = ["Change", "payload"]


@dataclass(frozen=True, slots=True)
class Change:
    """A code of an account that has another level than a channel has told."""

    account: str | None
    code: str
    level: str
    was: str
    text: str
    remedies: tuple[str, ...]
    since: float

    def as_dict(self) -> dict[str, Any]:
        """Return the object of the JSON."""
        return {
            "account": self.account,
            "code": self.code,
            "level": self.level,
            "was": self.was,
            "text": self.text,
            "remedies": list(self.remedies),
            "since": iso(self.since),
        }


def payload(changes: Iterable[Change]) -> dict[str, Any]:
    """Return what a command and a webhook are told."""
    return {"version": 1, "host": socket.gethostname(), "changes": [change.as_dict() for change in changes]}
