"""The sentences that commands say, and in which language a person reads them. Option names, JSON and logs are English
whatever it is; the words of diagnoses and hints are the library's.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from franking.diagnosis.languages import Sentences, first_known, in_folder

__all__ = ["FOLDER", "asked_language", "language_of", "languages", "words"]

FOLDER = Path(__file__).with_name("texts")

_LOCALE = ("LC_ALL", "LC_MESSAGES", "LANG")  # POSIX: the first that is set counts


@cache
def words(language: str) -> Sentences:
    """Return the sentences of one language."""
    return Sentences(FOLDER, language)


def languages() -> tuple[str, ...]:
    """Return the languages that commands speak."""
    return in_folder(FOLDER)


def asked_language(option: str | None, environ: Mapping[str, str] | None = None) -> str | None:
    """Return the language that somebody asked Franking for: by ``--language``, else by ``FRANKING_LANGUAGE``."""
    asked = _environ(environ, "FRANKING_LANGUAGE")
    return first_known((option, asked), languages())


def language_of(option: str | None, environ: Mapping[str, str] | None = None) -> str:
    """Return the language to speak: what was asked for, else the locale's, else English."""
    locale = next(filter(None, (_environ(environ, name) for name in _LOCALE)), None)
    return asked_language(option, environ) or first_known((locale,), languages()) or "en"


def _environ(environ: Mapping[str, str] | None, name: str) -> str | None:
    """Return a variable; ``os.environ`` is nobody's own variable here: it holds secrets, which frames would show."""
    return (os.environ if environ is None else environ).get(name)
