"""Take away what makes root's tests differ from everybody's: the right to read every file (Linux)."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["where_modes_count"]

Result = TypeVar("Result")
_VERSION = 0x20080522  # capabilities(7): effective, permitted, inheritable, and the same again for higher numbers
_OVERRIDES = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH


def where_modes_count(function: Callable[[], Result]) -> Result:
    """Call a function in a thread for which the modes of files count, though it may be root's."""
    with ThreadPoolExecutor(1, initializer=_give_up_overrides) as thread:
        return thread.submit(function).result()


def _give_up_overrides() -> None:
    """Drop the capabilities of this thread alone, for good: access(2) looks at what could be had back."""
    if os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_VERSION, 0)
    words = (ctypes.c_uint32 * 6)()
    for name in ("capget", "capset"):
        if getattr(libc, name)(header, words):
            raise OSError(ctypes.get_errno(), name)
        words[0] &= ~_OVERRIDES
        words[1] &= ~_OVERRIDES
