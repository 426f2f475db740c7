"""The table of refusals (``tests/diagnosis/refusals.tsv``): its rows, the forms in which a text may come, and the
product that meets them.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import franking
from franking.errors import ConnectError, Evidence, FrankingError, LoginError, Refused, TLSError
from franking.sending.testsend import TestReport
from servers.smtp import Fault, SmtpServer, says

TABLE = Path(__file__).parent / "diagnosis" / "refusals.tsv"
USER, PASSWORD = "info@firma-novak.cz", "heslo"
HOSTS = {"smtp": "smtp.firma-novak.cz", "gsmtp": "smtp.gmail.com", "osmtp": "smtp.office365.com"}


@dataclass(frozen=True)
class Refusal:
    """One row: what a server says, and what must come of it."""

    row: str
    via: str
    step: str
    reply: str
    codes: tuple[str, ...]
    temporary: bool

    @property
    def host(self) -> str:
        return HOSTS.get(self.via) or self.via.partition("@")[2]

    def __str__(self) -> str:
        return f"{self.row}-{self.codes[0]}"


def rows(path: Path = TABLE) -> list[Refusal]:
    lines = [line for line in path.read_text("utf-8").splitlines() if line and not line.startswith("#")][1:]
    found = []
    for line in lines:
        row, via, step, reply, codes, temporary = line.split("\t")
        found.append(Refusal(row, via, step, reply, tuple(codes.split()), temporary == "T"))
    return found


_LINE = re.compile(r"(\d{3})[ -](?:([245]\.\d{1,3}\.\d{1,3}) +)?(.*)")


def _read(reply: str) -> tuple[str, str, str]:
    parts = [_LINE.fullmatch(line) for line in reply.split("|")]
    assert all(parts), reply
    first = parts[0]
    assert first is not None
    return first[1], first[2] or "", " ".join(part[3].strip() for part in parts if part)


def _written(code: str, enhanced: str, texts: list[str]) -> list[str]:
    last = len(texts) - 1
    return [
        f"{code}{'-' if at < last else ' '}{enhanced + ' ' if enhanced else ''}{text}" for at, text in enumerate(texts)
    ]


def wrapped(reply: str) -> list[str]:
    """The same words on lines of three."""
    code, enhanced, text = _read(reply)
    words = text.split()
    return _written(code, enhanced, [" ".join(words[at : at + 3]) for at in range(0, len(words), 3)])


def in_capitals(reply: str) -> list[str]:
    code, enhanced, text = _read(reply)
    return _written(code, enhanced, [text.upper()])


def without_enhanced(reply: str) -> list[str]:
    code, _, text = _read(reply)
    return _written(code, "", [text])


def cut(reply: str) -> list[str]:
    """The first six tenths of the words."""
    code, enhanced, text = _read(reply)
    words = text.split()
    return _written(code, enhanced, [" ".join(words[: max(1, len(words) * 6 // 10)])])


def cut_without_enhanced(reply: str) -> list[str]:
    return without_enhanced(cut(reply)[0])


def as_written(reply: str) -> list[str]:
    return reply.split("|")


FORMS = {
    form.__name__: form for form in (as_written, wrapped, in_capitals, without_enhanced, cut, cut_without_enhanced)
}

GENERAL = {
    "greet": {"greet.refused", "server.not-now"},
    "ehlo": {"greet.refused", "server.not-now"},
    "starttls": {"tls.server-trouble"},
    "auth": {"login.failed", "login.refused", "server.not-now"},
    "mail": {"send.refused", "server.not-now"},
    "rcpt": {"recipient.refused", "server.not-now"},
    "body": {"send.refused", "server.not-now"},
}
"""What may be said at a step of words that are not understood: it claims no cause."""


WHERE: dict[str, tuple[type[FrankingError], str, str | None]] = {
    "greet": (ConnectError, "greet", None),
    "ehlo": (ConnectError, "greet", None),
    "starttls": (TLSError, "tls", None),
    "auth": (LoginError, "login", None),
    "mail": (Refused, "message", "sender"),
    "rcpt": (Refused, "message", "recipient"),
    "body": (Refused, "accepted", "message"),
}
"""What the product raises at a step, and what it knows of where it was."""


def evidence(refusal: Refusal) -> tuple[FrankingError, Evidence]:
    """Return what the product makes of a refusal, without any product, for questions about the rules alone."""
    code, enhanced, text = _read(refusal.reply)
    kind, step, what = WHERE[refusal.step]
    seen = Evidence("smtp", int(code), enhanced or None, text, details={"what": what})
    return kind("It was refused.", step=step, temporary=code.startswith("4"), evidence=seen), seen


@contextmanager
def names_here(monkeypatch: Any) -> Iterator[None]:
    """Let every name of a host be this computer's, as with a hosts file: what a name means must not need the net."""
    real = socket.getaddrinfo

    def here(host: Any, port: Any, *rest: Any, **options: Any) -> Any:
        return real("127.0.0.1", port, *rest, **options)

    with monkeypatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", here)
        yield


def report(server: SmtpServer, refusal: Refusal, lines: list[str], **changes: Any) -> TestReport:
    """Send a test message to a server that refuses it so, with the public API."""
    server.faults = [Fault(refusal.step, says(*lines), nth=None)]
    settings: dict[str, Any] = {
        "sender": f"Jan Novák <{USER}>",
        "host": refusal.host,
        "port": server.port,
        "security": "none",
        "username": USER,
        "timeout": 5.0,
    }
    account = franking.Account(name="shop", provider="smtp", **{**settings, **changes}).referred_to_as("shop")
    secret = PASSWORD if account.username else None
    return franking.send_test(account, "eva@jinde.cz", secret=secret)
