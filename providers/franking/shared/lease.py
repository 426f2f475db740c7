"""Something held for a while, by a server's clock: a lock, a connection that a mailbox may have.

A holding has an owner (a random word), a fencing token (a number that grows with each holding) and an end, which a
thread puts off at each third of the time. Whoever stands still beyond the end has lost it, and learns so: the server
compares owner, token and end in the same breath as it does what was asked for. Nothing here trusts this machine's
calendar; ``lapsed`` asks the clock that counts on while the machine sleeps, where there is one.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

from franking.errors import FrankingError

__all__ = ["Lease", "new_owner", "steady"]


def new_owner() -> str:
    """Make the word by which a holding is known."""
    return os.urandom(16).hex()


def steady() -> float:
    """Return seconds of a clock that is never set, and counts while the machine sleeps (Linux)."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class Lease:
    """One holding. ``renew`` puts its end off on the server and says whether it was still ours; it may raise
    ``FrankingError``, and is then asked again.
    """

    def __init__(
        self,
        token: int,
        seconds: float,
        renew: Callable[[], bool],
        *,
        began: float,
        clock: Callable[[], float] = steady,
    ) -> None:
        """``began`` is what the clock said before the server was asked for it: the holding is not longer than it was
        from there.
        """
        self.token, self.seconds = token, seconds
        self._renew, self._clock = renew, clock
        self._until = began + seconds
        self._lost = False
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def lapsed(self) -> bool:
        """Return whether somebody else may hold it by now."""
        return self._lost or self._clock() >= self._until

    def keep(self) -> None:
        """Put its end off at each third of its time, until ``end``."""
        self._thread = threading.Thread(target=self._keep, name="franking-lease", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Put it off no more. Does not wait for the server."""
        self._ended.set()

    def renew(self) -> bool:
        """Put its end off now; return whether it is still ours. Raises what the server's failure means."""
        began = self._clock()
        if not self._renew():
            self._lost = True
            return False
        self._until = began + self.seconds
        return True

    def _keep(self) -> None:
        while not self._ended.wait(self.seconds / 3):
            try:
                if not self.renew():
                    return
            except FrankingError:
                continue  # the server is away; it is ours until its time is over
