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
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from franking.account.config import BY_ROUTE, load
from franking.account.environment import state_folder
from franking.account.fields import WRONG_VALUE
from franking.errors import FrankingError, SettingsError, discreet
from franking.outbox.body import SMALL, Stored, missing, orphans, remove, write_draft
from franking.outbox.database import Database, in_doubt
from franking.outbox.entry import FINISHED, STATES, written
from franking.outbox.rows import (
    BY_ROUTES,
    EIGHT_BIT,
    ENDED,
    FRESH,
    IN_FILE,
    PAUSED,
    SELECT,
    SMTPUTF8,
    WAITING,
    Insertion,
    read_entry,
)
from franking.outbox.settings import OutboxSettings, read_settings
from franking.outbox.unheard import heard

if TYPE_CHECKING:
    from franking.outbox.entry import OutboxEntry
    from franking.outbox.rows import Draft

__all__ = ["Store", "default_directory", "no_entry", "parsed"]

_ID = re.compile(r"(\d{12})-([0-9a-f]{8})\Z")


def default_directory(environ: Mapping[str, str]) -> Path:
    """Return where the outbox is: ``$FRANKING_OUTBOX``, else ``outbox`` in the state directory."""
    if named := environ.get("FRANKING_OUTBOX"):
        return Path(named).expanduser().absolute()
    return Path(state_folder(environ), "outbox")


class Store:
    """Hold an outbox's directory. Safe to share between threads; any number of processes may use one directory."""

    def __init__(
        self, directory: str | os.PathLike[str] | None = None, *, clock: Callable[[], float] = time.time
    ) -> None:
        with discreet:  # the environment holds secrets
            self.directory = default_directory(os.environ) if directory is None else Path(directory).absolute()
        self._bodies = self.directory / "bodies"
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
        return read_settings(load().sections.get("outbox", {}))

    # -- putting -----------------------------------------------------------------------------------------------------

    def add(self, drafts: Sequence[Draft], answered: Sequence[tuple[str, str]] = ()) -> list[OutboxEntry]:
        """Write messages down, all or none; they are on disk when this returns.

        In the same commit it is noted that the clients of messages, each by its key and id, have heard of them.

        A key that is there already, with the same content, gives the entry that is there. Raises ``MessageError`` for
        a key with other content, a temporary ``SendError`` where there is no room, ``SettingsError`` for a directory
        that cannot be used.
        """
        bodies: list[Path | bytes] = []
        named: list[Path] = []
        settings = self.settings
        try:
            for draft in drafts:
                bodies.append(self._body(draft))
            with self.database.transaction() as connection:
                if answered:
                    heard(connection, [(key, *parsed(known)) for key, known in answered])
                return Insertion(connection, settings, self.clock(), self._bodies, named).put(drafts, bodies)
        except BaseException as problem:
            if not in_doubt(problem):
                self._remove_unnamed(named)
            raise
        finally:
            for body in bodies:
                if isinstance(body, Path):
                    remove(body)  # a draft that got no name

    def _remove_unnamed(self, paths: Sequence[Path]) -> None:
        """Remove the files of rows that were not committed; an interruption may also strike just after that."""
        with suppress(FrankingError):
            for path in paths:
                if not self.database.rows("SELECT 1 FROM entries WHERE number = ? AND mark = ?", parsed(path.stem)):
                    remove(path)

    def _body(self, draft: Draft) -> bytes | Path:
        content = draft.prepared.content
        if content.size_with_bcc() > SMALL:
            with self.database.ready():
                return write_draft(self._bodies, content)
        return b"".join(content.chunks(bcc=True))

    # -- reading -----------------------------------------------------------------------------------------------------

    def get(self, id: str) -> OutboxEntry:
        """Return one entry. Raises ``SettingsError`` where there is none."""
        rows = self.database.rows(f"{SELECT} WHERE number = ? AND mark = ?", parsed(id))
        if not rows:
            raise no_entry(id)
        return read_entry(rows[0])

    def find(self, key: str) -> OutboxEntry | None:
        """Return the entry of an idempotency key, or None."""
        rows = self.database.rows(f"{SELECT} WHERE key = ?", (key,))
        return read_entry(rows[0]) if rows else None

    def list(
        self, state: str | None = None, account: str | None = None, limit: int = 100, before: str | None = None
    ) -> list[OutboxEntry]:
        """Return entries, newest first: of a state, of an account (by any of its routes), older than the entry
        ``before``.
        """
        if state is not None and state not in STATES:
            words = f"state: {state!r} is not one of {', '.join(STATES)}."
            raise SettingsError(words, field="state", evidence=WRONG_VALUE)
        if account is not None:
            by_route = {"first": f"{account}{BY_ROUTE}", "end": f"{account}{BY_ROUTE}\U0010ffff"}
            names = [account, *(row["account"] for row in self.database.rows(BY_ROUTES, by_route))]
        elif state == "queued":  # the indexes that lead to these begin with the account
            names = [row["account"] for row in self.database.rows(WAITING)]
        else:
            return [*self._page(state, None, limit, before)]
        found = [entry for name in names for entry in self._page(state, name, limit, before)]
        return sorted(found, key=lambda entry: parsed(entry.id)[0], reverse=True)[:limit]

    def _page(self, state: str | None, account: str | None, limit: int, before: str | None) -> Sequence[OutboxEntry]:
        if account is not None:  # a page of each state holds the page of all
            parts = [
                f"account = :account AND {part}" for one in (STATES if state is None else (state,)) for part in _in(one)
            ]
        else:
            parts = ["true"] if state is None else _in(state)
        numbers = " UNION ALL ".join(_PAGE.format(part) for part in parts)
        query = f"{SELECT} WHERE number IN ({numbers}) ORDER BY number DESC LIMIT :limit"
        values = {"border": 1 << 62 if before is None else parsed(before)[0], "limit": limit, "account": account}
        return [read_entry(row) for row in self.database.rows(query, values)]

    def entries(self, numbers: Sequence[int]) -> Sequence[OutboxEntry]:
        """Return the entries of rows."""
        marks = ",".join("?" * len(numbers))
        return [read_entry(row) for row in self.database.rows(f"{SELECT} WHERE number IN ({marks})", numbers)]

    def counts(self) -> dict[str, int]:
        """Return how many entries there are in each state, zeros included."""
        found = {row["state"]: row["n"] for row in self.database.rows(_COUNTS)}
        return {state: found.get(state, 0) for state in STATES}

    def octets(self, id: str) -> Iterator[bytes]:
        """Return a message's octets, Bcc included. Raises ``SendError`` where they are gone."""
        number, _ = parsed(id)
        self.get(id)
        rows = self.database.rows("SELECT * FROM entries WHERE number = ?", (number,))
        return self.content(rows[0]).chunks(bcc=True)

    def content(self, row: Any) -> Stored:
        """Return a row's message as content. Raises ``SendError`` where its octets are gone."""
        flags, path, source = row["flags"], self.body_path(row), row["data"]
        if flags & IN_FILE:
            source = path
        elif source is None:
            found = self.database.rows("SELECT data FROM bodies WHERE number = ?", (row["number"],))
            if not found:
                raise missing(path)
            source = found[0]["data"]
        return Stored(
            source,
            message_id=row["message_id"],
            recipients=tuple(json.loads(row["recipients"])),
            eight_bit=bool(flags & EIGHT_BIT),
            smtputf8=bool(flags & SMTPUTF8),
        )

    def body_path(self, row: Any) -> Path:
        """Return where a row's octets lie, if they are a file."""
        return self._bodies / f"{written(row['number'], row['mark'])}.eml"

    def file_of(self, row: Any) -> Path | None:
        """Return the file in which a row's octets lie, or None where they lie in the database."""
        return self.body_path(row) if row["flags"] & IN_FILE else None

    # -- what goes ---------------------------------------------------------------------------------------------------

    def purge(self, older_than: float | None = None) -> Sequence[str]:
        """Remove finished messages (never unknown ones) that ended ``older_than`` seconds ago, and files left over;
        return the ids of those that went.
        """
        marks = ",".join("?" * len(FINISHED))
        with self.database.transaction() as connection:
            older_than = self.settings.keep if older_than is None else older_than
            rows = connection.execute(
                f"DELETE FROM entries WHERE {ENDED} AND state IN ({marks}) AND finished_at <= ? "
                "RETURNING number, mark, flags",
                (*FINISHED, self.clock() - older_than),
            ).fetchall()
            connection.executemany("DELETE FROM bodies WHERE number = ?", [(row["number"],) for row in rows])
        for row in rows:
            remove(self.body_path(row))
        with suppress(OSError):
            for path in orphans(self._bodies, self._named_files()):
                remove(path)
        return [written(row["number"], row["mark"]) for row in rows]

    def strays(self) -> int:
        """Return how many files of messages are left over; ``purge`` removes them."""
        with suppress(OSError):
            return sum(1 for _ in orphans(self._bodies, self._named_files()))
        return 0

    def _named_files(self) -> set[str]:
        rows = self.database.rows(_NEEDED, (IN_FILE,))
        return {self.body_path(row).name for row in rows}


_PAGE = "SELECT * FROM (SELECT number FROM entries WHERE number < :border AND {} ORDER BY number DESC LIMIT :limit)"
_COUNTS = (
    f"SELECT state, count(*) AS n FROM entries WHERE {ENDED} GROUP BY state "
    f"UNION ALL SELECT 'queued', (SELECT count(*) FROM entries WHERE {FRESH}) + "
    f"(SELECT count(*) FROM entries WHERE {PAUSED})"
)


def _in(state: str) -> list[str]:
    """Return what rows of a state are found by, each in one of the indexes."""
    return [FRESH, PAUSED] if state == "queued" else [f"{ENDED} AND state = '{state}'"]


_NEEDED = "SELECT number, mark FROM entries WHERE flags & ? AND state != 'accepted'"
"""Rows whose files stay: those of accepted ones were to go at once, and are left over where a process died."""


def parsed(id: str) -> tuple[int, str]:
    """Return the number and the mark of an id. Raises ``SettingsError`` for what is none."""
    found = _ID.match(id)
    if found is None:
        raise no_entry(id)
    return int(found[1]), found[2]


def no_entry(id: str) -> SettingsError:
    """Make the error of an id that names nothing here."""
    return SettingsError(f"There is no message {id!r} in the outbox; list them with: franking outbox list", field="id")
