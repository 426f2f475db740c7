"""What was found: one thing that was looked at, with its level, its words and since when it is so. Values only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from franking.diagnosis import texts
from franking.diagnosis.diagnosis import Diagnosis, Remedy

__all__ = ["LEVELS", "Entry", "Finding", "day", "iso", "worst"]

LEVELS = ("ok", "warning", "critical")

WORDS = "health."
"""What the files with the words of findings begin with, beside those of diagnoses."""


def worst(levels: Sequence[str]) -> str:
    """Return the worst of some levels; of none: ``ok``."""
    return max(levels, key=LEVELS.index, default="ok")


def iso(seconds: float) -> str:
    """Return a moment (seconds since 1970) as JSON has it: ``2026-11-30T09:00:00Z``."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def day(seconds: float) -> str:
    """Return a moment as a person reads it, in UTC: ``2026-11-30 09:00``."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: ``level`` is ``ok``, ``warning`` or ``critical``.

    ``values`` fill the words. ``diagnosis`` is what a check or a send met: its remedies come first. ``expires_at``
    (seconds since 1970) is when ``what`` (grant, secret, certificate …) ends. ``since`` is when the code got this
    level. A further ``stage`` of the same level is told once more.
    """

    code: str
    level: str = "ok"
    values: Mapping[str, Any] = field(default_factory=dict)
    diagnosis: Diagnosis | None = None
    expires_at: float = 0.0
    what: str = ""
    stage: str = ""
    since: float = 0.0

    def text(self, language: str = "en") -> str:
        """Return what was found, in one sentence."""
        words = self._words(language)
        return texts.fill(words["ok" if self.level == "ok" and "ok" in words else "text"], self._known(language)) or ""

    def remedies(self, language: str = "en") -> tuple[str, ...]:
        """Return what to do, the likeliest first; nothing where all is well. No command is told twice."""
        if self.level == "ok":
            return ()
        found = self.diagnosis.text(language).remedies if self.diagnosis is not None else ()
        told = {command for remedy in found for command in remedy.commands}
        known = self._known(language)
        own = (Remedy.filled(text, known) for text in self._words(language).get("remedies", ()))
        new = (one for one in own if one.text and told.isdisjoint(one.commands))
        return tuple(one.text for one in (*found, *new))

    def as_dict(self, language: str = "en") -> dict[str, Any]:
        """Return the object of the JSON."""
        return {
            "code": self.code,
            "level": self.level,
            "text": self.text(language),
            "remedies": list(self.remedies(language)),
            "since": iso(self.since),
        }

    def began(self, since: float) -> Finding:
        """Return the same finding with the moment since when it is so."""
        return replace(self, since=since)

    def _words(self, language: str) -> Mapping[str, Any]:
        return texts.entries(language, WORDS).get(self.code) or texts.entries("en", WORDS)[self.code]

    def _known(self, language: str) -> dict[str, Any]:
        why = None
        if self.diagnosis is not None:  # a no-break space in a value would show
            why = self.diagnosis.in_language(language).title.replace("\N{NO-BREAK SPACE}", " ")
        untold = (f"{name}: {texts.said(said, language).rstrip('.')}" for name, said in self.values.get("untold", ()))
        return {"channels": "; ".join(untold), "why": why, "critical": self.level == "critical" or None, **self.values}


@dataclass(frozen=True, slots=True)
class Entry:
    """What was found of one account, or (``account`` None) of what belongs to none."""

    account: str | None
    provider: str | None
    route: str | None
    checked_at: float
    findings: tuple[Finding, ...] = ()

    @property
    def level(self) -> str:
        return worst([finding.level for finding in self.findings])

    def as_dict(self, language: str = "en") -> dict[str, Any]:
        """Return the object of the JSON."""
        return {
            "account": self.account,
            "provider": self.provider,
            "route": self.route,
            "level": self.level,
            "checked_at": iso(self.checked_at),
            "findings": [finding.as_dict(language) for finding in self.findings],
        }
