"""The outbox's file: what is refused and left as it is, what a full disk leaves behind."""

from __future__ import annotations

import contextlib
import gc
import os
import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import franking
from commandline import franking as run
from franking.outbox import claims, database, holds, rows, store
from franking.outbox.store import Store
from franking.outbox.unheard import unheard
from outbox.test_outbox import large, message, save


@pytest.fixture
def box() -> Store:
    save(1)
    made = Store()
    with made.database.ready():
        pass
    return made


def queue(number: int = 0) -> franking.OutboxEntry:
    return franking.connect("shop").queue(message(number))


def remedies(error: franking.FrankingError) -> list[str]:
    assert error.diagnosis is not None
    return list(error.diagnosis.remedies)


def test_who_only_looks_makes_nothing() -> None:
    box = Store()
    assert not any(box.counts().values())
    assert box.list() == [] and box.find("order-114") is None
    assert [run("outbox", "list").code, run("outbox", "list", "--counts", "--json").code] == [0, 0]
    assert not box.directory.exists()


def test_a_damaged_database_is_named_and_left_as_it_is(box: Store) -> None:
    box.close()
    box.database.path.write_bytes(b"no database at all" * 100)
    before = box.database.path.read_bytes()
    with pytest.raises(franking.SendError, match="damaged") as caught:
        queue()
    assert not caught.value.temporary
    assert box.database.path.read_bytes() == before
    ended = run("outbox", "list")
    assert ended.code == 1
    assert str(box.database.path) in " ".join(ended.err.split())


def test_a_newer_one_is_refused(box: Store) -> None:
    with sqlite3.connect(box.database.path) as connection:
        connection.execute("PRAGMA user_version=99")
    connection.close()
    box.close()
    with pytest.raises(franking.SettingsError, match="newer") as caught:
        queue()
    assert run("outbox", "run", "--once").code == 2
    assert remedies(caught.value) == ["Update Franking, or name another directory in FRANKING_OUTBOX."]


def test_who_opens_a_new_one_waits_for_another_that_does() -> None:
    """SQLite itself does not wait where one that has read wants to change the journal (pager.c)."""
    save(1)
    made = Store()
    made.database.directory.mkdir(0o700, parents=True)
    made.database.path.touch(0o600)
    with contextlib.closing(
        sqlite3.connect(made.database.path, isolation_level=None, check_same_thread=False)
    ) as other:
        other.execute("BEGIN IMMEDIATE")
        ends = threading.Timer(0.2, other.execute, ["COMMIT"])
        ends.start()
        assert made.counts()["queued"] == 0
        ends.join()
    made.close()


def test_an_older_one_is_brought_forward_in_one_step(box: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = queue()
    monkeypatch.setattr(database, "SCHEMA", (*database.SCHEMA, "ALTER TABLE entries ADD COLUMN colour TEXT; nonsense"))
    with pytest.raises(franking.SendError):
        Store().counts()  # half a step is none
    monkeypatch.setattr(database, "SCHEMA", (*database.SCHEMA[:-1], "ALTER TABLE entries ADD COLUMN colour TEXT"))
    assert Store().get(entry.id).id == entry.id


def test_what_the_relay_s_clients_have_not_heard_is_known_after_an_update(monkeypatch: pytest.MonkeyPatch) -> None:
    save(1)
    with monkeypatch.context() as before:
        before.setattr(database, "SCHEMA", database.SCHEMA[:2])
        ours, theirs = queue(), franking.connect("shop").queue(message(), key="relay-order")
        with Store().database.transaction() as connection:
            connection.execute(
                "UPDATE entries SET key = 'relay-ab', digest = x'' WHERE number = ?", (int(ours.id[:12]),)
            )
    box = Store()
    with box.database.transaction() as connection:
        assert [unheard(connection, key) for key in ("ab", "order")] == [int(ours.id[:12]), None]
    assert box.get(ours.id).key is None
    assert box.find("relay-order") == theirs


@pytest.mark.skipif(os.name != "posix", reason="modes and owners")
@pytest.mark.parametrize(
    ("what", "mode"), [("directory", 0o755), ("directory", 0o710), ("path", 0o644), ("path", 0o640)]
)
def test_what_others_may_read_is_refused_with_the_command(box: Store, what: str, mode: int) -> None:
    box.close()
    path: Path = getattr(box.database, what)
    path.chmod(mode)
    with pytest.raises(franking.SettingsError, match="chmod") as caught:
        queue()
    assert caught.value.repair is not None
    assert os.waitstatus_to_exitcode(os.system(caught.value.repair)) == 0
    assert queue().state == "queued"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root may give files away")
def test_another_owners_is_refused_with_the_way_out(box: Store) -> None:
    box.close()
    os.chown(box.database.path, 12345, -1)
    with pytest.raises(franking.SettingsError, match="relay") as caught:
        queue()
    assert "chmod" not in str(remedies(caught.value))


def test_a_link_is_not_followed(box: Store, tmp_path: Path) -> None:
    box.close()
    elsewhere = tmp_path / "elsewhere.sqlite3"
    box.database.path.rename(elsewhere)
    box.database.path.symlink_to(elsewhere)
    with pytest.raises(franking.SettingsError, match="cannot be written"):
        queue()


def test_a_network_file_system_is_refused(box: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    box.close()
    device = box.directory.stat().st_dev
    line = f"36 35 {os.major(device)}:{os.minor(device)} / /home rw - nfs4 server:/home rw\n"
    real = Path.read_text

    def read_text(path: Path, *more: Any) -> str:
        return line if str(path) == "/proc/self/mountinfo" else real(path, *more)

    monkeypatch.setattr(Path, "read_text", read_text)
    with pytest.raises(franking.SettingsError, match="nfs4"):
        queue()


def test_a_full_disk_leaves_the_old_state(box: Store) -> None:
    """At every size at which it may happen."""
    kept = [queue(number).id for number in range(3)]
    mailer = franking.connect("shop")
    mailer.queue(message(3))
    opened = mailer.outbox
    assert opened is not None
    pages = opened.database.rows("PRAGMA page_count")[0][0]
    for more in range(12):
        opened.database.rows(f"PRAGMA max_page_count = {pages + more}")
        before = opened.counts()
        try:
            mailer.queue(franking.Message(to="a@example.com", text="x" * 20_000))
        except franking.SendError as full:
            assert full.temporary
            assert opened.counts() == before
        else:
            assert opened.counts()["queued"] == before["queued"] + 1
            break
    else:
        pytest.fail("it never fitted")
    assert more > 0
    assert {entry.id for entry in opened.list()} >= set(kept)


def test_a_disk_that_is_full_for_a_large_message_keeps_nothing_of_it(
    box: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(franking.SendError, match="No space") as caught:
        patch.setattr(os, "fsync", full)
        franking.connect("shop").queue(large(b"x" * 400_000))
    assert caught.value.temporary
    assert caught.value.diagnosis is None or caught.value.diagnosis.code == "outbox.busy"
    assert list((box.directory / "bodies").iterdir()) == []
    assert box.counts()["queued"] == 0


def test_a_body_that_is_gone_ends_its_message_only(box: Store) -> None:
    one, other = franking.connect("shop").queue(large(b"x" * 400_000)), queue()
    (box.directory / "bodies" / f"{one.id}.eml").unlink()
    outbox = franking.Outbox()
    outbox.run(once=True)
    entry = outbox.get(one.id)
    assert entry.state == "failed"
    assert entry.diagnosis is not None and entry.diagnosis.code == "outbox.body-missing"
    assert outbox.get(other.id).state == "queued"


def test_files_that_no_row_names_go_after_an_hour(box: Store) -> None:
    bodies = box.directory / "bodies"
    entry = franking.connect("shop").queue(large(b"x" * 400_000))
    old, new = bodies / "000000000099-deadbeef.eml", bodies / ".1-2.tmp"
    for path in (old, new):
        path.write_bytes(b"x")
    for path in (old, bodies / f"{entry.id}.eml"):
        os.utime(path, (1, 1))
    box.purge()
    assert sorted(path.name for path in bodies.iterdir()) == sorted([new.name, f"{entry.id}.eml"])


def test_an_accepted_body_that_was_left_over_goes_too(box: Store) -> None:
    """Its runner was killed just behind the commit."""
    entry = franking.connect("shop").queue(large(b"x" * 400_000))
    with box.database.transaction() as connection:
        connection.execute("UPDATE entries SET state = 'accepted', finished_at = 9e9")
    path = box.directory / "bodies" / f"{entry.id}.eml"
    os.utime(path, (1, 1))
    assert box.purge() == []
    assert not path.exists()


def test_a_read_only_disk_hides_no_error_of_its_own(box: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is to be tidied up and cannot be is left; what went wrong is what is told."""

    def read_only(path: Path, *more: object, **options: object) -> None:
        raise OSError(30, "Read-only file system", str(path))

    with monkeypatch.context() as patch, pytest.raises(franking.SettingsError, match="Read-only"):
        patch.setattr(Path, "rename", read_only)
        patch.setattr(Path, "unlink", read_only)
        franking.connect("shop").queue(large(b"x" * 400_000))
    assert box.counts()["queued"] == 0


def test_a_commit_that_is_in_doubt_keeps_its_body(box: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk broke in its sync: whether it is there, the next who opens the file will see."""

    class Broken(sqlite3.OperationalError):
        sqlite_errorname = "SQLITE_IOERR_FSYNC"

    real = Store().database.transaction

    @contextlib.contextmanager
    def broken(self: Any) -> Iterator[Any]:
        with real() as connection:
            yield connection
            raise Broken("disk I/O error")

    with monkeypatch.context() as patch, pytest.raises(franking.SendError, match="may be there") as caught:
        patch.setattr(database.Database, "transaction", broken)
        franking.connect("shop").queue(large(b"x" * 400_000))
    assert caught.value.temporary
    assert [path.suffix for path in (box.directory / "bodies").iterdir()] == [".eml"]


def test_no_secret_is_in_the_outbox(box: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRANKING_SECRET_SHOP", "Canary7-hunter2")
    queue()
    franking.Outbox().run(once=True)
    box.close()
    for path in box.directory.rglob("*"):
        if path.is_file():
            assert b"Canary7" not in path.read_bytes()


@pytest.mark.parametrize(
    "query",
    [
        holds._WAITING,
        holds._OVER,
        holds._END,
        claims._CLAIM,
        rows.BY_ROUTES,
        *(store._PAGE.format(part) for part in ("true", *store._in("failed"))),
        *(store._PAGE.format(f"account = :account AND {part}") for part in store._in("queued") + store._in("failed")),
    ],
)
def test_what_is_asked_all_the_time_goes_by_an_index(query: str, box: Store) -> None:
    """A million rows are as fast as a thousand."""
    values = {"now": 1, "far": 2, "account": "shop", "limit": 1, "runner": "x", "border": 9, "diagnosis": "{}"}
    values |= {"first": "shop", "end": "shop~"}
    wanted = {name: values[name] for name in re.findall(r":(\w+)", query)}
    plan = [row["detail"] for row in box.database.rows(f"EXPLAIN QUERY PLAN {query}", wanted)]
    assert [step for step in plan if step.startswith("SCAN entries")] == []
    assert "USE TEMP B-TREE FOR ORDER BY" not in plan or query == claims._CLAIM  # a few rows of each index


def test_counting_reads_no_messages(box: Store) -> None:
    plan = [row["detail"] for row in box.database.rows(f"EXPLAIN QUERY PLAN {store._COUNTS}")]
    scans = [step for step in plan if step.startswith("SCAN entries")]
    assert len(scans) == 3 and all("COVERING INDEX" in step for step in scans)


@pytest.mark.parametrize(("size", "pages"), [(2_000, 4), (5_000, 7)])
def test_a_message_that_is_put_down_takes_few_pages(size: int, pages: int, box: Store) -> None:
    """The file's first, the row's, its index's, and the one that leads to the row's; a larger message has its own."""
    mailer = franking.connect("shop")
    letter = franking.Message(to="a@example.com", text="x" * size)
    mailer.queue(letter)
    log = box.database.path.with_name(f"{box.database.path.name}-wal")
    page = box.database.rows("PRAGMA page_size")[0][0] + 24
    before = log.stat().st_size
    for _ in range(20):
        mailer.queue(letter)
    written, rest = divmod(log.stat().st_size - before, page)
    assert rest == 0
    assert written <= 20 * pages + 4, "an index now and then gets another page"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are listed in /proc")
@pytest.mark.parametrize("closes", [True, False])
def test_the_file_is_closed_by_who_closes_the_mailer_or_lets_it_go(closes: bool, box: Store) -> None:
    def held() -> int:
        return sum(os.path.realpath(each) == str(box.database.path) for each in Path("/proc/self/fd").iterdir())

    box.close()
    assert held() == 0
    mailer = franking.connect("shop")
    mailer.queue(message(1))
    assert held() == 1
    connection = mailer.outbox.database._connection  # type: ignore[union-attr]
    if closes:
        mailer.close()
        assert held() == 0
    del mailer
    gc.collect()
    assert held() == 0
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):  # by us, not by the collector, which warns of it
        connection.execute("SELECT 1")  # type: ignore[union-attr]


@pytest.mark.process
def test_who_looks_from_another_program_takes_no_journal_away(tmp_path: Path) -> None:
    """A process's locks on a file end when it closes that file once, whoever of it had opened it: then the next program
    that looked took itself for the last one and removed the journal that was still written.
    """
    first, second = (database.Database(tmp_path / "box") for _ in range(2))
    look = (
        "import sqlite3, sys; print(*sqlite3.connect(sys.argv[1]).execute('SELECT count() FROM accounts').fetchone())"
    )
    for number, writer in enumerate((first, second, first), 1):
        with writer.transaction() as connection:
            connection.execute("INSERT INTO accounts VALUES (?, NULL, 0, 0, 0, '')", (f"shop{number}",))
        seen = subprocess.run([sys.executable, "-c", look, str(first.path)], capture_output=True, check=True)
        assert int(seen.stdout) == number
        assert first.path.with_name(f"{first.path.name}-wal").exists()
    second.close()
    first.close()
