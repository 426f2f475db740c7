"""A small HTTPS server on loopback with a certificate authority of its own: what the fakes of API providers stand on.

``WebServer(answer)`` calls ``answer(request)`` in a thread per connection; the reply is sent with keep-alive. A reply
may also be a way of misbehaving: ``CUT`` closes the connection without an answer. Connections and requests are counted.
``answer`` may be replaced while the server runs, by one that looks on or stands in (``tap.py``).
"""

from __future__ import annotations

import contextlib
import datetime
import json
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import parse_qsl, urlsplit

import trustme

from servers.handshake import shake_hands

__all__ = ["CUT", "Authority", "Reply", "Request", "WebServer"]


class Authority:
    """A throw-away certificate authority; ``ca_file`` is its PEM file."""

    def __init__(self, directory: Path) -> None:
        self._ca = trustme.CA()
        self.ca_file = str(directory / "ca.pem")
        self._ca.cert_pem.write_to_path(self.ca_file)

    def context(self, *names: str, expired: bool = False) -> ssl.SSLContext:
        """Make a server's context with a certificate for these names."""
        until = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC) if expired else None
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._ca.issue_cert(*names, not_after=until).configure_cert(made)
        return made

    def files(self, directory: Path, *names: str) -> tuple[str, str]:
        """Write a key and the chain of its certificate for these names, for a server that wants files."""
        certificate = self._ca.issue_cert(*names)
        key, chain = directory / "key.pem", directory / "chain.pem"
        certificate.private_key_pem.write_to_path(key)
        for number, pem in enumerate(certificate.cert_chain_pems):
            pem.write_to_path(chain, append=bool(number))
        return str(key), str(chain)


@dataclass
class Request:
    """What came in. ``body`` is read at most once; ``json`` and ``form`` read it whole."""

    method: str
    path: str
    query: dict[str, str]
    headers: Message
    length: int
    stream: BinaryIO = field(repr=False)
    left: int = 0

    def read(self, size: int = -1) -> bytes:
        data = self.stream.read(self.left if size < 0 else min(size, self.left))
        self.left -= len(data)
        return data

    @property
    def whole(self) -> bool:
        return self.left == 0

    def form(self) -> dict[str, str]:
        data = self.read()
        if not self.whole:
            raise ConnectionResetError("the client hung up in the middle of its request")
        return dict(parse_qsl(data.decode(), keep_blank_values=True, strict_parsing=True))


@dataclass
class Reply:
    """What goes out: JSON for a dict or list, bytes as they are; ``words`` instead of the status's own."""

    status: int = 200
    body: Any = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    words: str | None = None


CUT = Reply(0)


class WebServer:
    """Serve HTTPS on 127.0.0.1; use as a context manager. ``url`` is ``https://localhost:PORT``."""

    def __init__(
        self, answer: Callable[[Request], Reply], authority: Authority, *, context: ssl.SSLContext | None = None
    ) -> None:
        self.answer = answer
        self.connections = 0
        self.requests: list[str] = []
        self.problems: list[Exception] = []
        self.asked = threading.Event()  # set by each POST; a test clears it
        outer = self
        tls = context or authority.context("localhost", "127.0.0.1")

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1

            def setup(self) -> None:
                self.request.settimeout(20)
                self.request = shake_hands(tls, self.request)
                super().setup()
                with outer._lock:
                    outer.connections += 1
                    outer._open.add(self.request)

            def finish(self) -> None:
                outer._open.discard(self.request)
                with contextlib.suppress(OSError):
                    super().finish()
                self.request.close()

            def _any(self) -> None:
                parts = urlsplit(self.path)
                length = int(self.headers.get("Content-Length", 0))
                request = Request(
                    self.command,
                    parts.path,
                    dict(parse_qsl(parts.query, keep_blank_values=True)),
                    self.headers,
                    length,
                    self.rfile,
                    length,
                )
                with outer._lock:
                    outer.requests.append(f"{self.command} {parts.path}")
                if self.command == "POST":
                    outer.asked.set()
                try:
                    reply = outer.answer(request)
                except OSError:  # the client hung up
                    raise
                except Exception as problem:  # a defect of the test: told when the server ends
                    outer.problems.append(problem)
                    raise
                if reply is CUT:
                    self.close_connection = True
                    self.connection.close()
                    return
                body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
                self.send_response(reply.status, reply.words)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                if not isinstance(reply.body, bytes):
                    self.send_header("Content-Type", "application/json")
                if not request.whole:  # an early answer: what is still coming would be taken for the next request
                    self.close_connection = True
                    self.send_header("Connection", "close")
                if reply.status not in (204, 304):
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                self.wfile.flush()
                if not request.whole:
                    # not the TLS socket's own, which would read what is still coming as plain text
                    socket.socket.shutdown(self.connection, socket.SHUT_WR)
                    while request.left and request.read(65536):
                        pass

            do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _any

            def log_message(self, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that hangs up, or does not trust us, is part of the tests."""
                request.close()

        self._lock = threading.Lock()
        self._open: set[Any] = set()
        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self.url = f"https://localhost:{self.port}"
        self._ended = False
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self) -> None:
        while not self._ended:
            self._server.handle_request()

    def drop(self) -> None:
        """Close every open connection, as a server does with idle ones."""
        for one in list(self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> WebServer:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._ended = True
        self._server.socket.shutdown(socket.SHUT_RDWR)  # it ends at once: a look every so often adds up
        self._thread.join()
        self.drop()
        self._server.server_close()
        if self.problems:
            raise self.problems[0]
