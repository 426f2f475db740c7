"""Take from this thread what makes root's tests differ from everybody's: the right to read every file (Linux)."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator

__all__ = ["files_as_anybody"]

_VERSION = 0x20080522  # capabilities(7): two words for each of effective, permitted, inheritable
_OVERRIDES = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH


@contextlib.contextmanager
def files_as_anybody() -> Iterator[None]:
    """Let the modes of files count for this thread though it is root's."""
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_VERSION, 0)
    words = (ctypes.c_uint32 * 6)()

    def call(name: str) -> None:
        if getattr(libc, name)(header, words):
            raise OSError(ctypes.get_errno(), name)

    call("capget")
    before = words[0]
    words[0] = before & ~_OVERRIDES
    call("capset")
    try:
        yield
    finally:
        words[0] = before
        call("capset")
