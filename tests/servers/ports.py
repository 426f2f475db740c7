"""Ports of 127.0.0.1 for tests: free ones for programs that bind their own, and ports that nobody answers on.

Whatever binds a socket itself asks for port 0 and needs nothing from here. A port that was free a moment ago may be
somebody else's when it is bound, so none of these is ever let go: it is held, or reserved for the whole run.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import itertools
import os
import socket
from collections.abc import Iterator
from pathlib import Path

__all__ = ["HOST", "closed_port", "full_backlog", "reserved_ports"]

HOST = "127.0.0.1"
_HELD: list[socket.socket] = []
_LOWEST = 10_000


def reserved_ports(count: int) -> list[int]:
    """Return ports that nobody listens on, for servers that are told theirs; no other test run is given the same.

    They lie below those that the kernel gives out by itself. A reservation is a name in the abstract namespace of
    Unix sockets (Linux), which ends with this process.
    """
    ephemeral = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    start = _LOWEST + os.getpid() % (ephemeral - _LOWEST)  # most runs find theirs at once
    free = filter(_reserve, itertools.chain(range(start, ephemeral), range(_LOWEST, start)))
    found = list(itertools.islice(free, count))
    if len(found) < count:
        raise RuntimeError(f"no {count} ports are free between {_LOWEST} and {ephemeral}")
    return found


def _reserve(port: int) -> bool:
    name = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        name.bind(f"\0franking-tests-port-{port}")
        with socket.socket() as probe:
            probe.bind((HOST, port))
    except OSError as error:
        name.close()
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        return False
    _HELD.append(name)
    return True


@functools.cache
def closed_port(host: str = HOST) -> int:
    """Return a port that refuses every connection: bound until the run ends, so that nobody else takes it."""
    held = socket.socket(_family(host))
    held.bind((host, 0))
    _HELD.append(held)
    return int(held.getsockname()[1])


@contextlib.contextmanager
def full_backlog(host: str = HOST) -> Iterator[int]:
    """Hold a port that answers nothing any more: its queue of connections is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(_family(host)))
        listener.bind((host, 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket(_family(host)))
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def _family(host: str) -> socket.AddressFamily:
    if ":" in host:
        return socket.AF_INET6
    return socket.AF_INET
