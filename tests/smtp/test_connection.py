"""One connection: octets in both directions at once, slow servers, the log of the dialogue, and its end."""

from __future__ import annotations

import logging
import pickle
import socket
import threading
import traceback

import pytest

from franking.errors import (
    ConnectError,
    SendError,
)
from franking.net.tcp import Place
from franking.provider import Step
from franking.smtp.connection import Connection
from servers.certificates import Certificates
from servers.smtp import (
    Fault,
    drips,
    says,
)
from smtp.sessions import (
    BODY,
    ENVELOPE,
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
    assert "~C: AUTH PLAIN <…secret…>" in lines
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
    assert "you said <…secret…>" in str(error)


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
