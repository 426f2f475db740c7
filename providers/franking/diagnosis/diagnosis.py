"""A diagnosis and a hint: values whose texts are looked up when they are read. ``rules.py`` finds one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from franking.diagnosis import texts
from franking.diagnosis.languages import first_known

__all__ = ["Diagnosis", "Hint", "Remedy", "Words"]


class Remedy(NamedTuple):
    """Advice in one language, and the commands that it names, which run as they stand."""

    text: str
    commands: tuple[str, ...] = ()

    @classmethod
    def filled(cls, text: texts.Text, values: Mapping[str, Any]) -> Remedy:
        """Return a text with its values in it; one without words where it needs a value that is not known."""
        return cls(texts.fill(text, values) or "", texts.commands(text, values))


class Words(NamedTuple):
    """A diagnosis in one language: what happened, why, and what to do, the likeliest first."""

    title: str
    cause: str
    remedies: tuple[Remedy, ...]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What went wrong, why, and who can mend it (``you``, ``admin``, ``provider``).

    ``code`` names the remedy and is never renamed. ``values`` fill the texts. ``raw`` is what the other side said,
    untouched but bounded and without secrets. ``title``, ``cause`` and ``remedies`` are in ``language``, English unless
    ``in_language`` chose another; JSON is English always.
    """

    code: str
    values: Mapping[str, Any] = field(default_factory=dict)
    raw: str = ""
    who: str = "you"
    temporary: bool = False
    language: str = field(default="en", compare=False)

    def in_language(self, language: str) -> Diagnosis:
        """Return the same diagnosis, to be read in another language (``cs``, ``cs-CZ``).

        Raises ``ValueError``, which names the known ones, for a language that nobody wrote.
        """
        if (found := first_known((language,), texts.languages())) is None:
            raise ValueError(f"{language!r} is not one of {', '.join(texts.languages())}")
        return replace(self, language=found)

    @property
    def title(self) -> str:
        return self.text().title

    @property
    def cause(self) -> str:
        return self.text().cause

    @property
    def remedies(self) -> tuple[str, ...]:
        return tuple(remedy.text for remedy in self.text().remedies)

    @property
    def commands(self) -> tuple[str, ...]:
        """Return the commands that the remedies name, in their order."""
        return tuple(command for remedy in self.text().remedies for command in remedy.commands)

    def __str__(self) -> str:
        """Return what a person wants to read: title, cause, and the remedies, numbered."""
        advice = (f"{number}. {remedy}" for number, remedy in enumerate(self.remedies, 1))
        return "\n".join((self.title, self.cause, *advice))

    def text(self, language: str | None = None) -> Words:
        """Return title, cause and remedies in a language, by default its own, and in English where that is not there;
        hints lead the remedies.
        """
        language = self.language if language is None else language
        words, values = texts.entry(self.code, language), self.values
        if isinstance(problem := values.get("problem"), str):
            values = {**values, "problem": texts.said(problem, language)}  # an error's own sentence
        own = (Remedy.filled(text, values) for text in words["remedies"])
        return Words(
            title=texts.fill(words["title"], values) or self.code,
            cause=texts.fill(words["cause"], values) or "",
            remedies=(
                *(hint.remedy(language) for hint in self.values.get("hints", ())),
                *(remedy for remedy in own if remedy.text),
            ),
        )

    def with_hints(self, hints: Iterable[Hint]) -> Diagnosis:
        """Return it led by the hints that explain this failure: those on name and password where they were refused,
        others before the login.
        """
        leading = tuple(hint for hint in hints if _explains(hint.code, self))
        if not leading:
            return self
        values = {**self.values, "hints": leading}
        if any(hint.code == "username.not-an-address" for hint in leading):
            values["whole_address"] = None  # no need to say it twice
        return replace(self, values=values)

    def as_dict(self, language: str = "en") -> dict[str, Any]:
        """Return the ``diagnosis`` object of the JSON reports."""
        title, cause, remedies = self.text(language)
        return {
            "code": self.code,
            "title": title,
            "cause": cause,
            "remedies": [remedy.text for remedy in remedies],
            "who": self.who,
            "temporary": self.temporary,
            "raw": self.raw,
        }


@dataclass(frozen=True, slots=True)
class Hint:
    """Something that looks wrong in the settings, which nobody changes: a code and the values for its text."""

    code: str
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return self.say()

    def say(self, language: str = "en") -> str:
        """Return the sentence in a language, in English where it is not there."""
        return self.remedy(language).text

    def remedy(self, language: str = "en") -> Remedy:
        """Return the sentence and the commands that it names."""
        text, commands = Remedy.filled(texts.entry(self.code, language).get("text", self.code), self.values)
        return Remedy(text or self.code, commands)

    def as_dict(self, language: str = "en") -> dict[str, Any]:
        """Return one object of the ``hints`` list of the JSON reports."""
        return {"code": self.code, "text": self.say(language)}


def _explains(hint: str, diagnosis: Diagnosis) -> bool:
    step = diagnosis.values.get("step")
    refused = step == "login" and diagnosis.values.get("status", 0) // 100 == 5
    if hint == "host.ip-with-tls":
        return step == "tls"
    if hint == "port.none-with-login":
        return False
    match hint.partition(".")[0]:
        case "secret":
            return refused
        case "username":
            return refused or diagnosis.code.startswith("sender.")
        case "host":
            return step in ("settings", "resolve", "connect", "tls", "greet")
        case "port":
            return step in ("connect", "tls", "greet") or (step == "login" and not refused)
        case _:
            return False
