"""Where the counts of a mailbox are kept, so that all who send by it keep its limits together: what such a place can
do, which one it is, and this process's own memory, where there is no other.

The places are ``limit_files.py`` (a directory), ``redis_limits.py`` and ``postgres_limits.py``; who asks them is
``turns.py``.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from franking.sending.counts import Counts, Turn

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from franking.provider import RouteFacts
    from franking.redaction import Veiled

__all__ = ["LoneLimits", "Room", "SharedLimits", "Slot", "Where"]


class Slot(Protocol):
    """One of the connections that a mailbox may have. ``lapsed``: another may have it by now."""

    @property
    def lapsed(self) -> bool: ...
    def when_lost(self, act: Callable[[], object]) -> None:
        """Have something done as soon as it is known that another has it."""
        ...

    def release(self) -> None: ...


class SharedLimits(Protocol):
    """Where the counts of mailboxes are kept, for all who share it. ``mailbox`` is a text that names one."""

    def take(self, mailbox: str, limits: RouteFacts, recipients: int) -> Turn:
        """Count a message, or say how long there is no room for it."""
        ...

    def give_back(self, mailbox: str, turn: Turn) -> None: ...
    def hold_off(self, mailbox: str, seconds: float) -> None: ...
    def connection(self, mailbox: str, most: int) -> Slot | None: ...


@dataclass(frozen=True, slots=True)
class Where:
    """Where an application wants limits to be kept: a place, its address, or a directory; None is the usual one. Where
    that is away and not ``required``, sending goes on without it; None: required where others were meant to share it.
    """

    place: str | Veiled[str] | Path | SharedLimits | None = None
    required: bool | None = None


@dataclass(frozen=True, slots=True)
class Room:
    """A message's wish for a place among what a mailbox may send: kept at ``place``, and had by ``take``."""

    place: SharedLimits
    mailbox: str
    limits: RouteFacts
    recipients: int
    take: Callable[[], Turn]


class LoneLimits:
    """Counts in this process's memory."""

    def __init__(self) -> None:
        self._lock, self._counts = threading.Lock(), Counts()

    def take(self, mailbox: str, limits: RouteFacts, recipients: int) -> Turn:
        with self._lock:
            return self._counts.take(limits, recipients, time.time())

    def give_back(self, mailbox: str, turn: Turn) -> None:
        with self._lock:
            self._counts.give_back(turn)

    def hold_off(self, mailbox: str, seconds: float) -> None:
        with self._lock:
            self._counts.hold_off(seconds, time.time())

    def connection(self, mailbox: str, most: int) -> Slot | None:
        return _Free()


class _Free:
    lapsed = False

    def when_lost(self, act: Callable[[], object]) -> None:
        pass

    def release(self) -> None:
        pass
