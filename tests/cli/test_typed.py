"""What a mistyped word or a missing file is told: in the words that were typed, with what to do next."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from commandline import Franking


@pytest.mark.parametrize("where", ["yahoo", "smtp"])
def test_nothing_is_registered_there(franking: Franking, where: str) -> None:
    ended = franking("register", where)
    assert ended.code == 2 and f"nothing is registered at {where}; choose one of gmail, outlook" in ended.err


def test_a_page_that_is_not_there(franking: Franking) -> None:
    ended = franking("docs", "nothing-of-the-kind")
    assert ended.code == 2 and "franking docs lists them" in ended.err
    assert "how it is used: franking docs\n" in ended.err and "--help" not in ended.err


@pytest.mark.parametrize(
    "command",
    [
        ("send-many", "shop", "letters.jsonl"),
        ("send", "--to", "me@example.cz", "--text-file", "letters.jsonl"),
        ("send", "--eml", "letters.jsonl"),
    ],
    ids=["send-many", "text", "eml"],
)
def test_a_file_that_is_not_there(
    franking: Franking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    """Which one, where it was looked for, and how to see what is there."""
    monkeypatch.chdir(tmp_path)
    franking("accounts", "add", "shop", "--provider", "smtp", "--from", "a@b.cz", "--host", "x.invalid", "--no-auth")
    ended = franking(*command)
    told = " ".join(ended.err.split())
    assert ended.code == 2 and "letters.jsonl" in told and f"is looked for in {tmp_path}" in told
    assert "ls -l letters.jsonl" in told
    assert franking(*command, "--json").json["diagnosis"]["code"] == "settings.file"


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps a folder that somebody is in")
@pytest.mark.parametrize(
    "command",
    [
        ("setup", "jan@seznam.cz", "--offline"),
        ("accounts", "add", "shop", "--from", "a@b.cz", "--host", "x.cz", "--no-auth", "--ca-file", "own.pem"),
        ("outbox", "list"),
        ("status",),
    ],
    ids=lambda command: command[0],
)
def test_a_folder_that_was_removed(
    franking: Franking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    """A path that begins at the root needs no folder to stand in; for another a sentence says what is wrong."""
    monkeypatch.chdir(tmp_path)
    added = ("accounts", "add", "shop", "--from", "a@b.cz", "--host", "x.invalid", "--no-auth")
    gone = tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    if command[0] != "accounts":
        assert franking(*added).code == 0
    for name in ("FRANKING_CONFIG", "FRANKING_OUTBOX"):
        monkeypatch.setenv(name, "relative")
    ended = franking(*command)
    told = " ".join(ended.err.split())
    assert ended.code == 2 and "folder that you are in" in told and "run the command again: cd" in told
    assert "FileNotFoundError" not in told
    assert franking(*command, "--json").json["diagnosis"]["code"] == "settings.folder-gone"


def test_a_mistake_is_named_by_the_option_that_was_typed(franking: Franking) -> None:
    mistake = ("accounts", "add", "shop", "--provider", "smtp", "--from", "a@b.cz", "--host", "x.cz", "--port", "70000")
    ended = franking(*mistake)
    assert ended.code == 2 and "Correct --port, then run the command again." in ended.err
    czech = franking(*mistake, "--language", "cs")
    assert "Opravte --port a" in czech.err.replace("\u00a0", " ") and "je více než 65535" in czech.err
