"""Keep every Python process of the tests on this machine: connecting elsewhere, or asking a name server, is refused.

Python imports ``sitecustomize`` by itself when it starts, so that with this directory on PYTHONPATH subprocesses are
limited like the tests' own process, where conftest.py calls ``install``. An audit hook cannot be taken off and sees C
code's sockets too. Loaded in every subprocess, so it imports nothing before something is to be checked.
"""

from __future__ import annotations

import sys
from typing import Any

_PROGRAM = __name__ == "sitecustomize"
"""A program of its own, which asks DNS beside each test message: there as on a computer without a network. In the
tests' own process nothing may try.
"""
_NAMES = ("localhost", "localhost.localdomain", "ip6-localhost")


def install() -> None:
    """Refuse from now on, for the rest of this process."""
    if not getattr(sys, "_loopback_only", False):
        sys._loopback_only = True  # type: ignore[attr-defined]
        sys.addaudithook(_hook)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        _check_address(arguments[0], arguments[1])
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        _check_name(arguments[0])


def _check_address(sock: Any, address: Any) -> None:
    import errno
    import socket

    if _PROGRAM and sock.family in (socket.AF_INET, socket.AF_INET6) and address and address[1] == 53:
        raise OSError(errno.ENETUNREACH, "no name server can be reached from a test")
    if (
        sock.family in (socket.AF_INET, socket.AF_INET6)
        and address
        and not (str(address[0]) in _NAMES or _loopback(str(address[0])))
    ):
        raise RuntimeError(f"a test tried to reach {address[0]!r}; only loopback is allowed")


def _loopback(host: str) -> bool:
    import ipaddress

    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback or address.is_unspecified


def _check_name(host: Any) -> None:
    import ipaddress
    import socket

    if host is None or host in ("", b""):
        return
    name = (host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)).rstrip(".").lower()
    if name in _NAMES or name.endswith(".localhost") or name == socket.gethostname().lower():
        return
    try:
        ipaddress.ip_address(name.partition("%")[0])  # a number asks nobody; connecting to it is checked
    except ValueError:
        if name.rpartition(".")[2] == "invalid":  # certain not to exist (RFC 6761 §6.4), so nobody needs to be asked
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known") from None
        raise RuntimeError(f"a test tried to look up {name!r}; only loopback is allowed") from None


if __name__ == "sitecustomize":
    install()
