"""The server of ``franking settings``: the standard library's, on loopback, a thread for each request. It knows nothing
of the page that it serves.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import ServerHandler, WSGIRequestHandler, WSGIServer

__all__ = ["SettingsServer"]

SILENT_SECONDS = 10.0
"""After which a connection that says nothing is closed."""

AT_ONCE = 32
"""Requests that are answered at the same time."""


_LINGERING = 4 * 1024 * 1024
"""Octets of a request that is too large which are still taken, so that the answer arrives."""


class _Answer(ServerHandler):
    server_software = "franking"  # which Python it is, is nobody's business

    def error_output(self, environ: Any, start_response: Any) -> list[bytes]:
        """Say nothing of a mistake of ours to the browser."""
        start_response("500 Internal Server Error", [("Content-Type", "text/plain"), ("Cache-Control", "no-store")])
        return [b"Something went wrong; the terminal says more."]

    def log_exception(self, exc_info: Any) -> None:
        if isinstance(exc_info[1], ConnectionError | TimeoutError):  # the browser went away
            return
        import logging

        logging.getLogger("franking.web").error("a request failed", exc_info=exc_info)


class _Conversation(WSGIRequestHandler):
    timeout = SILENT_SECONDS
    server: Any
    rfile: Any
    wfile: Any
    protocol_version = "HTTP/1.0"

    def version_string(self) -> str:
        return "franking"

    def address_string(self) -> str:
        return str(self.client_address[0])

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (its name in the standard library)
        """Log no request: an address may hold a token."""

    def handle(self) -> None:
        """Answer one request, as the standard library's does, with our own handler."""
        self.raw_requestline = self.rfile.readline(8193)
        if not self.raw_requestline or len(self.raw_requestline) > 8192 or not self.parse_request():
            return
        # the standard library's takes the class for granted
        answer = _Answer(self.rfile, self.wfile, self.get_stderr(), self.get_environ(), multithread=True)
        answer.request_handler = self  # type: ignore[attr-defined]
        answer.run(self.server.get_app())
        self._linger()

    def _linger(self) -> None:
        """Let a browser that still sends come to reading our answer: closing with its octets unread would reset the
        connection.
        """
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(1.0)
            left = _LINGERING
            while left > 0 and (data := self.connection.recv(65536)):
                left -= len(data)


class SettingsServer(ThreadingMixIn, WSGIServer):
    """Serve a WSGI application at a port of 127.0.0.1; 0 takes a free one. Raises ``OSError`` for one that is taken."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, port: int) -> None:
        self._room = threading.BoundedSemaphore(AT_ONCE)
        super().__init__(("127.0.0.1", port), _Conversation)

    def server_bind(self) -> None:
        """Bind without asking who this computer is: that may take seconds."""
        from socketserver import TCPServer

        TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]
        self.setup_environ()

    def serve(self, application: Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]) -> None:
        """Serve until ``shutdown``."""
        self.set_app(application)
        self.serve_forever(poll_interval=0.05)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._room.acquire(blocking=False):
            request.sendall(b"HTTP/1.0 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n")
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that went away in the middle."""
