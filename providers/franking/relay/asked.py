"""What the dialogue with a client asks of who drives it (``protocol.py``): values, and what the server offers.

Plain classes: data classes compile their methods at each start, ten of them as long as it takes to import all of TLS,
and making one that is frozen costs a message three times as much.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NamedTuple

if TYPE_CHECKING:
    from franking.relay.commands import Path

__all__ = ["Begin", "Body", "End", "Event", "Hangup", "Login", "Mail", "Rcpt", "StartTls", "Terms"]


class Terms(NamedTuple):
    """What the server offers on this connection."""

    name: str = "localhost"
    size: int = 0
    starttls: bool = False
    auth: bool = False
    most_recipients: int = 1000


class _Asked:
    """One thing that is asked: equal to another of its kind that holds the same; ``_shown`` says what a log may see."""

    __slots__: ClassVar[tuple[str, ...]] = ()
    _shown: ClassVar[tuple[str, ...]] = ()

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and all(getattr(self, key) == getattr(other, key) for key in self.__slots__)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{key}={getattr(self, key)!r}' for key in self._shown)})"


class Mail(_Asked):
    """Somebody wants to send: answer it."""

    __slots__ = __match_args__ = _shown = ("path",)

    def __init__(self, path: Path) -> None:
        self.path = path


class Rcpt(_Asked):
    """… to this address: answer it, ``accepted=True`` where it counts."""

    __slots__ = __match_args__ = _shown = ("path",)

    def __init__(self, path: Path) -> None:
        self.path = path


class Login(_Asked):
    """Somebody says who they are: answer it, and set ``user`` where it is true."""

    __slots__ = ("password", "user")
    _shown = ("user",)

    def __init__(self, user: str, password: str) -> None:
        self.user, self.password = user, password


class StartTls(_Asked):
    """The reply that asks for the handshake stands in the output; what came behind the command was dropped.

    Feed nothing more that comes in plain.
    """

    __slots__ = ()


class Begin(_Asked):
    """A message is about to come: ``go_on()``, or answer with a refusal."""

    __slots__ = ()


class Body(_Asked):
    """A piece of the message, as it is kept."""

    __slots__ = __match_args__ = ("octets",)

    def __init__(self, octets: bytes) -> None:
        self.octets = octets


class End(_Asked):
    """The message is whole: answer it. ``nul``: it has a NUL in it. ``mended`` is what was mended so far."""

    __slots__ = _shown = ("eight_bit", "mended", "nul", "size")

    def __init__(self, size: int, nul: bool, eight_bit: bool, mended: tuple[str, ...]) -> None:
        self.size, self.nul, self.eight_bit, self.mended = size, nul, eight_bit, mended


class Hangup(_Asked):
    """Write the output, then close. ``reason``: ``quit``, ``http``, ``tls``, ``line-too-long``, ``mistakes``."""

    __slots__ = __match_args__ = _shown = ("reason",)

    def __init__(self, reason: str) -> None:
        self.reason = reason


Event = Mail | Rcpt | Login | StartTls | Begin | Body | End | Hangup
