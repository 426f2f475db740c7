"""Any order of what deliveries do with a message, on several journals at once: each says the same to each step, and
what one promises holds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from franking.sending.journal import FINAL, Claim
from sending.keepers import Kept

KEYS = st.sampled_from(["a", "b"])
OWNERS = st.sampled_from(["w1", "w2", "w3"])
DIGESTS = st.sampled_from(["one", "one", "one", "two"])
OUTCOMES = st.sampled_from(FINAL)


class Journals(RuleBasedStateMachine):
    """Deliveries of two messages by three workers."""

    kept: Sequence[Kept] = ()

    def __init__(self) -> None:
        super().__init__()
        self.number = 0
        self.last: dict[str, str] = {}  # the final state that was told last
        self.begun: dict[str, set[str]] = {}  # who may be sending a message
        for key in ("a", "b"):
            self._each(lambda one, key=key: one.age(key))  # type: ignore[misc]

    def _each(self, act: Callable[[Kept], Any]) -> Any:
        return [act(one) for one in self.kept]

    def _same(self, act: Callable[[Kept], Any]) -> Any:
        answers = self._each(act)
        assert all(answer == answers[0] for answer in answers), answers
        return answers[0]

    @rule(key=KEYS, owner=OWNERS, digest=DIGESTS)
    def claim(self, key: str, owner: str, digest: str) -> None:
        self.number += 1
        claim = Claim(key, owner, digest, f"<{self.number}@x>", f"date {self.number}")

        def ask(one: Kept) -> tuple[Any, ...]:
            answer = one.journal.claim(claim)
            assert (answer.wait > 0) == (answer.state == "busy")
            named = (answer.message_id, answer.date) if answer.state == "claimed" else ()
            return answer.state, named, dict(answer.outcome)

        state, _, _ = self._same(ask)
        if state == "claimed":
            assert not self.begun.get(key), "somebody may be sending it"
            assert key not in self.last, "it was over"
        if state in FINAL:
            before = self.last.get(key)
            assert before in (None, state) or (before, state) == ("unknown", "accepted")
            self.last[key] = state

    @rule(key=KEYS, owner=OWNERS)
    def started(self, key: str, owner: str) -> None:
        if self._same(lambda one: one.journal.started(Claim(key, owner, ""))):
            self.begun.setdefault(key, set()).add(owner)
            assert len(self.begun[key]) == 1, "two send it"

    @rule(key=KEYS, owner=OWNERS)
    def renew(self, key: str, owner: str) -> None:
        self._same(lambda one: one.journal.renew(Claim(key, owner, "")))

    @rule(key=KEYS, owner=OWNERS, outcome=OUTCOMES)
    def finish(self, key: str, owner: str, outcome: str) -> None:
        told = {"outcome": outcome, "message_id": "<1@x>", "reply": "příliš žluťoučký \0 \u2028", "refused": {}}
        self._same(lambda one: one.journal.finish(Claim(key, owner, ""), told))

    @rule(key=KEYS, owner=OWNERS)
    def give_back(self, key: str, owner: str) -> None:
        if self._same(lambda one: one.journal.give_back(Claim(key, owner, ""))):
            self.begun.pop(key, None)

    @rule(key=KEYS)
    def lapse(self, key: str) -> None:
        self._each(lambda one: one.lapse(key))

    @rule(key=KEYS)
    def age(self, key: str) -> None:
        self._each(lambda one: one.age(key))
        self.last.pop(key, None)
        self.begun.pop(key, None)


def a_clock_that_was_set_back(kept: Kept) -> None:
    """A worker that is dead has its message for a lease from now, however late that would have ended."""
    journal = kept.journal
    dead, next_one = Claim("k", "w1", "d"), Claim("k", "w2", "d")
    assert journal.claim(dead).state == "claimed"
    kept.set_back("k")
    assert 0 < journal.claim(next_one).wait <= journal.lease
    assert 0 < journal.claim(next_one).wait <= journal.lease  # and it is running out
    assert journal.started(dead)  # it was not dead after all
    kept.set_back("k")
    assert 0 < journal.claim(next_one).wait <= journal.lease
    assert journal.renew(dead)
