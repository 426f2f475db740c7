"""The numbers that an application gives: connections, window, rate, messages a day. What they do is in ``queue.py``."""

from __future__ import annotations

import math

from franking.errors import SettingsError

__all__ = ["check_numbers", "finite"]


def check_numbers(connections: int, window: int, rate: float | None, per_day: float | None = None) -> None:
    """Raise ``SettingsError`` for a number that could not be meant."""
    for name, number in (("connections", connections), ("window", window)):
        if number < 1:
            raise SettingsError(f"{name}: {number} is too few; use 1 or more.", field=name)
    if rate is not None and not rate > 0:
        raise SettingsError(f"rate: {rate:g} messages per minute would never send; use a number above 0.", field="rate")
    if per_day is not None and not per_day >= 1:
        raise SettingsError(f"per_day: {per_day:g} messages would never send; use 1 or more.", field="per_day")


def finite(limit: float | None) -> float | None:
    """Return a limit as the queue knows it: infinity is none."""
    return None if limit == math.inf else limit
