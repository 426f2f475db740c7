"""What Microsoft's sign-in numbers (AADSTS…) mean: the table ``aadsts.toml``, read when a sign-in has failed.

Which error an answer becomes is decided in ``signin_errors.py``, what a person is told in ``signin_rules.py``.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Literal, NamedTuple

__all__ = ["Answer", "Family", "answer", "answers", "family"]


class Answer(NamedTuple):
    """Numbers for which the same helps: the diagnosis, who can mend it, and whose matter it is (``at``)."""

    code: str
    numbers: tuple[int, ...]
    who: str = "you"
    temporary: bool = False
    at: Literal["account", "app", "service"] = "account"
    about: str | None = None
    rows: str = ""


class Family(NamedTuple):
    """What can be said of a number of which nothing is known but how it begins."""

    begins: tuple[str, ...]
    about: str
    who: str = "you"


@lru_cache(maxsize=1)
def _table() -> tuple[tuple[Answer, ...], tuple[Family, ...]]:
    import tomllib  # a sign-in that works needs none of this
    from importlib.resources import files

    table = tomllib.loads((files("franking.outlook") / "aadsts.toml").read_text("utf-8"))
    return (
        tuple(Answer(**{**entry, "numbers": tuple(entry["numbers"])}) for entry in table["answer"]),
        tuple(Family(**{**entry, "begins": tuple(entry["begins"])}) for entry in table["family"]),
    )


def answers() -> tuple[Answer, ...]:
    """Return the whole table, in the order in which it decides."""
    return _table()[0]


def answer(numbers: Iterable[int]) -> Answer | None:
    """Find what an answer with these numbers means; None where none of them is known."""
    given = set(numbers)
    return next((entry for entry in answers() if not given.isdisjoint(entry.numbers)), None)


def family(number: int) -> Family | None:
    """Find what the beginning of a number says of it: the longest one that the table knows."""
    fitting = [(len(begin), entry) for entry in _table()[1] for begin in entry.begins if str(number).startswith(begin)]
    return max(fitting, key=lambda found: found[0])[1] if fitting else None
