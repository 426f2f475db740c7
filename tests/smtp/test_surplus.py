"""A server that answers more than it was asked: in a flight nobody can tell which reply was meant for the message."""

from __future__ import annotations

import socket
from typing import Any

import pytest

import franking
from franking.errors import OutcomeUnknown
from servers.certificates import Certificates
from servers.smtp import EXTENSIONS, Act, Fault, Peer, SmtpServer, hangs_up, says, sends, then, twice
from smtp.sessions import Start

PIPES = tuple(word for word in EXTENSIONS if word != "CHUNKING")
PLAIN = ("SIZE 52428800", "8BITMIME")
MODES = pytest.mark.parametrize("extensions", [EXTENSIONS, PIPES], ids=["chunking", "pipelining"])
OK = "250 2.0.0 ok"


def account(server: SmtpServer, **settings: Any) -> franking.Account:
    given = {"host": "localhost", "security": "none", "timeout": 5.0, "final_timeout": 5.0, **settings}
    return franking.Account(name="t", provider="smtp", sender="a@x.test", port=server.port, **given)


def message(number: int = 0) -> franking.Message:
    return franking.Message(to=f"r{number}@y.test", subject=f"{number}", text="x")


def in_two_records(peer: Peer, reply: str) -> None:
    """Send two replies in two TLS records that travel together: both are there when the first is read."""
    cork = getattr(socket, "TCP_CORK", socket.TCP_NODELAY)
    peer.sock.setsockopt(socket.IPPROTO_TCP, cork, 1)
    for _ in range(2):
        peer.send(f"{OK}\r\n".encode())
    peer.sock.setsockopt(socket.IPPROTO_TCP, cork, 0)


SURPLUS: list[tuple[str, Act]] = [
    ("body", says(OK, OK)),
    ("body", says(OK, "554 5.7.1 spam")),
    ("body", says(OK, "421 4.3.2 bye")),
    ("body", sends(b"250 2.0.0 ok\r\n25")),
    ("body", sends(b"250 2.0.0 ok\r\nwhat\r\n")),
]
ENVELOPES: list[tuple[str, Act]] = [("mail", twice), ("rcpt", twice)]
IDS = ["yes", "no", "closing", "half a line", "no reply"]


@MODES
@pytest.mark.parametrize(("step", "act"), SURPLUS, ids=IDS)
def test_one_reply_too_many_makes_the_outcome_unknown(
    smtp_server: Start, extensions: tuple[str, ...], step: str, act: Act
) -> None:
    server = smtp_server(extensions=extensions, faults=[Fault(step, act, executed=True)])
    with franking.connect(account(server)) as mailer, pytest.raises(OutcomeUnknown) as caught:
        mailer.send(message())
    assert caught.value.accepted == ["r0@y.test"]
    assert caught.value.possibly_sent


@MODES
@pytest.mark.parametrize(("step", "act"), SURPLUS, ids=IDS)
@pytest.mark.parametrize("window", [1, 16])
def test_one_reply_too_many_behind_the_last_of_many(
    smtp_server: Start, extensions: tuple[str, ...], window: int, step: str, act: Act
) -> None:
    server = smtp_server(extensions=extensions, faults=[Fault(step, act, nth=3, executed=True)])
    with franking.connect(account(server)) as mailer:
        results = {each.index: each.outcome for each in mailer.send_many([message(n) for n in range(3)], window=window)}
    assert results[2] == "unknown"
    assert len(server.messages) == 3


@pytest.mark.parametrize(("step", "act"), ENVELOPES, ids=["mail", "rcpt"])
@pytest.mark.parametrize("window", [0, 1, 16])
def test_one_reply_too_many_to_the_envelope_that_leaves_with_the_content(
    smtp_server: Start, window: int, step: str, act: Act
) -> None:
    """Pushed on by one, RCPT's reply seems to answer the content."""
    server = smtp_server(faults=[Fault(step, act, executed=True)])
    with franking.connect(account(server)) as mailer:
        if window:
            (result,) = mailer.send_many([message()], window=window)
            assert result.outcome == "unknown"
            return
        with pytest.raises(OutcomeUnknown):
            mailer.send(message())


@MODES
def test_under_tls_the_surplus_may_lie_in_the_next_record(
    smtp_server: Start, certificates: Certificates, extensions: tuple[str, ...]
) -> None:
    server = smtp_server(
        extensions=extensions,
        context=certificates.context("good"),
        implicit_tls=True,
        faults=[Fault("body", in_two_records, executed=True)],
    )
    given = account(server, security="tls", ca_file=certificates.ca_file)
    with franking.connect(given) as mailer, pytest.raises(OutcomeUnknown):
        mailer.send(message())


@MODES
def test_a_server_that_accepts_and_closes_has_accepted(smtp_server: Start, extensions: tuple[str, ...]) -> None:
    server = smtp_server(extensions=extensions, faults=[Fault("body", then(says(OK), hangs_up), executed=True)])
    with franking.connect(account(server)) as mailer:
        assert mailer.send(message()).reply == OK


def test_in_the_plain_dialogue_the_first_reply_answers_the_content(smtp_server: Start) -> None:
    server = smtp_server(extensions=PLAIN, faults=[Fault("body", says(OK, OK), executed=True)])
    with franking.connect(account(server)) as mailer:
        assert mailer.send(message()).reply == OK
