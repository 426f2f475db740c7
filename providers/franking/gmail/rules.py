"""How failures of Gmail and Google Workspace are recognised. Words are in texts/."""

from __future__ import annotations

from franking.diagnosis import Rule

__all__ = ["RULES"]

RULES: tuple[Rule, ...] = ()
