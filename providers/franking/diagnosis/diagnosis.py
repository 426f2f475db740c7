"""A diagnosis and a hint: values whose texts are looked up when they are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from franking.diagnosis import texts

__all__ = ["Diagnosis", "Hint", "Words"]


class Words(NamedTuple):
    """Hold a diagnosis in one language: what happened, why, and what to do, the likeliest first."""

    title: str
    cause: str
    remedies: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Say what went wrong, why, and who can mend it (``you``, ``admin``, ``provider``).

    ``code`` names the remedy and is never renamed. ``values`` fill the texts. ``raw`` is what the other side said,
    untouched but bounded and without secrets. ``title``, ``cause`` and ``remedies`` are read from the English texts;
    ``text(language)`` gives another.
    """

    code: str
    values: Mapping[str, Any] = field(default_factory=dict)
    raw: str = ""
    who: str = "you"
    temporary: bool = False

    @property
    def title(self) -> str:
        return self.text().title

    @property
    def cause(self) -> str:
        return self.text().cause

    @property
    def remedies(self) -> tuple[str, ...]:
        return self.text().remedies

    def __str__(self) -> str:
        """Return what a person wants to read: title, cause, and the remedies, numbered."""
        title, cause, remedies = self.text()
        return "\n".join((title, cause, *(f"{number}. {remedy}" for number, remedy in enumerate(remedies, 1))))

    def text(self, language: str = "en") -> Words:
        """Return title, cause and remedies in a language, in English where it is not there. Hints that were attached lead
        the remedies.
        """
        words = texts.entry(self.code, language)
        leading = [hint.say(language) for hint in self.values.get("hints", ())]
        own = [texts.fill(remedy, self.values) for remedy in words["remedies"]]
        return Words(
            title=texts.fill(words["title"], self.values) or self.code,
            cause=texts.fill(words["cause"], self.values) or "",
            remedies=tuple(remedy for remedy in (*leading, *own) if remedy),
        )

    def as_dict(self, language: str = "en") -> dict[str, Any]:
        """Return the ``diagnosis`` object of the JSON reports."""
        title, cause, remedies = self.text(language)
        return {
            "code": self.code,
            "title": title,
            "cause": cause,
            "remedies": list(remedies),
            "who": self.who,
            "temporary": self.temporary,
            "raw": self.raw,
        }


@dataclass(frozen=True, slots=True)
class Hint:
    """Point at something that looks wrong in the settings, without changing it: a code and the values for its text."""

    code: str
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return self.say()

    def say(self, language: str = "en") -> str:
        """Return the sentence in a language, in English where it is not there."""
        return texts.fill(texts.entry(self.code, language).get("text", self.code), self.values) or self.code

    def as_dict(self, language: str = "en") -> dict[str, Any]:
        """Return one object of the ``hints`` list of the JSON reports."""
        return {"code": self.code, "text": self.say(language)}
