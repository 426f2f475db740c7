"""What the relay knows of its surroundings: whether the settings file has changed, and which addresses are its own."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from ipaddress import ip_address

from franking.account.config import location

__all__ = ["HEALTH", "Places", "handed_listen", "settings_state"]

HEALTH = "health"
"""The name of the socket that monitoring asks (systemd.socket(5), FileDescriptorName=)."""


def settings_state() -> tuple[object, ...]:
    """Return what changes whenever the settings file is written anew."""
    try:
        found = os.stat(location(os.environ))  # noqa: PTH116
    except OSError:
        return ()
    return (found.st_mtime_ns, found.st_ino, found.st_size)


def handed_listen(name: str, sock: socket.socket) -> dict[str, object]:
    """Return the entry of ``listen`` for a listening socket that the service manager handed over; ``smtps`` begins with
    TLS.
    """
    host, port = sock.getsockname()[:2]
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return {"address": address, "tls": "implicit"} if name == "smtps" else {"address": address}


class Places:
    """The addresses that a relay listens on."""

    def __init__(self, addresses: Iterable[tuple[str, int]]) -> None:
        self._addresses = list(addresses)

    def have(self, host: str, port: int) -> bool:
        return any(port == own and _same(host, at) for at, own in self._addresses)


def _same(host: str, listened: str) -> bool:
    """Return whether connecting to a host reaches an address that is listened on."""
    if host.lower().rstrip(".") in ("localhost", socket.gethostname().lower()):
        host = "127.0.0.1"
    try:
        found, own = ip_address(host.strip("[]")), ip_address(listened)
    except ValueError:
        return False
    if found.is_loopback and own.is_loopback:
        return True
    return found == own or (own.is_unspecified and _is_local(str(found)))


def _is_local(host: str) -> bool:
    """Return whether an address is this machine's: only those can be bound."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((host, 0))
        except OSError:
            return False
        return True
