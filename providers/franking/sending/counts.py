"""What was sent by one mailbox in the last minute and the last day, and so when there is room for more. Pure: it reads
no clock and no file.

Per minute it counts exactly, per day in quarters of an hour, each until all of it is a day ago: never more than the
limit in any 24 hours.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from franking.provider import RouteFacts

__all__ = ["DAY", "QUARTER", "Counts", "Turn", "window_of"]

MINUTE, DAY, QUARTER = 60.0, 86400.0, 900.0
_VERSION = 2.0
_HEAD = 5


@dataclass(frozen=True, slots=True)
class Turn:
    """What came of asking: ``wait`` 0 means that a message with so many ``recipients`` was counted ``at`` that time;
    else it was not, and there may be room in so many seconds. ``limit`` names the limit that stands in the way.
    """

    wait: float = 0.0
    limit: str = ""
    at: float = 0.0
    recipients: int = 0


class Counts:
    """Hold what one mailbox sent. Whoever shares it locks it."""

    def __init__(self) -> None:
        self._until = 0.0  # the server wants nothing before
        self._seen = 0.0  # the latest time that anything of it was counted
        self._window = MINUTE
        self._times: list[float] = []  # of the messages within the window, in order
        self._quarters: dict[int, tuple[int, int]] = {}  # messages and recipients

    def take(self, limits: RouteFacts, recipients: int, now: float) -> Turn:
        """Count a message, or say how long there is no room for it."""
        self._forget(limits, now)
        waits = [*self._waits(limits, recipients, now)]
        wait, limit = max(waits, default=(0.0, ""))
        if wait > 0:
            return Turn(wait, limit)
        if limits.per_minute:
            self._times.append(now)
        if limits.per_day or limits.recipients_per_day:
            self._add(now, 1, recipients)
        return Turn(at=now, recipients=recipients)

    def _waits(self, limits: RouteFacts, recipients: int, now: float) -> Iterator[tuple[float, str]]:
        yield self._until - now, "retry-after"
        if limits.per_minute:
            most, seconds = window_of(limits.per_minute)
            if len(self._times) >= most:
                yield self._times[-most] + seconds - now, "per-minute"
        if limits.per_day:
            yield self._day(0, limits.per_day - 1, now), "per-day"
        if limits.recipients_per_day:
            yield self._day(1, limits.recipients_per_day - recipients, now), "recipients-per-day"

    def _day(self, which: int, room: float, now: float) -> float:
        """Return in how many seconds no more than ``room`` messages (0) or recipients (1) are counted."""
        total, wait = sum(counted[which] for counted in self._quarters.values()), 0.0
        for quarter in sorted(self._quarters):
            if total <= room:
                break
            total -= self._quarters[quarter][which]
            wait = (quarter + 1) * QUARTER + DAY - now
        return wait

    def give_back(self, turn: Turn) -> None:
        """Count a message less: surely nothing of it was sent."""
        if turn.at in self._times:
            self._times.remove(turn.at)
        if int(turn.at // QUARTER) in self._quarters:
            self._add(turn.at, -1, -turn.recipients)

    def hold_off(self, seconds: float, now: float) -> None:
        """Take note that the server wants nothing for so long."""
        self._set_back(now)
        self._until = max(self._until, now + seconds)

    def _add(self, at: float, messages: int, recipients: int) -> None:
        quarter = int(at // QUARTER)
        known = self._quarters.get(quarter, (0, 0))
        self._quarters[quarter] = max(0, known[0] + messages), max(0, known[1] + recipients)

    def _forget(self, limits: RouteFacts, now: float) -> None:
        """Drop what is past."""
        if limits.per_minute:
            self._window = max(self._window, window_of(limits.per_minute)[1])
        self._set_back(now)
        del self._times[: bisect_right(self._times, now - self._window)]
        for quarter in [one for one in self._quarters if (one + 1) * QUARTER + DAY <= now]:
            del self._quarters[quarter]

    def _set_back(self, now: float) -> None:
        """Where the clock was set back, count what was counted as of now, and let a pause last as long as it would."""
        self._until -= max(0.0, self._seen - now)
        self._seen = now
        if self._times and self._times[-1] > now:
            self._times = [min(at, now) for at in self._times]
        for quarter in [one for one in self._quarters if one > int(now // QUARTER)]:
            self._add(now, *self._quarters.pop(quarter))

    # -- as octets ---------------------------------------------------------------------------------------------------

    def to_bytes(self) -> bytes:
        found = array("d", (_VERSION, self._until, self._window, self._seen, len(self._times), *self._times))
        for quarter, counted in self._quarters.items():
            found.extend((quarter, *counted))
        return found.tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Counts:
        """Read what ``to_bytes`` wrote; anything else is as if nothing had been sent."""
        counts, found = cls(), array("d")
        if len(data) % found.itemsize or not data:
            return counts
        found.frombytes(data)
        if found[0] == 1.0:  # which had no ``_seen``
            found[0] = _VERSION
            found.insert(3, 0.0)
        end = _HEAD + int(found[4]) if len(found) >= _HEAD and found[4] < len(found) else -1
        if found[0] != _VERSION or end < _HEAD or (len(found) - end) % 3 or not all(map(math.isfinite, found)):
            return counts
        counts._until, counts._window, counts._seen = found[1:4]
        counts._times = found[_HEAD:end].tolist()
        for at in range(end, len(found), 3):
            counts._quarters[int(found[at])] = int(found[at + 1]), int(found[at + 2])
        return counts


def window_of(per_minute: float) -> tuple[int, float]:
    """Return how many messages in how many seconds; a rate below 1 is one message in more than a minute."""
    return (1, MINUTE / per_minute) if per_minute < 1 else (int(per_minute), MINUTE)
