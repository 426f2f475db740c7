"""Where the relay listens, and what it says where it cannot; nobody is told that it listens before it does."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Any

import pytest

from franking.diagnosis import texts
from franking.errors import SettingsError
from franking.relay import Relay
from franking.relay.events import Event
from franking.relay.listening import bound, unusable
from franking.relay.settings import Listen
from relay.conftest import Watched, save
from servers.ports import reserved_ports

Start = Callable[..., Watched]


def refusal(**settings: Any) -> str:
    """Return what is said of a relay that cannot start, which has told nobody anything."""
    events: list[Event] = []
    with pytest.raises(SettingsError) as caught:
        Relay.of_settings(settings, observer=events.append).start()
    assert events == []
    return str(caught.value)


def test_an_address_that_is_taken_or_stands_there_twice() -> None:
    save(1)
    (port,) = reserved_ports(1)
    twice = refusal(listen=[f"127.0.0.1:{port}", f"127.0.0.1:{port}"])
    assert twice.startswith(f"relay.listen: 127.0.0.1:{port} cannot be listened on: it is taken")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        assert refusal(listen=[place]).startswith(f"relay.listen: {place} cannot be listened on: it is taken")
        health = refusal(listen=["127.0.0.1:0"], health=place)
        assert health.startswith(f"relay.health: {place} cannot be listened on: it is taken")


def test_an_account_that_leads_back_is_found_before_anybody_is_told() -> None:
    (port,) = reserved_ports(1)
    save(port)
    assert "in a circle" in refusal(listen=[f"127.0.0.1:{port}"])


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.EACCES, "let systemd open it"), (errno.EADDRNOTAVAIL, "no such address"), (errno.EIO, "Input/output")],
)
def test_why_an_address_cannot_be_had(number: int, words: str) -> None:
    said = str(unusable(Listen("10.0.0.1", 25, "none"), OSError(number, "Input/output error")))
    assert said.startswith("relay.listen: 10.0.0.1:25 cannot be listened on: ")
    assert words in said


@pytest.mark.parametrize(("other", "alone"), [("0.0.0.0", 1), ("10.0.0.1", 1), ("::1", 0)])
def test_both_families_on_one_port(other: str, alone: int) -> None:
    """On Linux [::] is 0.0.0.0 too, and would find it taken."""
    everywhere = Listen("::", 0, "none")
    with bound(everywhere, [everywhere, Listen(other, 0, "none")]) as sock:
        assert sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == alone


def test_an_address_where_nobody_can_send_is_told(relay: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    save(1)
    monkeypatch.setattr("franking.relay.settings.RelaySettings.keeps_out", lambda *_: True)  # tests stay on loopback
    (told,) = relay(settings={}).told("warning")
    assert told["text"].startswith("nobody can send at 127.0.0.1:")
    assert texts.said(told["text"], "cs").startswith("na 127.0.0.1:")
    outdated = texts.said("10.0.0.1:465 takes TLS 1.0, which anybody on the way may break", "cs")
    assert outdated.startswith("10.0.0.1:465 přijímá TLS 1.0")
