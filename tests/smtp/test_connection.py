"""One connection: octets in both directions at once, slow servers, the log of the dialogue, and its end."""

from __future__ import annotations

import logging
import pickle
import select
import socket
import threading
import traceback
from collections.abc import Iterator

import pytest

from franking.errors import (
    ConnectError,
    ConnectTimeout,
    SendError,
)
from franking.net.tcp import Place
from franking.provider import Step
from franking.smtp.connection import Connection, Dialogue
from franking.smtp.protocol import Line
from servers.certificates import Certificates
from servers.smtp import (
    Fault,
    drips,
    says,
)
from smtp.sessions import (
    BODY,
    ENVELOPE,
    Clock,
    Start,
    failure,
    session,
)

CANARY = "Canary7"


def test_a_server_that_drips_is_slow_but_right(smtp_server: Start) -> None:
    server = smtp_server(faults=[Fault(step, drips) for step in ("greet", "ehlo", "mail", "rcpt", "body")])
    with session(server) as opened:
        assert opened.send(ENVELOPE, BODY).reply == "250 2.0.0 queued as 1"


def test_writing_and_reading_do_not_wait_for_each_other() -> None:
    """The server says a megabyte before it reads anything: who only writes would wait for ever."""
    words = b"250 " + b"x" * 250 + b"\r\n"
    listener = socket.create_server(("127.0.0.1", 0))
    heard = []

    def serve() -> None:
        peer, _ = listener.accept()
        with peer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
            peer.sendall(words * 4500)
            while data := peer.recv(1 << 20):
                heard.append(len(data))

    thread = threading.Thread(target=serve)
    thread.start()
    sock = socket.create_connection(listener.getsockname())
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    connection = Connection(Place("127.0.0.1", 25), timeout=10, patience=10)
    connection.attach(sock)
    connection.write(b"y" * 20_000_000)
    connection.close()
    thread.join(10)
    listener.close()
    assert sum(heard) == 20_000_000 == connection.sent


def test_abort_under_tls_lets_nothing_out_in_plain(smtp_server: Start, certificates: Certificates) -> None:
    server = smtp_server(context=certificates.context("good"), implicit_tls=True)
    with session(server, security="tls", ca_file=certificates.ca_file) as opened:
        opened.abort()
        with pytest.raises(ConnectError):
            opened.send(ENVELOPE, BODY)
    assert b"MAIL" not in server.wait().plain


def test_the_wire_log_is_whole_and_holds_no_secret(
    smtp_server: Start, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="franking.wire")
    server = smtp_server(users={"jana": "Canary7"}, context=certificates.context("good"))
    with session(server, "Canary7", security="starttls", ca_file=certificates.ca_file) as opened:
        opened.send(ENVELOPE, BODY)
    lines = [record.getMessage() for record in caplog.records if record.name == "franking.wire"]
    assert lines[:3] == [
        "S: 220 mx.example.test ESMTP",
        "C: EHLO [127.0.0.1]",
        "S: 250-mx.example.test greets [127.0.0.1]",
    ]
    assert "C: STARTTLS" in lines
    assert "~C: AUTH PLAIN [hidden]" in lines
    assert f"~C: BDAT {BODY.size} LAST" in lines
    assert f"~C: <… {BODY.size} octets>" in lines
    assert "~S: 250 2.0.0 queued as 1" in lines
    assert lines[-2:] == ["~C: QUIT", "~S: 221 2.0.0 bye"]
    assert "hello" not in "".join(lines)
    assert "Canary7" not in "".join(lines)


@pytest.mark.parametrize("step", ["auth", "mail"])
def test_a_secret_that_the_server_echoes_is_shown_nowhere(
    smtp_server: Start, caplog: pytest.LogCaptureFixture, step: str
) -> None:
    caplog.set_level(logging.DEBUG)
    steps: list[Step] = []
    echo = says("550 5.7.1 you said Canary7 or AGphbmEAQ2FuYXJ5Nw== or Q2FuYXJ5Nw==")
    server = smtp_server(users={"jana": CANARY}, faults=[Fault(step, echo)])
    with pytest.raises(SendError) as caught, session(server, CANARY, steps.append) as opened:
        opened.send(ENVELOPE, BODY)
    error = caught.value
    shown = (
        "".join(traceback.format_exception(error))
        + repr(error.evidence)
        + repr(steps)
        + caplog.text
        + repr(pickle.dumps(error))
    )
    for secret in (CANARY, "AGphbmEAQ2FuYXJ5Nw", "Q2FuYXJ5Nw"):
        assert secret not in shown
    assert "you said [hidden]" in str(error)


def test_a_sign_in_address_with_a_one_time_token_is_shown_nowhere(
    smtp_server: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    refusal = says(
        "534-5.7.14 <https://accounts.example.test/signin/continue?sarp=1&plt=AKgnCanary7",
        "534-5.7.14 moreCanary7> Please log in via your web browser and",
        "534 5.7.14 then try again.",
    )
    error = failure(smtp_server(users={"jana": "pw"}, mechanisms=["PLAIN"], faults=[Fault("auth", refusal)]), "pw")
    assert "Canary7" not in caplog.text + str(error) + repr(error.evidence)
    assert "Please log in via your web browser" in str(error)
    assert "Please log in via your web browser" in caplog.text


@pytest.fixture
def pair() -> Iterator[tuple[Connection, socket.socket, Clock]]:
    """Make a connection whose other end the test holds, and whose clock it moves."""
    clock = Clock()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sock = socket.create_connection(listener.getsockname())
        peer, _ = listener.accept()
    connection = Connection(Place("127.0.0.1", 25), timeout=5, patience=20, clock=clock)
    connection.attach(sock)
    with peer:
        yield connection, peer, clock
    connection.close()


def test_a_reply_that_drips_for_ever_is_silence(pair: tuple[Connection, socket.socket, Clock]) -> None:
    connection, peer, clock = pair
    for _ in range(3):
        peer.sendall(b"2")
        connection.fill()
        clock.now += 19
        peer.sendall(b"50 ok\r\n")  # it ends in time, and the next has all its time again
        connection.fill()
        assert connection.reader.replies.popleft().code == 250
    peer.sendall(b"2")
    connection.fill()
    peer.sendall(b"5")
    connection.fill()
    clock.now += 20
    peer.sendall(b"0")
    with pytest.raises(ConnectTimeout):
        connection.fill()


def test_a_socket_that_is_gone_when_it_is_attached_was_reset() -> None:
    connection = Connection(Place("127.0.0.1", 25), timeout=5, patience=5)
    assert connection.closed
    with socket.socket() as never_connected:
        with pytest.raises(ConnectError) as caught:
            connection.attach(never_connected)
        assert caught.value.evidence is not None
        assert (caught.value.evidence.reason, caught.value.step) == ("reset", "connect")
        connection.close()
        assert never_connected.fileno() == -1


def test_who_has_heard_enough_writes_no_more(pair: tuple[Connection, socket.socket, Clock]) -> None:
    connection, peer, _ = pair
    peer.sendall(b"552 5.3.4 too big\r\n")
    connection.write(b"x" * 50_000_000, lambda: True)
    assert connection.offered == connection.sent < 50_000_000  # what no call of the kernel has any more is not offered
    assert connection.reader.replies[0].code == 552


def test_a_peer_that_reads_nothing_is_silence(pair: tuple[Connection, socket.socket, Clock]) -> None:
    connection, _, _ = pair
    connection.timeout = 0.1
    with pytest.raises(ConnectTimeout):
        connection.write(b"x" * 50_000_000)


def test_a_closed_connection_says_good_bye_once(pair: tuple[Connection, socket.socket, Clock]) -> None:
    connection, peer, _ = pair
    peer.sendall(b"221 bye\r\n")
    connection.close(quit_first=True)
    connection.close(quit_first=True)
    assert peer.recv(100) == b"QUIT\r\n"
    assert peer.recv(100) == b""
    assert connection.closed


def test_a_good_bye_to_nobody_is_no_error(pair: tuple[Connection, socket.socket, Clock]) -> None:
    connection, peer, _ = pair
    peer.close()
    connection.close(quit_first=True)
    assert connection.closed


def test_a_dialogue_hears_nothing_that_was_not_asked_for(pair: tuple[Connection, socket.socket, Clock]) -> None:
    connection, peer, _ = pair
    peer.sendall(b"250 ok\r\n250 and more\r\n")

    def dialogue() -> Dialogue[None]:
        yield None
        yield Line(b"NOOP\r\n", "NOOP")

    with pytest.raises(ConnectError) as caught:
        connection.converse(dialogue())
    assert caught.value.evidence is not None
    assert (caught.value.evidence.reason, caught.value.evidence.text) == ("unexpected-reply", "250 and more")
    assert connection.sent == 0


def test_nothing_is_quiet_that_has_ended(pair: tuple[Connection, socket.socket, Clock]) -> None:
    connection, peer, _ = pair
    assert connection.quiet()
    peer.close()
    assert not connection.quiet()
    with pytest.raises(ConnectError) as caught:
        connection.take()
    assert caught.value.evidence is not None
    assert caught.value.evidence.reason == "closed"


@pytest.mark.skipif(not hasattr(select, "poll"), reason="Windows has select alone")
def test_without_poll_select_waits(
    pair: tuple[Connection, socket.socket, Clock], monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, peer, _ = pair
    monkeypatch.setattr("franking.smtp.connection._HAS_POLL", False)
    assert connection.quiet()
    peer.sendall(b"250 ok\r\n")
    connection.fill()
    assert connection.reader.replies[0].code == 250
    connection.timeout = 0.1
    with pytest.raises(ConnectTimeout):
        connection.fill()
    with pytest.raises(ConnectTimeout):
        connection.write(b"x" * 50_000_000)
