"""What is written down: enqueue, find, list, purge. It knows no sessions.

What a person decides about a message is in ``decisions.py``, who delivers it in ``claims.py`` and ``runner.py``.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from franking.account.config import load
from franking.errors import FrankingError, MessageError, SettingsError
from franking.outbox.body import SMALL, Stored, missing, orphans, place, write_draft
from franking.outbox.database import Database
from franking.outbox.entry import FINISHED, STATES, OutboxEntry, moment, read_diagnosis, read_receipt, written
from franking.outbox.settings import OutboxSettings, read_settings

if TYPE_CHECKING:
    import sqlite3

    from franking.message.prepare import Prepared

__all__ = ["Draft", "Store", "default_directory", "no_entry", "numbered", "parsed"]

_ID = re.compile(r"(\d{12})-([0-9a-f]{8})\Z")
_EIGHT_BIT, _SMTPUTF8, _IN_FILE = 1, 2, 4
_SELECT = (
    "SELECT entries.*, accounts.held AS held, accounts.next_at AS held_until "
    "FROM entries LEFT JOIN accounts ON accounts.account = entries.account "
)


def default_directory(environ: Mapping[str, str]) -> Path:
    """Return where the outbox is: ``$FRANKING_OUTBOX``, else ``outbox`` in the state directory."""
    if named := environ.get("FRANKING_OUTBOX"):
        return Path(named).expanduser().absolute()
    from franking.auth.store import state_directory

    return state_directory(environ) / "outbox"


@dataclass(frozen=True, slots=True)
class Draft:
    """A message that was composed and checked, and is about to be written down.

    ``digest`` is the fingerprint of what was given, where there is a ``key``. Times are seconds since 1970.
    """

    account: str
    prepared: Prepared
    subject: str = ""
    key: str | None = None
    digest: bytes | None = None
    not_before: float | None = None
    give_up: float | None = None


class Store:
    """Hold an outbox's directory. Safe to share between threads; any number of processes may use one directory."""

    def __init__(
        self, directory: str | os.PathLike[str] | None = None, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.directory = default_directory(os.environ) if directory is None else Path(directory).absolute()
        self.database = Database(self.directory)
        self.clock = clock

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.directory)!r})"

    def close(self) -> None:
        """Close the file; a later use opens it again."""
        self.database.close()

    @cached_property
    def settings(self) -> OutboxSettings:
        """Return what ``[outbox]`` in the settings file says. Raises ``SettingsError``."""
        return read_settings(load(os.environ).sections.get("outbox", {}))

    # -- putting -----------------------------------------------------------------------------------------------------

    def add(self, drafts: Sequence[Draft], unkeyed: Sequence[str] = ()) -> list[OutboxEntry]:
        """Write messages down, all or none; they are on disk when this returns.

        The messages of the ids ``unkeyed`` lose their keys in the same commit.

        A key that is there already, with the same content, gives the entry that is there. Raises ``MessageError`` for
        a key with other content, a temporary ``SendError`` where there is no room, ``SettingsError`` for a directory
        that cannot be used.
        """
        bodies: list[Path | bytes] = []
        named: list[Path] = []
        try:
            with self.database.ready():
                for draft in drafts:
                    bodies.append(self._body(draft))
            with self.database.transaction() as connection:
                connection.executemany(_UNKEY, map(parsed, unkeyed))
                return [self._put(connection, *put, named) for put in zip(drafts, bodies, strict=True)]
        except BaseException:
            self._remove_unnamed(named)
            raise
        finally:
            for body in bodies:
                if isinstance(body, Path):
                    body.unlink(missing_ok=True)  # a draft that got no name

    def _remove_unnamed(self, paths: Sequence[Path]) -> None:
        """Remove the files of rows that were not committed; an interruption may also strike just after that."""
        with suppress(FrankingError):
            for path in paths:
                if not self.database.rows("SELECT 1 FROM entries WHERE number = ? AND mark = ?", parsed(path.stem)):
                    path.unlink(missing_ok=True)

    def _body(self, draft: Draft) -> bytes | Path:
        content = draft.prepared.content
        if content.size_with_bcc() > SMALL:
            return write_draft(self._bodies, content)
        return b"".join(content.chunks(bcc=True))

    def _put(self, connection: sqlite3.Connection, draft: Draft, body: bytes | Path, named: list[Path]) -> OutboxEntry:
        """Write one message down; the name that its file gets, if it is one, goes into ``named``."""
        if draft.key is not None and (there := _same(connection, draft)) is not None:
            return self.entry(numbered(connection, there)[0])
        values = self._values(draft, body)
        held = connection.execute("SELECT held, next_at FROM accounts WHERE account = ?", (draft.account,)).fetchone()
        if held is not None:  # it is tried in time for this message's last attempt
            until = "UPDATE accounts SET next_at = min(next_at, :expires_at) WHERE account = :account"
            connection.execute(until, values)
        number = connection.execute(_INSERT, values).lastrowid
        assert number is not None
        if isinstance(body, Path):
            path = self._bodies / f"{written(number, values['mark'])}.eml"
            named.append(path)
            place(body, path)
        else:
            connection.execute("INSERT INTO bodies (number, data) VALUES (?, ?)", (number, body))
        return self.entry({
            **values,
            "number": number, "state": "queued", "attempts": 0, "receipt": None, "diagnosis": None,
            "held": held and held["held"], "held_until": held and held["next_at"],
        })  # fmt: skip

    def _values(self, draft: Draft, body: bytes | Path) -> dict[str, Any]:
        now = self.clock()
        begin = now if draft.not_before is None else max(now, draft.not_before)
        envelope, content = draft.prepared.envelope, draft.prepared.content
        recipients = json.dumps(envelope.recipients, ensure_ascii=False)
        flags = _EIGHT_BIT * content.eight_bit + _SMTPUTF8 * content.smtputf8 + _IN_FILE * isinstance(body, Path)
        return {
            "mark": os.urandom(4).hex(),
            "key": draft.key,
            "digest": draft.digest,
            "account": draft.account,
            "sender": envelope.sender,
            "recipients": recipients,
            "waiting": recipients,
            "subject": draft.subject if self.settings.keep_subjects else "",
            "message_id": content.message_id,
            "bytes": content.size_with_bcc(),
            "flags": flags,
            "created_at": now,
            "not_before": draft.not_before,
            "next_at": begin,
            "expires_at": begin + (draft.give_up or self.settings.give_up),
        }

    # -- reading -----------------------------------------------------------------------------------------------------

    def get(self, id: str) -> OutboxEntry:
        """Return one entry. Raises ``SettingsError`` where there is none."""
        rows = self.database.rows(f"{_SELECT} WHERE number = ? AND mark = ?", parsed(id))
        if not rows:
            raise no_entry(id)
        return self.entry(rows[0])

    def find(self, key: str) -> OutboxEntry | None:
        """Return the entry of an idempotency key, or None."""
        rows = self.database.rows(f"{_SELECT} WHERE key = ?", (key,))
        return self.entry(rows[0]) if rows else None

    def list(
        self, state: str | None = None, account: str | None = None, limit: int = 100, before: str | None = None
    ) -> list[OutboxEntry]:
        """Return entries, newest first: of a state, of an account, older than the entry ``before``."""
        if state is not None and state not in STATES:
            raise SettingsError(f"state: {state!r} is not one of {', '.join(STATES)}.", field="state")
        border = 1 << 62
        if before is not None:
            border = parsed(before)[0]
        if account is None:
            where, values = "", {}
        else:
            where, values = "AND entries.account = :account", {"account": account}
        states = STATES if account is not None and state is None else (state,)
        # by account and state there is an index, and by account alone a page of each state holds the page of all
        found: dict[int, Any] = {}
        for one in states:
            of_state = "" if one is None else "AND state = :state"
            query = f"{_SELECT} WHERE number < :border {where} {of_state} ORDER BY number DESC LIMIT :limit"
            for row in self.database.rows(query, {**values, "border": border, "limit": limit, "state": one}):
                found[row["number"]] = row
        return [self.entry(found[number]) for number in sorted(found, reverse=True)[:limit]]

    def entries(self, numbers: Sequence[int]) -> Sequence[OutboxEntry]:
        """Return the entries of rows."""
        marks = ",".join("?" * len(numbers))
        return [self.entry(row) for row in self.database.rows(f"{_SELECT} WHERE number IN ({marks})", numbers)]

    def counts(self) -> dict[str, int]:
        """Return how many entries there are in each state, zeros included."""
        found = {
            row["state"]: row["n"]
            for row in self.database.rows("SELECT state, count(*) AS n FROM entries GROUP BY state")
        }
        return {state: found.get(state, 0) for state in STATES}

    def octets(self, id: str) -> Iterator[bytes]:
        """Return a message's octets, Bcc included. Raises ``SendError`` where they are gone."""
        number, _ = parsed(id)
        self.get(id)
        rows = self.database.rows("SELECT * FROM entries WHERE number = ?", (number,))
        return self.content(rows[0]).chunks(bcc=True)

    def content(self, row: Any) -> Stored:
        """Return a row's message as content. Raises ``SendError`` where its octets are gone."""
        flags, path = row["flags"], self.body_path(row)
        source: bytes | Path = path
        if not flags & _IN_FILE:
            found = self.database.rows("SELECT data FROM bodies WHERE number = ?", (row["number"],))
            if not found:
                raise missing(path)
            source = found[0]["data"]
        return Stored(
            source,
            message_id=row["message_id"],
            recipients=tuple(json.loads(row["recipients"])),
            eight_bit=bool(flags & _EIGHT_BIT),
            smtputf8=bool(flags & _SMTPUTF8),
        )

    def body_path(self, row: Any) -> Path:
        """Return where a row's octets lie, if they are a file."""
        return self._bodies / f"{written(row['number'], row['mark'])}.eml"

    def file_of(self, row: Any) -> Path | None:
        """Return the file in which a row's octets lie, or None where they lie in the database."""
        return self.body_path(row) if row["flags"] & _IN_FILE else None

    @property
    def _bodies(self) -> Path:
        return self.directory / "bodies"

    # -- what goes ---------------------------------------------------------------------------------------------------

    def purge(self, older_than: float | None = None) -> Sequence[str]:
        """Remove finished messages (never unknown ones) that ended ``older_than`` seconds ago, and files left over;
        return the ids of those that went.
        """
        marks = ",".join("?" * len(FINISHED))
        with self.database.transaction() as connection:
            older_than = self.settings.keep if older_than is None else older_than
            rows = connection.execute(
                f"DELETE FROM entries WHERE state IN ({marks}) AND finished_at <= ? RETURNING number, mark, flags",
                (*FINISHED, self.clock() - older_than),
            ).fetchall()
            connection.executemany("DELETE FROM bodies WHERE number = ?", [(row["number"],) for row in rows])
        for row in rows:
            self.body_path(row).unlink(missing_ok=True)
        with suppress(OSError):
            for path in orphans(self._bodies, self._named_files()):
                path.unlink(missing_ok=True)
        return [written(row["number"], row["mark"]) for row in rows]

    def _named_files(self) -> set[str]:
        rows = self.database.rows("SELECT number, mark FROM entries WHERE flags & ?", (_IN_FILE,))
        return {self.body_path(row).name for row in rows}

    def entry(self, row: Any) -> OutboxEntry:
        queued = row["state"] == "queued"
        next_at = max(row["next_at"], row["held_until"] or 0.0) if queued else None
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
            created_at=moment(row["created_at"]) or "",
            next_at=moment(next_at),
            expires_at=moment(row["expires_at"]) or "",
            receipt=read_receipt(row["receipt"]),
            diagnosis=read_diagnosis(row["diagnosis"]),
        )


_COLUMNS = (
    "mark", "key", "digest", "account", "sender", "recipients", "waiting", "subject", "message_id", "bytes", "flags",
    "created_at", "not_before", "next_at", "expires_at",
)  # fmt: skip
_INSERT = f"INSERT INTO entries ({', '.join(_COLUMNS)}) VALUES ({', '.join(':' + name for name in _COLUMNS)})"


_UNKEY = "UPDATE entries SET key = NULL, digest = NULL WHERE number = ? AND mark = ?"


def _same(connection: sqlite3.Connection, draft: Draft) -> int | None:
    """Return the row that a draft's key names already, or None. Raises ``MessageError`` for another content."""
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


def numbered(connection: sqlite3.Connection, number: int) -> list[Any]:
    """Return the row of that number, with what holds its account."""
    return connection.execute(f"{_SELECT} WHERE number = ?", (number,)).fetchall()


def parsed(id: str) -> tuple[int, str]:
    """Return the number and the mark of an id. Raises ``SettingsError`` for what is none."""
    found = _ID.match(id)
    if found is None:
        raise no_entry(id)
    return int(found[1]), found[2]


def no_entry(id: str) -> SettingsError:
    """Make the error of an id that names nothing here."""
    return SettingsError(f"There is no message {id!r} in the outbox; list them with: franking outbox list", field="id")
