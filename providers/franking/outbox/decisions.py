"""What a person decides about a message: try it again, take it back, say what became of an unknown one."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from franking.account.fields import WRONG_VALUE
from franking.diagnosis.diagnosis import Diagnosis
from franking.errors import SettingsError
from franking.outbox.body import remove
from franking.outbox.entry import about, read_receipt, write_value
from franking.outbox.rows import forget, listed, numbered, read_entry
from franking.outbox.store import Store, no_entry, parsed

if TYPE_CHECKING:
    import sqlite3

    from franking.outbox.entry import OutboxEntry

    Change = Callable[[sqlite3.Connection, Any], object]

__all__ = ["DECISIONS", "cancel", "resolve", "retry", "withdraw"]

DECISIONS = ("sent", "resend", "drop")

_AGAIN = (
    "UPDATE entries SET state = 'queued', next_at = :now, not_before = NULL, finished_at = NULL, started = 0, "
    "runner = NULL, waiting = :waiting, expires_at = max(:until, expires_at) WHERE number = :number"
)
_FINISH = (
    "UPDATE entries SET state = :state, finished_at = :now, runner = NULL, started = 0, "
    "diagnosis = coalesce(:diagnosis, diagnosis) WHERE number = :number"
)


def retry(store: Store, id: str) -> OutboxEntry:
    """Let a failed, refused or cancelled message be tried again, for as long as a new one; a queued one at once; its
    account too. Raises ``SettingsError`` for an unknown id or another state.
    """

    def change(connection: sqlite3.Connection, row: Any) -> None:
        _again(connection, row, store)
        connection.execute("UPDATE accounts SET next_at = 0 WHERE account = ?", (row["account"],))

    return _changed(store, id, ("failed", "refused", "cancelled", "queued"), change, "tried again")


def cancel(store: Store, id: str) -> OutboxEntry:
    """Take a queued message back. Raises ``SettingsError`` for an unknown id or another state."""
    return _changed(store, id, ("queued",), _finish(store, "cancelled"), "cancelled")


def withdraw(store: Store, id: str) -> bool:
    """Take a message out of the outbox, of which nothing was accepted and nothing may have been: who handed it in is
    about to be told so, and has it still. Return whether it is out; what a runner has at this moment is not.
    """
    number, mark = parsed(id)
    with store.database.transaction() as connection:
        row = connection.execute("SELECT * FROM entries WHERE number = ? AND mark = ?", (number, mark)).fetchone()
        receipt = read_receipt(row["receipt"]) if row else None
        if row is None or row["state"] not in ("queued", "refused", "failed") or (receipt and receipt.accepted):
            return False
        connection.execute("DELETE FROM entries WHERE number = ?", (number,))
        connection.execute("DELETE FROM bodies WHERE number = ?", (number,))
    if path := store.file_of(row):
        remove(path)
    return True


def resolve(store: Store, id: str, decision: str) -> OutboxEntry:
    """Say what became of an unknown message: it was ``sent``; ``resend`` it, although it may arrive twice; ``drop`` it.

    Raises ``SettingsError`` for an unknown id, another state or another word.
    """
    if decision not in DECISIONS:
        words = f"decision: {decision!r} is not one of {', '.join(DECISIONS)}."
        raise SettingsError(words, field="decision", evidence=WRONG_VALUE)
    change: Change
    if decision == "sent":
        change = _finish(store, "accepted", about("resolved"))
    elif decision == "drop":
        change = _finish(store, "cancelled")
    else:

        def change(connection: sqlite3.Connection, row: Any) -> None:
            _again(connection, row, store)

    return _changed(store, id, ("unknown",), change, "resolved")


def _again(connection: sqlite3.Connection, row: Any, store: Store) -> None:
    now = store.clock()
    receipt = read_receipt(row["receipt"])
    accepted = receipt.accepted if receipt else ()
    waiting = [one for one in json.loads(row["recipients"]) if one not in accepted]
    values = {"now": now, "until": now + store.settings.give_up, "waiting": listed(waiting)}
    connection.execute(_AGAIN, {**values, "number": row["number"]})


def _finish(store: Store, state: str, diagnosis: Diagnosis | None = None) -> Change:
    values = {"state": state, "now": store.clock(), "diagnosis": write_value(diagnosis)}

    def finish(connection: sqlite3.Connection, row: Any) -> None:
        connection.execute(_FINISH, {**values, "number": row["number"]})
        if state == "accepted":
            forget(connection, row["number"])

    return finish


def _changed(store: Store, id: str, states: tuple[str, ...], change: Change, what: str) -> OutboxEntry:
    number, mark = parsed(id)
    with store.database.transaction() as connection:
        row = connection.execute("SELECT * FROM entries WHERE number = ? AND mark = ?", (number, mark)).fetchone()
        if row is None:
            raise no_entry(id)
        if row["state"] not in states:
            words = f"{id} is {row['state']}; only {' or '.join(states)} mail can be {what}."
            raise SettingsError(words, field="id", evidence=WRONG_VALUE)
        change(connection, row)
        entry = read_entry(numbered(connection, number)[0])
    if entry.state == "accepted" and (path := store.file_of(row)) is not None:
        remove(path)
    return entry
