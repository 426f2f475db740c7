"""How SMTP failures are recognised, and what looks suspicious in SMTP settings. Words are in texts/."""

from __future__ import annotations

from franking.account import Account
from franking.diagnosis import Hint, Rule

__all__ = ["RULES", "hints"]

RULES: tuple[Rule, ...] = ()


def hints(account: Account, secret: str | None) -> tuple[Hint, ...]:
    """Look for what people get wrong: blanks, quotes, a login that is no address, a host with a scheme."""
    return ()
