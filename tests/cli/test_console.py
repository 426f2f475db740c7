"""What is printed and asked: colour, code pages, readers that leave, questions; at a terminal and without one."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from commandline import Person, Stream, franking
from franking.errors import SettingsError
from franking_cli.console import Console, LoginScreen, visible


def at_terminal(monkeypatch: pytest.MonkeyPatch) -> Stream:
    """Make stderr a terminal, and stdin one at which nobody types; no fixture, because pytest changes both later."""
    stderr = Stream(terminal=True)
    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.setattr(sys, "stdin", Stream(terminal=True))
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("COLORTERM", raising=False)
    monkeypatch.delenv("WT_SESSION", raising=False)
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((40, 24)))
    return stderr


def shown(stream: Stream) -> str:
    return stream.written().decode()


def types(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    stdin = Stream("".join(lines).encode(), terminal=True)
    monkeypatch.setattr(sys, "stdin", stdin)


# --- the eye ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "\x1b[38;5;28mdone\x1b[0m\n"),
        ({"TERM": "xterm"}, "\x1b[32mdone\x1b[0m\n"),
        ({"TERM": "xterm", "COLORTERM": "truecolor"}, "\x1b[38;5;28mdone\x1b[0m\n"),
        ({"TERM": "xterm", "WT_SESSION": "x"}, "\x1b[38;5;28mdone\x1b[0m\n"),
        ({"NO_COLOR": "1"}, "done\n"),
        ({"NO_COLOR": ""}, "\x1b[38;5;28mdone\x1b[0m\n"),  # no-color.org: when present and not empty
        ({"TERM": "dumb"}, "done\n"),
    ],
)
def test_colour(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: str) -> None:
    terminal = at_terminal(monkeypatch)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    Console().say("done", "good")
    assert shown(terminal) == expected


def test_a_pipe_has_neither_colour_nor_passing_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = Stream()
    monkeypatch.setattr(sys, "stderr", stderr)
    console = Console()
    console.passing("running")
    console.say("done", "good")
    assert (shown(stderr), console.width) == ("done\n", 80)


def test_no_color_keeps_the_passing_line_and_verbosity_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = at_terminal(monkeypatch)
    monkeypatch.setenv("NO_COLOR", "1")
    console = Console()
    console.passing("running")
    assert console.shows_passing
    console.say("done")
    assert not console.shows_passing
    assert shown(terminal) == "running\r\x1b[Kdone\n"
    Console(verbose=1).passing("running")
    assert shown(terminal).endswith("done\n")


def test_lines_are_wrapped_between_words_and_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = at_terminal(monkeypatch)
    console = Console()
    console.say("one two " * 7, indent="  ", hang="    ")
    console.say("x" * 50)
    console.say("a\n\nb")
    lines = shown(terminal).split("\n")
    assert lines[:2] == ["  one two one two one two one two one", "    two one two one two"]
    assert lines[2:] == ["x" * 50, "a", "", "b", ""]


@pytest.mark.parametrize(("columns", "width"), [(200, 100), (5, 20), (0, 80), (61, 61)])
def test_the_width_is_bounded(monkeypatch: pytest.MonkeyPatch, columns: int, width: int) -> None:
    at_terminal(monkeypatch)
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((columns, 24)))
    assert Console().width == width


def test_what_cannot_be_printed_is_made_visible() -> None:
    assert visible("a\r\nb\tc") == "a  b c"
    assert visible("\x1b[2J\u202eevil \ud800") == "\\x1b[2J\\u202eevil \\ud800"


# --- programs ---------------------------------------------------------------------------------------------------------


def test_json_fits_a_legacy_code_page_and_stays_readable_in_utf_8(monkeypatch: pytest.MonkeyPatch) -> None:
    for encoding, expected in (("utf-8", '{"who": "Žofie"}\n'), ("latin-1", '{"who": "\\u017dofie"}\n')):
        stdout = Stream(encoding=encoding)
        monkeypatch.setattr(sys, "stdout", stdout)
        Console().answer({"who": "Žofie"})
        assert stdout.written().decode(encoding) == expected


def test_a_lone_surrogate_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = Stream()
    monkeypatch.setattr(sys, "stdout", stdout)
    Console().answer("\udc80")
    assert shown(stdout) == '"\\udc80"\n'


def test_signs_of_ours_have_a_plain_form(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = Stream(encoding="ascii")
    monkeypatch.setattr(sys, "stderr", stderr)
    Console().say("✓ a – b … „c“ Ž")
    assert shown(stderr) == '+ a - b ... "c" ?\n'


class Left(io.TextIOWrapper):
    """A pipe whose reader has gone."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_reader_that_has_gone_is_no_error(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with Left(os.fdopen(writer, "wb"), encoding="utf-8") as left:
        monkeypatch.setattr(sys, name, left)
        console = Console()
        console.data("x")
        console.say("x")
        console.no_more_data()
        os.write(writer, b"x")  # goes nowhere now


def test_octets_leave_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = Stream()
    monkeypatch.setattr(sys, "stdout", stdout)
    Console().binary(iter([b"a\r\n", b"\xff"]))
    assert stdout.written() == b"a\r\n\xff"


# --- questions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "default", "answer"),
    [("\n", False, False), ("\n", True, True), ("Yes\n", False, True), ("n\n", True, False), ("x\ny\n", False, True)],
)
def test_yes_or_no(monkeypatch: pytest.MonkeyPatch, typed: str, default: bool, answer: bool) -> None:
    terminal = at_terminal(monkeypatch)
    types(monkeypatch, typed)
    assert Console().confirm("Sure?", default=default) is answer
    assert shown(terminal).startswith(f"Sure? ({'Y/n' if default else 'y/N'}): ")
    assert shown(terminal).count("Please answer y or n.") == typed.count("x")


def test_an_empty_answer_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = at_terminal(monkeypatch)
    types(monkeypatch, "\n", " own \n", "\n")
    console = Console()
    assert [console.ask("Port", default="587"), console.ask("Port", default="587"), console.ask("Name")] == [
        "587",
        "own",
        "",
    ]
    assert shown(terminal) == "Port [587]: Port [587]: Name: "
    with pytest.raises(EOFError):
        console.ask("Name", default="x")


def test_without_a_terminal_the_flag_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Stream(b"y\n"))
    console = Console(path="franking setup")
    with pytest.raises(SettingsError, match=r"Port: nobody can be asked here; give it with --port\."):
        console.ask("Port", default="587", flag="--port")
    with pytest.raises(SettingsError, match=r"nobody can be asked here; run this in a terminal\.") as raised:
        console.confirm("Sure?")
    assert raised.value.evidence is not None
    assert raised.value.evidence.details == {"usage": ("franking", "setup", "--help")}


def test_a_login_shows_lines_and_asks_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = at_terminal(monkeypatch)
    asked: list[tuple[str, Any]] = []
    monkeypatch.setattr("getpass.getpass", lambda prompt, stream: asked.append((prompt, stream)) or "secret")
    types(monkeypatch, "y\n")
    screen = LoginScreen(Console(), device=True)
    screen.show("one\x1b\ntwo")
    assert shown(terminal) == "one\\x1b\ntwo\n"
    assert screen.ask("Code", hidden=True) == "secret"
    assert asked == [("Code: ", terminal)]
    assert screen.confirm("Sure?") and screen.interactive and screen.device and not screen.no_browser


# --- what would act on a terminal -------------------------------------------------------------------------------------

ACTS = "".join(map(chr, [*range(1, 32), *range(127, 161), 0x2028, 0x2029, 0x202E, 0x2066, 0xFEFF, 0xE0041]))
"""C0, DEL, C1, a non-breaking blank, separators of lines, signs that turn the writing, a tag above U+FFFF."""


@pytest.mark.parametrize(
    "command",
    [
        ("status",),
        ("accounts", "list"),
        ("status", "smtp://h?from=a@b.cz&name=" + ACTS),
        ("send-test", "--provider", ACTS, "--to", "a@b.cz"),
        ("recommend", "--offline", "x" + ACTS + "@novak.cz"),
        ("send-many", "one", "messages.jsonl"),
        ("--" + ACTS,),
    ],
    ids=lambda words: words[0][:12].encode("unicode_escape").decode(),
)
@pytest.mark.parametrize("as_json", [True, False], ids=["json", "text"])
def test_nothing_that_acts_reaches_a_terminal(
    command: tuple[str, ...], as_json: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toml = '"' + "".join(f"\\U{ord(char):08X}" for char in ACTS) + '"'
    (tmp_path / "accounts.toml").write_text(
        f'[accounts.one]\nprovider = "file"\nfrom = "a@b.cz"\npath = "."\n'
        f'[accounts.{toml}]\nprovider = "file"\nfrom = "a@b.cz"\n'
        f'[accounts.two]\nprovider = "file"\nfrom = {toml}\npath = {toml}\n'
    )
    monkeypatch.chdir(tmp_path)
    Path("messages.jsonl").write_text(json.dumps({"id": ACTS, "to": [ACTS], "subject": "x", "text": "x"}) + "\n")
    environment = {"FRANKING_CONFIG": str(tmp_path / "accounts.toml")}
    words = [*command, *(["--json"] if as_json else [])]
    person = Person(*words, whole=True)
    person.run(**environment)
    assert all(char.isprintable() or char == "\n" for char in person.shown), ascii(person.shown)
    if as_json:
        Path("messages.jsonl.journal").unlink(missing_ok=True)
        piped = franking(*words, env=environment).out
        seen = [line for line in person.shown.splitlines() if line[:1] in ("{", "[")]
        assert [json.loads(line) for line in seen] == [json.loads(line) for line in piped.split("\n") if line]


def test_to_a_pipe_json_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for terminal in (False, True):
        stdout = Stream(terminal=terminal)
        monkeypatch.setattr(sys, "stdout", stdout)
        value = {"ž": "\x9b31m \x7f \u202e ✓ \U000e0041 \\u202e"}
        Console().answer(value)
        assert json.loads(stdout.written()) == value
        assert ("\u202e" in stdout.written().decode()) is not terminal
        assert "ž" in stdout.written().decode()


def test_other_data_at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for terminal, expected in ((True, "a\\x1b[2Jb\n\\u202ec\n"), (False, "a\x1b[2Jb\n\u202ec\n")):
        stdout = Stream(terminal=terminal)
        monkeypatch.setattr(sys, "stdout", stdout)
        Console().data("a\x1b[2Jb\n\u202ec")
        assert stdout.written().decode() == expected
