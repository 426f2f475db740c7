"""The words of the page: ``texts/<language>.toml``, and which language a browser prefers. Which one is wanted is
decided in ``page.py``; the words of diagnoses and hints are those of ``diagnosis/texts``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from franking.diagnosis import texts
from franking.diagnosis.languages import Sentences, base_language, first_known, in_folder

if TYPE_CHECKING:
    from franking.provider import Step

__all__ = ["FOLDER", "Words", "best_language", "languages", "spoken", "words"]

FOLDER: Any = files("franking.web") / "texts"


class Words(Sentences):
    """The page's own sentences, and in its language those that the library says in English."""

    def told(self, sentence: object) -> str:
        """Return what an error says, or a receipt's warning."""
        return texts.said(str(sentence), self.language)

    def detail(self, step: Step) -> str:
        """Return what a step tells."""
        return texts.step_said(step.name, step.status, step.detail, self.language)


@cache
def words(language: str) -> Words:
    """Return the words of one language."""
    return Words(FOLDER, language)


def languages() -> tuple[str, ...]:
    """Return the languages that the page speaks."""
    return in_folder(FOLDER)


def spoken(tag: str) -> str | None:
    """Return the language that a tag such as ``cs-CZ`` or ``sk`` asks for; None for one that is not spoken."""
    return first_known((tag,), languages())


def best_language(wanted: Iterable[str | None], accepted: str = "") -> str:
    """Return the first language of ``wanted`` that is spoken, else the best of an ``Accept-Language`` header, else
    English.
    """
    if (found := first_known(wanted, languages())) is not None:
        return found
    weighed: list[tuple[float, int, str]] = []
    for place, part in enumerate(accepted[:1000].split(",")):
        tag, _, parameter = part.partition(";")
        weight = re.fullmatch(r"\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*", parameter)
        quality = float(weight[1]) if weight else 1.0
        if base_language(tag) in languages() and quality > 0:
            weighed.append((-quality, place, base_language(tag)))
    return min(weighed)[2] if weighed else "en"
