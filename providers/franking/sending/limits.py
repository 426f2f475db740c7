"""How many: connections, window, rate, messages a day; what an application asks for and what a provider allows. What
they do is in ``queue.py``.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from franking.errors import SettingsError

if TYPE_CHECKING:
    from franking.account.account import Account
    from franking.provider import Provider, RouteFacts
    from franking.sending.queue import Run

__all__ = ["check_numbers", "limits_of", "within_limits"]


def check_numbers(connections: int, window: int, rate: float | None, per_day: float | None = None) -> None:
    """Raise ``SettingsError`` for a number that could not be meant."""
    for name, number in (("connections", connections), ("window", window)):
        if number < 1:
            raise SettingsError(f"{name}: {number} is too few; use 1 or more.", field=name)
    if rate is not None and not rate > 0:
        raise SettingsError(f"rate: {rate:g} messages per minute would never send; use a number above 0.", field="rate")
    if per_day is not None and not per_day >= 1:
        raise SettingsError(f"per_day: {per_day:g} messages would never send; use 1 or more.", field="per_day")


def limits_of(account: Account, provider: Provider, route: str) -> RouteFacts:
    """Return what is known of a provider's limits on a route: connections at once, messages per minute and per day,
    size, recipients. A mailbox in one of its own consumer domains may do less.
    """
    facts = provider.facts.route(route)
    if facts.per_day_personal is not None and account.sender.domain in provider.facts.mail_domains:
        return replace(facts, per_day=facts.per_day_personal)
    return facts


def within_limits(run: Run) -> Run:
    """Return a run that keeps its provider's own limits where the application asked for no others."""
    limits = run.mailer.limits
    return replace(run, rate=_finite(run.rate or limits.per_minute), per_day=_finite(run.per_day or limits.per_day))


def _finite(limit: float | None) -> float | None:
    """Return a limit as the queue knows it: infinity is none."""
    return None if limit == math.inf else limit
