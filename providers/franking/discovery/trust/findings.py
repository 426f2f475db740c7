"""What a check of a domain finds: values whose words are looked up when they are read, in
``diagnosis/texts/trust.<language>.toml``. Nothing is asked and nothing judged here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from franking.diagnosis import texts
from franking.diagnosis.diagnosis import Remedy

__all__ = ["Deliverability", "DnsRecord", "Finding"]

TEXTS = "trust."  # the prefix of the files


@dataclass(frozen=True, slots=True)
class DnsRecord:
    """A record to publish: its whole ``name`` (A-labels), its ``type`` and its ``value``."""

    name: str
    type: str
    value: str

    def __str__(self) -> str:
        return f"{self.name} {self.type} {self.value}"

    def as_dict(self) -> dict[str, str]:
        """Return the ``record`` object of the JSON."""
        return {"name": self.name, "type": self.type, "value": self.value}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found: ``level`` is ``ok``, ``hint``, ``warning`` or ``unknown``.

    ``values`` fill the words; ``record`` is what to publish, where that can be written.
    """

    code: str
    level: str
    values: Mapping[str, Any] = field(default_factory=dict)
    record: DnsRecord | None = None

    @property
    def text(self) -> str:
        return self.say()

    @property
    def remedies(self) -> tuple[str, ...]:
        return tuple(remedy.text for remedy in self.advice())

    def say(self, language: str = "en") -> str:
        """Return the sentence in a language, in English where it is not there."""
        return texts.fill(self._words(language)["text"], self._said(language)) or self.code

    def advice(self, language: str = "en") -> tuple[Remedy, ...]:
        """Return what to do about it, the likeliest first, and who can."""
        values = self._said(language)
        every = (Remedy.filled(text, values) for text in self._words(language).get("remedies", ()))
        return tuple(remedy for remedy in every if remedy.text)

    def _words(self, language: str) -> Mapping[str, Any]:
        return texts.entries(language, TEXTS).get(self.code) or texts.entries("en", TEXTS)[self.code]

    def _said(self, language: str) -> Mapping[str, Any]:
        """Return the values, a sentence of the facts in the language."""
        switch = texts.said(str(self.values.get("switch") or ""), language)
        return {**self.values, "switch": switch.replace("\N{NO-BREAK SPACE}", " ")}

    def as_dict(self) -> dict[str, Any]:
        """Return one object of the ``findings`` list of the JSON."""
        return {
            "code": self.code,
            "level": self.level,
            "text": self.text,
            "remedies": list(self.remedies),
            "record": self.record.as_dict() if self.record else None,
        }


@dataclass(frozen=True, slots=True)
class Deliverability:
    """Whether receivers will trust mail from a domain, and why.

    ``domain`` are A-labels, ``account`` is the account's name where one was checked. ``via`` is who sends: a provider's
    name for it (``google``) or the host of a known service; None where nobody knows, and then the sender is not judged.
    """

    domain: str
    account: str | None = None
    via: str | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def verdict(self) -> str:
        """Return ``warning`` if there is one, ``unknown`` where DNS gave no answer, else ``good``."""
        if self.warnings:
            return "warning"
        return "unknown" if any(finding.level == "unknown" for finding in self.findings) else "good"

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """Return what makes receivers distrust it."""
        return tuple(finding for finding in self.findings if finding.level == "warning")

    def as_dict(self) -> dict[str, Any]:
        """Return the object of ``franking check-domain --json``."""
        return {
            "verdict": self.verdict,
            "domain": self.domain,
            "account": self.account,
            "via": self.via,
            "findings": [finding.as_dict() for finding in self.findings],
        }
