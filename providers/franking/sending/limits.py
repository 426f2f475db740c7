"""How many: connections, window, rate, messages a day; what an application asks for, what an account says and what a
provider allows. What they do is in ``turns.py`` and ``queue.py``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from franking.account.fields import WRONG_VALUE
from franking.errors import SettingsError

if TYPE_CHECKING:
    from franking.account.account import Account
    from franking.provider import Provider, RouteFacts

__all__ = ["KEYS", "check_numbers", "limits_of"]

KEYS = {
    "per_minute": "per_minute",
    "per_day": "per_day",
    "recipients_per_day": "recipients_per_day",
    "max_connections": "connections",
}
"""The account's keys, each with the name of the provider's own limit in whose place it stands."""


def check_numbers(connections: int, window: int, rate: float | None, per_day: float | None = None) -> None:
    """Raise ``SettingsError`` for a number that could not be meant."""
    for name, number in (("connections", connections), ("window", window)):
        if number < 1:
            raise SettingsError(f"{name}: {number} is too few; use 1 or more.", field=name, evidence=WRONG_VALUE)
    if rate is not None and not rate > 0:
        words = f"rate: {rate:g} messages per minute would never send; use a number above 0."
        raise SettingsError(words, field="rate", evidence=WRONG_VALUE)
    if per_day is not None and not per_day >= 1:
        words = f"per_day: {per_day:g} messages would never send; use 1 or more."
        raise SettingsError(words, field="per_day", evidence=WRONG_VALUE)


def limits_of(account: Account, provider: Provider, route: str) -> RouteFacts:
    """Return what an account may do on a route: connections at once, messages per minute and per day, size, recipients.

    What the account says counts, 0 for no limit, else what is known of the provider. A mailbox in one of its own
    consumer domains may do less.
    """
    facts = provider.facts.route(route)
    if facts.per_day_personal is not None and account.sender.domain in provider.facts.mail_domains:
        facts = replace(facts, per_day=facts.per_day_personal)
    own: dict[str, Any] = {name: account.get(key) or None for key, name in KEYS.items() if account.get(key) is not None}
    return replace(facts, **own)
