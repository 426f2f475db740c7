"""The words of refusals in order: ``Says``, one row of the tables beside this file, and how the rows become rules.

A row says what servers write, and which remedy it calls for. Which row decides is told by how much it demands, never by
where it stands: a mark (a word that only one cause has, ``#AUTH005``, the name of a blocklist) before phrases; of the
phrases the one that demands the most words; of two that demand as many, the one that demands more besides (a step, a
code); then the one whose subject comes first in a dialogue, because what is settled earlier explains what comes later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from franking.diagnosis.phrases import phrase
from franking.diagnosis.rules import Rule

__all__ = ["BEFORE_CONTENT", "SMTP", "Says", "in_order"]

SMTP = ("smtp", "sasl")
BEFORE_CONTENT = ("greet", "message")


@dataclass(frozen=True, slots=True, init=False)
class Says:
    """What servers write for one cause: ``phrases`` in plain words, ``marks`` a regular expression for all of the text.

    The other columns are those of ``Rule``.
    """

    code: str
    phrases: tuple[str, ...]
    marks: str
    columns: Mapping[str, Any] = field(default_factory=dict)

    def __init__(self, code: str, *phrases: str, marks: str = "", **columns: Any) -> None:
        object.__setattr__(self, "code", code)
        object.__setattr__(self, "phrases", phrases)
        object.__setattr__(self, "marks", marks)
        object.__setattr__(self, "columns", columns)

    def rules(self) -> Iterable[Rule]:
        """Return a rule for the marks, and one for each phrase."""
        if self.marks:
            yield Rule(self.code, kind=SMTP, text=self.marks, **self.columns)
        for text in self.phrases:
            yield Rule(self.code, kind=SMTP, phrase=text, **self.columns)


def in_order(*subjects: Iterable[Says]) -> tuple[Rule, ...]:
    """Return the rules of these tables, the most demanding first; the order of the tables decides between equals."""
    rules = [rule for table in subjects for row in table for rule in row.rules()]
    return tuple(sorted(rules, key=lambda rule: (not rule.text, -phrase(rule.phrase).weight, -_conditions(rule))))


def _conditions(rule: Rule) -> int:
    return sum(map(bool, (rule.step, rule.codes, rule.enhanced, rule.details)))
