"""What the program prints, for the pages that show it: each scene is played for real, at a terminal of 80 columns and
against servers on this machine. ``generate.py`` puts them where a page has their mark; what differs each time (ports,
times, dates) is replaced by the same each time.
"""

from __future__ import annotations

import re
import smtplib
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import dns.resolver
import pytest

from commandline import Person
from franking.discovery import domain_check, lookup
from franking_cli.commands import relay as relay_command
from servers.names import Names
from servers.ports import reserved_ports
from servers.smtp import SmtpServer, wait_until
from servers.web import Authority

MARK = re.compile(
    r"(<!-- recording: ([\w-]+), made by docs/recordings.py -->\n).*?(<!-- end of recording -->)", re.DOTALL
)
HOME = "~/.config/franking"
PASSWORD = "Correct-Horse"  # noqa: S105  (of a server that lives for a second)


class Seen(Person):
    """A person whose typing is seen, as it is at a terminal; but not that of a password."""

    def _read_hidden(self, prompt: str, stream: Any) -> str:
        self._hidden = True
        return super()._read_hidden(prompt, stream)

    def _read_line(self, size: int = -1) -> str:
        hidden, self._hidden = getattr(self, "_hidden", False), False
        answers = self._answers
        if answers and isinstance(answers[0][1], str) and not hidden:
            question, text = answers[0]
            shown = self.shown[self._seen :]
            assert question in shown, shown
            self._stderr.write(text)
        return super()._read_line(size)


@contextmanager
def server(host: str, user: str) -> Iterator[str]:
    """Let a mail server with one user run for a moment under a public name, at whatever port it is asked for; the file
    of its authority is what comes out.
    """
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        authority = Authority(Path(directory))
        patch.setattr(lookup, "system_resolver", Nameless)
        patch.setattr(domain_check, "system_resolver", Unreachable)
        patch.setattr(lookup, "fetch_https", nothing_published)
        context = authority.context(host)
        users = {user: PASSWORD}
        with SmtpServer(users=users, context=context, name=host, implicit_tls=host in IMPLICIT) as running:
            Names(patch).lead(host, running.port)
            yield authority.ca_file


class Nameless:
    """A resolver that knows nothing."""

    def resolve(self, name: str, kind: str, **_: Any) -> Any:
        raise dns.resolver.NXDOMAIN


class Unreachable:
    """A resolver that reaches nobody."""

    def resolve(self, name: str, kind: str, **_: Any) -> Any:
        raise dns.resolver.NoNameservers


def nothing_published(url: str, seconds: float) -> bytes:
    """Return what a domain publishes of its settings: nothing."""
    raise OSError("not found")


def play(words: str, *hidden: str, answers: tuple[tuple[str, str], ...] = (), port: int = 41231) -> str:
    """Run a command in a clean home and return what stood on the screen; ``hidden`` are flags that are not shown."""
    person = Seen(*words.split()[1:], *hidden, whole=True)
    for question, text in answers:
        person.answer(question, text)
    with tempfile.TemporaryDirectory(prefix="frank", dir="/tmp") as home:
        assert len(home) == len(HOME), home  # lines are broken by length
        person.run(FRANKING_CONFIG=f"{home}/accounts.toml", FRANKING_STATE_DIR=f"{home}/state")
        shown = person.shown.replace(home, HOME)
    if hidden:
        shown = shown.replace("127.0.0.1", "192.0.2.25")
    return f"$ {words}\n{settled(shown, port)}\n"


def settled(text: str, port: int) -> str:
    """Replace what is another each time, so that a page stays the same."""
    text = re.sub(r" --ca-file \S+", "", text)
    text = re.sub(r"(localhost:|\d port )\d+", rf"\g<1>{port}", text)
    text = re.sub(r"until \d{4}-\d\d-\d\d", "until 2027-03-01", text)
    lines = []
    for line in text.rstrip().splitlines():
        told = re.sub(r" +[\d,]+ ms$", "", line)
        if step := re.match(r"  [✓✗] (\w+) ", line):
            told = f"{told:<71}{TOOK.get(step[1], ''):>9}"
        lines.append(told.rstrip())
    return "\n".join(lines)


TOOK = {"connect": "11 ms", "greet": "12 ms", "tls": "25 ms", "login": "14 ms", "message": "13 ms", "accepted": "48 ms"}
IMPLICIT = ("smtp.seznam.cz",)  # as it is known of them


def embedded() -> str:
    """Return the first command that a reader runs."""
    return play("franking send-test --embedded --to you@example.com")


def red_login() -> str:
    """Return a test with a login name that is not the whole address."""
    words = "franking send-test --from you@example.com --host smtp.example.com --username you --to you@example.com"
    with server("smtp.example.com", "you@example.com") as ca_file:
        return play(words, "--ca-file", ca_file, answers=(("Password of", PASSWORD),), port=587)


def green_setup() -> str:
    """Return an account that is set up, from the address to the test."""
    answers = (("Password of", PASSWORD), ("Send the test message to", ""))
    with server("smtp.seznam.cz", "jana@seznam.cz") as ca_file:
        return play("franking setup jana@seznam.cz", "--ca-file", ca_file, answers=answers, port=465)


def relay() -> str:
    """Return the relay that a program of this machine hands a message to, until Ctrl-C."""
    return relayed("shop@example.com", "jana@example.com", "Order 114")


def relay_program() -> str:
    """Return the relay while an accounting program sends an invoice, and another to an address with a mistake in it."""
    return relayed("info@example.com", "jana@example.com", "Invoice 114", "jnaa@example.com")


def relay_stranger() -> str:
    """Return the relay while somebody sends who may not."""
    return relayed("shop@example.com", "jana@example.com", "Hello", more='[relay]\nallow = ["192.168.1.50"]\n')


def relayed(sender: str, recipient: str, subject: str, *others: str, more: str = "") -> str:
    """Return the relay while a program hands it a message for each recipient, until Ctrl-C; ``more`` are settings."""
    refused = dict.fromkeys(others, "550 5.1.1 no such mailbox")
    with (
        tempfile.TemporaryDirectory() as home,
        SmtpServer(refused=refused) as mailbox,
        pytest.MonkeyPatch.context() as patch,
    ):
        (port,) = reserved_ports(1)
        person = Person("relay", "--listen", f"127.0.0.1:{port}", whole=True)

        class CtrlC(threading.Event):
            """What the command waits for once it has said that it listens."""

            def wait(self, timeout: float | None = None) -> bool:
                for to in (recipient, *others):
                    lines = len(person.shown.splitlines())
                    with smtplib.SMTP("127.0.0.1", port) as program, suppress(smtplib.SMTPException):
                        program.sendmail(sender, [to], f"Subject: {subject}\r\n\r\nThank you.\r\n")
                    wait_until(lambda lines=lines: len(person.shown.splitlines()) > lines)  # type: ignore[misc]
                return True

        patch.setattr(relay_command, "threading", SimpleNamespace(Event=CtrlC, Lock=threading.Lock))
        accounts = Path(home, "accounts.toml")
        accounts.write_text(ACCOUNT.format(sender=sender, port=mailbox.port) + more, encoding="utf-8")
        accounts.chmod(0o600)
        person.run(FRANKING_CONFIG=str(accounts), FRANKING_STATE_DIR=f"{home}/state")
        shown = person.shown.replace(str(port), "2525")
    return f"$ franking relay\n{settled(shown, 587)}\n"


def relay_user() -> str:
    """Return how a user for a printer is made."""
    return made_users("printer --from scanner@example.com")


def relay_users() -> str:
    """Return how users for machines are made, and all of them listed."""
    given = "sqlserver --from sql@example.com --on-blocked hold", "nas --from nas@example.com --on-blocked hold"
    return made_users(*given, listed=True)


def made_users(*given: str, listed: bool = False) -> str:
    """Return how users of the relay are made; their passwords are the same each time here."""
    commands = [f"franking relay add-user {words}" for words in given] + ["franking relay users"] * listed
    shown = []
    with tempfile.TemporaryDirectory() as home:
        accounts = Path(home, "accounts.toml")
        accounts.write_text(ACCOUNT.format(sender="shop@example.com", port=587), encoding="utf-8")
        accounts.chmod(0o600)
        for number, words in enumerate(commands):
            person = Person(*words.split()[1:], whole=True)
            if number == 0:
                person.answer("another machine", "y")
            person.run(FRANKING_CONFIG=str(accounts), FRANKING_STATE_DIR=f"{home}/state")
            password = "mvk7ahq2xw4tzc5j"[number:] + "mvk7ahq2xw4tzc5j"[:number]
            said = re.sub(r"(?<=^password  )[a-z2-7]{16}$", password, person.shown, flags=re.MULTILINE)
            shown.append(f"$ {words}\n{said.replace('(y/N): ', '(y/N): y')}")
    return "".join(shown).rstrip() + "\n"


ACCOUNT = """\
[accounts.shop]
provider = "smtp"
from = "{sender}"
host = "127.0.0.1"
port = {port}
security = "none"
"""

SCENES: Mapping[str, Callable[[], str]] = {
    "embedded": embedded,
    "red-login": red_login,
    "green-setup": green_setup,
    "relay": relay,
    "relay-program": relay_program,
    "relay-stranger": relay_stranger,
    "relay-user": relay_user,
    "relay-users": relay_users,
}


def fill(text: str) -> str:
    """Return a page with every recording that it has a mark for, as it is today."""
    return MARK.sub(lambda found: f"{found[1]}\n```console\n{SCENES[found[2]]()}```\n\n{found[3]}", text)
