"""Many messages and connections of every kind: what the relay holds of memory and descriptors does not grow with them.

``FRANKING_SOAK=20000`` sends so many messages, over a tenth as many connections; by itself it sends few.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

import franking
from relay.conftest import HEADER, MESSAGE, save

pytestmark = [pytest.mark.slow, pytest.mark.process, pytest.mark.timeout(3600)]

MIB = 1024 * 1024
MESSAGES = int(os.environ.get("FRANKING_SOAK", "600"))
TOGETHER = 10  # messages of one connection
PROGRAM = """
import sys
from franking.relay import Relay
with Relay("shop", wait=0, run=False) as relay:
    print(relay.addresses[0][1], flush=True)
    sys.stdin.read()
"""


class Child:
    """A relay in a process of its own, and what the system says of it."""

    def __init__(self, pid: int, port: int) -> None:
        self._proc, self._port = Path(f"/proc/{pid}"), port

    def held(self) -> tuple[int, int]:
        """Return octets of memory, and descriptors once the connections that ended are closed."""
        time.sleep(0.5)
        lines = (self._proc / "status").read_text().splitlines()
        memory = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))
        return memory, len(list((self._proc / "fd").iterdir()))

    def connected(self) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self._port), timeout=60)
        assert sock.recv(1000).startswith(b"220")
        return sock


@contextmanager
def child() -> Iterator[Child]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield Child(process.pid, int(process.stdout.readline()))
    finally:
        process.communicate()


def heard(sock: socket.socket, octets: bytes, replies: int) -> bytes:
    """Send, and return that many lines; fewer where the other side has ended."""
    sock.sendall(octets)
    found = b""
    while found.count(b"\n") < replies and (piece := sock.recv(65536)):
        found += piece
    return found


def messages(sock: socket.socket, number: int) -> None:
    """Send some messages, each in a dialogue of its own kind."""
    heard(sock, b"HELO x\r\n", 1)
    for one in range(number):
        begin = b"MAIL FROM:<shop@example.cz>\r\nRCPT TO:<jana%d@example.com>\r\n" % one
        body = MESSAGE.replace(b"<1@", b"<%d.%d@" % (one, time.monotonic_ns()))
        if one % 5 == 0:
            body = HEADER + b"\r\nno id, no date\r\n"
        if one == 3:
            body += b"y" * 70 + b"\r\n"
            body += (b"z" * 76 + b"\r\n") * 4000  # through a file
        if one % 2:
            said = heard(sock, begin + b"BDAT %d LAST\r\n" % len(body) + body, 3)
        else:
            said = heard(sock, begin + b"DATA\r\n" + body + b".\r\n", 4)
        assert said.splitlines()[-1].startswith(b"250 2.0.0 queued"), said


BEGIN = b"EHLO x\r\nMAIL FROM:<shop@example.cz>\r\nRCPT TO:<a@b.cz>\r\n"
ODD = [
    b"", b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"x" * 5000,
    b"EHLO x\r\nNONSENSE\r\n" * 12,
    b"EHLO x\r\nAUTH PLAIN AAA=\r\nMAIL FROM:<a@b@c>\r\nMAIL FROM:<other@example.cz>\r\nQUIT\r\n",
    BEGIN + b"DATA\r\nSubject: half of it\r\n" + b"y" * 400_000,
    BEGIN + b"BDAT 1000\r\nSubject: less\r\n",
    BEGIN + b"DATA\r\nSubject: no answer is waited for\r\n\r\n.\r\n",
]  # fmt: skip


def test_nothing_grows_with_messages_and_connections() -> None:
    save(1)
    rounds = MESSAGES // TOGETHER
    with child() as relay:
        early = (0, 0)
        for one in range(rounds):
            with relay.connected() as sock:
                messages(sock, TOGETHER)
            with relay.connected() as sock, suppress(ConnectionError):
                sock.sendall(ODD[one % len(ODD)])
            if one == rounds // 4:
                early = relay.held()
        late = relay.held()
    assert late[0] - early[0] <= 2 * MIB, (early, late)
    assert late[1] <= early[1], (early, late)
    assert franking.Outbox().counts()["queued"] >= rounds * TOGETHER
    assert not list((franking.Outbox().directory / "bodies").glob("*.tmp"))


def test_500_connections_that_say_nothing() -> None:
    save(1)
    with child() as relay:
        with relay.connected() as sock:
            messages(sock, TOGETHER)
        before = relay.held()
        silent = [relay.connected() for _ in range(500)]
        with relay.connected() as sock:
            messages(sock, TOGETHER)
        during = relay.held()
        for each in silent:
            each.close()
        after = relay.held()
    assert during[0] - before[0] <= 500 * 16 * 1024, (before, during)
    assert during[1] - before[1] == 500
    assert after[1] == before[1]
