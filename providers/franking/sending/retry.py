"""What may be tried again, and when. A policy is a frozen value; nothing here sleeps, sends or knows a provider."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from franking.errors import FrankingError, SendError

__all__ = ["Policy", "may_retry"]


def may_retry(error: FrankingError) -> bool:
    """Return whether the very same request may be repeated: it may succeed later and was surely not accepted."""
    return isinstance(error, SendError) and error.temporary and not error.possibly_sent


@dataclass(frozen=True, slots=True)
class Policy:
    """Say how often and after which pauses something is tried again.

    ``attempts`` counts the first one too. Pauses double from ``first`` to ``longest`` seconds, each shortened by up to
    half at random, so that many senders do not come back in step. A server's own Retry-After is honoured up to
    ``patience`` seconds; beyond it the message is given back as temporarily failed rather than held for hours.
    """

    attempts: int = 5
    first: float = 2.0
    longest: float = 120.0
    patience: float = 900.0

    def pause(self, attempt: int, chance: Callable[[], float], retry_after: float | None = None) -> float | None:
        """Return the seconds to wait before attempt number ``attempt + 1``, or None to give up. ``chance`` yields 0 ≤ x <
        1.
        """
        if attempt >= self.attempts or (retry_after or 0.0) > self.patience:
            return None
        usual = min(self.longest, self.first * 2.0 ** min(attempt - 1, 60)) * (1.0 - chance() / 2.0)
        return max(usual, retry_after or 0.0)


NEVER = Policy(attempts=1)
