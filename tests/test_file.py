"""The provider ``file``: .eml files and a Maildir."""

from __future__ import annotations

import mailbox
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import franking
from franking.auth.secret import Password
from franking.file import FileProvider
from franking.message.address import Address
from franking.message.prepare import prepare as prepare_message
from franking.provider import Step
from franking.testing.contracts import ProviderContract

prepare = partial(prepare_message, sender=Address("a@b.cz"))


class TestEmlFiles(ProviderContract):
    @pytest.fixture
    def provider(self) -> FileProvider:
        return FileProvider()

    @pytest.fixture
    def account(self, tmp_path: Path) -> franking.Account:
        return franking.Account(name="out", provider="file", sender="jan@example.com", path=str(tmp_path / "out"))

    @pytest.fixture
    def arrived(self, tmp_path: Path) -> Callable[[], list[bytes]]:
        return lambda: [file.read_bytes() for file in sorted((tmp_path / "out").iterdir())]


class TestMaildir(ProviderContract):
    @pytest.fixture
    def provider(self) -> FileProvider:
        return FileProvider()

    @pytest.fixture
    def account(self, tmp_path: Path) -> franking.Account:
        mailbox.Maildir(tmp_path / "Maildir").close()
        return franking.Account(name="out", provider="file", sender="jan@example.com", path=str(tmp_path / "Maildir"))

    @pytest.fixture
    def arrived(self, tmp_path: Path) -> Callable[[], list[bytes]]:
        return lambda: [file.read_bytes() for file in sorted((tmp_path / "Maildir" / "new").iterdir())]


def test_a_directory_is_asked_for() -> None:
    with pytest.raises(franking.SettingsError, match="needs a directory"):
        franking.Account(name="out", provider="file", sender="jan@example.com")


def test_a_directory_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    account = franking.Account(
        name="out", provider="file", sender="jan@example.com", path=str(tmp_path / "taken" / "out")
    )
    with pytest.raises(franking.Refused) as caught:
        franking.send(account, franking.Message(to=["a@example.com"], subject="x", text="x"))
    assert caught.value.diagnosis is not None
    assert caught.value.diagnosis.code == "file.cannot-write"
    assert not caught.value.possibly_sent


def test_nothing_half_written_stays_behind(tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(os.urandom(300_000))
    account = franking.Account(name="out", provider="file", sender="jan@example.com", path=str(tmp_path / "out"))
    message = franking.Message(to=["a@example.com"], subject="x", text="x", attachments=[str(file)])
    with franking.connect(account) as mailer:
        prepared = mailer.prepare(message)
        file.write_bytes(b"shorter now")
        with mailer.borrow() as session, pytest.raises(franking.MessageError):
            session.send(prepared.envelope, prepared.content)
    assert list((tmp_path / "out").iterdir()) == []


class Breaking:
    """A content that breaks off in the middle."""

    message_id = "<1@example.com>"

    def __init__(self, problem: BaseException) -> None:
        self.problem = problem

    def chunks(self, *, bcc: bool) -> Iterator[bytes]:
        assert not bcc
        yield b"half of "
        raise self.problem


def session(directory: Path, seen: list[Step]) -> Any:
    account = franking.Account(name="out", provider="file", sender="jan@example.com", path=str(directory))
    return FileProvider().open(account, Password(""), seen.append)


def left_in(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


@pytest.mark.parametrize("maildir", [False, True], ids=["eml", "maildir"])
@pytest.mark.parametrize(
    ("problem", "raised"),
    [
        (OSError(28, "No space left on device"), franking.Refused),
        (franking.MessageError("vanished"), franking.MessageError),
        (KeyboardInterrupt(), KeyboardInterrupt),
        (RuntimeError("a bug"), RuntimeError),
    ],
    ids=["full", "vanished", "interrupted", "bug"],
)
def test_half_a_file_is_taken_away(
    tmp_path: Path, maildir: bool, problem: BaseException, raised: type[BaseException]
) -> None:
    if maildir:
        mailbox.Maildir(tmp_path / "out").close()
    seen: list[Step] = []
    writes = session(tmp_path / "out", seen)
    with pytest.raises(raised) as caught:
        writes.send(franking.Envelope("a@b.cz", ["c@d.cz"]), Breaking(problem))
    assert left_in(tmp_path / "out") == []
    assert not caught.value.possibly_sent  # type: ignore[attr-defined]
    assert [(step.name, step.status) for step in seen][2:] == [("message", "running"), ("message", "failed")]
    if raised is franking.Refused:
        assert seen[-1].detail == f"The message could not be written to {tmp_path}/out: No space left on device."
    receipt = writes.send(franking.Envelope("a@b.cz", ["c@d.cz"]), prepare(b"To: c@d.cz\r\n\r\nx\r\n").content)
    (file,) = left_in(tmp_path / "out")
    assert receipt.reply == f"written to {file}"


def test_a_file_that_cannot_get_its_name_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> None:
        assert self.read_bytes().endswith(b"x\r\n"), "it is whole before it gets its name"
        raise PermissionError(13, "Permission denied")

    writes = session(tmp_path / "out", [])
    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(franking.Refused, match="Permission denied"):
        writes.send(franking.Envelope("a@b.cz", ["c@d.cz"]), prepare(b"To: c@d.cz\r\n\r\nx\r\n").content)
    assert left_in(tmp_path / "out") == []


@pytest.mark.parametrize(("maildir", "readable"), [(False, "*.eml"), (True, "new/*")], ids=["eml", "maildir"])
def test_nobody_reads_half_of_a_message(tmp_path: Path, maildir: bool, readable: str) -> None:
    if maildir:
        mailbox.Maildir(tmp_path / "out").close()

    class Watched(Breaking):
        def chunks(self, *, bcc: bool) -> Iterator[bytes]:
            yield b"half of "
            assert list((tmp_path / "out").glob(readable)) == []
            yield b"a message"

    receipt = session(tmp_path / "out", []).send(franking.Envelope("a@b.cz", ["c@d.cz"]), Watched(KeyboardInterrupt()))
    assert receipt.bytes == 17
    (file,) = (tmp_path / "out").glob(readable)
    assert file.read_bytes() == b"half of a message"
    assert left_in(tmp_path / "out") == [file]


def test_messages_of_the_same_moment_have_names_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1.0)
    writes = session(tmp_path / "out", [])
    for _ in range(3):
        writes.send(franking.Envelope("a@b.cz", ["c@d.cz"]), prepare(b"To: c@d.cz\r\n\r\nx\r\n").content)
    assert len(left_in(tmp_path / "out")) == 3


def test_a_directory_that_cannot_be_made_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    report = franking.send_test(
        franking.Account(name="out", provider="file", sender="a@b.cz", path=str(tmp_path / "file" / "below"))
    )
    assert report.steps[-1].detail == f"The message could not be written to {tmp_path}/file/below: Not a directory."


def test_only_the_last_directory_is_made(tmp_path: Path) -> None:
    message = franking.Message(to=["a@example.com"], subject="x", text="x")
    franking.send(f"file://{tmp_path}/mail?from=a@b.cz", message)
    assert len(list((tmp_path / "mail").iterdir())) == 1
    with pytest.raises(franking.Refused, match="No such file or directory"):
        franking.send(f"file://{tmp_path}/a/b?from=a@b.cz", message)
    assert not (tmp_path / "a").exists()
