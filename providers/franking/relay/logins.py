"""Logins of devices: verified off the loop where that takes long, and slower for an address that guesses.

From the third wrong one within 10 minutes each reply to that address waits 1, 2, 4 … 30 seconds, the tenth closes the
connection. Nobody else is slowed.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from franking.relay.users import Verifier

if TYPE_CHECKING:
    from franking.relay.settings import User

__all__ = ["Logins"]

WINDOW_SECONDS = 600.0
FREE, MOST = 2, 10
LONGEST_PAUSE = 30.0
_ADDRESSES = 10_000


class Logins:
    """Verify names and passwords, and remember who got them wrong."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._verifier = Verifier()
        self._wrong: OrderedDict[str, list[float]] = OrderedDict()

    async def user(self, users: Mapping[str, User], name: str, password: str) -> User | None:
        """Return who logs in with a name and a password, or None."""
        found = users.get(name)
        stored = found.password if found else None
        if stored and self._verifier.remembered(stored, password):
            return found
        loop = asyncio.get_running_loop()
        right = await loop.run_in_executor(None, self._verifier.right, stored, password)
        return found if right else None

    def failed(self, address: str) -> tuple[float, bool]:
        """Note a wrong login; return how long its reply waits, and whether the connection is closed then."""
        now = self._clock()
        times = [at for at in self._wrong.pop(address, []) if now - at < WINDOW_SECONDS]
        times.append(now)
        self._wrong[address] = times[-MOST:]
        while len(self._wrong) > _ADDRESSES:
            self._wrong.popitem(last=False)
        if len(times) <= FREE:
            return 0.0, False
        return min(LONGEST_PAUSE, 2.0 ** (len(times) - FREE - 1)), len(times) >= MOST
