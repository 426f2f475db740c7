"""Languages: which there are, which one a tag or a locale asks for, and the sentences of a folder with one TOML file
for each. What is said in them stands in those files.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

__all__ = ["Sentences", "base_language", "first_known", "in_folder"]

_READ_INSTEAD = {"sk": "cs"}
"""Whose language nobody wrote, and which they read rather than English."""


def base_language(tag: str) -> str:
    """Return the language of a tag or a locale: ``cs`` for ``cs-CZ``, ``cs_CZ.UTF-8`` and ``sk``; empty for none."""
    found = re.match(r"[a-z]{2,3}(?![a-z])", tag.strip().lower())
    base = found[0] if found else ""
    return _READ_INSTEAD.get(base, base)


@lru_cache(maxsize=16)
def in_folder(folder: Any) -> tuple[str, ...]:
    """Return the languages of a folder (``importlib.resources``), English first: a further one is a file, not code."""
    names = sorted(entry.name for entry in folder.iterdir())
    found = [name.removesuffix(".toml") for name in names if re.fullmatch(r"[a-z]{2,3}\.toml", name)]
    return ("en", *(name for name in found if name != "en"))


class Sentences:
    """Say what stands in a folder's file of one language, in English where it lacks a key."""

    def __init__(self, folder: Any, language: str) -> None:
        self.language = language
        self._own, self._english = _table(folder, language), _table(folder, "en")

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


def first_known(tags: Iterable[str | None], known: Iterable[str]) -> str | None:
    """Return the first language that is asked for and known."""
    there = tuple(known)
    return next((base for tag in tags if tag and (base := base_language(tag)) in there), None)


@lru_cache(maxsize=32)
def _table(folder: Any, language: str) -> Mapping[str, Mapping[str, str]]:
    file = folder / f"{language}.toml"
    return tomllib.loads(file.read_text("utf-8")) if file.is_file() else {}
