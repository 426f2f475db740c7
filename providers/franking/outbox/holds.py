"""Accounts that cannot send now, and when one message of theirs may try again. Kept in the outbox, so that runs from
cron obey it too.

What is wrong with an account never fails its messages, and one account never delays another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from franking.outbox.entry import write_value
from franking.outbox.rows import FRESH, PAUSED, WAITING

if TYPE_CHECKING:
    from franking.diagnosis.diagnosis import Diagnosis
    from franking.outbox.database import Database

__all__ = ["FAR", "PAUSES", "Holds", "pause"]

PAUSES = (60.0, 120.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0)
"""Seconds after the first, second … failure in a row; then always the last."""

SPREAD = 0.2

FAR = 5 * 3600.0
"""A next attempt further ahead than any pause: the clock was set back, and the message is due."""


def pause(failures: int, chance: float) -> float:
    """Return the seconds after so many failures in a row; ``chance`` (0 ≤ x < 1) spreads them by ± 20 %."""
    usual = PAUSES[min(failures, len(PAUSES)) - 1]
    return usual * (1.0 + SPREAD * (2.0 * chance - 1.0))


class Holds:
    """Say which accounts may be tried."""

    def __init__(self, database: Database, stamp: Callable[[str], str]) -> None:
        """``stamp`` tells an account's settings and stored secret apart from what they were; it holds no secret."""
        self._database = database
        self._stamp = stamp

    def due(self, now: float) -> list[tuple[str, bool]]:
        """Return the accounts that have due messages and may send, and whether each is on trial (one message first)."""
        found: list[tuple[str, bool]] = []
        for row in self._database.rows(_WAITING, {"now": now, "far": now + FAR}):
            waits = row["held"] is not None and row["since"] <= now < row["next_at"]  # else the clock was set back
            if not waits or row["stamp"] != self._stamp(row["account"]):
                found.append((row["account"], row["held"] is not None))
        return found

    def hold(
        self, account: str, diagnosis: Diagnosis, now: float, chance: float, retry_after: float | None = None
    ) -> list[int]:
        """Let an account wait: longer after each failure in a row, or as long as the server said, but no longer than
        until one of its messages has to be given up.

        Messages whose time is over fail now; return their numbers.
        """
        with self._database.transaction() as connection:
            row = connection.execute("SELECT failures FROM accounts WHERE account = ?", (account,)).fetchone()
            failures = 1 + (row["failures"] if row else 0)
            values = {"diagnosis": write_value(diagnosis), "now": now, "account": account}
            over = connection.execute(_OVER, values).fetchall()
            end = connection.execute(_END, values).fetchone()[0]
            wait = retry_after if retry_after is not None else pause(failures, chance)
            next_at = now + wait if end is None else min(now + wait, end)
            connection.execute(
                "INSERT OR REPLACE INTO accounts (account, held, failures, since, next_at, stamp) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (account, diagnosis.code, failures, now, next_at, self._stamp(account)),
            )
        return [row["number"] for row in over]

    def release(self, account: str) -> None:
        """Take note that an account can send."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM accounts WHERE account = ?", (account,))


_OVER = (
    "UPDATE entries SET state = 'failed', diagnosis = :diagnosis, finished_at = :now WHERE number IN ("
    f"SELECT number FROM entries WHERE {FRESH} AND account = :account AND expires_at <= :now UNION ALL "
    f"SELECT number FROM entries WHERE {PAUSED} AND account = :account AND expires_at <= :now) RETURNING number"
)
_END = (
    f"SELECT min(expires_at) FROM (SELECT expires_at FROM entries WHERE {FRESH} AND account = :account UNION ALL "
    f"SELECT expires_at FROM entries WHERE {PAUSED} AND account = :account)"
)

_WAITING = f"""
SELECT names.account AS account, held, since, next_at, coalesce(stamp, '') AS stamp
FROM ({WAITING}) AS names LEFT JOIN accounts ON accounts.account = names.account
WHERE (
    EXISTS (
        SELECT 1 FROM entries WHERE {FRESH} AND entries.account = names.account
        AND (created_at <= :now OR created_at > :far)
    )
    OR EXISTS (SELECT 1 FROM entries WHERE {PAUSED} AND entries.account = names.account AND entries.next_at <= :now)
    OR EXISTS (
        SELECT 1 FROM entries WHERE {PAUSED} AND entries.account = names.account AND entries.next_at > :far
        AND (not_before IS NULL OR not_before <= :now)
    )
)
"""
