"""What ends a command from outside: Ctrl-C, SIGTERM (kill, systemd, docker stop), SIGHUP (the terminal is gone). All
three mean the same.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["interrupt", "on_ending"]

interrupt = signal.default_int_handler
"""Raise ``KeyboardInterrupt``."""


@contextmanager
def on_ending(act: Callable[[int, Any], Any]) -> Iterator[None]:
    """Do this instead of dying, for as long as it lasts. A signal that the caller had ignored (nohup, a script's
    background) stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[int, Any] = {}
    try:
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)  # Windows has no SIGHUP
            if number is not None and signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, act)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
