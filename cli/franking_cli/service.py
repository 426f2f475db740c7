"""What a program tells the service manager that started it (sd_notify(3)): ready, stopping, still alive; and the
sockets that it hands over (sd_listen_fds(3)). Without one nothing is told, and there are none.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

__all__ = ["handed_sockets", "notify", "served"]

FIRST = 3
"""The descriptor of the first socket that is handed over."""


def handed_sockets() -> list[tuple[str, socket.socket]]:
    """Return the listening sockets that the service manager opened for this very process, each with its name."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = int(os.environ.get("LISTEN_FDS") or 0)
    names = (os.environ.get("LISTEN_FDNAMES") or "").split(":")
    found = []
    for place in range(count):
        sock = socket.socket(fileno=FIRST + place)
        sock.setblocking(False)
        sock.set_inheritable(False)
        found.append((names[place] if place < len(names) else "smtp", sock))
    return found


def notify(state: str) -> None:
    """Send a state to the service manager, where ``NOTIFY_SOCKET`` names one."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")) or not hasattr(socket, "AF_UNIX"):
        return
    if address.startswith("@"):
        address = "\0" + address[1:]  # an abstract name, unix(7)
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect(address)
        sock.sendall(state.encode())


@contextmanager
def served() -> Iterator[None]:
    """Tell that the service is ready, that it lives (twice as often as ``WATCHDOG_USEC`` asks), and that it ends."""
    notify("READY=1")
    over = threading.Event()
    pace = int(os.environ.get("WATCHDOG_USEC") or 0) / 2_000_000
    beat = threading.Thread(target=_beat, args=(pace, over), daemon=True)
    if pace:
        beat.start()
    try:
        yield
    finally:
        over.set()
        notify("STOPPING=1")


def _beat(pace: float, over: threading.Event) -> None:
    while not over.wait(pace):
        notify("WATCHDOG=1")
