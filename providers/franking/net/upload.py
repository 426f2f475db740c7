"""Uploads that survive a break: asked how far they came, they go on from there. Which requests do that is the
provider's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TypeVar

from franking.errors import ConnectError, FrankingError, OutcomeUnknown, Refused, Throttled
from franking.net.http import Changed

__all__ = ["RESUMES", "Rereadable", "may_resume", "resumed"]

RESUMES = 5
"""Breaks in a row that an upload survives."""

T = TypeVar("T")


def may_resume(problem: FrankingError) -> bool:
    """Return whether an upload goes on after this: a broken connection, a 5xx, or a range that does not fit; never a
    refusal.
    """
    if isinstance(problem, Refused) and not isinstance(problem, Throttled):
        code = (problem.evidence and problem.evidence.code) or 0
        return code >= 500 or code == 416
    return isinstance(problem, ConnectError | OutcomeUnknown)


def resumed(
    step: Callable[[], T | None],
    pause: Callable[[float], object],
    *,
    allowed: Callable[[FrankingError], bool] = may_resume,
) -> T:
    """Repeat ``step``, which carries one piece, until it returns something; after a break it begins where the service
    says it came to.

    ``pause`` waits so many seconds, and returns true where the session was aborted meanwhile. Raises what ``step``
    raised last: at once where it is not ``allowed`` to go on, else when it is the sixth break in a row.
    """
    breaks = 0
    while True:
        try:
            result = step()
        except FrankingError as problem:
            breaks += 1
            # seconds: at once, then 1, 3, 7, 15
            if breaks > RESUMES or not allowed(problem) or pause(2.0 ** (breaks - 1) - 1):
                raise
        else:
            if result is not None:
                return result
            breaks = 0


class Rereadable:
    """Octets that are made while they are read, as a file that google-api-python-client takes, too: read once from
    beginning to end where nothing breaks, begun again where an upload goes back.

    Raises ``http.Changed`` where they are not ``size`` octets.
    """

    def __init__(self, begin: Callable[[], Iterator[bytes]], size: int) -> None:
        self._begin = begin
        self._size = size
        self._chunks: Iterator[bytes] = iter(())
        self._rest = memoryview(b"")
        self._at = -1  # where ``_rest`` begins; nowhere before the first read
        self._wanted = 0

    def seek(self, position: int, whence: int = os.SEEK_SET) -> None:
        if whence == os.SEEK_END:
            position += self._size
        self._wanted = position

    def tell(self) -> int:
        return self._wanted

    def read(self, size: int) -> bytes:
        """Return the next octets; fewer than ``size`` only at the end, behind which there must be nothing."""
        if self._wanted != self._at:
            self.close()
            self._chunks, self._rest, self._at = self._begin(), memoryview(b""), 0
            for _ in self._pieces(self._wanted):
                pass
        data = b"".join(self._pieces(size))
        if self._at == self._size and (self._rest or next(self._chunks, b"")):
            raise Changed(f"a body of {self._size} octets turned out longer")
        self._wanted = self._at
        return data

    def _pieces(self, size: int) -> Iterator[memoryview]:
        end = min(self._at + size, self._size)
        while self._at < end:
            self._rest = self._rest or memoryview(next(self._chunks, b""))
            if not self._rest:
                raise Changed(f"a body of {self._size} octets ended after {self._at}")
            piece, self._rest = self._rest[: end - self._at], self._rest[end - self._at :]
            self._at += len(piece)
            yield piece

    def close(self) -> None:
        """Let go of what the octets' source holds open."""
        close = getattr(self._chunks, "close", None)
        if close:
            close()
        self._at = -1
