"""How failures of Outlook.com and Microsoft 365 are recognised. Words are in texts/."""

from __future__ import annotations

from franking.diagnosis import Rule

__all__ = ["RULES"]

RULES: tuple[Rule, ...] = ()
