"""Whether a reply has come to a client that says nothing more."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections.abc import Iterator
from typing import Any, cast

import pytest

from franking.relay import halfclosed

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")


class Written:
    """A transport as far as it is looked at."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock, self.closing = sock, False

    def get_extra_info(self, name: str) -> socket.socket:
        assert name == "socket"
        return self.sock

    def is_closing(self) -> bool:
        return self.closing


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Written, socket.socket]]:
    monkeypatch.setattr(halfclosed, "PAUSE_SECONDS", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        served, _ = server.accept()
        with served:
            yield Written(served), client


def heard(written: Written) -> bool:
    return asyncio.run(halfclosed.has_heard(cast(Any, written)))


def test_who_closed_the_sending_side_alone_has_heard(pair: tuple[Written, socket.socket]) -> None:
    written, client = pair
    client.shutdown(socket.SHUT_WR)
    written.sock.sendall(b"250 ok\r\n")
    assert heard(written)


@pytest.mark.parametrize("reset", [False, True])
def test_who_hung_up_has_not(reset: bool, pair: tuple[Written, socket.socket]) -> None:
    written, client = pair
    if reset:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    if not reset:
        assert written.sock.recv(1) == b""
        written.sock.sendall(b"250 ok\r\n")
    assert not heard(written)


def test_who_takes_nothing_has_not_and_is_not_awaited_for_ever(pair: tuple[Written, socket.socket]) -> None:
    written, _ = pair
    written.sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            written.sock.send(b"x" * 65536)
    assert not heard(written)


def test_what_is_closed_or_cannot_be_known_has_not(
    pair: tuple[Written, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    written, _ = pair
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", "win32")
        assert not heard(written)
    written.closing = True
    assert not heard(written)
