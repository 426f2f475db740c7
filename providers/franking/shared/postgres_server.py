"""One PostgreSQL, asked by short statements: each is its own transaction, by the server's clock.

    server = PostgresServer("postgresql://…", timeout=10)
    rows = server.run("UPDATE {table} SET value = $2 WHERE key = $1 RETURNING token", "shop", "…")
    first, second = server.run_all([(TAKE, ("shop", 1)), (CLAIM, ("order-114",))])  # one transaction

``{table}`` is replaced by the table's name, ``$1`` and so on by values that travel apart from the statement, as texts:
where PostgreSQL cannot see the type, write ``$1::int``. Rows are tuples; booleans, integers and floats come as what
they are, NULL as None, all else as text. Threads share a server: each borrows a connection for a moment. A forked child
opens its own. Nothing is tried twice here. Where the answer was lost, ``may_have_happened(error)`` is true
(``failures.py``), and whoever asked decides, by asking what is there.

psycopg (3) is imported when the first connection is opened. It opens connections and reads addresses; statements go
through its libpq, which can be waited for within a time.
"""

from __future__ import annotations

import math
import re
import selectors
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from franking.errors import FrankingError, discreet
from franking.net.deadline import within
from franking.redaction import Redactor, Veiled, veiled
from franking.shared import address, failures
from franking.shared.postgres_pool import Full, Pool, ready
from franking.shared.reaching import first_to_answer
from franking.shared.tables import check_name, columns, made_by, statements

if TYPE_CHECKING:
    import psycopg

__all__ = ["PostgresServer", "Row", "Value"]

TIMEOUT = 30.0

Value = str | int | float | None
Row = tuple[Any, ...]

# SQLSTATE, its class or the whole: not now, and nothing was done (08 connection, 25006 a copy that cannot be written,
# 40 met another transaction, 53 short of room, memory or connections, 55P03 and 57014 took too long, 57P it ends)
_BUSY = ("08", "25006", "40", "53", "55P03", "57014", "57P", "58", "XX")
_NO_TABLE = ("42P01", "3F000")
_OTHER_TABLE = ("42703", "42804", "42809", "42P10")  # other columns, of other types, a view, no primary key
_NO_RIGHTS = "42501"

# what a server says before anybody is let in, and libpq gives no code for
_REFUSED = re.compile(
    r"authentication failed|no password supplied|no pg_hba\.conf entry|"
    r"(role|database) \".*\" (does not exist|is not permitted)|permission denied",
    re.IGNORECASE,
)
_MISFIT = re.compile(
    r"certificate verify failed|server certificate for|certificate file|invalid \w+ value|does not support SSL",
    re.IGNORECASE,
)

_RIGHTS = ("INSERT", "UPDATE", "DELETE")

_READ: dict[int, Callable[[str], Any]] = {
    16: lambda text: text == "t",
    20: int,
    21: int,
    23: int,
    700: float,
    701: float,
}
"""By the number of a type: boolean, the integers, the floats."""


class PostgresServer:
    """Ask one PostgreSQL server: by its address (``postgresql://``), or by a function that opens a connection of
    psycopg 3, which is then ours.

    ``timeout`` bounds each attempt to connect and each answer, in seconds. ``table`` begins the name of every table.
    ``step`` is what errors say of when they happened. Raises ``SettingsError`` for a name that is none.
    """

    def __init__(
        self,
        connect_or_url: str | Veiled[str] | Callable[[], psycopg.Connection[Any]],
        *,
        timeout: float = TIMEOUT,
        table: str = "franking",
        step: str = "secret",
    ) -> None:
        connect_or_url = given = veiled(connect_or_url)
        check_name(table, step=step)
        self.timeout, self.table, self.step = timeout, table, step
        self._connect: Callable[[], Any] | None = None
        self._url: Veiled[str] | None = None
        self.where, self._hidden = "PostgreSQL", Redactor()
        if not isinstance(given, Veiled):
            self._connect = given
        else:
            with discreet:
                address.check(given.reveal(), step=step)
                self._url = Veiled(_translated(given.reveal()))
                self.where = address.shown(given.reveal())
                self._hidden = address.secrets_of(given.reveal())
        self._pool = Pool(self._open, timeout)
        self._protected: bool | None = None

    def __repr__(self) -> str:
        return f"PostgresServer({self.where!r}, {self.table!r})"

    @property
    def protected(self) -> bool:
        """Return whether nobody on the way could listen to the last connection that was opened: TLS, or a server on
        this machine.
        """
        if self._protected is None:
            with self._borrowed():
                pass
        return bool(self._protected)

    def run(self, statement: str, *values: Value) -> list[Row]:
        """Run one statement and return its rows."""
        return self.run_all([(statement, values)])[0]

    def run_all(self, calls: Sequence[tuple[str, Sequence[Value]]]) -> list[list[Row]]:
        """Run statements one after the other, in one round trip and one transaction, and return the rows of each.

        Where one fails, nothing of all was done.
        """
        with discreet:
            with self._borrowed() as connection:
                results = self._exchange(connection.pgconn, calls)
            for result in results:
                if result.error_message:
                    raise self._refusal(result)
            return [list(_rows(result)) for result in results]

    def make_tables(self) -> None:
        """Make all tables; those that are there stay as they are, and several programs may do it at once. Where all are
        there, it needs no right to make any.
        """
        wanted = statements(self.table)
        names = [made_by(one, self.table) for one in wanted]
        found = self.run_all([("SELECT to_regclass($1) IS NOT NULL", (name,)) for name in names])
        if not all(there for ((there,),) in found):
            alone: tuple[str, Sequence[Value]] = ("SELECT pg_advisory_xact_lock(7266172)", ())
            self.run_all([alone, *((one, ()) for one in wanted)])
        self._check_columns()

    def check_tables(self) -> None:
        """Raise ``SettingsError`` where one of the tables is missing, is another program's, or may not be used."""
        self._check_columns()
        asked = [(table, right) for table in columns(self.table) for right in _RIGHTS]
        answers = self.run_all([("SELECT has_table_privilege($1::text, $2::text)", one) for one in asked])
        missing = [f"{right} on {table}" for (table, right), ((may,),) in zip(asked, answers, strict=True) if not may]
        if missing:
            raise failures.no_rights(self.where, f"it has no {', '.join(missing)}", step=self.step)

    def _check_columns(self) -> None:
        looks = [
            (f"SELECT {', '.join(names)} FROM {table} WHERE false", ())  # noqa: S608  (names of our own)
            for table, names in columns(self.table).items()
        ]
        self.run_all(looks)

    def close(self) -> None:
        """Close the connections that nobody uses just now."""
        self._pool.close()

    # -- one connection ----------------------------------------------------------------------------------------------

    def _exchange(self, pgconn: Any, calls: Sequence[tuple[str, Sequence[Value]]]) -> list[Any]:
        """Send statements together and return their results, of which the last may be an error."""
        import psycopg

        try:
            pgconn.enter_pipeline_mode()
            for statement, values in calls:
                named = statement.replace("{table}", self.table).encode()
                pgconn.send_query_params(named, [_octets(value) for value in values])
            pgconn.pipeline_sync()
            results = self._answers(pgconn, time.monotonic() + self.timeout)
            pgconn.exit_pipeline_mode()
            return results
        except (psycopg.Error, OSError) as problem:
            error = failures.away(self.where, _said(problem), step=self.step, unknown=True, hidden=self._hidden)
        raise error  # out here, where the library's own error is not its context

    def _answers(self, pgconn: Any, until: float) -> list[Any]:
        """Return a result for each statement, up to the first error. Raises ``OSError`` where time ran out, or the
        connection did.
        """
        from psycopg.pq import ConnStatus, ExecStatus

        results: list[Any] = []
        while True:
            while (unsent := pgconn.flush()) or pgconn.is_busy():
                wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if unsent else 0)
                if not ready(pgconn.socket, wanted, until):
                    raise TimeoutError(f"no answer within {self.timeout:g} seconds")
                pgconn.consume_input()
            result = pgconn.get_result()
            if pgconn.status == ConnStatus.BAD:
                raise ConnectionError(result.error_message if result else "the connection has ended")
            if result is None:  # the end of one statement
                continue
            if result.status == ExecStatus.PIPELINE_SYNC:
                return results
            if result.status != ExecStatus.PIPELINE_ABORTED:
                results.append(result)

    @contextmanager
    def _borrowed(self) -> Iterator[Any]:
        full = ""
        try:
            with self._pool.borrowed() as connection:
                yield connection
        except Full as problem:
            full = str(problem)
        if full:
            raise failures.busy(self.where, full, step=self.step)

    def _open(self) -> Any:
        try:
            import psycopg
        except ImportError as problem:
            if "libpq" in str(problem):  # psycopg is there, and the library that it stands on is not
                raise failures.extra_missing("PostgreSQL's libpq", "postgres", step=self.step) from None
            raise failures.extra_missing("psycopg", "postgres", step=self.step) from None
        error: FrankingError
        try:
            connection = within(self.timeout + 1, self._made, name="franking-postgres")
            self._protected = bool(connection.pgconn.ssl_in_use) or failures.loopback(connection.info.host)
            return connection
        except psycopg.ProgrammingError as problem:  # an address that libpq cannot read
            error = failures.misfit(_said(problem), step=self.step, server=self.where, hidden=self._hidden)
        except (psycopg.Error, OSError) as problem:
            error = self._not_open(problem)
        raise error

    def _made(self) -> Any:
        import psycopg

        if self._connect is not None:
            connection = self._connect()
            if not connection.autocommit:
                connection.autocommit = True
            return connection
        assert self._url is not None
        return psycopg.connect(
            self._url.reveal(),
            **self._place(),
            autocommit=True,
            connect_timeout=max(2, math.ceil(self.timeout)),
            client_encoding="utf8",
            application_name="franking",
        )

    def _place(self) -> dict[str, Any]:
        """Return the address that answers first, where a name has several: libpq would give its time to each."""
        from psycopg.conninfo import conninfo_to_dict

        assert self._url is not None
        known = conninfo_to_dict(self._url.reveal())
        host, port = str(known.get("host") or ""), str(known.get("port") or "5432")
        if not host or host.startswith(("/", "@")) or "," in host or "hostaddr" in known or not port.isdigit():
            return {}
        there, port_there = first_to_answer(host, int(port), self.timeout)
        return {"hostaddr": there, "port": port_there}

    # -- what an error means -----------------------------------------------------------------------------------------

    def _refusal(self, result: Any) -> FrankingError:
        code = _code(result)
        words = " ".join(result.error_message.decode("utf-8", "replace").split())
        if code.startswith(_BUSY):
            return failures.busy(self.where, words, step=self.step, hidden=self._hidden)
        if code in _NO_TABLE:
            return failures.no_table(self.where, words, step=self.step, hidden=self._hidden)
        if code in _OTHER_TABLE:
            return failures.other_table(self.where, words, step=self.step, hidden=self._hidden)
        if code == _NO_RIGHTS:
            return failures.no_rights(self.where, words, step=self.step, hidden=self._hidden)
        return failures.refused(self.where, words, step=self.step, hidden=self._hidden)

    def _not_open(self, problem: Exception) -> FrankingError:
        words = _said(problem)
        if _MISFIT.search(words):
            why = f"{self.where}: {words}"
            return failures.misfit(why, step=self.step, server=self.where, hidden=self._hidden)
        if _REFUSED.search(words):
            return failures.refused(self.where, words, step=self.step, hidden=self._hidden)
        return failures.away(self.where, words, step=self.step, unknown=False, hidden=self._hidden)


def _translated(url: str) -> str:
    """Return an address as libpq reads it: ``ca_file`` is its ``sslrootcert``, and who names one wants it checked."""
    parts = urlsplit(url)
    options = [("sslrootcert" if name == "ca_file" else name, value) for name, value in parse_qsl(parts.query)]
    names = [name for name, _ in options]
    if "sslrootcert" in names and "sslmode" not in names:
        options.append(("sslmode", "verify-full"))
    return urlunsplit(parts._replace(query=urlencode(options)))


def _octets(value: Value) -> bytes | None:
    if value is None:
        return None
    text = str(value)
    if "\0" in text:
        raise ValueError("PostgreSQL keeps no NUL in a text")
    return text.encode()


def _rows(result: Any) -> Iterator[Row]:
    readers = [_READ.get(result.ftype(column), str) for column in range(result.nfields)]
    for row in range(result.ntuples):
        values = [result.get_value(row, column) for column in range(result.nfields)]
        yield tuple(
            None if value is None else read(value.decode()) for value, read in zip(values, readers, strict=True)
        )


def _code(result: Any) -> str:
    from psycopg.pq import DiagnosticField

    return (result.error_field(DiagnosticField.SQLSTATE) or b"").decode()


def _said(problem: Exception) -> str:
    return " ".join(str(problem).split()) or type(problem).__name__
