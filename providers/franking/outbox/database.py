"""The outbox's file: an SQLite database of ours alone, its schema and its errors. It knows no messages.

WAL with ``synchronous=FULL``: what is committed survives a loss of power
(https://sqlite.org/pragma.html#pragma_synchronous).
Directory 0700, files 0600. A database that is damaged, another owner's, newer than this program or on a network file
system (where SQLite's locks and shared memory do not hold, https://sqlite.org/wal.html) is refused and left as it is.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from franking.atomic import make_private, room
from franking.errors import Evidence, FrankingError, SendError, SettingsError, exhausted

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Database", "in_doubt"]

FILE = "outbox.sqlite3"
DESCRIPTORS = 4  # the file, its log, its index of the log, and one to look
BUSY_SECONDS = 30.0
"""How long a commit of another process is waited for; one takes milliseconds."""

SCHEMA = (
    # version 1
    """
    CREATE TABLE entries (
        number INTEGER PRIMARY KEY,
        mark TEXT NOT NULL,
        key TEXT,
        digest BLOB,
        account TEXT NOT NULL,
        state TEXT NOT NULL DEFAULT 'queued',
        sender TEXT NOT NULL,
        recipients TEXT NOT NULL,
        waiting TEXT NOT NULL,
        subject TEXT NOT NULL,
        message_id TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        flags INTEGER NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        created_at REAL NOT NULL,
        not_before REAL,
        next_at REAL NOT NULL,
        expires_at REAL NOT NULL,
        finished_at REAL,
        runner TEXT,
        started INTEGER NOT NULL DEFAULT 0,
        receipt TEXT,
        diagnosis TEXT
    );
    CREATE INDEX entries_state ON entries (state, number) WHERE state <> 'queued';
    CREATE INDEX entries_account ON entries (account, state, number);
    CREATE INDEX entries_due ON entries (account, next_at) WHERE state = 'queued';
    CREATE UNIQUE INDEX entries_key ON entries (key) WHERE key IS NOT NULL;
    CREATE TABLE bodies (number INTEGER PRIMARY KEY, data BLOB NOT NULL);
    CREATE TABLE accounts (
        account TEXT PRIMARY KEY,
        held TEXT,
        failures INTEGER NOT NULL DEFAULT 0,
        since REAL NOT NULL,
        next_at REAL NOT NULL,
        stamp TEXT NOT NULL
    ) WITHOUT ROWID;
    """,
    # version 2: a row that is put in lies in one index, and holds its message if that is small
    """
    ALTER TABLE entries ADD COLUMN data BLOB;
    DROP INDEX entries_account;
    DROP INDEX entries_due;
    CREATE INDEX entries_fresh ON entries (account, number, created_at, expires_at, next_at, state)
        WHERE state = 'queued' AND next_at = 0;
    CREATE INDEX entries_due ON entries (account, next_at, expires_at, state)
        WHERE state = 'queued' AND next_at <> 0;
    CREATE INDEX entries_account ON entries (account, state, number) WHERE state <> 'queued' OR next_at <> 0;
    """,
    # version 3: the keys that the relay gives are no longer in the rows of messages (unheard.py)
    """
    CREATE TABLE unheard (
        key TEXT PRIMARY KEY,
        number INTEGER NOT NULL,
        mark TEXT NOT NULL,
        created_at REAL NOT NULL
    ) WITHOUT ROWID;
    INSERT INTO unheard SELECT substr(key, 7), number, mark, created_at FROM entries
        WHERE key >= 'relay-' AND key < 'relay.' AND digest = x'';
    UPDATE entries SET key = NULL, digest = NULL WHERE key >= 'relay-' AND key < 'relay.' AND digest = x'';
    """,
)
"""What leads from each version of the file to the next; its number stands in ``user_version``."""

_NETWORK = (
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "afs",
    "ceph",
    "glusterfs",
    "fuse.sshfs",
    "fuse.glusterfs",
    "lustre",
)


class Database:
    """One open outbox file, shared by the threads of one process; after a fork the child opens its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / FILE
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._process = self._opened_by = os.getpid()
        self._forgotten: Callable[[], object] = _nothing

    def transaction(self) -> _Transaction:
        """Hold the file for writing: all that is done inside is there afterwards, on disk, or none of it."""
        return _Transaction(self)

    @contextmanager
    def ready(self) -> Iterator[None]:
        """See that the directory is usable; what the file system says inside is told in the outbox's words."""
        with self._translated():
            with self._own_lock():
                self._open()
            yield

    def rows(self, query: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[sqlite3.Row]:
        """Return what a query finds; whoever only looks where there is no outbox makes none."""
        with self._own_lock(), self._translated():
            if self._connection is None and not self._is_there():
                with closing(_empty()) as nothing:
                    return nothing.execute(query, values).fetchall()
            return self._open().execute(query, values).fetchall()

    def _is_there(self) -> bool:
        try:
            self.path.stat()
        except FileNotFoundError:
            return False
        return True

    def close(self) -> None:
        """Close the file; a later use opens it again."""
        with self._own_lock():
            self._connection = None
            self._forgotten()

    def _own_lock(self) -> threading.RLock:
        """Return the lock; in a forked child a new one, for a thread that is not there may hold the parent's."""
        if self._process != os.getpid():
            self._lock, self._process = threading.RLock(), os.getpid()
        return self._lock

    # -- opening -----------------------------------------------------------------------------------------------------

    def _open(self) -> sqlite3.Connection:
        """Return the connection; whoever asks has the lock of this process."""
        if self._connection is not None and self._opened_by == self._process:
            return self._connection
        self._connection = None
        self._forgotten()  # the parent's
        self._make_place()
        connection = sqlite3.connect(
            self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=64
        )
        try:
            connection.row_factory = sqlite3.Row
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > len(SCHEMA):
                raise SettingsError(
                    f"{self.path} was written by a newer Franking (version {version} of the file; this one knows "
                    f"{len(SCHEMA)}). Update Franking, or name another directory in FRANKING_OUTBOX.",
                    evidence=_evidence("newer", self.path),
                )
            _write_ahead(connection)
            connection.execute("PRAGMA synchronous=FULL")
            if version < len(SCHEMA):
                _migrate(connection)
        except BaseException:
            connection.close()
            raise
        self._connection, self._opened_by = connection, os.getpid()
        # whoever queues a message need not know of a file: it is closed when nobody has this any more
        self._forgotten = weakref.finalize(self, _close, connection, self._opened_by)
        return connection

    def _make_place(self) -> None:
        """Make directory and file for this user alone, or refuse what is there."""
        try:
            make_private(self.directory)
            _refuse_network(self.directory)
            found = self._made_file()
            make_private(self.directory / "bodies")
            make_private(self.directory / "runners")
        except OSError as problem:
            raise self._unwritable(problem) from problem
        if os.name == "posix":
            self._refuse_others(found)

    def _made_file(self) -> os.stat_result:
        """Return what the file is like, made if it is not there.

        One that is there is never opened here: closing it would end the locks of this process's other connections
        (https://sqlite.org/howtocorrupt.html, section 2.2), and whoever looked next would remove their journal.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
        with suppress(FileExistsError):
            os.close(os.open(self.path, flags, 0o600))
        found = self.path.lstat()
        if stat.S_ISLNK(found.st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(self.path))
        return found

    def _refuse_others(self, found: os.stat_result) -> None:
        for path, status in ((self.directory, self.directory.stat()), (self.path, found)):
            if status.st_uid != os.geteuid():
                raise SettingsError(
                    f"{path} belongs to another user. An outbox is one user's: let programs of other users hand their "
                    "mail to the relay (franking relay), or name a directory of your own in FRANKING_OUTBOX.",
                    field="FRANKING_OUTBOX",
                    evidence=_evidence("owner", path),
                )
            if stat.S_IMODE(status.st_mode) & 0o077:
                import shlex

                mode = "700" if path == self.directory else "600"
                command = f"chmod {mode} {shlex.quote(str(path))}"
                raise SettingsError(
                    f"{path} may be read or written by others. Run: {command}",
                    field="FRANKING_OUTBOX",
                    repair=command,
                    evidence=_evidence("mode", path),
                )

    # -- errors ------------------------------------------------------------------------------------------------------

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as problem:
            self.tell(problem)
            raise

    def tell(self, problem: BaseException) -> None:
        """Raise an error of SQLite or of the file system in the outbox's words; anything else is not told here."""
        if isinstance(problem, sqlite3.Error):
            raise self._explained(problem) from problem
        if isinstance(problem, OSError) and not isinstance(problem, FrankingError):
            raise self._unwritable(problem) from problem

    def _explained(self, problem: sqlite3.Error) -> FrankingError:
        name = getattr(problem, "sqlite_errorname", None) or ""
        if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            return SendError(
                f"{self.path} is damaged ({problem}); it was left as it is. Move it away, or restore a copy of it.",
                step="settings",
                evidence=_evidence("damaged", self.path, str(problem)),
            )
        if name.startswith("SQLITE_CANTOPEN"):
            try:
                room(DESCRIPTORS)
            except OSError as lack:
                return self._unwritable(lack)
        if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")):
            return SettingsError(
                f"{self.path} cannot be written: {problem}.",
                field="FRANKING_OUTBOX",
                evidence=_evidence("unwritable", self.path, str(problem)),
            )
        reason = "busy" if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")) else "full"
        words = f"is in use by another program for over {BUSY_SECONDS:g} seconds" if reason == "busy" else str(problem)
        end = "Nothing was put into the outbox; try again."
        if name.startswith(_IN_DOUBT):
            end = "What was being put into the outbox may be there all the same; with a key, trying again is safe."
        return SendError(
            f"{self.path}: {words}. {end}",
            step="settings",
            temporary=True,
            evidence=_evidence(reason, self.path, str(problem)),
        )

    def _unwritable(self, problem: OSError) -> FrankingError:
        if (scarce := exhausted(problem, "settings")) is not None:
            return scarce
        where = problem.filename or self.directory
        if problem.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            return SendError(
                f"{where}: {problem.strerror}. Nothing was put into the outbox; try again when there is room.",
                step="settings",
                temporary=True,
                evidence=_evidence("full", where, problem.strerror or ""),
            )
        return SettingsError(
            f"{where} cannot be written: {problem.strerror}.",
            field="FRANKING_OUTBOX",
            evidence=_evidence("unwritable", where, problem.strerror or ""),
        )


def _nothing() -> None:
    """Stand in for what closes a file that was not opened yet."""


_PARENTS: list[sqlite3.Connection] = []
"""Connections of the process that this one was forked from: even closing one here would be wrong
(https://sqlite.org/howtocorrupt.html, section 2.6), and it is closed when nothing knows of it any more.
"""


def _close(connection: sqlite3.Connection, process: int) -> None:
    """Close a connection where it was opened."""
    if process == os.getpid():
        connection.close()
    else:
        _PARENTS.append(connection)


class _Transaction:
    """What ``Database.transaction`` enters; a class, for a generator takes longer than all else around a commit."""

    __slots__ = ("_connection", "_database", "_lock")

    def __init__(self, database: Database) -> None:
        self._database = database

    def __enter__(self) -> sqlite3.Connection:
        lock = self._lock = self._database._own_lock()
        try:
            lock.acquire()
            connection = self._connection = self._database._open()
            connection.execute("BEGIN IMMEDIATE")
        except BaseException as problem:
            with suppress(RuntimeError):  # an interruption came before
                lock.release()
            self._database.tell(problem)
            raise
        return connection

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._connection.execute("COMMIT")
            else:
                self._roll_back()
                self._database.tell(error)
        except sqlite3.Error as problem:
            self._roll_back()
            self._database.tell(problem)
        except BaseException:
            self._roll_back()
            raise
        finally:
            self._lock.release()

    def _roll_back(self) -> None:
        with suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")


_IN_DOUBT = "SQLITE_IOERR"


def in_doubt(problem: BaseException) -> bool:
    """Return whether a commit that failed may be there when the file is opened next: the disk broke while it was synced
    (https://sqlite.org/rescode.html#ioerr_fsync).
    """
    return (getattr(problem.__cause__, "sqlite_errorname", None) or "").startswith(_IN_DOUBT)


def _empty() -> sqlite3.Connection:
    """Return what an outbox is before anything was put into it."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.row_factory = sqlite3.Row
    _migrate(connection)
    return connection


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Choose the journal beside the file; SQLite does not wait for another that is just about to do so too."""
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as problem:
            if problem.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
        time.sleep(0.01)


def _migrate(connection: sqlite3.Connection) -> None:
    """Bring the file to today's version, in one transaction; another process may have done it meanwhile."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        for step in SCHEMA[version:]:
            for statement in filter(str.strip, step.split(";")):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version={len(SCHEMA)}")
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _refuse_network(directory: Path) -> None:
    """Refuse a directory on a network file system, where Linux tells (/proc/self/mountinfo, proc(5))."""
    try:
        lines = Path("/proc/self/mountinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return
    device = directory.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in lines:
        mounted, _, kind = line.partition(" - ")
        if mounted.split()[2] == wanted and kind.split()[0] in _NETWORK:
            raise SettingsError(
                f"{directory} is on a network file system ({kind.split()[0]}), where an outbox could lose mail or send "
                "it twice. Name a directory on a local disk in FRANKING_OUTBOX.",
                field="FRANKING_OUTBOX",
                evidence=_evidence("network", directory),
            )


def _evidence(reason: str, path: object, text: str = "") -> Evidence:
    return Evidence("outbox", text=text, reason=reason, details={"path": str(path)})
