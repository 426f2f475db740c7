"""What a program tells the service manager that started it (sd_notify(3)): ready, stopping, still alive. Without one
nothing is told.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

__all__ = ["notify", "served"]


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
