"""An SMTP server on this machine for old programs and devices: what it takes is in the outbox before it says so.

Open first: ``relay.py`` (what an application holds), then ``connection.py`` (one client) and ``intake.py`` (durable
before 250, and what becomes of it). The dialogue itself, without I/O, is ``protocol.py``. In here is no way to send:
the outbox does that. No mail is delivered to anybody's server, no bounce is written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from franking.relay.relay import Relay

__all__ = ["Relay"]


def __getattr__(name: str) -> Any:
    if name != "Relay":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from franking.relay.relay import Relay

    return Relay
