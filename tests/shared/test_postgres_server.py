"""How PostgreSQL is asked: statements in one round trip, what each failure means, threads, forks, one's own connect."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest

from franking.errors import FrankingError, SendError, SettingsError
from franking.shared import postgres_pool, tables
from franking.shared.failures import may_have_happened
from franking.shared.postgres_pool import CONNECTIONS
from franking.shared.postgres_server import PostgresServer
from servers.ports import HOST, closed_port
from servers.sqlwire import Fault, SqlWire

PUT = "INSERT INTO {table} (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = $2 RETURNING value"


@pytest.fixture
def wire() -> Iterator[SqlWire]:
    with SqlWire() as server:
        yield server


@pytest.fixture
def server(wire: SqlWire) -> Iterator[PostgresServer]:
    made = PostgresServer(wire.url, timeout=20)
    made.make_tables()
    yield made
    made.close()


def test_rows_come_as_what_they_are(server: PostgresServer) -> None:
    assert server.run("SELECT 1, 2.5, $1, NULL", "č") == [(1, 2.5, "č", None)]
    assert server.run("SELECT $1", None) == [(None,)]


def test_several_statements_go_together_and_are_one(server: PostgresServer, wire: SqlWire) -> None:
    flights = wire.flights
    assert server.run_all([(PUT, ("a", 1)), (PUT, ("b", 2))]) == [[("1",)], [("2",)]]
    assert wire.flights == flights + 1 and wire.connections == 1
    with pytest.raises(SettingsError, match="no such column"):
        server.run_all([(PUT, ("c", 3)), ("SELECT missing FROM {table}", ()), (PUT, ("d", 4))])
    assert server.run("SELECT key FROM {table} ORDER BY key") == [("a",), ("b",)]


def test_tables_are_made_once(server: PostgresServer, wire: SqlWire) -> None:
    server.run(PUT, "a", 1)
    flights = wire.flights
    server.make_tables()
    assert wire.flights == flights + 2  # it only looks, at the columns too: not everybody may make tables
    assert server.run("SELECT value FROM {table}") == [("1",)]
    server.run("DROP INDEX franking_sent_at")
    server.make_tables()
    assert server.run("SELECT name FROM sqlite_master WHERE name = 'franking_sent_at'") == [("franking_sent_at",)]


def test_all_that_makes_tables_does_nothing_where_they_are() -> None:
    names = [tables.made_by(one, "mail.franking") for one in tables.statements("mail.franking")]
    assert names[:3] == ["mail.franking", "mail.franking_journal", "mail.franking_journal_changed"]
    assert len(set(names)) == len(tables.STATEMENTS)


def test_a_server_that_was_started_anew_is_asked_as_if_nothing_had_been(server: PostgresServer, wire: SqlWire) -> None:
    wire.cut()
    assert server.run("SELECT 1") == [(1,)]
    assert wire.connections == 2


def test_threads_share_it(server: PostgresServer) -> None:
    found: list[str] = []

    def work(number: int) -> None:
        found.extend(server.run(PUT, f"k{number}", f"{number} {turn}")[0][0] for turn in range(20))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(f"{number} {turn}" for number in range(4) for turn in range(20))


@pytest.mark.process
def test_a_forked_child_opens_its_own_connection(server: PostgresServer, wire: SqlWire) -> None:
    before = wire.connections
    child = os.fork()
    if not child:
        os._exit(0 if server.run("SELECT 1") == [(1,)] else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert server.run("SELECT 2") == [(2,)]
    assert wire.connections == before + 1


def test_a_connection_of_a_parent_is_never_closed_here(server: PostgresServer) -> None:
    server.run("SELECT 1")
    link = server._pool._idle[0]
    postgres_pool._after_fork()
    server.close()
    assert server.run("SELECT 1") == [(1,)]
    assert link in postgres_pool._PARENTS and not link.connection.closed
    while postgres_pool._PARENTS:  # what an earlier test left open too, for this process is no child
        postgres_pool._PARENTS.pop().connection.close()


def test_many_threads_share_few_connections(server: PostgresServer, wire: SqlWire) -> None:
    before = wire.connections
    threads = [threading.Thread(target=server.run, args=("SELECT 1",)) for _ in range(20)]
    with wire.lock:  # none gets an answer
        for thread in threads:
            thread.start()
        while len(server._pool._changed._waiters) < 20 - CONNECTIONS:  # type: ignore[attr-defined]
            time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert wire.connections <= before + CONNECTIONS - 1  # one was there


def test_who_waits_too_long_for_a_connection_may_try_again(wire: SqlWire) -> None:
    server = PostgresServer(wire.url, timeout=0.2)
    with ExitStack() as stack:
        links = [stack.enter_context(server._borrowed()) for _ in range(CONNECTIONS)]
        with pytest.raises(SendError, match=f"all {CONNECTIONS} connections of this program are in use") as caught:
            server.run("SELECT 1")
        assert caught.value.temporary and not may_have_happened(caught.value)
    assert len(set(map(id, links))) == CONNECTIONS
    assert server.run("SELECT 1") == [(1,)]
    server.close()


def test_the_place_of_a_connection_that_was_lost_is_free_again(wire: SqlWire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_pool, "LOOK_SECONDS", 0.01)
    server = PostgresServer(wire.url, timeout=20)
    for _ in range(CONNECTIONS):
        server._pool._taken().connection.close()  # something broke in, before it could be given back
    assert server.run("SELECT 1") == [(1,)]
    for _ in range(CONNECTIONS):
        with pytest.raises(ZeroDivisionError), server._borrowed():
            1 / 0  # noqa: B018
    assert server.run("SELECT 1") == [(1,)]
    server.close()


def test_a_connection_of_the_application_is_taken_over(wire: SqlWire) -> None:
    server = PostgresServer(lambda: psycopg.connect(wire.url), table="mail.franking")
    assert server.run("SELECT 1") == [(1,)]
    assert server.where == "PostgreSQL" and server.protected
    server.close()


# -- failures ----------------------------------------------------------------------------------------------------------


def failing(server: PostgresServer, wire: SqlWire, fault: Fault) -> FrankingError:
    wire.faults.append(fault)
    with pytest.raises(FrankingError) as caught:
        server.run(PUT, "a", "1")
    return caught.value


@pytest.mark.parametrize("code", ["53300", "53100", "25006", "40001", "55P03", "57014", "57P03", "08006"])
def test_what_passes_is_temporary_and_surely_not_done(server: PostgresServer, wire: SqlWire, code: str) -> None:
    error = failing(server, wire, Fault(code, "not now"))
    assert isinstance(error, SendError) and error.temporary and error.step == "secret"
    assert error.evidence is not None and error.evidence.reason == "server-busy"
    assert "not now" in str(error) and not may_have_happened(error)
    assert server.run("SELECT key FROM {table}") == []


@pytest.mark.parametrize("code", ["28000", "22012"])
def test_what_somebody_has_to_mend_is_a_setting(server: PostgresServer, wire: SqlWire, code: str) -> None:
    error = failing(server, wire, Fault(code, "permission denied for table franking"))
    assert isinstance(error, SettingsError) and error.field == "FRANKING_STORE"
    assert error.evidence is not None and error.evidence.reason == "server-refused"


def test_a_user_who_may_too_little_is_told_so_and_not_to_look_at_the_password(
    server: PostgresServer, wire: SqlWire
) -> None:
    error = failing(server, wire, Fault("42501", "permission denied for table franking"))
    assert isinstance(error, SettingsError) and "permission denied for table franking." in str(error)
    assert error.evidence is not None and error.evidence.reason == "no-rights"
    assert "GRANT" not in str(error) and "password" not in str(error)


def test_all_tables_are_looked_at_and_every_right(server: PostgresServer, wire: SqlWire) -> None:
    server.check_tables()
    wire.forbidden = {("franking_sent", "DELETE"), ("franking_limits", "UPDATE")}
    with pytest.raises(SettingsError, match="it has no UPDATE on franking_limits, DELETE on franking_sent") as caught:
        server.check_tables()
    assert caught.value.evidence is not None and caught.value.evidence.reason == "no-rights"
    server.run("DROP TABLE franking_journal")  # an older Franking made the others
    with pytest.raises(SettingsError, match="franking store init"):
        server.check_tables()


def test_another_program_s_table_of_that_name_is_not_made_again_and_again(
    server: PostgresServer, wire: SqlWire
) -> None:
    server.run("DROP TABLE franking_journal")
    server.run("CREATE TABLE franking_journal (key text, changed float8)")
    with pytest.raises(SettingsError) as caught:
        server.make_tables()
    assert caught.value.evidence is not None and caught.value.evidence.reason == "other-table"
    assert "franking store init" not in str(caught.value)


@pytest.mark.parametrize("code", ["42P01", "3F000"])
def test_missing_tables_name_the_command_that_makes_them(server: PostgresServer, wire: SqlWire, code: str) -> None:
    error = failing(server, wire, Fault(code, "relation does not exist"))
    assert isinstance(error, SettingsError) and error.repair == "franking store init"
    assert "franking store init" in str(error)


@pytest.mark.parametrize(
    "fault", [Fault(cut=True), Fault("57P01", "terminating", cut=True), Fault(cut=True, after=True)]
)
def test_an_answer_that_is_lost_may_have_been_given(server: PostgresServer, wire: SqlWire, fault: Fault) -> None:
    error = failing(server, wire, fault)
    assert isinstance(error, SendError) and error.temporary and may_have_happened(error)
    assert error.__context__ is None
    assert server.run("SELECT key FROM {table}") == ([("a",)] if fault.after else [])


def test_silence_is_waited_for_only_so_long(wire: SqlWire) -> None:
    server = PostgresServer(wire.url, timeout=0.3)
    wire.faults.append(Fault(silent=True))
    with pytest.raises(SendError, match=r"no answer within 0\.3 seconds") as caught:
        server.run("SELECT 1")
    assert may_have_happened(caught.value)
    wire.ended.set()


@pytest.mark.parametrize(
    ("code", "words", "reason"),
    [
        ("28P01", 'password authentication failed for user "x"', "server-refused"),
        ("28000", 'no pg_hba.conf entry for host "10.0.0.1"', "server-refused"),
        ("3D000", 'database "mail" does not exist', "server-refused"),
        ("57P03", "the database system is starting up", "server-away"),
        ("53300", "sorry, too many clients already", "server-away"),
        ("42501", 'permission denied for database "mail"', "server-refused"),
    ],
)
def test_a_server_that_lets_nobody_in(wire: SqlWire, code: str, words: str, reason: str) -> None:
    wire.refusal = Fault(code, words)
    server = PostgresServer(wire.url.replace("postgres@", "postgres:canary-5512@"), timeout=20)
    with pytest.raises(FrankingError) as caught:
        server.run("SELECT 1")
    assert caught.value.evidence is not None and caught.value.evidence.reason == reason
    assert not may_have_happened(caught.value)
    assert "canary-5512" not in f"{caught.value} {caught.value.evidence} {server!r}"


def test_a_server_that_is_away_did_nothing() -> None:
    server = PostgresServer(f"postgresql://{HOST}:{closed_port()}/mail", timeout=20)
    with pytest.raises(SendError) as caught:
        server.run("SELECT 1")
    assert caught.value.temporary and not may_have_happened(caught.value)
    assert f"postgresql://{HOST}:{closed_port()}/mail" in str(caught.value)


def test_a_certificate_is_asked_for_where_somebody_names_an_authority(tmp_path: os.PathLike[str]) -> None:
    server = PostgresServer(f"postgresql://{HOST}:{closed_port()}/mail?ca_file={tmp_path}/none.pem", timeout=20)
    assert server._url is not None
    assert server._url.reveal().endswith("none.pem&sslmode=verify-full")


@pytest.mark.parametrize(
    ("option", "words"), [("sslmode=yes", "invalid sslmode value"), ("sslmode=require", "does not support SSL")]
)
def test_what_no_second_attempt_mends_is_a_setting(wire: SqlWire, option: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        PostgresServer(f"{wire.url}?{option}", timeout=20).run("SELECT 1")
    assert caught.value.evidence is not None and caught.value.evidence.reason == "bad-address"


def test_an_option_that_nobody_knows_is_a_setting() -> None:
    with pytest.raises(SettingsError, match="slmode"):
        PostgresServer(f"postgresql://{HOST}:{closed_port()}/mail?slmode=require").run("SELECT 1")


def test_a_value_with_nul_is_refused_before_it_leaves(server: PostgresServer) -> None:
    with pytest.raises(ValueError, match="NUL"):
        server.run(PUT, "a", "x\0y")
    assert server.run("SELECT 1") == [(1,)]


@pytest.mark.parametrize("name", ["Franking", "a b", "x;y", "a.b.c", "", "1a", "a" * 60])
def test_a_name_that_would_need_quotes_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="table"):
        PostgresServer("postgresql://h/mail", table=name)


def test_where_no_file_can_be_opened_it_is_asked_later(server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    server.run("SELECT 1")
    with monkeypatch.context() as patch:
        patch.setattr(postgres_pool, "_Selector", none)
        with pytest.raises(SendError) as caught:
            server.run("SELECT 1")
    assert caught.value.temporary
    assert server.run("SELECT 2") == [(2,)]
