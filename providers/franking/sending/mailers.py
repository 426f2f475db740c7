"""One mailer for each account and process, kept from task to task by whoever sends for a task queue: the next message
finds its connection open. Each is made anew after a fork, and when its account's settings or stored secret changed.

It decides nothing about messages; what an application holds itself is a plain ``connect``.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from franking.account.config import resolve
from franking.errors import discreet
from franking.outbox.stamp import Stamps
from franking.sending.mailer import Mailer

__all__ = ["CONNECTIONS", "KEPT", "KeptMailers"]

CONNECTIONS = 64
"""Sessions of one mailer at most: a worker's process uses one at a time, its threads one each."""

LOOK_SECONDS = 2.0
"""How often it is looked whether settings or secret changed: not for each message, that may be a round trip."""


@dataclass(slots=True)
class _Kept:
    mailer: Mailer
    stamp: str
    looked: float


class KeptMailers:
    """Keep mailers by what names their account. Safe to share between threads."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._mailers: dict[str | None, _Kept] = {}
        self._begin()

    def _begin(self) -> None:
        self._pid, self._lock = os.getpid(), threading.Lock()
        self._stamps = Stamps()
        inherited, self._mailers = self._mailers, {}
        for kept in inherited.values():
            kept.mailer.close()  # the parent's connections are the parent's: only the copies go

    def of(self, account: str | None) -> Mailer:
        """Return the mailer of an account: its name, a URL, None for the default. Raises ``SettingsError``."""
        self._after_fork()
        with discreet, self._lock:
            kept, now = self._mailers.get(account), self._clock()
            if kept is not None and now - kept.looked < LOOK_SECONDS:
                return kept.mailer
            meant = resolve(account)
            stamp = self._stamps(meant.name)
            if kept is None or (kept.stamp, kept.mailer.account) != (stamp, meant):
                self._drop(account)
                kept = self._mailers[account] = _Kept(Mailer(meant, connections=CONNECTIONS), stamp, now)
            kept.looked = now
            return kept.mailer

    def stamp(self, account: str | None) -> str:
        """Return what an account's settings and stored secret look like now; it holds no secret. Raises
        ``SettingsError``.
        """
        self._after_fork()
        with discreet, self._lock:
            return self._stamps(resolve(account).name)

    def forget(self, account: str | None) -> None:
        """Let the account's mailer be made anew: what it knows did not work."""
        self._after_fork()
        with self._lock:
            self._drop(account)

    def close(self) -> None:
        """Close every session; one that is in use is closed when it comes back."""
        self._after_fork()
        with self._lock:
            for account in list(self._mailers):
                self._drop(account)

    def _drop(self, account: str | None) -> None:
        kept = self._mailers.pop(account, None)
        if kept is not None:
            kept.mailer.close()

    def _after_fork(self) -> None:
        """Begin anew in a child; first of all that touches the lock, which a thread of the parent may have held."""
        if os.getpid() != self._pid:
            self._begin()


KEPT = KeptMailers()
"""The mailers of this process."""
