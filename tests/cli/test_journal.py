"""The journal of ``send-many``: what a later run learns of an earlier one, torn and foreign files, a full disk."""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from franking.errors import SettingsError
from franking_cli.batch.journal import SYNC_SECONDS, Journal

ONE, TWO = sha256(b"one").hexdigest(), sha256(b"two").hexdigest()


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "letters.jsonl.journal"
    yield path
    assert Path(f"{path}.lock").read_bytes() == b""  # it stays: who waits for it must find the same file


def test_a_later_run_learns_what_became_of_each_line(path: Path) -> None:
    with Journal(path) as journal:
        assert journal.entry(1) is None
        for line in (1, 2, 3, 4):
            journal.started(line, ONE, f"<{line}@x>")
        journal.ended(1, "accepted")
        journal.ended(2, "refused")
        journal.ended(3, "failed")
        journal.ended(4, "unknown")
        journal.ended(6, "failed")  # it never began: its message could not be made
    with Journal(path) as journal:
        states = {line: entry.state for line in range(8) if (entry := journal.entry(line)) is not None}
        assert states == {1: "accepted", 2: "refused", 3: "failed", 4: "unknown", 6: "failed"}
        ids = {line: entry.message_id for line in states if (entry := journal.entry(line)) is not None}
        assert ids == {1: None, 2: None, 3: "<3@x>", 4: "<4@x>", 6: None}, "what is done is sent by no later run"


def test_a_line_that_was_changed_does_not_fit(path: Path) -> None:
    with Journal(path) as journal:
        journal.started(1, ONE, "<1@x>")
        journal.ended(2, "failed")
    with Journal(path) as journal:
        begun, never_begun = journal.entry(1), journal.entry(2)
        assert begun is not None and never_begun is not None
        assert begun.fits(ONE) and not begun.fits(TWO)
        assert never_begun.fits(ONE) and never_begun.fits(TWO), "of a message that never began nothing is known"


def test_a_third_run_sees_what_the_second_one_did(path: Path) -> None:
    for message_id in ("<a@x>", "<b@x>"):
        with Journal(path) as journal:
            journal.started(1, ONE, message_id)
    with Journal(path) as journal:
        entry = journal.entry(1)
        assert entry is not None and (entry.state, entry.message_id) == ("unknown", "<b@x>")
        journal.ended(1, "accepted")
    with Journal(path) as journal:
        entry = journal.entry(1)
        assert entry is not None and (entry.state, entry.message_id) == ("accepted", None)


def test_half_a_line_of_a_killed_run_goes_and_the_next_line_is_whole(path: Path) -> None:
    whole = b'{"started":1,"sha256":"%s","message_id":"<1@x>"}\n' % ONE.encode()
    path.write_bytes(whole + whole.replace(b":1,", b":2,")[:-1])  # all but its end: it did not begin
    with Journal(path) as journal:
        assert journal.entry(2) is None
        assert path.read_bytes() == whole
        journal.started(2, TWO, "<2@x>")
    lines = path.read_text().splitlines()
    assert [json.loads(line)["started"] for line in lines] == [1, 2]


def test_what_is_begun_is_with_the_system_at_once_and_for_nobody_else_to_read(path: Path) -> None:
    with Journal(path) as journal:
        journal.started(1, ONE, "<1@x>")
        assert json.loads(path.read_text()) == {"started": 1, "sha256": ONE, "message_id": "<1@x>"}
        assert os.name != "posix" or path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "content",
    [
        "not json\n",
        '{"started": "x"}\n',
        "[1]\n",
        "null\n",
        '{"ended": 1, "outcome": "maybe"}\n',
        '{"ended": 1, "outcome": ""}\n',
        '{"ended": -4, "outcome": "accepted"}\n',
        '{"ended": 0, "outcome": "accepted"}\n',
        '{"ended": 1000000000, "outcome": "accepted"}\n',
    ],
)
def test_what_is_no_journal_is_left_alone(path: Path, content: str) -> None:
    good = '{"ended":1,"outcome":"accepted"}\n'
    path.write_text(good + content)
    with pytest.raises(SettingsError, match=r"letters\.jsonl\.journal:2: this is no journal"), Journal(path):
        pass
    assert path.read_text() == good + content


@pytest.mark.parametrize(
    "content",
    [
        b"Dear diary",
        b"Dear diary\nno line end",
        b'{"a": 1}',
        b'{ "started": 1, "sha256": "00", "message_id": "<x>" }',
        b"[]",
        b"1",
        b"\0" * 5000,
        b"\xff\xfe",
        b"x" * 1_000_000,
        b"\n",
    ],
)
def test_what_is_no_journal_keeps_every_octet(path: Path, content: bytes) -> None:
    for before in (content, b'{"ended":1,"outcome":"accepted"}\n' + content):
        path.write_bytes(before)
        with pytest.raises(SettingsError, match="this is no journal"), Journal(path):
            pass
        assert path.read_bytes() == before


@pytest.mark.parametrize("cut", range(1, 30))
def test_what_is_torn_anywhere_is_taken_back(path: Path, cut: int) -> None:
    whole = b'{"ended":1,"outcome":"accepted"}\n'
    path.write_bytes(whole + whole[:cut])
    with Journal(path):
        assert path.read_bytes() == whole


def test_a_journal_that_is_a_link_or_a_pipe_is_refused(path: Path, tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("kept")
    for plant in (lambda: path.symlink_to("victim"), lambda: os.mkfifo(path), lambda: path.symlink_to("nowhere")):
        plant()
        with pytest.raises(SettingsError), Journal(path):
            pass
        path.unlink()
    assert (tmp_path / "victim").read_text() == "kept"
    assert not (tmp_path / "nowhere").exists()


def test_two_runs_never_overlap(path: Path) -> None:
    """As many as can begin at once, again and again: each finds what the last one wrote, or is sent away."""
    inside, most, sent_away, lock = 0, 0, 0, threading.Lock()
    aliases = []
    for number in range(4):  # as if each were a process: the path decides for the threads of one
        (alias := path.parent / f"alias-{number}").symlink_to(path.parent)
        aliases.append(alias / path.name)

    def run(alias: Path) -> None:
        nonlocal inside, most, sent_away
        for _ in range(50):
            try:
                with Journal(alias):
                    with lock:
                        inside += 1
                        most = max(most, inside)
                    with lock:
                        inside -= 1
            except SettingsError as problem:
                assert "another run" in str(problem)
                sent_away += 1

    threads = [threading.Thread(target=run, args=(alias,)) for alias in aliases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_what_is_written_is_synced_at_a_pace_and_at_the_end(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, synced = 0.0, []
    monkeypatch.setattr("franking_cli.batch.journal._fdatasync", lambda handle: synced.append(path.stat().st_size))
    with Journal(path, clock=lambda: now) as journal:
        journal.started(1, ONE, "<1@x>")
        assert synced == [path.stat().st_size], "the first is on the disk before it leaves"
        for line in range(2, 50):
            journal.started(line, ONE, "<x@x>")
            journal.ended(line, "accepted")
        assert len(synced) == 1
        now += SYNC_SECONDS
        journal.started(50, ONE, "<50@x>")
        assert synced[1:] == [path.stat().st_size]
        journal.ended(50, "accepted")
    assert synced[2:] == [path.stat().st_size], "and whatever is left at the end"


@pytest.mark.parametrize(("number", "fails"), [(errno.EIO, True), (errno.ENOSPC, True), (errno.EINVAL, False)])
def test_a_disk_that_cannot_keep_it_begins_nothing_more(
    path: Path, monkeypatch: pytest.MonkeyPatch, number: int, fails: bool
) -> None:
    def fail(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("franking_cli.batch.journal._fdatasync", fail)
    with Journal(path) as journal:
        if not fails:  # a file system without it
            journal.started(1, ONE, "<1@x>")
            return
        with pytest.raises(SettingsError, match="cannot be written"):
            journal.started(1, ONE, "<1@x>")


def test_a_place_where_no_journal_can_be_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"the journal cannot be written: .*stands beside"), Journal(tmp_path):
        pass


@pytest.mark.parametrize("written", [10, OSError(28, "No space left on device")])
def test_a_full_disk_begins_nothing_more_and_adds_nothing_to_half_a_line(
    path: Path, monkeypatch: pytest.MonkeyPatch, written: int | OSError
) -> None:
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        if isinstance(written, OSError):
            raise written
        return write(descriptor, data[:written])

    with Journal(path) as journal:
        journal.started(1, ONE, "<1@x>")
        before = path.read_bytes()
        monkeypatch.setattr(os, "write", full)
        with pytest.raises(SettingsError, match="the journal cannot be written: "):
            journal.started(2, TWO, "<2@x>")
        monkeypatch.setattr(os, "write", write)
        journal.ended(1, "accepted")
        with pytest.raises(SettingsError):
            journal.started(3, TWO, "<3@x>")
        assert path.read_bytes() == before + b'{"started"'[: written if isinstance(written, int) else 0]
