"""Who may use a session: one thread at a time, in the process that opened it.

The sessions of the API routes and of the provider ``file`` stand on it; an SMTP session keeps the same rule itself,
beside its connection.
"""

from __future__ import annotations

import os
import threading
from types import TracebackType

from franking.errors import ConnectError, Evidence

__all__ = ["SessionGuard"]


class SessionGuard:
    """Let one user in at a time: ``with guard: …``.

    Raises ``RuntimeError`` while another thread is in, and ``ConnectError`` (``stale``: nothing left) in a forked
    child, whose octets would get between the parent's.
    """

    def __init__(self) -> None:
        self._busy = threading.Lock()
        self._pid = os.getpid()

    @property
    def ours(self) -> bool:
        """Return whether this process opened the session."""
        return os.getpid() == self._pid

    def __enter__(self) -> None:
        if not self.ours:
            words = "This session belongs to the parent process; open one of your own after the fork."
            raise ConnectError(words, stale=True, step="message", evidence=Evidence("connect", reason="forked"))
        if not self._busy.acquire(blocking=False):
            raise RuntimeError("this session is sending in another thread; a session belongs to one thread at a time")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._busy.release()
