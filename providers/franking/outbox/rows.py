"""How a message stands in the outbox's database: a draft becomes a row, and a row an entry. It commits nothing.

A row is put in by what ``store.py`` holds open; everything here is on the way of each message, so it is counted in
microseconds.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from json.encoder import encode_basestring
from pathlib import Path
from typing import TYPE_CHECKING, Any

from franking.errors import MessageError
from franking.outbox.body import place
from franking.outbox.entry import OutboxEntry, moment, read_diagnosis, read_receipt, written
from franking.outbox.unheard import keep, unheard

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from franking.message.prepare import Prepared
    from franking.outbox.settings import OutboxSettings

__all__ = [
    "BY_ROUTES",
    "EIGHT_BIT",
    "ENDED",
    "FRESH",
    "IN_FILE",
    "PAUSED",
    "SELECT",
    "SMTPUTF8",
    "WAITING",
    "Draft",
    "Insertion",
    "forget",
    "listed",
    "numbered",
    "read_entry",
]

EIGHT_BIT, SMTPUTF8, IN_FILE = 1, 2, 4
"""What ``flags`` say of a message: what it needs of a server, and whether its octets are a file."""

IN_ROW = 3 * 1024
"""Octets up to which a message lies in its row: with the rest of it, that is one page of the file."""

_SHOWN = (
    "number", "mark", "key", "account", "state", "sender", "recipients", "waiting", "subject", "message_id", "bytes",
    "attempts", "created_at", "next_at", "expires_at", "receipt", "diagnosis",
)  # fmt: skip
SELECT = (
    f"SELECT {', '.join(f'entries.{name} AS {name}' for name in _SHOWN)}, "
    "accounts.held AS held, accounts.next_at AS held_until "
    "FROM entries LEFT JOIN accounts ON accounts.account = entries.account "
)

FRESH, PAUSED, ENDED = "state = 'queued' AND next_at = 0", "state = 'queued' AND next_at <> 0", "state <> 'queued'"
"""What each index covers, and so must stand in a query that goes by it: a row that is put in has the page of one index
to write. Its ``next_at`` is 0: it is due since it was created, and its number says behind which others. (With ``> 0``
for the paused, SQLite would seek by that bound instead of the one that a query has.)
"""


def _names(where: str, *indexes: tuple[str, str]) -> str:
    """Return the query for the names of accounts, each once by the indexes, however many messages it has."""

    def least(further: str) -> str:
        each = [
            f"SELECT min(account) AS account FROM entries INDEXED BY {index} WHERE {covers} AND {where}{further}"
            for index, covers in indexes
        ]
        return f"SELECT min(account) FROM ({' UNION ALL '.join(each)})"

    return (
        f"WITH RECURSIVE names(account) AS ({least('')} UNION ALL "
        f"SELECT ({least(' AND account > names.account')}) FROM names WHERE names.account IS NOT NULL) "
        "SELECT account FROM names WHERE account IS NOT NULL"
    )


WAITING = _names("true", ("entries_fresh", FRESH), ("entries_due", PAUSED))
"""The accounts that have mail waiting."""

BY_ROUTES = _names(
    "account BETWEEN :first AND :end",
    ("entries_fresh", FRESH),
    ("entries_account", "(state <> 'queued' OR next_at <> 0)"),
)
"""The names by which mail of one account goes by another of its routes."""

_MARK = 4
"""Octets drawn at random that an id ends in."""

_USUAL = (
    "mark", "account", "sender", "recipients", "waiting", "subject", "message_id", "bytes", "flags", "created_at",
    "expires_at", "data",
)  # fmt: skip
_NAMES, _MARKS = ", ".join(_USUAL), ", ".join("?" * len(_USUAL))
_INSERT = f"INSERT INTO entries ({_NAMES}, next_at, key, digest, not_before) VALUES ({_MARKS}, ?, ?, ?, ?)"
_INSERT_USUAL = f"INSERT INTO entries ({_NAMES}, next_at) VALUES ({_MARKS}, 0)"
"""For a message without a key that may leave at once. What it lacks is not handed over: of a None, as of octets that
are no ``bytearray``, sqlite3 asks first whether it is to be adapted, 3,000 instructions each time.
"""


@dataclass(slots=True)
class Draft:
    """A message that was composed and checked, and is about to be written down.

    ``digest`` is the fingerprint of what was given, where there is a ``key``. ``unheard`` is what its client is known
    by until it has heard that the message is here. Times are seconds since 1970.
    """

    account: str
    prepared: Prepared
    subject: str = ""
    key: str | None = None
    digest: bytes | None = None
    not_before: float | None = None
    give_up: float | None = None
    unheard: str | None = None


class Insertion:
    """Put messages in, within one transaction: what they have in common is looked up once."""

    def __init__(
        self, connection: sqlite3.Connection, settings: OutboxSettings, now: float, bodies: Path, named: list[Path]
    ) -> None:
        """The names that files get in the directory ``bodies`` are added to ``named``."""
        self._connection, self._settings, self._now = connection, settings, now
        self._bodies, self._named = bodies, named
        self._held: dict[str, tuple[str | None, float]] = {}

    def put(self, drafts: Sequence[Draft], bodies: Sequence[bytes | Path]) -> list[OutboxEntry]:
        """Write messages down; for one that is there already, return the entry that is there. Raises
        ``MessageError`` for a key with other content.
        """
        marks = os.urandom(_MARK * len(drafts)).hex()
        return [
            self._put(draft, body, marks[2 * _MARK * at : 2 * _MARK * (at + 1)])
            for at, (draft, body) in enumerate(zip(drafts, bodies, strict=True))
        ]

    def _put(self, draft: Draft, body: bytes | Path, mark: str) -> OutboxEntry:
        connection, now, key, not_before = self._connection, self._now, draft.key, draft.not_before
        if (there := _same(connection, draft)) is not None:
            return read_entry(numbered(connection, there)[0])
        account, prepared = draft.account, draft.prepared
        envelope, content = prepared.envelope, prepared.content
        later = not_before if not_before is not None and not_before > now else 0.0
        begin = later or now
        expires_at = begin + (draft.give_up or self._settings.give_up)
        held, held_until = self._hold(account, expires_at)
        to, sender, message_id = envelope.recipients, envelope.sender, content.message_id
        recipients = listed(to)
        subject = draft.subject if self._settings.keep_subjects else ""
        in_file = type(body) is not bytes
        flags = EIGHT_BIT * content.eight_bit + SMTPUTF8 * content.smtputf8 + IN_FILE * in_file
        size = content.size_with_bcc()
        data = bytearray(body) if not isinstance(body, Path) and size <= IN_ROW else None
        usual = (
            mark, account, sender, recipients, recipients, subject, message_id, size, flags, now, expires_at, data,
        )  # fmt: skip
        if key is None and not_before is None:
            cursor = connection.execute(_INSERT_USUAL, usual)
        else:
            cursor = connection.execute(_INSERT, (*usual, later, key, draft.digest, not_before))
        number: Any = cursor.lastrowid
        name = written(number, mark)
        if isinstance(body, Path):
            path = self._bodies / f"{name}.eml"
            self._named.append(path)
            place(body, path)
        elif data is None:
            connection.execute("INSERT INTO bodies (number, data) VALUES (?, ?)", (number, body))
        if draft.unheard is not None:
            keep(connection, draft.unheard, number, mark, now)
        return OutboxEntry.made({
            "id": name, "key": key, "account": account, "state": "queued", "held": held, "sender": sender, "to": to,
            "waiting": to, "subject": subject, "message_id": message_id, "bytes": size, "attempts": 0,
            "created_at": moment(now), "next_at": moment(max(begin, held_until)), "expires_at": moment(expires_at),
            "receipt": None, "diagnosis": None,
        })  # fmt: skip

    def _hold(self, account: str, expires_at: float) -> tuple[str | None, float]:
        """Return by what and until when an account is held; it is tried in time for this message's last attempt."""
        known = self._held.get(account)
        if known is None:
            query = "SELECT held, next_at FROM accounts WHERE account = ?"
            row = self._connection.execute(query, (account,)).fetchone()
            known = self._held[account] = (None, 0.0) if row is None else (row["held"], row["next_at"])
        if known[1] > expires_at:
            self._connection.execute("UPDATE accounts SET next_at = ? WHERE account = ?", (expires_at, account))
            known = self._held[account] = known[0], expires_at
        return known


def listed(addresses: Sequence[str]) -> str:
    """Return addresses as they are written down: a JSON list."""
    if len(addresses) == 1:
        return f"[{encode_basestring(addresses[0])}]"
    return f"[{', '.join(map(encode_basestring, addresses))}]"  # json.dumps makes an encoder each time


def _same(connection: sqlite3.Connection, draft: Draft) -> int | None:
    """Return the row that is a draft's already, or None. Raises ``MessageError`` for another content of its key."""
    if draft.unheard is not None and (number := unheard(connection, draft.unheard)) is not None:
        return number
    if draft.key is None:
        return None
    row = connection.execute("SELECT number, mark, digest FROM entries WHERE key = ?", (draft.key,)).fetchone()
    if row is None:
        return None
    if row["digest"] != draft.digest:
        raise MessageError(
            f"key: {draft.key!r} names another message already ({written(row['number'], row['mark'])}); "
            "use a key of its own for each message.",
            field="key",
        )
    return int(row["number"])


def forget(connection: sqlite3.Connection, number: int) -> None:
    """Let the octets of a message go that lie in the database."""
    connection.execute("UPDATE entries SET data = NULL WHERE number = ? AND data IS NOT NULL", (number,))
    connection.execute("DELETE FROM bodies WHERE number = ?", (number,))


def numbered(connection: sqlite3.Connection, number: int) -> list[Any]:
    """Return the row of that number, with what holds its account."""
    return connection.execute(f"{SELECT} WHERE number = ?", (number,)).fetchall()


def read_entry(row: Any) -> OutboxEntry:
    """Return a row, with what holds its account (``SELECT``), as an entry."""
    queued = row["state"] == "queued"
    next_at = max(row["next_at"] or row["created_at"], row["held_until"] or 0.0) if queued else None
    return OutboxEntry(
        id=written(row["number"], row["mark"]),
        key=row["key"],
        account=row["account"],
        state=row["state"],
        held=row["held"] if queued else None,
        sender=row["sender"],
        to=tuple(json.loads(row["recipients"])),
        waiting=tuple(json.loads(row["waiting"])) if row["state"] in ("queued", "sending", "unknown") else (),
        subject=row["subject"],
        message_id=row["message_id"],
        bytes=row["bytes"],
        attempts=row["attempts"],
        created_at=moment(row["created_at"]),
        next_at=None if next_at is None else moment(next_at),
        expires_at=moment(row["expires_at"]),
        receipt=read_receipt(row["receipt"]),
        diagnosis=read_diagnosis(row["diagnosis"]),
    )
