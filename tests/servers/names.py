"""Names that lead where a test says: to several addresses, dead and living ones, or nowhere for as long as it likes.

It stands in for the system's resolver (``socket.getaddrinfo``), so it is seen by everybody who asks by that: our code,
an SDK's, a program's that runs in this process. An address has its own port here, whatever port is asked for.
``silent`` is a port that accepts connections and says nothing; ports that are dead or refuse are in ``ports.py``.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from servers.ports import HOST

__all__ = ["Names", "silent"]


class Names:
    """What the names of this machine lead to; ``asked`` are the look-ups of the names that are known here."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        self._known: dict[str, list[tuple[str, int]]] = {}
        self._hanging: dict[str, threading.Event] = {}
        self._system = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self._look_up)

    def lead(self, name: str, *ports: int | tuple[str, int]) -> None:
        """Let a name lead to these ports of 127.0.0.1, or these addresses, in this order."""
        self._known[name] = [(HOST, each) if isinstance(each, int) else each for each in ports]

    @contextlib.contextmanager
    def hanging(self, name: str) -> Iterator[None]:
        """Answer nobody who asks for this name, until the end of the block; then there is no such name. Within the
        block ``lead`` ends the waiting too.
        """
        self._known.pop(name, None)
        self._hanging[name] = over = threading.Event()
        try:
            yield
        finally:
            over.set()

    def _look_up(self, host: Any, port: Any, *more: Any, **options: Any) -> list[Any]:
        name = (host.decode() if isinstance(host, bytes) else str(host)).lower()
        over = self._hanging.get(name)
        if over is None and name not in self._known:
            return self._system(host, port, *more, **options)
        self.asked.append(name)
        while name not in self._known:
            if over is None or over.wait(0.02):
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [_found(*address) for address in self._known[name]]


def _found(host: str, port: int) -> tuple[Any, ...]:
    if ":" in host:
        return (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (host, port, 0, 0))
    return (socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))


@contextlib.contextmanager
def silent() -> Iterator[int]:
    """Hold a port of 127.0.0.1 that accepts every connection and never says a word."""
    with socket.create_server((HOST, 0), backlog=100) as listener:
        yield listener.getsockname()[1]
