"""The provider ``file``: .eml files and a Maildir."""

from __future__ import annotations

import mailbox
import os
from collections.abc import Callable
from pathlib import Path

import pytest

import franking
from franking.file import FileProvider
from franking.testing.contracts import ProviderContract


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


def test_a_directory_that_cannot_be_made_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    report = franking.send_test(
        franking.Account(name="out", provider="file", sender="a@b.cz", path=str(tmp_path / "file" / "below"))
    )
    assert report.steps[-1].detail == f"The message could not be written to {tmp_path}/file/below: Not a directory."
