"""A fast SMTP server that keeps nothing, for measuring clients: takes every login, every recipient and every message,
in a process of its own.

    with Sink() as sink: ... sink.port ... sink.tls_port

Offers PIPELINING, CHUNKING, 8BITMIME, SMTPUTF8, SIZE and AUTH unless told otherwise, and answers everything that came
in one read with one write. It is no judge of what clients may do: the strict servers are elsewhere.
"""

from __future__ import annotations

import argparse
import contextlib
import selectors
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

HOST = "127.0.0.1"
EXTENSIONS = ("PIPELINING", "CHUNKING", "8BITMIME", "SMTPUTF8", "SIZE 52428800", "AUTH PLAIN LOGIN XOAUTH2")


class Sink:
    """A sink in its own process. ``without`` names extensions that it does not offer; ``certificates`` (chain and key)
    add STARTTLS and ``tls_port``; ``away`` is in how many seconds a reply comes, to whatever left in one flight.
    """

    def __init__(
        self,
        *,
        without: tuple[str, ...] = (),
        certificates: tuple[Path, Path] | None = None,
        tls12: bool = False,
        away: float = 0.0,
    ) -> None:
        command = [sys.executable, str(Path(__file__).resolve()), "--without", ",".join(without), "--away", str(away)]
        if certificates:
            command += ["--chain", str(certificates[0]), "--key", str(certificates[1])]
        if tls12:
            command.append("--tls12")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port, self.tls_port = map(int, self.process.stdout.readline().split())

    def close(self) -> None:
        """End the process; its end of the pipe is the sign."""
        self.process.communicate(timeout=10)

    def __enter__(self) -> Sink:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Conversation:
    """One connection's state: bytes in, replies out."""

    def __init__(self, offered: tuple[str, ...], *, starttls: bool) -> None:
        lines = ["sink.test", *offered, *(["STARTTLS"] if starttls else [])]
        self.ehlo = b"".join(b"250%c%s\r\n" % (b" " if line is lines[-1] else b"-", line.encode()) for line in lines)
        self.inbox = bytearray()
        self.skip = 0  # octets of a BDAT chunk still to come
        self.after = b""  # the reply due after them
        self.data = False
        self.challenged = 0
        self.wants_tls = self.done = False

    def feed(self, data: bytes | memoryview) -> bytes:
        """Take what came in; give what goes out."""
        inbox = self.inbox
        inbox += data
        out: list[bytes] = []
        at = 0
        while True:
            if self.skip:
                taken = min(self.skip, len(inbox) - at)
                self.skip -= taken
                at += taken
                if self.skip:
                    break
                out.append(self.after)
            if self.data:
                end = inbox.find(b"\r\n.\r\n", max(at - 2, 0))
                if end < 0:
                    at = max(at, len(inbox) - 4)  # the end of data may be cut in two
                    break
                at = end + 5
                self.data = False
                out.append(b"250 2.0.0 taken\r\n")
            end = inbox.find(b"\r\n", at)
            if end < 0:
                break
            line = bytes(inbox[at:end])
            at = end + 2
            out.append(self.answer(line))
            if self.wants_tls:
                break
        if self.data and at >= 2:
            at -= 2  # the line end before the data may belong to a lone dot
        del inbox[:at]
        return b"".join(out)

    def answer(self, line: bytes) -> bytes:
        if self.challenged:
            self.challenged -= 1
            return b"334 UGFzc3dvcmQ6\r\n" if self.challenged else b"235 2.7.0 welcome\r\n"
        verb, _, rest = line.partition(b" ")
        verb = verb.upper()
        if verb == b"BDAT":
            size, _, last = rest.partition(b" ")
            self.skip = int(size)
            self.after = b"250 2.0.0 taken\r\n" if last else b"250 2.0.0 more\r\n"
            if self.skip:
                return b""
            return self.after
        if verb == b"DATA":
            self.data = True
            return b"354 go on\r\n"
        if verb in (b"EHLO", b"HELO"):
            return self.ehlo
        if verb == b"AUTH":
            mechanism, _, initial = rest.partition(b" ")
            if initial and mechanism.upper() != b"LOGIN":
                return b"235 2.7.0 welcome\r\n"
            self.challenged = 2 if mechanism.upper() == b"LOGIN" else 1
            return b"334 \r\n"
        if verb == b"STARTTLS":
            self.wants_tls = True
            return b"220 2.0.0 go ahead\r\n"
        if verb == b"QUIT":
            self.done = True
            return b"221 2.0.0 bye\r\n"
        return b"250 2.1.0 ok\r\n"


def serve(
    sock: socket.socket, offered: tuple[str, ...], context: ssl.SSLContext | None, *, implicit: bool, away: float
) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    buffer = memoryview(bytearray(1 << 18))
    with contextlib.suppress(OSError, ssl.SSLError):
        if implicit and context:
            sock = context.wrap_socket(sock, server_side=True)
        with sock:
            sock.sendall(b"220 sink.test ESMTP\r\n")
            conversation = Conversation(offered, starttls=context is not None and not implicit)
            while not conversation.done and (count := sock.recv_into(buffer)):
                if out := conversation.feed(buffer[:count]):
                    if away:
                        time.sleep(away)
                    sock.sendall(out)
                if conversation.wants_tls and context:
                    sock = context.wrap_socket(sock, server_side=True)
                    conversation = Conversation(offered, starttls=False)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--without", default="")
    parser.add_argument("--chain")
    parser.add_argument("--key")
    parser.add_argument("--tls12", action="store_true")
    parser.add_argument("--away", type=float, default=0.0)
    given = parser.parse_args()
    without = {word.upper() for word in given.without.split(",") if word}
    offered = tuple(word for word in EXTENSIONS if word.split()[0] not in without)
    context = None
    if given.chain:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(given.chain, given.key)
        if given.tls12:
            context.maximum_version = ssl.TLSVersion.TLSv1_2
    chosen = selectors.DefaultSelector()
    listeners = [socket.create_server((HOST, 0), backlog=100) for _ in range(2 if context else 1)]
    for number, listener in enumerate(listeners):
        chosen.register(listener, selectors.EVENT_READ, number)
    chosen.register(sys.stdin, selectors.EVENT_READ, None)
    print(*[listener.getsockname()[1] for listener in listeners], *([] if context else [0]), flush=True)
    while True:
        for key, _ in chosen.select():
            if key.data is None:  # our starter closed the pipe or died
                return
            sock, _ = listeners[key.data].accept()
            threading.Thread(
                target=serve,
                args=(sock, offered, context),
                kwargs={"implicit": key.data == 1, "away": given.away},
                daemon=True,
            ).start()


if __name__ == "__main__":
    main()
