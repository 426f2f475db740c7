"""A Redis in this process (fakeredis, with a real Lua): for tests that start no program. The real one is in
``redis.py``; what a test of this one shows is shown there again.

    with MemoryRedis() as server:
        RedisServer(server.url) …
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Any

import pytest
from fakeredis import TcpFakeServer

from servers.ports import HOST


class MemoryRedis:
    """A running server; a context manager. Skips the test on a Python that has no Lua."""

    def __init__(self) -> None:
        pytest.importorskip("lupa")
        links: set[socket.socket] = set()

        class Server(TcpFakeServer):
            daemon_threads = False

            def finish_request(self, request: Any, client_address: Any) -> None:
                links.add(request)
                try:
                    super().finish_request(request, client_address)
                except OSError:
                    pass
                finally:
                    links.discard(request)

        self._links = links
        self._server = Server((HOST, 0), server_type="redis")
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    def cut(self) -> None:
        """Close every connection: the server was started anew."""
        for link in list(self._links):
            with suppress(OSError):  # it has ended by itself meanwhile
                link.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._server.shutdown()
        self.cut()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> MemoryRedis:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
