"""What the dialogue with a client asks of who drives it (``protocol.py``): values, and what the server offers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from franking.relay.commands import Path

__all__ = ["Begin", "Body", "End", "Event", "Hangup", "Login", "Mail", "Rcpt", "StartTls", "Terms"]


@dataclass(frozen=True, slots=True)
class Terms:
    """What the server offers on this connection."""

    name: str = "localhost"
    size: int = 0
    starttls: bool = False
    auth: bool = False
    most_recipients: int = 1000


@dataclass(frozen=True, slots=True)
class Mail:
    """Somebody wants to send: answer it."""

    path: Path


@dataclass(frozen=True, slots=True)
class Rcpt:
    """… to this address: answer it, ``accepted=True`` where it counts."""

    path: Path


@dataclass(frozen=True, slots=True)
class Login:
    """Somebody says who they are: answer it, and set ``user`` where it is true."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class StartTls:
    """The reply that asks for the handshake stands in the output; what came behind the command was dropped.

    Feed nothing more that comes in plain.
    """


@dataclass(frozen=True, slots=True)
class Begin:
    """A message is about to come: ``go_on()``, or answer with a refusal."""


@dataclass(frozen=True, slots=True)
class Body:
    """A piece of the message, as it is kept."""

    octets: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class End:
    """The message is whole: answer it. ``nul``: it has a NUL in it. ``mended`` is what was mended so far."""

    size: int
    nul: bool
    eight_bit: bool
    mended: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Hangup:
    """Write the output, then close. ``reason``: ``quit``, ``http``, ``tls``, ``line-too-long``, ``mistakes``."""

    reason: str


Event = Mail | Rcpt | Login | StartTls | Begin | Body | End | Hangup
