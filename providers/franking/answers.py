"""HTTP answers that end: bounded in time, in the number of their beginnings, and in what they unpack to. What they mean is decided in ``http.py``."""

from __future__ import annotations

import http.client
import io
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket

__all__ = ["PATIENCE", "Answer", "unpacked"]

PATIENCE = 600.0
"""Seconds for a whole answer once it has begun, however slowly it drips: progress that never ends is none."""

INTERIM_LIMIT = 20
"""Interim answers (1xx) before the real one; there is one at most in practice."""

_PACKED = "X-Franking-Content-Encoding"


class Answer(http.client.HTTPResponse):
    """An answer that begins one day and ends: http.client itself would read "100 Continue", or an octet now and then, for ever."""

    _beginnings = 0
    patience = PATIENCE

    def __init__(self, sock: socket.socket, *args: Any, **settings: Any) -> None:
        super().__init__(sock, *args, **settings)
        plain: Any = self.fp
        self.fp = io.BufferedReader(_Timed(plain.detach(), sock, self.patience))

    def begin(self) -> None:
        super().begin()
        if "Content-Encoding" in self.headers:
            # urllib3 would unpack it, however often it was packed: a hundred octets can become gigabytes
            self.headers[_PACKED] = self.headers["Content-Encoding"]
            del self.headers["Content-Encoding"]

    def _read_status(self) -> tuple[str, int, str]:
        self._beginnings += 1
        if self._beginnings > INTERIM_LIMIT:
            raise http.client.HTTPException("too many interim answers")
        found: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]
        return found


class _Timed(io.RawIOBase):
    """The octets of a socket, for ``patience`` seconds after the first of them; then ``TimeoutError``."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, patience: float) -> None:
        super().__init__()
        self._raw, self._sock, self._patience = raw, sock, patience
        self._until: float | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._until is None:
            count = self._raw.readinto(buffer)
            self._until = time.monotonic() + self._patience
            return count
        left, usual = self._until - time.monotonic(), self._sock.gettimeout()
        if left <= 0:
            raise TimeoutError("the answer did not end in time")
        if usual is not None and usual <= left:
            return self._raw.readinto(buffer)
        self._sock.settimeout(left)
        try:
            return self._raw.readinto(buffer)
        finally:
            self._sock.settimeout(usual)

    def close(self) -> None:
        self._raw.close()
        super().close()


def unpacked(data: bytes, headers: Mapping[str, str], limit: int) -> bytes:
    """Unpack what came packed though nobody asked for it, the first ``limit`` octets of it; leave what nobody can unpack."""
    if headers.get(_PACKED, "").strip().lower() not in ("gzip", "x-gzip", "deflate"):
        return data
    import zlib

    try:
        return zlib.decompressobj(wbits=47).decompress(data, limit)
    except zlib.error:
        return data
