"""One open connection to a Redis: commands leave together, answers come in their order, and one that nobody waited for
is read when the next is. It speaks by redis-py's connection, and knows no script.
"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any

__all__ = ["Link", "Unread"]

_ENDS = getattr(select, "POLLRDHUP", 0)
"""Linux: the server has closed its side, whatever can be read before that. Elsewhere only reading tells."""


class Unread:
    """An answer that nobody waited for."""

    __slots__ = ("answer", "done", "link", "problem")

    def __init__(self, link: Link) -> None:
        self.link, self.done = link, False
        self.answer: Any = None
        self.problem: Exception | None = None

    def is_there(self, answer: Any, problem: Exception | None = None) -> None:
        """Take the answer, or why there is none."""
        self.answer, self.problem, self.done = answer, problem, True


class Link:
    """An open connection, and the scripts that it has brought already. ``lock`` is held by who sends and reads."""

    __slots__ = ("_poll", "connection", "known", "lock", "pid", "unread")

    def __init__(self, connection: Any) -> None:
        """``connection`` is redis-py's, open."""
        self.connection, self.pid = connection, os.getpid()
        self.known: set[str] = set()
        self.unread: deque[Unread] = deque()
        self.lock = threading.Lock()
        self._poll = select.poll() if _ENDS else None
        if self._poll is not None:
            self._poll.register(connection._sock, select.POLLIN | _ENDS)

    @property
    def quiet(self) -> bool:
        """Return whether it is this process's own, and nothing came that nobody asked for: that is its end."""
        try:
            if self.pid != os.getpid():
                return False
            if self._poll is not None:
                seen = self._poll.poll(0)
                return not seen or (bool(self.unread) and seen[0][1] == select.POLLIN)
            with self.lock:  # an answer looks as the end does until it is read
                self.catch_up()
            return not self.connection.can_read()
        except Exception:  # noqa: BLE001  (whatever it is, this connection is over)
            return False

    def send(self, commands: Sequence[Sequence[str | int | float]]) -> None:
        """Send commands in one flight."""
        flight = b"".join(self.connection.pack_commands(commands))
        self.connection.send_packed_command([flight], check_health=False)

    def catch_up(self) -> None:
        """Read the answers that nobody waited for."""
        while self.unread:
            answer = self.read()
            self.unread.popleft().is_there(answer)

    def read(self) -> Any:
        """Wait for the next answer; what a server refuses is one too. Raises what ends the connection."""
        from redis.exceptions import ResponseError

        try:
            return self.connection.read_response()
        except ResponseError as refusal:
            return refusal

    def close(self, problem: Exception) -> None:
        """Close it; no answer comes any more, for that reason."""
        while self.unread:
            self.unread.popleft().is_there(None, problem)
        self.connection.disconnect()
