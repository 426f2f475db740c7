"""Help screens begin with an example and the usual options; ``help``, ``version`` and ``docs`` are commands."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import pydoc
import re
import shutil
import subprocess
import sys
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

import commandline
from commandline import Franking, Person
from franking import __version__, manual
from franking_cli.app import COMMANDS, build, load
from franking_cli.commands import version
from franking_cli.commands.docs import topics
from franking_cli.help import divided, spelled


@pytest.mark.parametrize("columns", [40, 59, 60, 80, 200])
def test_no_word_is_broken_at_any_width(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    made = load("send-test")
    words = set(commandline.franking("send-test", "-h").out.split())
    for parameter in made.params:
        assert set(str(parameter.help or "").split()) <= words, spelled(parameter)
    lines = commandline.franking("send-test", "-h").out.splitlines()
    examples, _ = divided(made.help)
    assert all(len(line) <= min(columns, 100) for line in lines if line not in examples)
    assert examples == lines[: len(examples)], "an example can be copied: it is not wrapped"


def test_headings_are_bold_on_a_terminal_only() -> None:
    at_terminal = Person("send", "-h", whole=True)
    assert at_terminal.run(TERM="xterm") == 0
    assert "\x1b[1mUsual options:\x1b[0m" in at_terminal.shown
    plain = Person("send", "-h", whole=True)
    assert plain.run(TERM="xterm", NO_COLOR="1") == 0
    assert "\x1b" not in plain.shown + commandline.franking("send", "-h").out


def test_every_command_stands_once_under_a_heading() -> None:
    shown = commandline.franking("-h").out
    assert sorted(re.findall(r"^  ([a-z][\w-]+) +[A-Z]", shown, re.MULTILINE)) == sorted(COMMANDS)
    assert shown == commandline.franking("help").out


def test_help_for_what_is_no_command() -> None:
    done = commandline.franking("help", "sned")
    assert done.code == 2
    assert "Did you mean 'send'?" in done.err


def test_version_is_a_command(franking: Franking) -> None:
    told = franking("version", "--json").json
    assert told["version"] == __version__
    assert told["python"] == platform.python_version()
    line = f"franking {__version__}, Python {told['python']}, extras: {', '.join(told['extras'])}\n"
    assert franking("version").out == franking("--version").out == line


def test_an_extra_is_there_when_all_of_its_own_packages_are(monkeypatch: pytest.MonkeyPatch) -> None:
    here = version.installed_extras()
    assert {"all", "gmail", "outlook", "keyring", "cli"} <= set(here)
    whole = importlib.metadata.distribution

    def without_msal(name: str) -> importlib.metadata.Distribution:
        if name == "msal":
            raise importlib.metadata.PackageNotFoundError(name)
        return whole(name)

    monkeypatch.setattr(version, "distribution", without_msal)
    assert version.installed_extras() == [name for name in here if name not in ("outlook", "all")]


def test_a_version_that_was_never_installed_knows_of_no_extras(
    monkeypatch: pytest.MonkeyPatch, franking: Franking
) -> None:
    def nothing(name: str) -> Message:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(version, "metadata", nothing)
    assert franking("version").out.endswith("extras: none\n")


# --- completion -------------------------------------------------------------------------------------------------------


def completed(*words: str) -> list[str]:
    """Return what a shell would offer for the last word."""
    command: Any = build()
    *before, last = words
    context = command.context_class(command, info_name="franking", resilient_parsing=True)
    while hasattr(command, "resolve_command"):
        _, command, before = command.resolve_command(context, before)
    flag = before[-1] if before and before[-1].startswith("-") else None
    for parameter in command.params:
        if flag in parameter.opts or (flag is None and parameter.param_type_name == "argument"):
            return [item.value for item in parameter.shell_complete(context, last)]
    raise AssertionError(f"nothing completes {words}")


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("send-test", "--security", ""), ["none", "starttls", "tls"]),
        (("send-test", "--security", "s"), ["starttls"]),
        (("accounts", "add", "--provider", ""), ["smtp", "gmail", "outlook", "file"]),
        (("check", "--auth", "x"), ["xoauth2"]),
        (("help", "send"), ["send-test", "send", "send-many"]),
        (("docs", "gma"), ["gmail"]),
        (("send", ""), ["shop"]),
    ],
)
def test_a_shell_is_offered_the_words_that_can_stand_there(
    words: tuple[str, ...], offered: list[str], shop: None
) -> None:
    assert completed(*words) == offered


# --- the manual -------------------------------------------------------------------------------------------------------


def test_a_page_of_the_manual_piped_and_on_a_terminal(franking: Franking, monkeypatch: pytest.MonkeyPatch) -> None:
    paged: list[str] = []
    monkeypatch.setattr(pydoc, "pager", paged.append)
    piped = franking("docs", "smtp")
    assert piped.code == 0
    assert piped.out.startswith("# SMTP servers\n") and "{ #" not in piped.out and "](sm" not in piped.out
    person = Person("docs", "smtp", whole=True)
    assert person.run(TERM="xterm-256color") == 0
    assert "\n    franking login shop\n" in paged[0]
    assert "```" not in paged[0] and "franking docs errors" in paged[0]
    assert franking("docs", "docs/smtp.md").out == piped.out
    assert franking("docs", "smtp", "--json").json["topic"] == "smtp"


def test_what_the_manual_says_of_a_diagnosis(franking: Franking) -> None:
    shown = franking("docs", "login.refused").out
    assert shown.startswith("## The server refused the login\n") and shown.count("\n## ") == 0
    assert "1. The login name is usually the whole address" in shown


def test_every_page_can_be_read_in_a_terminal() -> None:
    for topic in topics():
        text = commandline.franking("docs", topic).out
        assert text.startswith(("# ", "\n# ")), topic
        assert not re.search(r"^:::|<!--|\{ #", text, re.MULTILINE), topic
        assert not re.search(r"\]\([\w-]+\.md", text), topic


@pytest.mark.parametrize(("topic", "hint"), [("gmial", "did you mean gmail?"), ("zzz", "franking docs lists them")])
def test_a_page_that_is_not_there(franking: Franking, topic: str, hint: str) -> None:
    done = franking("docs", topic)
    assert done.code == 2
    assert hint in " ".join(done.err.split())


def test_without_a_topic_the_list_of_all_pages(franking: Franking) -> None:
    listed = franking("docs").out
    assert all(f"`{name}`" in listed for name in topics() if name != "index")


def test_a_reference_is_an_address_only_where_there_is_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    assert manual.page_reference("gmail") == "franking docs gmail"
    monkeypatch.setattr(manual, "_home", lambda: "https://franking.example/docs/")
    assert manual.page_reference("gmail") == "https://franking.example/docs/gmail/"


@pytest.mark.parametrize(
    ("urls", "home"),
    [
        (["Source, https://git.example", "Documentation, https://docs.example"], "https://docs.example"),
        ([], ""),
        (None, ""),
    ],
)
def test_the_home_is_what_the_package_says(monkeypatch: pytest.MonkeyPatch, urls: list[str] | None, home: str) -> None:
    def metadata(name: str) -> Message:
        if urls is None:
            raise importlib.metadata.PackageNotFoundError(name)
        told = Message()
        for url in urls:
            told["Project-URL"] = url
        return told

    monkeypatch.setattr(importlib.metadata, "metadata", metadata)
    assert manual._home.__wrapped__() == home


# --- an installation without extras -----------------------------------------------------------------------------------


@pytest.mark.process
def test_without_the_extra_one_line_says_which(tmp_path: Path) -> None:
    shutil.copytree(Path(sys.modules["franking_cli"].__path__[0]), tmp_path / "franking_cli")
    code = "import sys; sys.modules['typer'] = None; from franking_cli.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == 'franking: the command line needs more packages; run: pip install "franking[all]"\n'


@pytest.mark.process
def test_who_breaks_off_before_it_has_begun_sees_no_trace() -> None:
    code = (
        "import builtins, os, signal; from franking_cli.__main__ import main; known = builtins.__import__\n"
        "def struck(name, *rest):\n"
        "    if name == 'franking_cli.app': os.kill(os.getpid(), signal.SIGINT)\n"
        "    return known(name, *rest)\n"
        "builtins.__import__ = struck; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


# --- what starting costs ----------------------------------------------------------------------------------------------


@pytest.mark.process
def test_garbage_is_collected_once_a_command_runs() -> None:
    code = (
        "import gc, sys; from franking_cli.__main__ import main; sys.argv = ['franking', 'version']\n"
        "try: main()\n"
        "except SystemExit: print(gc.isenabled())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "True"


PLAIN = """
import shlex, sys
from franking_cli.app import run
for line in ("--help", "accounts list", "status", "outbox list", "relay users", "send --help",
             "send shop --to jana@example.com --subject x --text y --header 'X-A: b' --queue -v"):
    assert run(shlex.split(line)) == 0, line
assert "pydantic" not in sys.modules
assert run(["outbox", "list", "--limit", "0"]) == 2  # Typer's own conversion, which needs it
"""


@pytest.mark.process
def test_what_needs_no_conversion_imports_no_pydantic(tmp_path: Path) -> None:
    settings = tmp_path / "accounts.toml"
    settings.write_text('[accounts.shop]\nprovider = "smtp"\nfrom = "shop@example.cz"\nhost = "127.0.0.1"\nport = 1\n')
    environ = {**os.environ, "FRANKING_CONFIG": str(settings), "FRANKING_STATE_DIR": str(tmp_path / "state")}
    done = subprocess.run([sys.executable, "-c", PLAIN], capture_output=True, text=True, env=environ)
    assert done.returncode == 0, done.stderr
    assert "--limit" in done.stderr


def test_what_a_number_counts_is_not_called_seconds(franking: Franking) -> None:
    shown = " ".join(franking("setup", "--help").out.split())
    assert "--per-minute NUMBER The most messages" in shown
    assert "--timeout SECONDS Seconds without progress" in shown


@pytest.mark.parametrize(
    "words", [("outbox", "list", "--state"), ("send", "shop", "--subject"), ("accounts", "list", "-x")]
)
def test_a_wrong_option_leads_to_the_help_of_its_command(franking: Franking, words: tuple[str, ...]) -> None:
    ended = franking(*words)
    command = " ".join(word for word in words[:-1] if word != "shop")
    assert ended.code == 2
    assert f"franking {command} --help" in ended.err


@pytest.mark.parametrize("group", ["accounts", "outbox", "store"])
def test_a_group_begins_with_an_example(franking: Franking, group: str) -> None:
    assert franking(group, "--help").out.startswith(f"franking {group} ")
