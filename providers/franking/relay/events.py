"""What the relay tells whoever watches it: a name and values, as ``franking relay run --json`` prints them.

``listening`` (address, tls, fingerprint) · ``message`` (id, client, user, account, from, to, bytes, outcome, reply,
mended, ms) · ``refused`` (stage, reply) · ``login-failed`` · ``warning`` · ``stopped``. No password is ever in one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

__all__ = ["Event", "Observer"]


class Event(NamedTuple):
    """Something that happened."""

    name: str
    values: Mapping[str, Any] = {}

    def as_dict(self) -> dict[str, Any]:
        return {"event": self.name, **self.values}


Observer = Callable[[Event], object]
