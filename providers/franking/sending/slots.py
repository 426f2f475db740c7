"""One of the connections that a mailbox may have, as a lease: it ends with its worker, which must say again and again
that it lives. How the server keeps it is not known here.

Whoever stood still for longer than the lease, or could not reach the server, has lapsed: such a connection carries no
further message. Whoever is told that another has the place breaks off at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from franking.errors import FrankingError
from franking.shared.afterwards import Afterwards, Held

__all__ = ["SLOT_SECONDS", "LeasedSlot"]

SLOT_SECONDS = 60.0
"""How long a worker that says nothing has a connection."""


class LeasedSlot:
    """A connection's place, taken."""

    def __init__(self, teller: Afterwards, held: Held, end: Callable[[], object]) -> None:
        self._teller, self._held, self._end = teller, held, end
        self._pid, self._released = os.getpid(), False

    @classmethod
    def taken(
        cls,
        teller: Afterwards,
        lease: float,
        *,
        take: Callable[[], bool],
        renew: Callable[[], bool],
        end: Callable[[], object],
    ) -> LeasedSlot | None:
        """Take a place, or return None where there is none."""
        began = teller.clock()
        try:
            if not take():
                return None
        except FrankingError:
            teller.do(end)  # it may have been taken all the same
            raise
        slot = cls(teller, Held(renew, lease, teller.clock, began), end)
        try:  # a signal may strike between any two lines, and what nobody gives back is renewed for ever
            teller.hold(slot._held)
        except BaseException:
            slot.release()
            raise
        return slot

    @property
    def lapsed(self) -> bool:
        """Return whether another may have the place by now."""
        return self._held.lapsed

    def when_lost(self, act: Callable[[], object]) -> None:
        """Have something done as soon as it is known that another has the place."""
        self._held.lost = act

    def release(self) -> None:
        """Give it back. In a forked child nothing happens: it is the parent's."""
        if not self._released and self._pid == os.getpid():
            self._released = True
            self._teller.let_go(self._held)
            self._teller.do(self._end)
