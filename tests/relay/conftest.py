"""A relay in front of a scripted server, in this process."""

from __future__ import annotations

import os
import smtplib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from franking.relay import Relay
from franking.relay.events import Event

HEADER = b"From: shop@example.cz\r\nTo: jana@example.com\r\nSubject: Faktura\r\n"
MESSAGE = HEADER + b"Date: Sun, 29 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@example.cz>\r\n\r\nhi\r\n"


def save(port: int, name: str = "shop", *, more: str = "", **settings: object) -> None:
    """Write an account that sends to a server on this machine; ``more`` follows as it is."""
    values = {"provider": "smtp", "from": f"{name}@example.cz", "host": "127.0.0.1", "port": port, "security": "none"}
    lines = [f"[accounts.{name}]"]
    for key, value in {**values, "timeout": 5, **settings}.items():
        lines.append(f"{key} = {str(value).lower() if isinstance(value, bool) else repr(value)}")
    path = Path(os.environ["FRANKING_CONFIG"])
    text = path.read_text() if path.exists() else ""
    path.write_text(f"{text}{chr(10).join(lines)}\n{more}\n")


class Watched:
    """A relay, and what it told."""

    def __init__(self, relay: Relay, events: list[Event]) -> None:
        self.relay, self.events = relay, events

    @property
    def address(self) -> tuple[str, int]:
        return self.relay.addresses[0]

    def client(self) -> smtplib.SMTP:
        client = smtplib.SMTP(*self.address, timeout=20)
        client.ehlo()
        return client

    def told(self, name: str) -> list[dict[str, Any]]:
        return [dict(event.values) for event in self.events if event.name == name]


@pytest.fixture
def relay() -> Iterator[Callable[..., Watched]]:
    """Start relays; they stop at the end of the test."""
    with ExitStack() as stack:

        def start(account: str | None = None, *, settings: dict[str, Any] | None = None, **options: Any) -> Watched:
            events: list[Event] = []
            if settings is None:
                made = Relay(account, observer=events.append, **options)
            else:
                made = Relay.of_settings({"listen": ["127.0.0.1:0"], **settings}, observer=events.append, **options)
            stack.enter_context(made)
            return Watched(made, events)

        yield start


def said(client: smtplib.SMTP, sender: str, to: str | list[str], data: bytes) -> str:
    """Send a message and return the reply that refused or took it."""
    to = [to] if isinstance(to, str) else to
    code, words = client.mail(sender)
    for one in to:
        if code != 250:
            break
        code, words = client.rcpt(one)
    if code == 250:
        code, words = client.data(data)
    if code >= 400:
        client.rset()
    return f"{code} {words.decode()}"
