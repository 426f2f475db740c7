"""An HTTPS server that reads real requests and answers with octets as a test wrote them: for everything that no proper
server says.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from servers.handshake import shake_hands
from servers.web import Authority

Wire = Callable[["Raw"], None]


@dataclass
class Raw:
    """One request as it came, and the socket to answer on."""

    sock: Any = field(repr=False)
    head: str
    body: bytes
    over: threading.Event

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def wait(self) -> None:
        self.over.wait(20)


def reply(status: int, body: bytes | dict[str, Any] | list[Any] = b"", *headers: str) -> bytes:
    """Make the octets of a proper answer."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Something", f"Content-Length: {len(data)}", *headers]
    if not isinstance(body, bytes):
        lines.append("Content-Type: application/json")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + data


class RawServer:
    """Answer the next request with each act of ``acts`` in turn, others with ``otherwise``; every request is kept."""

    def __init__(
        self,
        authority: Authority | None = None,
        *,
        otherwise: Callable[[str], bytes],
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.acts: list[Wire] = []
        self.before_body: list[Wire] = []  # taken instead, as soon as the head is there
        self.requests: list[Raw] = []
        self.connections = 0
        self.faulty: Callable[[str], bool] = lambda head: not head.startswith("GET")  # which requests the acts are for
        self.over = threading.Event()
        self.otherwise = otherwise
        if context is None:
            assert authority is not None
            context = authority.context("localhost", "127.0.0.1")
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._socks: list[Any] = []
        self._threads: list[threading.Thread] = []
        self.port = self._listener.getsockname()[1]
        self.url = f"https://localhost:{self.port}"

    def __enter__(self) -> RawServer:
        self._start(self._accept)
        return self

    def __exit__(self, *exc: object) -> None:
        self.over.set()
        self.stop_listening()
        for sock in self._socks:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()

    def stop_listening(self) -> None:
        """Let whoever comes now be refused."""
        with contextlib.suppress(OSError):  # done before
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _start(self, work: Callable[..., None], *arguments: Any) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._start(self._serve, sock)

    def _serve(self, sock: socket.socket) -> None:
        try:
            with shake_hands(self._context, sock) as line:
                self._socks.append(line)
                for request in self._requests(line):
                    self.requests.append(request)
                    act = self.acts.pop(0) if self.acts and self.faulty(request.head) else None
                    if act is None:
                        request.send(self.otherwise(request.head))
                    else:
                        act(request)
        except OSError:
            pass

    def _requests(self, line: Any) -> Iterator[Raw]:
        held = b""
        while True:
            while b"\r\n\r\n" not in held:
                data = line.recv(65536)
                if not data:
                    return
                held += data
            top, _, held = held.partition(b"\r\n\r\n")
            head = top.decode("latin-1")
            if self.before_body and not head.startswith("GET"):
                request = Raw(line, head, b"", self.over)
                self.requests.append(request)
                self.before_body.pop(0)(request)
                return
            lengths = [one.partition(":")[2] for one in head.split("\r\n") if one.lower().startswith("content-length:")]
            left = int(lengths[0]) if lengths else 0
            while len(held) < left:
                data = line.recv(65536)
                if not data:
                    return
                held += data
            body, held = held[:left], held[left:]
            yield Raw(line, head, body, self.over)


# — acts —


def sends(data: bytes) -> Wire:
    """Send these octets and go on listening."""
    return lambda request: request.send(data)


def sends_then_silence(data: bytes) -> Wire:
    def act(request: Raw) -> None:
        request.send(data)
        request.wait()

    return act


def sends_then_closes(data: bytes) -> Wire:
    def act(request: Raw) -> None:
        request.send(data)
        raise OSError("closed")

    return act


def resets(request: Raw) -> None:
    """Reset the connection."""
    request.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise OSError("reset")


def drips(data: bytes) -> Wire:
    def act(request: Raw) -> None:
        for octet in data:
            request.send(bytes((octet,)))

    return act


def drips_on(start: bytes) -> Wire:
    """Send one octet after the other, each long before a time-out, for ever."""

    def act(request: Raw) -> None:
        request.send(start)
        while not request.over.wait(0.02):
            request.send(b"b")

    return act


def endless(start: bytes, more: bytes) -> Wire:
    """Send for ever, as fast as it is read."""

    def act(request: Raw) -> None:
        request.send(start)
        while not request.over.is_set():
            request.send(more)

    return act
