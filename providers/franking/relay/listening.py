"""A listen address → a socket; where it cannot be had, why, and what to do."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING

from franking.errors import SettingsError

if TYPE_CHECKING:
    from franking.relay.settings import Listen

__all__ = ["bound", "unusable"]


def bound(listen: Listen, others: Iterable[Listen] = (), *, key: str = "listen") -> socket.socket:
    """Return a socket that is bound to an address; ``others`` are listened on too. Raises ``SettingsError``."""
    six = ":" in listen.host
    sock = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if six and any(":" not in other.host and other.port == listen.port for other in others):
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # else [::] is 0.0.0.0 too
        sock.bind((listen.host, listen.port))
    except OSError as problem:
        sock.close()
        raise unusable(listen, problem, key=key) from None
    sock.setblocking(False)
    return sock


def unusable(listen: Listen, problem: OSError, *, key: str = "listen") -> SettingsError:
    """Make the error of an address that cannot be listened on."""
    match problem.errno:
        case errno.EADDRINUSE:
            words = (
                f"relay.{key}: {listen} cannot be listened on: it is taken, by another program, another relay or "
                "another of these addresses; choose another port."
            )
        case errno.EACCES:
            words = (
                f"relay.{key}: {listen} cannot be listened on: a port below 1024 needs rights that you do not have; "
                "choose another one, such as 2525, or let systemd open it: franking docs relay"
            )
        case errno.EADDRNOTAVAIL:
            words = (
                f"relay.{key}: {listen} cannot be listened on: this machine has no such address; 0.0.0.0 stands for "
                "all that it has."
            )
        case _:
            words = f"relay.{key}: {listen} cannot be listened on: {problem.strerror}."
    return SettingsError(words, field=key)
