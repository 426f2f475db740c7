"""What is known of each message that workers may be handed more than once: who has it, and what became of it.

    nothing → claimed (a lease) → started → accepted · refused · failed · unknown

Each step is one compare-and-set, by the clock of whoever keeps the journal. A lapsed ``claimed`` is sent by the next
delivery, a lapsed ``started`` is ``unknown``; a final state stays, but an ``unknown`` that the worker's own late
``accepted`` makes up for. Here are the values, the protocol, and a journal in this process's memory, for tests: what
the others do stands in ``redis_journal.py`` and ``postgres_journal.py``. Nothing is sent here: see ``once.py``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from franking.sending.counts import Turn

if TYPE_CHECKING:
    from franking.sending.limit_places import Room

__all__ = ["FINAL", "KEPT_SECONDS", "LEASE_SECONDS", "Answer", "Claim", "Journal", "MemoryJournal", "Says", "with_room"]

FINAL = ("accepted", "refused", "failed", "unknown")

LEASE_SECONDS = 60.0
"""How long a worker that says nothing has a message; one that lives says so at a third of it."""

KEPT_SECONDS = 30 * 86400.0


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery's wish to have a message.

    ``key`` names the message, ``digest`` its content, ``owner`` this one delivery. ``message_id`` and ``date`` are what
    it would go with; what an earlier one went with stays.
    """

    key: str
    owner: str
    digest: str
    message_id: str = ""
    date: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a journal says to a claim.

    ``state``: ``claimed`` (it is this delivery's, with that ``message_id`` and ``date``), ``busy`` (another has it, for
    ``wait`` seconds more), ``reused`` (the key names another content), or a final one with its ``outcome``, which is
    empty where nobody lived to tell. ``turn`` is what was asked for with it: place among what the mailbox may send.
    """

    state: str
    message_id: str = ""
    date: str = ""
    wait: float = 0.0
    outcome: Mapping[str, Any] = field(default_factory=dict)
    turn: Turn = field(default_factory=Turn)


class Journal(Protocol):
    """Where deliveries of one message meet. A value that is False says: it is not yours any more, nothing was done.

    Raises what a shared store raises: a temporary ``SendError`` where it is away, ``SettingsError``.
    """

    lease: float

    def claim(self, claim: Claim, room: Room | None = None) -> Answer:
        """Take a message, or renew what one has; with ``room``, and where it is had, count it among what the mailbox
        sends: in the same breath where both are kept in one place.
        """
        ...

    def started(self, claim: Claim) -> bool:
        """Take down that it is about to leave."""
        ...

    def renew(self, claim: Claim) -> bool: ...
    def finish(self, claim: Claim, outcome: Mapping[str, Any]) -> bool:
        """Take down what became of it; ``outcome`` has that state under its name."""
        ...

    def give_back(self, claim: Claim) -> bool:
        """Let it be as if nobody had taken it: surely nothing was sent."""
        ...


class Says(Protocol):
    """A journal that can be told without being waited for."""

    def say(self, claim: Claim, outcome: Mapping[str, Any] | None) -> Callable[[], object] | None:
        """Do ``finish``, or ``give_back`` where there is no outcome; return what waits for the answer and raises what
        they would. None: it cannot be done so just now, and was not.
        """
        ...


def with_room(answer: Answer, room: Room | None) -> Answer:
    """Ask for room, where a message was taken and its place is counted elsewhere."""
    if room is None or answer.state != "claimed":
        return answer
    return replace(answer, turn=room.take())


@dataclass(slots=True)
class _Entry:
    state: str
    owner: str
    until: float
    digest: str
    message_id: str
    date: str
    changed: float
    outcome: Mapping[str, Any] = field(default_factory=dict)


def _is_old(entry: _Entry, now: float) -> bool:
    return entry.changed + KEPT_SECONDS <= now


class MemoryJournal:
    """Keep a journal in this process: for tests, and for who wants no more than this process to know."""

    def __init__(self, *, lease: float = LEASE_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self.lease, self._clock = lease, clock
        self._lock = threading.Lock()
        self._entries: dict[str, _Entry] = {}

    def claim(self, claim: Claim, room: Room | None = None) -> Answer:
        with self._lock:
            answer = self._claim(claim, self._clock())
        return with_room(answer, room)

    def _claim(self, claim: Claim, now: float) -> Answer:
        entry = self._entries.get(claim.key)
        if entry is None or _is_old(entry, now):
            entry = _Entry("", "", now, claim.digest, claim.message_id, claim.date, now)
        if entry.digest != claim.digest:
            return Answer("reused", entry.message_id)
        if entry.state in FINAL:
            return Answer(entry.state, entry.message_id, entry.date, outcome=entry.outcome)
        mine = entry.owner == claim.owner
        if entry.until > now and (entry.state == "started" or (entry.state == "claimed" and not mine)):
            return Answer("busy", entry.message_id, entry.date, wait=entry.until - now)
        if entry.state == "started":
            entry.state, entry.changed = "unknown", now
            return Answer("unknown", entry.message_id, entry.date)
        entry.state, entry.owner, entry.until, entry.changed = "claimed", claim.owner, now + self.lease, now
        self._entries[claim.key] = entry
        return Answer("claimed", entry.message_id, entry.date)

    def started(self, claim: Claim) -> bool:
        return self._changed(claim, "started", "claimed", "started")

    def renew(self, claim: Claim) -> bool:
        return self._changed(claim, "", "claimed", "started")

    def finish(self, claim: Claim, outcome: Mapping[str, Any]) -> bool:
        late = ("unknown",) if outcome["outcome"] == "accepted" else ()
        return self._changed(claim, outcome["outcome"], "claimed", "started", *late, outcome=outcome)

    def give_back(self, claim: Claim) -> bool:
        return self._changed(claim, "free", "claimed", "started", lease=0.0)

    def _changed(
        self,
        claim: Claim,
        state: str,
        *before: str,
        lease: float | None = None,
        outcome: Mapping[str, Any] | None = None,
    ) -> bool:
        with self._lock:
            now, entry = self._clock(), self._entries.get(claim.key)
            if entry is None or entry.owner != claim.owner or entry.state not in before or _is_old(entry, now):
                return False
            entry.state, entry.changed = state or entry.state, now
            entry.until = now + (self.lease if lease is None else lease)
            entry.outcome = outcome or {}
            return True
