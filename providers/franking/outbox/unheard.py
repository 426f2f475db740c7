"""Messages whose client has not heard yet that they are here: who comes again with one of them means the same.

They are in a table of their own, of few rows, for the row of a message is a page of the file, which would be written
once more to take its key away again. A row names its message by number and mark: one whose message is gone names none.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

__all__ = ["forget_before", "heard", "keep", "unheard"]

_FIND = "SELECT entries.number FROM unheard JOIN entries USING (number, mark) WHERE unheard.key = ?"
_KEEP = "INSERT OR REPLACE INTO unheard (key, number, mark, created_at) VALUES (?, ?, ?, ?)"
_HEARD = "DELETE FROM unheard WHERE key = ? AND number = ? AND mark = ?"
_FORGET = "DELETE FROM unheard WHERE created_at < ?"


def unheard(connection: sqlite3.Connection, key: str) -> int | None:
    """Return the number of the message that is known by a key, or None."""
    row = connection.execute(_FIND, (key,)).fetchone()
    return None if row is None else int(row[0])


def keep(connection: sqlite3.Connection, key: str, number: int, mark: str, now: float) -> None:
    """Know a message by a key, until its client has heard of it."""
    connection.execute(_KEEP, (key, number, mark, now))


def heard(connection: sqlite3.Connection, messages: Iterable[tuple[str, int, str]]) -> None:
    """Take note that the clients of messages (key, number, mark) have heard: what comes again is another message."""
    connection.executemany(_HEARD, messages)


def forget_before(connection: sqlite3.Connection, moment: float) -> None:
    """Forget the clients that never came back."""
    connection.execute(_FORGET, (moment,))
