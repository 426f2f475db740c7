"""``franking outbox run`` as a service: what it tells the service manager, how it ends, and a runner that rests."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import franking
from servers.smtp import Fault, Peer, SmtpServer, wait_until

pytestmark = pytest.mark.process

PROGRAM = [str(Path(sys.executable).with_name("franking")), "outbox", "run"]


def save(port: int) -> None:
    Path(os.environ["FRANKING_CONFIG"]).write_text(
        "[accounts.shop]\nprovider = 'smtp'\nfrom = 'info@novak.cz'\nhost = '127.0.0.1'\nsecurity = 'none'\n"
        f"port = {port}\n"
    )


def queue() -> franking.OutboxEntry:
    return franking.connect("shop").queue(franking.Message(to="a@example.com", text="x"))


@contextmanager
def running(*more: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [*PROGRAM, *more], env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as program:
        try:
            yield program
        finally:
            program.kill()


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="sd_notify speaks over a Unix socket")
def test_it_tells_that_it_is_ready_alive_and_ending(tmp_path: Path) -> None:
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.bind(str(tmp_path / "n"))
    told.settimeout(30)
    with SmtpServer() as server:
        save(server.port)
        entry = queue()
        with running(NOTIFY_SOCKET=str(tmp_path / "n"), WATCHDOG_USEC="200000") as program:
            assert told.recv(100) == b"READY=1"
            assert told.recv(100) == b"WATCHDOG=1"
            wait_until(lambda: franking.Outbox().get(entry.id).state == "accepted", 30)
            program.send_signal(signal.SIGTERM)
            assert program.wait(30) == 0
    said = b""
    while said != b"STOPPING=1":
        said = told.recv(100)
    told.close()
    assert len(server.messages) == 1


def test_what_is_under_way_is_finished_before_it_ends() -> None:
    def slow(peer: Peer, reply: str) -> None:
        time.sleep(1)
        peer.reply(reply)

    with SmtpServer(faults=[Fault("body", slow, executed=True)]) as server:
        save(server.port)
        entry = queue()
        with running() as program:
            wait_until(lambda: bool(server.messages), 30)  # it has the message, and has not answered yet
            program.send_signal(signal.SIGINT)
            assert program.wait(30) == 0
    assert franking.Outbox().get(entry.id).state == "accepted"


def test_a_stopped_runner_keeps_what_it_has() -> None:
    """No clock decides that it is dead."""

    def waits(peer: Peer, reply: str) -> None:
        time.sleep(1.5)
        peer.reply(reply)

    with SmtpServer(faults=[Fault("body", waits, executed=True, connection=1)]) as server:
        save(server.port)
        entry = queue()
        with running() as program:
            wait_until(lambda: bool(server.messages), 30)
            program.send_signal(signal.SIGSTOP)
            franking.Outbox().run(once=True)
            assert franking.Outbox().get(entry.id).state == "sending"
            program.send_signal(signal.SIGCONT)
            wait_until(lambda: franking.Outbox().get(entry.id).state == "accepted", 30)
            program.send_signal(signal.SIGTERM)
            assert program.wait(30) == 0
    assert len(server.messages) == 1
