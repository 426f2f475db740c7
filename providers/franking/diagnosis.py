"""From evidence to a diagnosis: rules, the values that they yield, and the generic rules that hold for every provider.

A ``Rule`` is a row of a table: what must have been seen, and the code of the remedy. A ``Diagnosis`` is a value; its words are
looked up in ``texts/<language>.toml`` only when somebody reads them. Nothing here raises, retries or prints.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from franking.errors import Evidence, FrankingError

__all__ = ["GENERIC", "Diagnosis", "Hint", "Rule", "diagnose"]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Say what went wrong, why, and who can mend it (``you``, ``admin``, ``provider``).

    ``code`` names the remedy and is never renamed. ``values`` fill the texts. ``raw`` is what the other side said, untouched but
    bounded and without secrets. ``title``, ``cause`` and ``remedies`` are read from the English texts; ``text(language)`` gives another.
    """

    code: str
    values: Mapping[str, Any] = field(default_factory=dict)
    raw: str = ""
    who: str = "you"
    temporary: bool = False

    @property
    def title(self) -> str:
        raise NotImplementedError

    @property
    def cause(self) -> str:
        raise NotImplementedError

    @property
    def remedies(self) -> tuple[str, ...]:
        raise NotImplementedError

    def as_dict(self, language: str = "en") -> dict[str, Any]:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Hint:
    """Point at something that looks wrong in the settings, without changing it: a code and the values for its text."""

    code: str
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Rule:
    """Recognise one failure: every condition that is given must hold; the first rule that matches decides.

    ``text`` is a regular expression, searched ignoring case after white space is collapsed. ``enhanced`` may end in ``*``.
    ``temporary`` None means: as the error says. ``when`` is for what no column can say; ``route`` restricts to routes.
    """

    code: str
    kind: tuple[str, ...] = ()
    step: tuple[str, ...] = ()
    codes: tuple[int, ...] = ()
    enhanced: tuple[str, ...] = ()
    text: str = ""
    reason: tuple[str, ...] = ()
    route: tuple[str, ...] = ()
    who: str = "you"
    temporary: bool | None = None
    when: Callable[[Evidence, Mapping[str, Any]], bool] | None = None
    note: str = ""  # the row of the catalogue that it recognises, for the tests and the docs


GENERIC: tuple[Rule, ...] = ()


def diagnose(error: FrankingError, rules: Iterable[Rule], values: Mapping[str, Any]) -> Diagnosis:
    """Find the first rule that matches an error's evidence.

    ``values`` describe the attempt for the texts and for ``when``: ``account, provider, route, host, port, security, username, sender`` …
    """
    raise NotImplementedError
