"""The limits of mailboxes in PostgreSQL, for all who share it: what was sent lately, and a lease for each connection;
all by the server's clock. The tables are made by ``franking store init``.

What is counted, and how, is as in ``counts.py``: in a minute each message, in a day quarters of an hour. A mailbox has
a row, which whoever counts holds until all its statements are done; they go together, in one round trip.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from franking.redaction import veiled
from franking.sending.counts import DAY, MINUTE, QUARTER, Turn, window_of
from franking.sending.slots import SLOT_SECONDS, LeasedSlot
from franking.shared.afterwards import afterwards, new_owner
from franking.shared.postgres_server import PostgresServer, Value

if TYPE_CHECKING:
    import psycopg

    from franking.provider import RouteFacts

__all__ = ["NOW", "PostgresLimits"]

NOW = "extract(epoch FROM clock_timestamp())"

_OF = "WHERE mailbox = $1"
_NOW = f"(SELECT now FROM {{table}}_limits {_OF})"

_HOLD = (
    f"INSERT INTO {{table}}_limits AS l (mailbox, now, span) VALUES ($1, {NOW}, $2::float8) "
    f"ON CONFLICT (mailbox) DO UPDATE SET now = {NOW}, span = greatest(l.span, excluded.span), "
    f"pause = l.pause - greatest(l.now - {NOW}, 0) RETURNING now"
)
"""Hold a mailbox's row. What follows goes by its ``now``, which is read once the row is held. Where the clock was set
back behind what that was, a pause lasts as long as it would.
"""

_LATEST = f"CAST({_NOW} AS bigint) / {int(QUARTER)}"
_MORE = "DO UPDATE SET messages = d.messages + excluded.messages, recipients = d.recipients + excluded.recipients"

_TIDY = (
    # where the clock was set back, what was counted counts as of now
    f"UPDATE {{table}}_sent SET at = {_NOW} {_OF} AND at > {_NOW}",
    f"DELETE FROM {{table}}_sent {_OF} AND at <= {_NOW} - (SELECT span FROM {{table}}_limits {_OF})",
    (
        f"INSERT INTO {{table}}_days AS d SELECT mailbox, {_LATEST}, sum(messages), sum(recipients) "
        f"FROM {{table}}_days {_OF} AND quarter > {_LATEST} GROUP BY mailbox ON CONFLICT (mailbox, quarter) {_MORE}"
    ),
    f"DELETE FROM {{table}}_days {_OF} AND quarter > {_LATEST}",
    f"DELETE FROM {{table}}_days {_OF} AND (quarter + 1) * {QUARTER} + {DAY} <= {_NOW}",
)


def _until(column: str, room: str) -> str:
    """Return the seconds until no more than ``room`` are counted: the newest quarter that makes too many must go."""
    return (
        f"coalesce((SELECT max(quarter) FROM (SELECT quarter, sum({column}) OVER (ORDER BY quarter DESC) AS total "
        f"FROM {{table}}_days {_OF}) AS d WHERE total > {room}) * {QUARTER} + {QUARTER + DAY} - now, 0)"
    )


_WAITS = (
    "UPDATE {table}_limits SET minute = coalesce("
    f"(SELECT at FROM {{table}}_sent {_OF} ORDER BY at DESC LIMIT 1 OFFSET coalesce($2::int, 0)) "
    f"+ $3::float8 - now, 0), day = {_until('messages', '$4::float8')}, people = {_until('recipients', '$5::float8')} "
    f"{_OF} RETURNING now, pause - now, minute, day, people"
)
"""Look how long there is no room, by each of the limits; one that is NULL is none."""

_FREE = f"FROM {{table}}_limits {_OF} AND pause <= now AND minute <= 0 AND day <= 0 AND people <= 0"
_SENT = f"INSERT INTO {{table}}_sent (mailbox, at) SELECT mailbox, now {_FREE}"
_DAY = (
    "INSERT INTO {table}_days AS d (mailbox, quarter, messages, recipients) "
    f"SELECT mailbox, {_LATEST}, 1, $2::int {_FREE}"
)
_ADDED = f" ON CONFLICT (mailbox, quarter) {_MORE}"
_IF_CLAIMED = " AND EXISTS (SELECT 1 FROM {table}_journal WHERE key = $%d AND owner = $%d AND state = 'claimed')"

_GIVE_BACK = (
    f"DELETE FROM {{table}}_sent {_OF} AND at = $2::float8",
    (
        "UPDATE {table}_days SET messages = greatest(messages - 1, 0), recipients = greatest(recipients - $3::int, 0) "
        f"{_OF} AND quarter = $2::bigint"
    ),
)
_HOLD_OFF = f"UPDATE {{table}}_limits SET pause = greatest(pause, now + $2::float8) {_OF}"
_SET_BACK = f"UPDATE {{table}}_connections SET until = {_NOW} + $2::float8 {_OF} AND until > {_NOW} + $2::float8"
"""Where the clock was set back, a connection whose worker is dead lapses a lease from now."""
_LAPSED = f"DELETE FROM {{table}}_connections {_OF} AND until <= {_NOW}"
_CONNECT = (
    f"INSERT INTO {{table}}_connections (owner, mailbox, until) SELECT $2, mailbox, now + $3::float8 "
    f"FROM {{table}}_limits {_OF} AND (SELECT count(*) FROM {{table}}_connections {_OF}) < $4::int RETURNING owner"
)
_RENEW = f"UPDATE {{table}}_connections SET until = {NOW} + $2::float8 WHERE owner = $1 RETURNING owner"
_END = "DELETE FROM {table}_connections WHERE owner = $1"

Call = tuple[str, Sequence[Value]]


class PostgresLimits:
    """Keep limits in PostgreSQL. Safe to share between threads; a forked child opens connections of its own."""

    def __init__(
        self,
        server: PostgresServer | Callable[[], psycopg.Connection[Any]] | str,
        *,
        lease: float = SLOT_SECONDS,
    ) -> None:
        server = veiled(server)
        self.server = server if isinstance(server, PostgresServer) else PostgresServer(server)
        self.lease = lease

    def take(self, mailbox: str, limits: RouteFacts, recipients: int) -> Turn:
        """Count a message, or say how long there is no room for it."""
        return self.turn_of(self.server.run_all(self.calls_of_take(mailbox, limits, recipients)), recipients)

    def calls_of_take(self, mailbox: str, limits: RouteFacts, recipients: int, *claimed: str) -> list[Call]:
        """Return what ``take`` asks; with the key of an entry of the journal and its owner, only where it is theirs."""
        box = _digest(mailbox)
        most, window = window_of(limits.per_minute) if limits.per_minute else (None, None)
        day = limits.per_day - 1 if limits.per_day else None
        people = limits.recipients_per_day - recipients if limits.recipients_per_day else None
        offset = None if most is None else most - 1
        calls: list[Call] = [(_HOLD, (box, window or MINUTE)), *((one, (box,)) for one in _TIDY)]
        calls.append((_WAITS, (box, offset, window, day, people)))
        if most is not None:
            calls.append((_SENT + (_IF_CLAIMED % (2, 3) if claimed else ""), (box, *claimed)))
        if limits.per_day or limits.recipients_per_day:
            owned = _IF_CLAIMED % (3, 4) if claimed else ""
            calls.append((_DAY + owned + _ADDED, (box, recipients, *claimed)))
        return calls

    def turn_of(self, found: Sequence[Sequence[Any]], recipients: int) -> Turn:
        """Read the answers to ``calls_of_take``."""
        ((now, *waits),) = found[1 + len(_TIDY)]
        wait, limit = max(zip(waits, _LIMITS, strict=True))
        if wait > 0:
            return Turn(wait, limit)
        return Turn(at=now, recipients=recipients)

    def give_back(self, mailbox: str, turn: Turn) -> None:
        """Count a message less: surely nothing of it was sent."""
        box = _digest(mailbox)
        quarter = round(turn.at) // int(QUARTER)
        self.server.run_all([(_GIVE_BACK[0], (box, turn.at)), (_GIVE_BACK[1], (box, quarter, turn.recipients))])

    def hold_off(self, mailbox: str, seconds: float) -> None:
        """Let nobody send for so long: the server said so."""
        box = _digest(mailbox)
        self.server.run_all([(_HOLD, (box, MINUTE)), (_HOLD_OFF, (box, seconds))])

    def connection(self, mailbox: str, most: int) -> LeasedSlot | None:
        """Return one of a mailbox's connections, or None while all are in use."""
        owner, box = new_owner(), _digest(mailbox)

        def take() -> bool:
            calls: list[Call] = [(_HOLD, (box, MINUTE)), (_SET_BACK, (box, self.lease)), (_LAPSED, (box,))]
            return bool(self.server.run_all([*calls, (_CONNECT, (box, owner, self.lease, most))])[-1])

        def renew() -> bool:
            return bool(self.server.run(_RENEW, owner, self.lease))

        teller = afterwards(self.server)
        return LeasedSlot.taken(teller, self.lease, take=take, renew=renew, end=lambda: self.server.run(_END, owner))


_LIMITS = ("retry-after", "per-minute", "per-day", "recipients-per-day")


def _digest(mailbox: str) -> str:
    return hashlib.sha256(mailbox.encode()).hexdigest()[:32]
