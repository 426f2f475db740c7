"""Addresses and envelopes: parse, print, IDNA, and whether SMTPUTF8 is needed. Nothing here composes a message."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Address", "Envelope"]


@dataclass(frozen=True, slots=True)
class Address:
    """Hold one mailbox: ``address`` is ``local@domain`` as typed, ``name`` the display name or empty."""

    address: str
    name: str = ""

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read ``jan@novak.cz`` or ``Jan Novák <jan@novak.cz>``.

        Raises ``ValueError`` (a ``MessageError``) that says what is wrong.
        """
        raise NotImplementedError

    @property
    def domain(self) -> str:
        """Give the part behind the @, as typed."""
        return self.address.rpartition("@")[2]

    @property
    def wire(self) -> str:
        """Give the address as SMTP carries it: the domain as A-labels unless the local part needs SMTPUTF8."""
        raise NotImplementedError

    @property
    def smtputf8(self) -> bool:
        """Tell whether the address needs SMTPUTF8: a local part that is not ASCII (RFC 6531)."""
        raise NotImplementedError

    def __str__(self) -> str:
        """Print it readable, non-ASCII letters as they are: ``Jan Novák <jan@novak.cz>``."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Envelope:
    """Hold the sender and the recipients that are actually used, as distinct from the headers.

    Strings without display names. ``sender`` may be empty (a bounce).
    """

    sender: str
    recipients: tuple[str, ...]

    def __init__(self, sender: str, recipients: Iterable[str]) -> None:
        object.__setattr__(self, "sender", sender)
        object.__setattr__(self, "recipients", tuple(recipients))
