"""A proxy that breaks the connection to a real server after so many octets: what the report says is compared with what
arrived.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import uuid
from typing import Any

import pytest

import franking
from franking.errors import ConnectError, FrankingError, LoginError, OutcomeUnknown, TLSError


class Cutting:
    """Carry one connection to ``target``; reset both ends when ``there`` octets went to the server, or ``back`` came
    from it.
    """

    def __init__(self, target: int, *, there: int | None = None, back: int | None = None) -> None:
        self._target, self._there, self._back = target, there, back
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Cutting:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(20)

    def _run(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return
        with client, socket.create_connection(("127.0.0.1", self._target)) as server:
            other = threading.Thread(target=self._pump, args=(server, client, self._back), daemon=True)
            other.start()
            self._pump(client, server, self._there)
            other.join(20)

    def _pump(self, source: socket.socket, target: socket.socket, limit: int | None) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if limit is not None:
                    data, limit = data[:limit], limit - len(data[:limit])
                target.sendall(data)
                if limit == 0:
                    break
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("way", ["there", "back"])
@pytest.mark.parametrize("octets", [0, 1, 30, 60, 100, 200, 400, 600, 900, 1500, 2500, 4000])
def test_a_report_is_true_wherever_the_connection_breaks(login_endpoint: Any, way: str, octets: int) -> None:
    name = f"<{uuid.uuid4()}@example.cz>"
    message = franking.Message(to="jana@example.com", subject="x", text="y" * 500, message_id=name)
    with (
        Cutting(login_endpoint.port, **{way: octets}) as proxy,
        login_endpoint.connect(port=proxy.port, timeout=5.0, final_timeout=5.0) as mailer,
    ):
        try:
            mailer.send(message)
        except OutcomeUnknown:
            return  # either may be
        except FrankingError as error:
            assert isinstance(error, ConnectError | TLSError | LoginError)
            assert not error.possibly_sent
            assert login_endpoint.inbox.copies(name) == 0
        else:
            login_endpoint.inbox.find(name)
