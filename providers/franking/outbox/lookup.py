"""Messages of which nobody knows whether they were accepted, looked for in the mailbox: after 1, 10 and 60 minutes,
where the provider keeps our Message-ID and the account may read. What is found was accepted; what is not found proves
nothing.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from franking.account.config import load
from franking.errors import FrankingError
from franking.outbox.entry import about, write_value
from franking.outbox.rows import ENDED, forget
from franking.provider import SupportsLookup
from franking.sending.mailer import Mailer

if TYPE_CHECKING:
    from franking.outbox.store import Store

__all__ = ["TIMES", "Lookups"]

TIMES = (60.0, 600.0, 3600.0)
"""Seconds after which an unknown message is looked for."""

DAY = 86400.0

_UNKNOWN = (
    f"SELECT * FROM entries WHERE {ENDED} AND state = 'unknown' AND finished_at > ? "
    "AND max(finished_at, next_at) < finished_at + ?"
)
_LOOKED = "UPDATE entries SET next_at = ? WHERE number = ? AND mark = ? AND state = 'unknown'"
_FOUND = (
    "UPDATE entries SET state = 'accepted', waiting = '[]', diagnosis = ?, finished_at = ? "
    "WHERE number = ? AND mark = ? AND state = 'unknown'"
)

_log = logging.getLogger("franking.outbox")


def _mailer_for(account: str) -> Mailer:
    return Mailer(load().account(account), falls_over=False)


class Lookups:
    """Look for an outbox's unknown messages. ``mailer_for`` makes an account's mailer."""

    def __init__(self, store: Store, mailer_for: Callable[[str], Mailer] = _mailer_for) -> None:
        self._store, self._mailer_for = store, mailer_for
        self._thread: threading.Thread | None = None

    def begin(self, found: Callable[[int, str], None], *, wait: bool) -> None:
        """Look for what is due, in a thread of its own; tell of each message that was found, with its new state."""
        if self._thread is not None and self._thread.is_alive():
            return
        if rows := self.due(self._store.clock()):
            self._thread = threading.Thread(target=self._look_for, args=(rows, found), daemon=True)
            self._thread.start()
            if wait:
                self._thread.join()

    def _look_for(self, rows: Sequence[Any], found: Callable[[int, str], None]) -> None:
        for row in rows:
            try:
                if self.look(row, self._store.clock()):
                    found(row["number"], "accepted")
            except FrankingError as problem:  # a full disk, a file in use: another time
                _log.warning("%s", problem)

    def due(self, now: float) -> list[Any]:
        """Return the rows that are to be looked for now. When one was looked for last stands in its ``next_at``."""
        rows = self._store.database.rows(_UNKNOWN, (now - DAY, TIMES[-1]))
        return [row for row in rows if _is_due(row["finished_at"], row["next_at"], now)]

    def look(self, row: Any, now: float) -> bool:
        """Look for a row's message; return whether it was there, and is accepted now."""
        number, mark = row["number"], row["mark"]
        if not self._is_there(row):
            with self._store.database.transaction() as connection:
                connection.execute(_LOOKED, (now, number, mark))
            return False
        with self._store.database.transaction() as connection:
            changed = connection.execute(_FOUND, (write_value(about("found")), now, number, mark)).rowcount == 1
            if changed:
                forget(connection, number)
        if changed and (path := self._store.file_of(row)) is not None:
            path.unlink(missing_ok=True)
        return changed

    def _is_there(self, row: Any) -> bool:
        try:
            with self._mailer_for(row["account"]) as mailer:
                provider = mailer.provider
                if not isinstance(provider, SupportsLookup) or not provider.keeps_ids(mailer.account):
                    return False
                return mailer.find(row["message_id"])
        except FrankingError as problem:
            _log.info("The message %d could not be looked for: %s", row["number"], problem)
            return False


def _is_due(since: float, looked: float, now: float) -> bool:
    return any(max(since, looked) < since + after <= now for after in TIMES)
