"""Sessions with the scriptable server (servers/smtp.py): opening one, and one that must fail."""

from __future__ import annotations

import contextlib
import pickle
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import franking
from franking.auth.secret import Password
from franking.errors import (
    FrankingError,
)
from franking.message.address import Envelope
from franking.provider import silent
from franking.smtp.connection import Connection
from franking.smtp.open import open_session
from franking.smtp.session import SmtpSession
from servers.dialogue import Raw
from servers.smtp import (
    EXTENSIONS,
    SmtpServer,
)

Start = Callable[..., SmtpServer]


PASSWORD = " Žluťoučký kůň "


ENVELOPE = Envelope("jana@example.test", ["petr@example.test"])


BODY = Raw(b"Subject: x\r\n\r\nhello\r\n.dot\r\n")


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def account(server: SmtpServer | int, **settings: Any) -> franking.Account:
    port = server if isinstance(server, int) else server.port
    options = {"host": "127.0.0.1", "security": "none", "timeout": 5.0, "final_timeout": 5.0, **settings}
    return franking.Account(name="test", provider="smtp", sender="Jana <jana@example.test>", port=port, **options)


@contextlib.contextmanager
def session(
    server: SmtpServer | int, password: str | None = None, observer: Any = silent, **settings: Any
) -> Iterator[SmtpSession]:
    clock = settings.pop("clock", None)
    more = {} if clock is None else {"clock": clock}
    if password is not None:
        settings.setdefault("username", "jana")
    opened = open_session(
        account(server, **settings), None if password is None else Password(password), observer, route="smtp", **more
    )
    try:
        yield opened
    finally:
        opened.close()


def failure(server: SmtpServer | int, password: str | None = None, **settings: Any) -> FrankingError:
    """Open a session that must fail; return the error, whole and pickled."""
    with pytest.raises(FrankingError) as caught, session(server, password, **settings):
        pass
    assert caught.value.evidence is not None
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    assert not caught.value.possibly_sent
    return caught.value


def facts(error: FrankingError) -> tuple[str, str | None, str | None, bool]:
    assert error.evidence is not None
    return type(error).__name__, error.step, error.evidence.reason, error.temporary


def found(*addresses: tuple[str, int]) -> Callable[..., list[Any]]:
    """Make a resolver that answers with these addresses."""

    def resolver(host: str, port: int, **options: Any) -> list[Any]:
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                6,
                "",
                (address, number, 0, 0)[: 4 if ":" in address else 2],
            )
            for address, number in addresses
        ]

    return resolver


def open_at(resolver: Any, host: str = "mail.example.test", port: int = 25, **settings: Any) -> SmtpSession:
    options = {"timeout": 2.0, **settings}
    return open_session(account(port, host=host, **options), None, silent, route="smtp", resolver=resolver)


CHUNKS, PIPES = EXTENSIONS, ("PIPELINING",)


def flights_of(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note how many messages begin in each piece that any connection writes; pieces in which none does are left out."""
    flights: list[int] = []
    write = Connection.write

    def seen(connection: Connection, data: bytes, enough: Any = None) -> None:
        if begun := bytes(data).count(b"MAIL FROM"):
            flights.append(begun)
        write(connection, data, enough)

    monkeypatch.setattr(Connection, "write", seen)
    return flights
