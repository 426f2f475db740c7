"""A server that speaks PostgreSQL's protocol (version 3, the extended queries) and keeps what it is told in SQLite: for
tests in this process. The real one is in ``postgres.py``; what a test of this one shows is shown there again.

    with SqlWire() as server:
        PostgresServer(server.url) …
        server.faults.append(Fault("53300", "sorry, too many clients"))

It understands the SQL that both know, and of PostgreSQL's own: ``$1::type``, ``clock_timestamp()`` by
``extract(epoch FROM …)``, ``pg_postmaster_start_time()``, ``greatest``, ``least``, ``to_regclass``, ``FOR UPDATE``,
advisory locks (which do nothing).
"""

from __future__ import annotations

import re
import socket
import socketserver
import sqlite3
import struct
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from servers.ports import HOST

_TYPES = {"text": "TEXT", "int": "INTEGER", "bigint": "INTEGER", "float8": "REAL", "boolean": "INTEGER"}

_CODES = {"no such table": "42P01", "no such column": "42703"}


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to the next statement: an error with a code; ``cut`` closes the connection with it (or, without a
    code, without a word) and ``after`` lets the statement be done before; ``silent`` says nothing until the end.
    """

    code: str = ""
    message: str = "a fault of the test"
    cut: bool = False
    after: bool = False
    silent: bool = False


class SqlWire:
    """A running server; a context manager. ``now`` is its clock, ``refusal`` an error that meets every newcomer."""

    def __init__(self) -> None:
        self.faults: deque[Fault] = deque()
        self.refusal: Fault | None = None
        self.now: float | None = None
        self.started = time.time() - 3600
        self.connections = self.flights = 0
        self.lock = threading.Lock()
        self.ended = threading.Event()
        self.sqlite = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        for name, function in (("clock", self.clock), ("postmaster", lambda: self.started)):
            self.sqlite.create_function(name, 0, function)
        self.sqlite.create_function("pg_advisory_xact_lock", 1, lambda number: None)
        self.forbidden: set[tuple[str, str]] = set()
        self.sqlite.create_function("has_table_privilege", 2, lambda table, right: (table, right) not in self.forbidden)
        self._links: set[socket.socket] = set()
        wire = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                wire._links.add(self.request)
                wire.connections += 1
                try:
                    _Link(wire, self.request).serve()
                except (OSError, EOFError):
                    pass
                finally:
                    wire._links.discard(self.request)

        self._server = socketserver.ThreadingTCPServer((HOST, 0), Handler)
        self._server.daemon_threads = False
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def clock(self) -> float:
        return time.time() if self.now is None else self.now

    @property
    def url(self) -> str:
        return f"postgresql://postgres@{HOST}:{self.port}/mail"

    def cut(self) -> None:
        """Close every connection: the server was started anew."""
        for link in list(self._links):
            with suppress(OSError):  # it has ended by itself meanwhile
                link.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.ended.set()
        self._server.shutdown()
        self.cut()
        self._thread.join()
        self._server.server_close()
        self.sqlite.close()

    def __enter__(self) -> SqlWire:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class _Link:
    """One connection."""

    def __init__(self, wire: SqlWire, sock: socket.socket) -> None:
        self.wire, self.sock, self.file = wire, sock, sock.makefile("rb")
        self.out: list[bytes] = []
        self.statement = ""
        self.failed = self.inside = False
        self.rows: list[tuple[Any, ...]] = []

    def serve(self) -> None:
        try:
            if self._welcome():
                while kind := self.file.read(1):
                    body = self._body()
                    if kind == b"X":
                        return
                    self._take(kind, body)
        finally:
            self._end("ROLLBACK")
            self.file.close()

    def _body(self) -> bytes:
        head = self.file.read(4)
        if len(head) < 4:
            raise EOFError
        return self.file.read(struct.unpack("!i", head)[0] - 4)

    def _welcome(self) -> bool:
        while (code := struct.unpack("!i", self._body()[:4])[0]) in (80877103, 80877104):  # TLS, Kerberos
            self.sock.sendall(b"N")
        if code != 196608:
            return False
        if self.wire.refusal is not None:
            self._error(self.wire.refusal, "FATAL")
            self._flush()
            return False
        self._say(b"R", struct.pack("!i", 0))
        for name, value in (("server_version", "15.0"), ("client_encoding", "UTF8"), ("integer_datetimes", "on")):
            self._say(b"S", f"{name}\0{value}\0".encode())
        self._say(b"Z", b"I")
        self._flush()
        return True

    def _say(self, kind: bytes, body: bytes = b"") -> None:
        self.out.append(kind + struct.pack("!i", len(body) + 4) + body)

    def _flush(self) -> None:
        data, self.out = b"".join(self.out), []
        self.sock.sendall(data)

    def _error(self, fault: Fault, severity: str = "ERROR") -> None:
        fields = f"S{severity}\0V{severity}\0C{fault.code}\0M{fault.message}\0\0"
        self._say(b"E", fields.encode())

    def _take(self, kind: bytes, body: bytes) -> None:
        if kind == b"S":
            self._end("ROLLBACK" if self.failed else "COMMIT")
            self.failed = False
            self.wire.flights += 1
            self._say(b"Z", b"I")
            self._flush()
        elif self.failed:
            return
        elif kind == b"P":
            self.statement = body.split(b"\0")[1].decode()
            self._say(b"1")
        elif kind == b"B":
            self._say(b"2")
            self._run(self.statement, _values(body))
        elif kind == b"D":
            self._describe()
        elif kind == b"E":
            for row in self.rows:
                cells = [None if cell is None else str(cell).encode() for cell in row]
                packed = [
                    struct.pack("!i", -1) if cell is None else struct.pack("!i", len(cell)) + cell for cell in cells
                ]
                self._say(b"D", struct.pack("!h", len(row)) + b"".join(packed))
            self._say(b"C", f"SELECT {len(self.rows)}\0".encode())

    def _run(self, statement: str, values: list[str | None]) -> None:
        if not self.inside:
            self.wire.lock.acquire()
            self.inside = True
            self.wire.sqlite.execute("BEGIN")
        fault = self.wire.faults.popleft() if self.wire.faults else None
        named = {f"v{number}": value for number, value in enumerate(values, 1)}
        try:
            if fault is not None and not fault.after:
                raise sqlite3.OperationalError
            cursor = self.wire.sqlite.execute(_translated(statement), named)
            self.columns = [column[0] for column in cursor.description or ()]
            self.rows = cursor.fetchall()
        except sqlite3.Error as problem:
            self.failed = True
            self.out.pop()  # it was not bound
            if fault is None:
                self._error(Fault(_CODES.get(str(problem).partition(":")[0], "42601"), str(problem)))
        if fault is not None:
            self._suffer(fault)

    def _suffer(self, fault: Fault) -> None:
        if fault.after:
            self._end("COMMIT")
        if fault.silent:
            self.wire.ended.wait(60)
            raise EOFError
        if fault.code:
            self._error(fault, "FATAL" if fault.cut else "ERROR")
        if fault.cut:
            self._flush()
            raise EOFError

    def _end(self, how: str) -> None:
        if self.inside:
            self.inside = False
            self.wire.sqlite.execute(how)
            self.wire.lock.release()

    def _describe(self) -> None:
        if not self.columns:
            self._say(b"n")
            return
        body = struct.pack("!h", len(self.columns))
        for number, name in enumerate(self.columns):
            kinds = {type(row[number]) for row in self.rows}
            oid = 25
            if int in kinds:
                oid = 20
            if float in kinds:
                oid = 701
            body += name.encode() + b"\0" + struct.pack("!ihihih", 0, 0, oid, -1, -1, 0)
        self._say(b"T", body)


def _values(body: bytes) -> list[str | None]:
    """Read what was bound: the values, as texts."""
    at = body.index(b"\0", body.index(b"\0") + 1) + 1
    formats = struct.unpack_from("!h", body, at)[0]
    at += 2 + 2 * formats
    count = struct.unpack_from("!h", body, at)[0]
    at += 2
    values: list[str | None] = []
    for _ in range(count):
        (size,) = struct.unpack_from("!i", body, at)
        at += 4
        values.append(None if size < 0 else body[at : at + size].decode())
        at += max(0, size)
    return values


def _translated(statement: str) -> str:
    text = re.sub(r"\$(\d+)::(\w+)", lambda found: f"CAST(:v{found[1]} AS {_TYPES[found[2]]})", statement)
    text = re.sub(r"\$(\d+)", r":v\1", text)
    text = re.sub(r"^SHOW (\w+)$", "SELECT 'on' AS \\1", text)
    text = re.sub(r"\)::\w+", ")", text)  # what a function returns is that already
    text = re.sub(r"extract\(epoch FROM clock_timestamp\(\)\)", "clock()", text, flags=re.IGNORECASE)
    text = re.sub(r"extract\(epoch FROM pg_postmaster_start_time\(\)\)", "postmaster()", text, flags=re.IGNORECASE)
    text = re.sub(r"to_regclass\((\S+)\)", r"(SELECT name FROM sqlite_master WHERE name = \1)", text)
    text = re.sub(r"\bgreatest\(", "max(", text, flags=re.IGNORECASE)
    text = re.sub(r"\bleast\(", "min(", text, flags=re.IGNORECASE)
    return re.sub(r"\bFOR UPDATE( SKIP LOCKED)?", "", text)
