"""``franking setup`` at a pseudo-terminal, from the first question to the saved account, against servers on loopback;
and without a terminal.
"""

from __future__ import annotations

import io
import json
import os
import signal
import stat
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import commandline
from commandline import Person
from franking.account import editing
from franking.errors import SettingsError
from franking_cli.app import run
from franking_cli.questions import dropped_path
from servers.google import Google
from servers.microsoft import CLIENT, Microsoft
from servers.person import browse
from servers.smtp import SmtpServer
from servers.web import Authority

Answer = str | Callable[[str], str]
PROGRAM = "from franking_cli.app import main; main()"


class Terminal:
    """A program at a pseudo-terminal: ``answer`` waits for a question and types."""

    def __init__(self, *arguments: str) -> None:
        pexpect = pytest.importorskip("pexpect")
        self._child = pexpect.spawn(
            sys.executable,
            ["-c", PROGRAM, *arguments],
            env={**os.environ, "TERM": "dumb", "COLUMNS": "100"},
            encoding="utf-8",
            timeout=30,
        )
        self._end = pexpect.EOF
        self._child.delaybeforesend = None
        self._child.logfile_read = self._read = io.StringIO()

    @property
    def shown(self) -> str:
        """Return all that the terminal showed, what the person typed included."""
        return self._read.getvalue()

    def answer(self, question: str, text: Answer) -> None:
        """Wait for a question, then type. A function gets the address that begins with the question, and gives what is
        pasted.
        """
        self._child.expect_exact(question)
        address = question
        if callable(text):
            self._child.expect(r"\s")
            address += self._child.before
        self._child.expect(r": ")
        self._child.sendline(text(address) if callable(text) else text)

    def end(self) -> int:
        self._child.expect(self._end)
        self._child.close()
        assert self._child.signalstatus is None
        return int(self._child.exitstatus)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def server(authority: Authority) -> Iterator[SmtpServer]:
    with SmtpServer(
        users={"info@shop.example": "canary-pass"}, context=authority.context("localhost"), plain_auth=False
    ) as made:
        yield made


def saved() -> dict[str, Any]:
    path = Path(os.environ["FRANKING_CONFIG"])
    return tomllib.loads(path.read_text(encoding="utf-8"))["accounts"] if path.exists() else {}


def written() -> list[str]:
    """Name every file that lies in the home directory, locks aside."""
    home = Path(os.environ["HOME"])
    return sorted(
        str(path.relative_to(home)) for path in home.rglob("*") if path.is_file() and not path.name.endswith(".lock")
    )


def conversation(server: SmtpServer) -> list[tuple[str, Answer]]:
    return [
        ("Your mail address", "Info <info@shop.example>"),
        ("Which one [1]", "smtp"),
        ("Server, a name or an IP address", "localhost"),
        ("Security (none, starttls, tls) [starttls]", ""),
        ("Port [587]", str(server.port)),
        ("Login name (- if the server wants none) [info@shop.example]", ""),
        ("Password of info@shop.example", "canary-pass"),
        ("Send the test message to [info@shop.example]", ""),
    ]


@pytest.mark.process
@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
def test_at_a_real_terminal_from_the_first_question_to_the_saved_account(
    server: SmtpServer, authority: Authority
) -> None:
    terminal = Terminal("setup", "--offline", "--ca-file", authority.ca_file)
    for question, text in conversation(server):
        terminal.answer(question, text)
    assert terminal.end() == 0, terminal.shown
    assert "The test message was accepted" in terminal.shown
    assert "canary-pass" not in terminal.shown
    assert len(server.messages) == 1
    assert saved()["shop"] == {
        "provider": "smtp",
        "from": "Info <info@shop.example>",
        "host": "localhost",
        "port": server.port,
        "security": "starttls",
        "username": "info@shop.example",
        "ca_file": authority.ca_file,
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "send-test", "shop", "--to", "me@shop.example", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert json.loads(done.stdout)["ok"], done.stdout
    assert len(server.messages) == 2


def test_smtp_from_the_first_question_to_the_saved_account(server: SmtpServer, authority: Authority) -> None:
    terminal = Person("setup", "--offline", "--ca-file", authority.ca_file)
    for question, text in conversation(server):
        terminal.answer(question, text)
    assert terminal.run() == 0, terminal.shown
    assert "The test message was accepted" in terminal.shown
    assert terminal.secrets == ["canary-pass"], "typed where nothing is shown"
    assert (len(server.messages), list(saved())) == (1, ["shop"])


@pytest.mark.parametrize("stop", range(8))
def test_an_interruption_at_any_question_leaves_nothing(server: SmtpServer, authority: Authority, stop: int) -> None:
    interrupted(Person("setup", "--offline", "--ca-file", authority.ca_file), conversation(server), stop)
    assert server.messages == []


def test_a_failed_test_saves_nothing_and_can_be_tried_again(server: SmtpServer, authority: Authority) -> None:
    terminal = Person("setup", "--offline", "--ca-file", authority.ca_file)
    for question, text in conversation(server):
        terminal.answer(question, "wrong" if question.startswith("Password") else text)
    terminal.answer("What now [1]", lambda _: f"again{written() or ''}")
    terminal.answer("Password of info@shop.example", "canary-pass")
    assert terminal.run() == 0, terminal.shown
    assert "refused the login" in terminal.shown
    assert list(saved()) == ["shop"]


def test_a_wrong_server_can_be_changed_without_starting_over(server: SmtpServer, authority: Authority) -> None:
    terminal = Person("setup", "--offline", "--ca-file", authority.ca_file)
    for question, text in conversation(server):
        terminal.answer(
            question.replace("587", "465").replace("[starttls]", "[starttls]"),
            "tls" if question.startswith("Security") else text,
        )
    terminal.answer("What now [1]", "change")
    terminal.answer("Which one to change [done]", "security")
    terminal.answer("Security (none, starttls, tls) [tls]", "starttls")
    terminal.answer("Port [587]", str(server.port))  # and not the one that went with tls
    terminal.answer("Which one to change [done]", "")
    assert terminal.run() == 0, terminal.shown
    assert "Keep the port and use STARTTLS" in terminal.shown
    assert saved()["shop"]["security"] == "starttls"
    assert terminal.secrets == ["canary-pass"], "a password that nobody refused is not asked for again"
    assert len(server.messages) == 1


def test_the_advice_during_a_setup_names_no_account_that_is_not_there_yet(
    server: SmtpServer, authority: Authority
) -> None:
    terminal = Person("setup", "--offline", "--ca-file", authority.ca_file)
    for question, text in conversation(server):
        terminal.answer(question, "wrong" if question.startswith("Password") else text)
    terminal.answer("What now [1]", "quit")
    assert terminal.run() == 1
    assert "Type it anew" in " ".join(terminal.shown.split())
    assert "franking login" not in terminal.shown


@pytest.mark.parametrize("answer", ["quit", "save"])
def test_a_person_may_insist(server: SmtpServer, authority: Authority, answer: str) -> None:
    terminal = Person("setup", "--offline", "--ca-file", authority.ca_file)
    for question, text in conversation(server):
        terminal.answer(question, "wrong" if question.startswith("Password") else text)
    terminal.answer("What now [1]", answer)
    assert terminal.run() == 1
    assert list(saved()) == (["shop"] if answer == "save" else [])
    if answer != "save":
        assert written() == []


def test_mistakes_are_asked_again(server: SmtpServer, authority: Authority) -> None:
    terminal = Person("setup", "--offline", "--ca-file", authority.ca_file, "--name", "a/b", "--timeout", "soon")
    questions = conversation(server)
    terminal.answer("Your mail address", "nobody")
    terminal.answer(*questions[0])
    terminal.answer("Which one", "9")
    terminal.answer("Please type a number from 1 to 4.\r\nWhich one", "")
    terminal.answer("timeout: 'soon' is not a number.\nSeconds without progress in any step", "9")
    for question, text in questions[2:4]:
        terminal.answer(question, text)
    terminal.answer("Port [587]", "many")
    for question, text in questions[4:6]:
        terminal.answer(question, text)
    terminal.answer("Name of the account [shop]", "")
    for question, text in questions[6:]:
        terminal.answer(question, text)
    assert terminal.run() == 0, terminal.shown


@pytest.fixture
def google(authority: Authority) -> Iterator[Google]:
    with Google(authority) as made:
        yield made


@pytest.fixture
def microsoft(tmp_path: Path) -> Iterator[Microsoft]:
    with Microsoft(tmp_path) as made:
        yield made


def with_google(google: Google, tmp_path: Path) -> tuple[Person, list[tuple[str, Answer]]]:
    downloads = tmp_path / "my downloads"
    downloads.mkdir()
    (downloads / "client_secret_1.json").write_text(json.dumps(google.client_secrets()))
    (downloads / "other.json").write_text("{}")
    ca_file = google.authority.ca_file
    terminal = Person(
        "setup", "me@gmail.com", "--offline", "--no-browser", "--api-endpoint", google.url, "--ca-file", ca_file
    )
    return terminal, [
        ("Which one [1]", "2"),
        ("Path of the downloaded JSON file", f"'{downloads / 'other.json'}'"),
        ("Path of the downloaded JSON file", f" '{downloads / 'client_secret_1.json'}' "),
        ("Send the test message to [me@gmail.com]", ""),
        (f"{google.url}/o/oauth2", lambda url: browse(url, ca_file, stop_at_loopback=True)),
    ]


def with_microsoft(microsoft: Microsoft) -> tuple[Person, list[tuple[str, Answer]]]:
    addresses = (
        "--authority",
        microsoft.authority,
        "--graph-endpoint",
        microsoft.url,
        "--ca-file",
        microsoft.ca.ca_file,
    )
    terminal = Person(
        "setup", "jan@contoso.com", "--provider", "outlook", "--offline", "--no-browser", "--name", "office", *addresses
    )
    return terminal, [
        ("Application (client) ID", "not-an-id"),
        ("Application (client) ID", CLIENT),
        ("Send the test message to", ""),
        (f"{microsoft.url}/", microsoft.address_line),
    ]


def test_gmail(google: Google, tmp_path: Path) -> None:
    terminal, questions = with_google(google, tmp_path)
    for question, text in questions:
        terminal.answer(question, text)
    assert terminal.run() == 0, terminal.shown
    assert "1. Gmail and Google Workspace, an app password." in terminal.shown
    assert "https://console.cloud.google.com/auth/clients/create" in terminal.shown.split()
    assert len(google.messages) == 1
    kept = Path(saved()["me"]["client_secrets"])
    assert kept.parent == Path(os.environ["FRANKING_CONFIG"]).parent
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert json.loads(kept.read_text()) == google.client_secrets()
    assert saved()["me"]["provider"] == "gmail"
    assert "chmod" not in terminal.shown, "the download is open to others, and the copy is not"


def test_outlook(microsoft: Microsoft) -> None:
    terminal, questions = with_microsoft(microsoft)
    for question, text in questions:
        terminal.answer(question, text)
    assert terminal.run() == 0, terminal.shown
    assert "https://go.microsoft.com/fwlink/?linkid=2083908" in terminal.shown.split()
    assert len(microsoft.graph.sent) == 1
    assert saved()["office"]["client_id"] == CLIENT


@pytest.mark.parametrize("stop", range(5))
def test_an_interruption_of_gmail_leaves_nothing(google: Google, tmp_path: Path, stop: int) -> None:
    terminal, questions = with_google(google, tmp_path)
    interrupted(terminal, questions, stop)
    assert google.messages == []


@pytest.mark.parametrize("stop", range(4))
def test_an_interruption_of_outlook_leaves_nothing(microsoft: Microsoft, stop: int) -> None:
    terminal, questions = with_microsoft(microsoft)
    interrupted(terminal, questions, stop)
    assert microsoft.graph.sent == []


def test_what_is_said_of_an_interruption_begins_on_its_own_line() -> None:
    for arguments in (["setup"], ["login", "smtp://info@localhost?from=info@shop.example"]):
        terminal = Person(*arguments)
        terminal.interrupt("Your mail address" if arguments == ["setup"] else "Password of info")
        assert terminal.run() == 130
        assert "Interrupted; nothing more was done." in terminal.shown.splitlines()


def interrupted(terminal: Person, questions: list[tuple[str, Answer]], stop: int) -> None:
    for question, text in questions[:stop]:
        terminal.answer(question, text)
    terminal.interrupt(questions[stop][0])
    assert terminal.run() == 130, terminal.shown
    assert written() == []


def test_the_short_road_to_gmail_looks_the_server_up_and_leads_to_the_app_password() -> None:
    terminal = Person("setup", "me@gmail.com", "--offline")
    terminal.answer("Which one [1]", "")
    terminal.interrupt("Password of me@gmail.com")
    assert terminal.run() == 130, terminal.shown
    assert "https://myaccount.google.com/apppasswords" in terminal.shown.split()
    assert "Server, a name" not in terminal.shown


@pytest.mark.parametrize(
    ("host", "asked"),
    [("smtp.office365.com", "Application (client) ID"), ("smtp.gmail.com", "Which one [1]")],
)
def test_a_server_that_takes_no_account_password_leads_to_its_provider(host: str, asked: str) -> None:
    terminal = Person("setup", "info@shop.example", "--offline")
    terminal.answer("Which one [1]", "")
    terminal.answer("Server, a name or an IP address", host)
    terminal.interrupt(asked)
    assert terminal.run() == 130, terminal.shown
    if "office365" in host:
        assert "--host" not in terminal.shown.rpartition("To go on")[2]


# --- without a terminal -----------------------------------------------------------------------------------------------


def unattended(*arguments: str, password: str = "") -> commandline.Ended:
    return commandline.franking("setup", "--offline", *arguments, text=password.encode())


def test_flags_answer_every_question(server: SmtpServer, authority: Authority) -> None:
    done = unattended(
        "info@shop.example", "--host", "localhost", "--port", str(server.port), "--username", "info@shop.example",
        "--name", "shop",
        "--password-stdin", "--ca-file", authority.ca_file, "--to", "you@shop.example", "--json",
        password="canary-pass\n",
    )  # fmt: skip
    value = json.loads(done.out)
    assert (done.code, value["ok"], value["saved"], value["to"]) == (0, True, True, ["you@shop.example"]), done.err
    assert list(saved()) == ["shop"]
    again = unattended("info@shop.example", "--host", "localhost", "--no-auth", "--name", "shop")
    assert again.code == 2
    assert "already" in again.err


@pytest.mark.parametrize(
    ("arguments", "flag"),
    [
        ([], "ADDRESS"),
        (["info@shop.example"], "--provider"),
        (["info@shop.example", "--provider", "smtp"], "--host"),
        (["info@shop.example", "--host", "localhost"], "--username"),
        (["info@shop.example", "--host", "localhost", "--username", "x"], "--password-stdin"),
        (["me@gmail.com"], "--client-secrets"),
        (["me@outlook.com"], "--client-id"),
        (["info@shop.example", "--provider", "file"], "--path"),
    ],
)
def test_a_missing_flag_is_named(arguments: list[str], flag: str) -> None:
    done = unattended(*arguments)
    assert done.code == 2, done.err
    assert flag in done.err
    assert written() == []


def test_a_failed_test_without_a_terminal(server: SmtpServer, authority: Authority) -> None:
    arguments = [
        "info@shop.example", "--host", "localhost", "--port", str(server.port), "--username", "info@shop.example",
        "--password-stdin",
        "--ca-file", authority.ca_file,
    ]  # fmt: skip
    done = unattended(*arguments, password="wrong\n")
    assert (done.code, written()) == (1, [])
    done = unattended(*arguments, "--save-anyway", password="wrong\n")
    assert (done.code, list(saved())) == (1, ["shop"])


def test_a_mail_folder_needs_no_secret(tmp_path: Path) -> None:
    done = unattended("info@shop.example", "--provider", "file", "--path", str(tmp_path / "mails"))
    assert done.code == 0, done.err
    assert saved()["shop"]["provider"] == "file"
    assert len(list((tmp_path / "mails").rglob("*.eml"))) == 1


@pytest.mark.parametrize("form", ["{}", " {} ", "'{}'", '"{}"', "file://{}", "'file://{}'"])
def test_paths_as_terminals_paste_them(tmp_path: Path, form: str) -> None:
    file = tmp_path / "a file.json"
    file.write_text("{}")
    assert dropped_path(form.format(str(file))) == file
    assert (
        dropped_path(form.format(str(file).replace(" ", "%20")) if "file://" in form else str(file).replace(" ", "\\ "))
        == file
    )
    assert dropped_path("file:///C:/Users/x.json") == Path("C:/Users/x.json")


# --- the moment of writing --------------------------------------------------------------------------------------------


@pytest.fixture
def arguments(server: SmtpServer, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr("sys.stdin", io.StringIO("canary-pass\n"))
    return [
        "setup", "info@shop.example", "--offline", "--host", "localhost", "--port", str(server.port), "--username",
        "info@shop.example",
        "--password-stdin", "--ca-file", authority.ca_file,
    ]  # fmt: skip


def test_settings_that_cannot_be_written_leave_no_secret(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise SettingsError("the disk is full")

    monkeypatch.setattr("franking.account.editing.save", full)
    assert run(arguments) == 2
    assert written() == []


@pytest.mark.slow
def test_an_interruption_while_writing_comes_afterwards(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    save = editing.save

    def interrupted_save(*values: Any, **more: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return save(*values, **more)

    monkeypatch.setattr("franking.account.editing.save", interrupted_save)
    assert run(arguments) == 130
    assert list(saved()) == ["shop"]
    assert len(written()) == 2  # settings and secret
