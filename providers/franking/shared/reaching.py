"""A way to a shared server, found as for every other connection of ours: looked up within the time, addresses raced.
What is said on it is the libraries'.
"""

from __future__ import annotations

import os
import socket
from typing import Any

from franking.errors import ConnectError
from franking.net import tcp

__all__ = ["first_to_answer", "reached"]


def reached(host: str, port: int, timeout: float) -> socket.socket:
    """Return a socket that is connected, with this time-out. Raises ``OSError``."""
    place = tcp.Place(host, port)
    try:
        return _connected(place, tcp.resolve(place, timeout=timeout), timeout)
    except ConnectError as problem:
        raise _plain(problem) from None


def first_to_answer(host: str, port: int, timeout: float) -> tuple[str, int]:
    """Return the address of a name, the one that answers first where there are several. Raises ``OSError``."""
    place = tcp.Place(host, port)
    try:
        found = tcp.resolve(place, timeout=timeout)
        there = found[0][4]
        if len(found) > 1:
            with _connected(place, found, timeout) as sock:
                there = sock.getpeername()
    except ConnectError as problem:
        raise _plain(problem) from None
    return str(there[0]), int(there[1])


def _connected(place: tcp.Place, found: Any, timeout: float) -> socket.socket:
    opened: list[socket.socket] = []
    tcp.connect(place, found, opened.append, timeout=timeout)
    opened[0].settimeout(timeout)
    return opened[0]


def _plain(problem: ConnectError) -> OSError:
    """Return what a library would have raised."""
    assert problem.evidence is not None
    if isinstance(problem, TimeoutError):
        return TimeoutError(problem.evidence.text)
    number = problem.evidence.details.get("errno")
    if problem.step == "connect" and number:
        return OSError(number, os.strerror(number))
    return OSError(f"{problem.evidence.details['host']} {problem.evidence.text}")
