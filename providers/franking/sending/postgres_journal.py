"""The journal in PostgreSQL: a row for each message, changed by single statements by the server's clock, kept for 30
days. The tables are made by ``franking store init``.

    PostgresJournal("postgresql://…")               # or a PostgresServer

What each step means stands in ``journal.py``.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from franking.redaction import veiled
from franking.sending.counts import Turn
from franking.sending.journal import KEPT_SECONDS, LEASE_SECONDS, Answer, Claim, with_room
from franking.sending.postgres_limits import NOW, PostgresLimits
from franking.shared.postgres_server import PostgresServer

if TYPE_CHECKING:
    import psycopg

    from franking.sending.limit_places import Room

__all__ = ["PostgresJournal"]

# Whether the row goes to who asks: it is past its keeping, or free, or theirs already, or its lease has ended. ``now``
# was read before the row was waited for: a lease may seem to live a moment longer than it does.
_OLD = f"j.changed <= excluded.changed - {KEPT_SECONDS}"
_SAME = "j.digest = excluded.digest"
_OPEN = (
    f"{_SAME} AND (j.state = 'free' OR "
    "(j.state = 'claimed' AND (j.owner = excluded.owner OR j.until <= excluded.changed)))"
)
_LAPSED = f"{_SAME} AND j.state = 'started' AND j.until <= excluded.changed"


def _case(column: str, *, kept: bool = False) -> str:
    """Return what becomes of a column; of a message that is ``kept``, its first Message-ID and Date stay."""
    taken = _OLD if kept else f"{_OLD} OR ({_OPEN})"
    return f"{column} = CASE WHEN {taken} THEN excluded.{column} ELSE j.{column} END"


# Where the clock was set back, a worker that died has its message for a lease from now.
_ENDS = "least(j.until, excluded.changed + j.lease)"

_CLAIM = (
    "INSERT INTO {table}_journal AS j (key, state, owner, until, lease, digest, message_id, date, outcome, changed) "
    "SELECT $1, 'claimed', $2, t.now + $3::float8, $3::float8, $4, $5, $6, '', t.now "
    f"FROM (SELECT {NOW} AS now) AS t WHERE true "
    "ON CONFLICT (key) DO UPDATE SET "
    f"state = CASE WHEN {_OLD} OR ({_OPEN}) THEN 'claimed' WHEN {_LAPSED} THEN 'unknown' ELSE j.state END, "
    f"changed = CASE WHEN {_OLD} OR ({_OPEN}) OR ({_LAPSED}) THEN excluded.changed ELSE j.changed END, "
    f"until = CASE WHEN {_OLD} OR ({_OPEN}) THEN excluded.until ELSE {_ENDS} END, "
    f"{_case('owner')}, {_case('lease')}, {_case('outcome')}, "
    f"{_case('digest', kept=True)}, {_case('message_id', kept=True)}, {_case('date', kept=True)} "
    f"RETURNING state, owner, until - {NOW}, digest, message_id, date, outcome"
)
_CHANGE = (
    "UPDATE {table}_journal SET state = CASE WHEN $3 = '' THEN state ELSE $3 END, "
    f"until = {NOW} + $4::float8, lease = $4::float8, outcome = $5, changed = {NOW} "
    "WHERE key = $1 AND owner = $2 AND (state IN ('claimed', 'started') OR (state = 'unknown' AND $3 = 'accepted')) "
    f"AND changed > {NOW} - {KEPT_SECONDS} RETURNING 1"
)
_PURGE = f"DELETE FROM {{table}}_journal WHERE changed <= {NOW} - {KEPT_SECONDS} RETURNING 1"

PURGE_SECONDS = 3600.0


class PostgresJournal:
    """Keep a journal in PostgreSQL. Safe to share between threads; a forked child opens connections of its own."""

    def __init__(
        self,
        server: PostgresServer | Callable[[], psycopg.Connection[Any]] | str,
        *,
        lease: float = LEASE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        server = veiled(server)
        self.server = server if isinstance(server, PostgresServer) else PostgresServer(server)
        self.lease, self._clock = lease, clock
        # processes that live for one message only do it now and then
        self._purged = clock() - PURGE_SECONDS * random.random()  # noqa: S311

    def claim(self, claim: Claim, room: Room | None = None) -> Answer:
        """Take a message; where the mailbox's limits are kept by the same server, its turn in the same round trip."""
        values = (claim.key, claim.owner, self.lease, claim.digest, claim.message_id, claim.date)
        if room is None or not isinstance(room.place, PostgresLimits) or room.place.server is not self.server:
            return with_room(self._read(claim, self.server.run(_CLAIM, *values)), room)
        place = room.place
        taken = place.calls_of_take(room.mailbox, room.limits, room.recipients, claim.key, claim.owner)
        first, *rest = self.server.run_all([(_CLAIM, values), *taken])
        return self._read(claim, first, place.turn_of(rest, room.recipients))

    def started(self, claim: Claim) -> bool:
        return self._change(claim, "started", self.lease)

    def renew(self, claim: Claim) -> bool:
        return self._change(claim, "", self.lease)

    def finish(self, claim: Claim, outcome: Mapping[str, Any]) -> bool:
        done = self._change(claim, outcome["outcome"], 0, json.dumps(outcome, ensure_ascii=True))
        self.purge()
        return done

    def give_back(self, claim: Claim) -> bool:
        return self._change(claim, "free", 0)

    def purge(self) -> None:
        """Remove what is past its keeping, once an hour."""
        now = self._clock()
        if now - self._purged >= PURGE_SECONDS:
            self._purged = now
            self.server.run(_PURGE)

    def close(self) -> None:
        """Close the connections that nobody uses just now."""
        self.server.close()

    def _change(self, claim: Claim, state: str, lease: float, outcome: str = "") -> bool:
        return bool(self.server.run(_CHANGE, claim.key, claim.owner, state, lease, outcome))

    def _read(self, claim: Claim, rows: list[Any], turn: Turn | None = None) -> Answer:
        ((state, owner, rest, digest, message_id, date, outcome),) = rows
        if digest != claim.digest:
            return Answer("reused", message_id, date)
        if state == "started" or (state == "claimed" and owner != claim.owner):
            return Answer("busy", message_id, date, max(0.001, rest))
        return Answer(state, message_id, date, 0.0, json.loads(outcome or "{}"), turn or Turn())
