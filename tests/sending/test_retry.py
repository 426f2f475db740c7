"""What an attempt leads to: the whole table of it, without a session, a thread or a clock."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

import franking
from franking.errors import (
    ConnectError,
    Evidence,
    FrankingError,
    LoginError,
    OutcomeUnknown,
    RecipientsRefused,
    Refused,
    SettingsError,
    Throttled,
    TLSError,
)
from franking.message.address import Address
from franking.message.prepare import prepare
from franking.provider import Receipt
from franking.sending.queue import Job
from franking.sending.retry import NEVER, Decision, Policy, decide, ended, may_retry, merge, too_many, without

LATER = {"reply": "451 4.7.1 later", "temporary": True}
NOBODY = {"reply": "550 5.1.1 unknown", "temporary": False}
FULL = {"reply": "452 4.5.3 too many", "temporary": True}
POLICY = Policy(attempts=3, first=8.0, longest=20.0, patience=100.0)


def job(*recipients: str, **state: Any) -> Job:
    message = franking.Message(to=list(recipients or ("a@x.cz", "b@x.cz", "c@x.cz")), subject="x", text="x")
    return Job(7, message, prepare(message, sender=Address("jan@x.cz")), **state)


def receipt(*accepted: str, **refused: Any) -> Receipt:
    answers = {f"{name}@x.cz": answer for name, answer in refused.items()}
    return Receipt("<1>", "smtp", "250 ok", accepted=tuple(accepted), refused=answers, bytes=10, ms=1.0)


def everybody(**refused: Any) -> RecipientsRefused:
    return RecipientsRefused(
        "all", refused={f"{name}@x.cz": answer for name, answer in refused.items()}, temporary=True
    )


# -- errors ------------------------------------------------------------------------------------------------------------

TEMPORARY = Refused("later", temporary=True)
STALE = ConnectError("closed while it rested", stale=True)
DEAD_TOKEN = LoginError("401", token_refused=True)
ASKS_FOR = Throttled("slow down", retry_after=40.0)

ERRORS = [
    # error, attempt, pause (None: the end), renewed, slowed down
    (TEMPORARY, 1, 8.0, False, False),
    (TEMPORARY, 2, 16.0, False, False),
    (TEMPORARY, 3, None, False, False),
    (ConnectError("reset"), 1, 8.0, False, False),
    (ConnectError("reset", temporary=False), 1, None, False, False),
    (STALE, 1, 0.0, False, False),
    (STALE, 2, 0.0, False, False),
    (STALE, 3, None, False, False),
    (DEAD_TOKEN, 1, 0.0, True, False),
    (DEAD_TOKEN, 2, None, False, False),
    (LoginError("535"), 1, None, False, False),
    (LoginError("454", temporary=True), 1, 8.0, False, False),
    (Throttled("slow down"), 1, 8.0, False, True),
    (ASKS_FOR, 1, 40.0, False, True),
    (Throttled("soon", retry_after=1.0), 1, 8.0, False, True),
    (Throttled("tomorrow", retry_after=100.0), 1, 100.0, False, True),
    (Throttled("tomorrow", retry_after=100.1), 1, None, False, False),
    (ASKS_FOR, 3, None, False, False),
    (Refused("no"), 1, None, False, False),
    (TLSError("no"), 1, None, False, False),
    (SettingsError("no"), 1, None, False, False),
    (OutcomeUnknown("cut"), 1, None, False, False),
    (Refused("later", temporary=True, possibly_sent=True), 1, None, False, False),
]


@pytest.mark.parametrize(("error", "attempt", "pause", "renewed", "slowed"), ERRORS)
def test_what_an_error_leads_to(
    error: FrankingError, attempt: int, pause: float | None, renewed: bool, slowed: bool
) -> None:
    before = job(attempt=attempt)
    decision = decide(before, error, POLICY, 0.0)
    assert (decision.renew, decision.slow_down) == (renewed, slowed)
    assert decision.outcome == ("unknown" if error.possibly_sent else "failed")
    assert decision.error is error
    assert decision.receipt is None
    if pause is None:
        assert decision.following is None
        return
    assert decision.pause == pause
    assert decision.following is not None
    assert decision.following.attempt == attempt + 1
    assert decision.following.prepared is before.prepared, "the very same message for the same recipients"


ELSEWHERE = Policy(attempts=3, elsewhere=lambda error: isinstance(error, ConnectError | Throttled))
SAID = Evidence("smtp", code=450, details={"what": "recipient"})


@pytest.mark.parametrize(
    ("error", "there"),
    [(ConnectError("refused"), True), (Throttled("tomorrow", retry_after=900.0), True), (STALE, False),
     (TEMPORARY, False), (OutcomeUnknown("cut"), False)],
)  # fmt: skip
def test_what_another_account_makes_up_for_follows_there_at_once(error: FrankingError, there: bool) -> None:
    before = job()
    decision = decide(before, error, ELSEWHERE, 0.0)
    assert decision.elsewhere is there
    if there:
        assert (decision.following, decision.pause, decision.error) == (before, 0.0, error)
        assert not decide(job(answered=True), error, ELSEWHERE, 0.0).elsewhere
        assert not decide(before, error, POLICY, 0.0).elsewhere


@pytest.mark.parametrize(
    ("outcome", "answered"),
    [
        (Refused("greylisted", temporary=True, evidence=SAID), True),
        (Refused("greylisted", temporary=True, evidence=Evidence("smtp", details={"what": "sender"})), False),
        (Refused("no words", temporary=True), False), (Throttled("429", evidence=Evidence("http", code=429)), False),
        (ConnectError("reset"), False), (everybody(a=LATER), True), (receipt("a@x.cz", b=LATER), True),
        (receipt("a@x.cz", b=FULL), True),
    ],
)  # fmt: skip
def test_who_was_answered_is_remembered(outcome: FrankingError | Receipt, answered: bool) -> None:
    decision = decide(job(), outcome, POLICY, 0.0)
    assert decision.answered is answered
    assert decision.following is not None and decision.following.answered is answered
    later = decide(decision.following, TEMPORARY, POLICY, 0.0).following
    assert later is not None and later.answered is answered


def test_a_policy_of_none_still_replaces_a_dead_connection_and_a_dead_token_once() -> None:
    for error in (STALE, DEAD_TOKEN):
        first = decide(job(), error, NEVER, 0.0)
        assert first.following is not None and first.pause == 0.0
        assert decide(first.following, error, NEVER, 0.0).following is None
    assert decide(job(), TEMPORARY, NEVER, 0.0).following is None


def test_the_end_of_a_session_that_has_carried_something_is_no_attempt() -> None:
    """However often: each such end comes with a message that went, so that it comes to an end itself."""
    before = job(attempt=9)
    decision = decide(before, STALE, NEVER, 0.0, carried=True)
    assert decision.following is not None
    assert (decision.following.attempt, decision.pause) == (9, 0.0)
    assert decide(before, TEMPORARY, NEVER, 0.0, carried=True).following is None


def test_an_error_after_some_were_accepted_is_told_in_the_receipt() -> None:
    before = job("b@x.cz", receipt=receipt("a@x.cz"), attempt=3)
    decision = decide(before, TEMPORARY, POLICY, 0.0)
    assert (decision.outcome, decision.error) == ("accepted", None)
    assert decision.receipt is not None
    assert decision.receipt.accepted == ("a@x.cz",)
    assert decision.receipt.refused == {"b@x.cz": {"reply": "later", "temporary": True}}


def test_an_unknown_outcome_after_some_were_accepted_stays_unknown() -> None:
    had = receipt("a@x.cz")
    error = OutcomeUnknown("cut")
    assert ended(job("b@x.cz", receipt=had), error) == Decision("unknown", had, error)


# -- receipts ----------------------------------------------------------------------------------------------------------


def test_accepted_by_all_is_the_end() -> None:
    got = receipt("a@x.cz", "b@x.cz", "c@x.cz")
    assert decide(job(), got, POLICY, 0.0) == Decision("accepted", got)


@pytest.mark.parametrize(("attempt", "pause"), [(1, 8.0), (2, 16.0), (3, None)])
def test_who_was_refused_for_now_is_tried_alone_and_later(attempt: int, pause: float | None) -> None:
    before = job(attempt=attempt)
    got = receipt("a@x.cz", b=LATER, c=NOBODY)
    decision = decide(before, got, POLICY, 0.0)
    assert (decision.outcome, decision.receipt, decision.error) == ("accepted", got, None)
    if pause is None:
        assert decision.following is None
        return
    assert decision.pause == pause
    assert decision.following is not None
    assert decision.following.prepared.envelope.recipients == ("b@x.cz",)
    assert decision.following.prepared.content is before.prepared.content, "with its Message-ID"
    assert decision.following.attempt == attempt + 1
    assert decision.following.receipt == got
    assert before.attempt == attempt and before.receipt is None, "nothing but a decision was made"


@pytest.mark.parametrize("reply", ["452 4.5.3 too many", "452-4.5.3 too many\n452 4.5.3 really"])
def test_too_many_recipients_go_on_at_once_in_the_same_attempt(reply: str) -> None:
    got = receipt("a@x.cz", b={"reply": reply, "temporary": True}, c=LATER)
    decision = decide(job(attempt=3), got, POLICY, 0.0)
    assert decision.following is not None
    assert (decision.pause, decision.following.attempt) == (0.0, 3)
    assert decision.following.prepared.envelope.recipients == ("b@x.cz",)
    assert decision.following.receipt == got


def test_too_many_means_that_some_were_accepted_and_the_refusal_is_for_now() -> None:
    assert too_many(receipt("a@x.cz", b=FULL, c=LATER)) == ("b@x.cz",)
    assert too_many(receipt(b=FULL)) == ()
    assert too_many(receipt("a@x.cz", b={**FULL, "temporary": False})) == ()
    assert too_many(receipt("a@x.cz", b={"reply": "452 4.5.30 odd", "temporary": True})) == ("b@x.cz",)
    assert too_many(receipt("a@x.cz", b={"reply": "452 4.2.2 full", "temporary": True})) == ()
    assert too_many(receipt("a@x.cz", b={"temporary": True})) == ()


def test_later_receipts_are_added_to_the_earlier_one() -> None:
    before = job("b@x.cz", receipt=receipt("a@x.cz", b=LATER, c=NOBODY), attempt=2)
    decision = decide(before, receipt("b@x.cz"), POLICY, 0.0)
    assert decision.following is None
    assert decision.receipt is not None
    assert decision.receipt.accepted == ("a@x.cz", "b@x.cz")
    assert decision.receipt.refused == {"c@x.cz": NOBODY}
    assert (decision.receipt.bytes, decision.receipt.ms) == (20, 2.0)


# -- all refused -------------------------------------------------------------------------------------------------------


def test_all_refused_for_good_is_refused() -> None:
    error = everybody(a=NOBODY, b=NOBODY)
    assert decide(job("a@x.cz", "b@x.cz"), error, POLICY, 0.0) == Decision("refused", None, error)


def test_all_refused_some_for_now_is_tried_for_those_and_failed_at_last() -> None:
    error = everybody(a=NOBODY, b=LATER)
    first = decide(job("a@x.cz", "b@x.cz"), error, POLICY, 0.0)
    assert (first.outcome, first.pause) == ("failed", 8.0)
    assert first.following is not None
    assert first.following.prepared.envelope.recipients == ("b@x.cz",)
    assert first.following.refused == error.refused
    last = decide(job("b@x.cz", attempt=3, refused=first.following.refused), everybody(b=LATER), POLICY, 0.0)
    assert (last.outcome, last.following) == ("failed", None)
    nobody = decide(first.following, everybody(b=NOBODY), POLICY, 0.0)
    assert (nobody.outcome, nobody.following) == ("refused", None)


def test_all_the_rest_refused_is_told_in_the_receipt_of_those_who_have_it() -> None:
    before = job("b@x.cz", receipt=receipt("a@x.cz", b=LATER, c=LATER), refused={"c@x.cz": NOBODY}, attempt=2)
    decision = decide(before, everybody(b=NOBODY), POLICY, 0.0)
    assert (decision.outcome, decision.error) == ("accepted", None)
    assert decision.receipt is not None
    assert decision.receipt.accepted == ("a@x.cz",)
    assert decision.receipt.refused == {"b@x.cz": NOBODY, "c@x.cz": NOBODY}


# -- its parts ---------------------------------------------------------------------------------------------------------


def test_what_may_be_repeated_was_surely_not_accepted_and_may_succeed_later() -> None:
    for temporary, possibly in itertools.product((True, False), repeat=2):
        error = Refused("x", temporary=temporary, possibly_sent=possibly)
        assert may_retry(error) == (temporary and not possibly)
    assert not may_retry(FrankingError("no sending at all", temporary=True))


def test_pauses_double_and_have_a_limit() -> None:
    policy = Policy(attempts=6, first=2.0, longest=10.0)
    assert [policy.pause(attempt, 0.0) for attempt in range(1, 7)] == [2.0, 4.0, 8.0, 10.0, 10.0, None]
    assert policy.pause(1, 0.999) == pytest.approx(1.0, abs=0.01)
    assert policy.pause(3, 0.5) == 6.0
    assert Policy().pause(5, 0.0) is None
    assert Policy().pause(4, 0.0) == 16.0


def test_the_longer_of_two_pauses_wins() -> None:
    policy = Policy(first=2.0)
    assert policy.pause(1, 0.0, 1.0) == 2.0
    assert policy.pause(1, 0.0, 3.0) == 3.0
    assert policy.pause(1, 0.0, 900.0) == 900.0
    assert policy.pause(1, 0.0, 900.5) is None


def test_the_pause_before_the_five_thousandth_attempt() -> None:
    """It was 2 to the power of 4,999 seconds, which is no number, and ended the run."""
    assert Policy(attempts=10**6).pause(5_000, 0.0) == 120.0


def test_receipts_add_up() -> None:
    first = Receipt(
        "<1>",
        "smtp",
        "250 a",
        accepted=("a",),
        refused={"b": LATER, "c": NOBODY},
        bytes=10,
        ms=1.0,
        warnings=("w", "x"),
    )
    second = Receipt("<1>", "smtp", "250 b", accepted=("b",), bytes=10, ms=2.0, warnings=("x", "y"))
    merged = merge(first, second)
    assert (merged.accepted, dict(merged.refused), merged.reply) == (("a", "b"), {"c": NOBODY}, "250 b")
    assert (merged.bytes, merged.ms, merged.warnings) == (20, 3.0, ("w", "x", "y"))
    assert merge(None, second) is second


def test_those_without_it_are_told_in_the_server_s_words() -> None:
    had = receipt("a@x.cz", c=NOBODY)
    seen = franking.errors.Evidence("smtp", code=451, text="later")
    plain = without(had, ("b@x.cz",), Refused("The server said no.", temporary=True, evidence=seen))
    assert plain.refused == {"c@x.cz": NOBODY, "b@x.cz": {"reply": "451 later", "temporary": True}}
    own = without(had, ("b@x.cz", "d@x.cz"), RecipientsRefused("all", refused={"b@x.cz": LATER, "z@x.cz": NOBODY}))
    assert own.refused == {"c@x.cz": NOBODY, "b@x.cz": LATER, "d@x.cz": {"reply": "all", "temporary": False}}
    assert own.accepted == ("a@x.cz",)
