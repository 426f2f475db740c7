"""The words of the page: ``texts/<language>.toml``, looked up by section and key. Which language is wanted is decided
in ``page.py``; the words of diagnoses and hints are those of ``diagnosis/texts``.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

__all__ = ["Words", "best_language", "languages", "spoken", "words"]

FOLDER = files("franking.web") / "texts"


class Words:
    """Say things in one language, in English where it lacks a key."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._own, self._english = _table(language), _table("en")

    def __call__(self, key: str, **values: Any) -> str:
        """Return the text of ``section.key`` with its values filled in."""
        return self.text(key).format(**values)

    def text(self, key: str) -> str:
        """Return the text of ``section.key`` as it is written. Raises ``KeyError``."""
        section, _, name = key.partition(".")
        return self._own.get(section, {}).get(name) or self._english[section][name]

    def known(self, key: str) -> bool:
        """Return whether there is such a text."""
        section, _, name = key.partition(".")
        return name in self._english.get(section, {})


@cache
def _table(language: str) -> Mapping[str, Mapping[str, str]]:
    return tomllib.loads((FOLDER / f"{language}.toml").read_text("utf-8"))


@cache
def words(language: str) -> Words:
    """Return the words of one language."""
    return Words(language)


@cache
def languages() -> tuple[str, ...]:
    """Return the languages that the page speaks: one file each, English first."""
    found = sorted(entry.name.removesuffix(".toml") for entry in FOLDER.iterdir() if entry.name.endswith(".toml"))
    return ("en", *(name for name in found if name != "en"))


_READS = {"sk": "cs"}
"""Whose language is not there, and which they read instead of English."""


def spoken(tag: str) -> str | None:
    """Return the language that a tag such as ``cs-CZ``, ``cs_CZ.UTF-8`` or ``sk`` asks for; None for one that nobody
    wrote.
    """
    base = re.split("[-_.@]", tag.strip().lower())[0]
    base = _READS.get(base, base)
    return base if base in languages() else None


def best_language(wanted: Iterable[str | None], accepted: str = "") -> str:
    """Return the first language of ``wanted`` that is spoken, else the best of an ``Accept-Language`` header, else
    English.
    """
    for tag in wanted:
        if tag and (found := spoken(tag)):
            return found
    weighed: list[tuple[float, int, str]] = []
    for place, part in enumerate(accepted[:1000].split(",")):
        tag, _, parameter = part.partition(";")
        weight = re.fullmatch(r"\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*", parameter)
        quality = float(weight[1]) if weight else 1.0
        if (found := spoken(tag)) and quality > 0:
            weighed.append((-quality, place, found))
    return min(weighed)[2] if weighed else "en"
