"""Which runner has which message: the lock that says who lives, and the mark that is the fence.

A runner holds an OS lock on a file of its own for as long as it lives; whoever finds a lock free takes over the rows of
the runner that had it, and no clock is asked. Committing the mark ``started`` before a message's last byte leaves is
the fence: it fails for a row that is no longer this runner's, and then nothing more of it is sent. A row that is taken
over with the mark may have been accepted; one without it surely was not.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from franking.outbox.body import orphans, remove
from franking.outbox.entry import about, write_value, written
from franking.outbox.holds import FAR
from franking.outbox.rows import ENDED, FRESH, PAUSED, forget

if TYPE_CHECKING:
    import sqlite3

    from franking.diagnosis.diagnosis import Diagnosis
    from franking.outbox.database import Database
    from franking.provider import Receipt

__all__ = ["Claims", "Settlement"]


@dataclass(frozen=True, slots=True)
class Settlement:
    """What an attempt led to, as it is written down: where ``next_at`` is set it is tried again, for ``waiting``."""

    number: int
    state: str
    waiting: tuple[str, ...] = ()
    receipt: Receipt | None = None
    diagnosis: Diagnosis | None = None
    next_at: float | None = None
    begun: bool = True


class Claims:
    """Hold one runner's rows."""

    def __init__(self, database: Database) -> None:
        import filelock

        self.database = database
        self.runner = os.urandom(12).hex()
        with database.ready():
            self._path = self._lock_file(self.runner)
            self._alive = filelock.FileLock(self._path, mode=0o600, thread_local=False)
            self._alive.acquire(timeout=0)

    def close(self) -> None:
        """Give back whatever this runner still has, and end."""
        try:
            with self.database.transaction() as connection:
                _take_over(connection, self.runner, time.time())
        finally:  # where that failed, who finds the lock free does it
            self._alive.release()
        remove(self._path)

    def _lock_file(self, runner: str) -> Path:
        return self.database.directory / "runners" / f"{runner}.lock"

    # -- taking ------------------------------------------------------------------------------------------------------

    def take_over(self, now: float) -> list[int]:
        """Take over the rows of runners that are dead: those with the mark become unknown (and are returned), the
        others are queued again.
        """
        unknown: list[int] = []
        found = self.database.rows(f"SELECT DISTINCT runner FROM entries WHERE {ENDED} AND state = 'sending'")
        for runner in [row["runner"] for row in found if row["runner"] != self.runner]:
            with self._dead(self._lock_file(runner)) as dead:
                if dead:
                    with self.database.transaction() as connection:
                        unknown += _take_over(connection, runner, now)
        return unknown

    def sweep(self) -> None:
        """Remove the lock files of runners that were killed while they rested; one that begins has a fresh one."""
        with self.database.ready():
            for path in orphans(self._path.parent, {self._path.name}):
                with self._dead(path):
                    pass

    @contextmanager
    def _dead(self, path: Path) -> Iterator[bool]:
        """Hold a runner's lock and remove its file afterwards; give False where the runner itself holds it."""
        import filelock

        lock = filelock.FileLock(path, mode=0o600, thread_local=False)
        with self.database.ready(), suppress(filelock.Timeout):
            lock.acquire(timeout=0)
        try:
            yield lock.is_locked
        finally:
            if lock.is_locked:
                lock.release()
                remove(path)

    def claim(
        self, account: str, limit: int, now: float, settled: Iterable[Settlement] = (), started: Sequence[int] = ()
    ) -> tuple[list[Any], set[int]]:
        """Settle attempts, set the mark on rows that are about to leave, and take rows that are due, in one commit.

        Return the rows taken, and the numbers whose mark was set: what is missing there is no longer this runner's.
        """
        with self.database.transaction() as connection:
            for settlement in settled:
                self._settle(connection, settlement, now)
            marked = {number for number in started if self._mark(connection, number)}
            rows: list[Any] = []
            if limit > 0:
                rows = connection.execute(_CLAIM, {
                    "runner": self.runner, "account": account, "now": now, "limit": limit, "far": now + FAR,
                }).fetchall()  # fmt: skip
        return sorted(rows, key=lambda row: (row["next_at"] or row["created_at"], row["number"])), marked

    def _mark(self, connection: sqlite3.Connection, number: int) -> bool:
        mine = "UPDATE entries SET started = 1 WHERE number = ? AND runner = ? AND state = 'sending'"
        return connection.execute(mine, (number, self.runner)).rowcount == 1

    def _settle(self, connection: sqlite3.Connection, settlement: Settlement, now: float) -> None:
        finished = settlement.next_at is None
        values = {
            "number": settlement.number,
            "runner": self.runner,
            "state": settlement.state,
            "waiting": json.dumps(settlement.waiting, ensure_ascii=False),
            "receipt": write_value(settlement.receipt),
            "diagnosis": write_value(settlement.diagnosis),
            "next_at": settlement.next_at,
            "finished_at": now if finished else None,
            "less": 0 if settlement.begun else 1,
        }
        # a suspended runner whose rows were taken over may still say what became of what it had marked
        changed = connection.execute(_SETTLE, values).rowcount
        if changed and settlement.state == "accepted":
            forget(connection, settlement.number)

    def give_back(self, numbers: Iterable[int]) -> None:
        """Let rows that were taken and never begun wait again."""
        with self.database.transaction() as connection:
            connection.executemany(
                "UPDATE entries SET state = 'queued', runner = NULL, started = 0, attempts = attempts - 1 "
                "WHERE number = ? AND runner = ? AND state = 'sending'",
                [(number, self.runner) for number in numbers],
            )


_DUE = (
    f"created_at AS at FROM entries WHERE {FRESH} AND account = :account "
    "AND (created_at <= :now OR created_at > :far) ORDER BY number LIMIT :limit"
)
_PAUSE_OVER = (
    f"next_at AS at FROM entries WHERE {PAUSED} AND account = :account AND next_at <= :now "
    "ORDER BY next_at LIMIT :limit"
)
_TOO_FAR = (
    f"next_at AS at FROM entries WHERE {PAUSED} AND account = :account AND next_at > :far "
    "AND (not_before IS NULL OR not_before <= :now) LIMIT :limit"
)
_CLAIM = (
    "UPDATE entries SET state = 'sending', runner = :runner, started = 0, attempts = attempts + 1 "
    f"WHERE number IN (SELECT number FROM (SELECT * FROM (SELECT number, {_DUE}) UNION ALL "
    f"SELECT * FROM (SELECT number, {_PAUSE_OVER}) UNION ALL SELECT * FROM (SELECT number, {_TOO_FAR})) "
    "ORDER BY at LIMIT :limit) RETURNING *"
)
_SETTLE = (
    "UPDATE entries SET state = :state, waiting = :waiting, receipt = coalesce(:receipt, receipt), "
    "diagnosis = :diagnosis, next_at = coalesce(:next_at, next_at), finished_at = :finished_at, "
    "attempts = attempts - :less, runner = CASE WHEN :state = 'unknown' THEN runner END, started = 0 "
    "WHERE number = :number AND runner = :runner AND state IN ('sending', 'unknown')"
)


def _take_over(connection: sqlite3.Connection, runner: str, now: float) -> list[int]:
    unknown = connection.execute(
        f"UPDATE entries SET state = 'unknown', finished_at = ? WHERE {ENDED} AND state = 'sending' "
        "AND runner = ? AND started "
        "RETURNING number, mark",
        (now, runner),
    ).fetchall()
    for row in unknown:
        diagnosis = write_value(about("interrupted", entry=written(row["number"], row["mark"])))
        connection.execute("UPDATE entries SET diagnosis = ? WHERE number = ?", (diagnosis, row["number"]))
    connection.execute(
        f"UPDATE entries SET state = 'queued', runner = NULL WHERE {ENDED} AND state = 'sending' AND runner = ?",
        (runner,),
    )
    return [row["number"] for row in unknown]
