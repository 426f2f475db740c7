"""The journal of ``send-many``: what a later run learns of an earlier one, torn and foreign files, a full disk."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from franking.errors import SettingsError
from franking_cli.batch.journal import Journal

ONE, TWO = sha256(b"one").hexdigest(), sha256(b"two").hexdigest()


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "letters.jsonl.journal"
    yield path
    assert not Path(f"{path}.lock").exists()


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
