"""What an attempt leads to: a message that is done, one that waits for itself, or an account that waits. All of it is
pure: nothing here sends, sleeps or writes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from franking.errors import RecipientsRefused
from franking.outbox.claims import Settlement
from franking.outbox.entry import about, read_receipt, written
from franking.outbox.holds import pause
from franking.sending.retry import is_the_accounts, merge, without

if TYPE_CHECKING:
    from franking.provider import Receipt
    from franking.sending.queue import SendResult

__all__ = ["Attempt", "after", "interrupted"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of a row, and what is known at its end: the time, and a number drawn at random (0 ≤ x < 1)."""

    row: Any
    result: SendResult
    now: float
    chance: float


def after(attempt: Attempt) -> Settlement:
    """Return what is written down of an attempt."""
    result, row = attempt.result, attempt.row
    earlier = read_receipt(row["receipt"])
    error = result.error
    if result.outcome == "accepted":
        assert result.receipt is not None
        return _accepted(attempt, merge(earlier, result.receipt))
    assert error is not None
    if result.outcome == "unknown":
        return Settlement(row["number"], "unknown", _waiting(row), earlier, error.diagnosis)
    if isinstance(error, RecipientsRefused):
        later = tuple(address for address, refusal in error.refused.items() if refusal.get("temporary"))
        if earlier is not None:
            earlier = replace(earlier, refused={**earlier.refused, **error.refused})
        if later:
            return _put_off(attempt, later, earlier)
    elif is_the_accounts(error):
        # behind those that were not tried yet, so that one message cannot stand in front of all others for ever
        return _again(attempt, _waiting(row), earlier, attempt.now)
    elif error.temporary:
        return _put_off(attempt, _waiting(row), earlier)
    return _over(attempt, result.outcome, earlier)


def interrupted(row: Any) -> Settlement:
    """Return what is written down of a message that was begun, and of which nobody told what became."""
    diagnosis = about("interrupted", entry=written(row["number"], row["mark"]))
    return Settlement(row["number"], "unknown", _waiting(row), read_receipt(row["receipt"]), diagnosis)


def _accepted(attempt: Attempt, receipt: Receipt) -> Settlement:
    later = tuple(address for address, refusal in receipt.refused.items() if refusal.get("temporary"))
    if later:
        return _put_off(attempt, later, receipt)
    return Settlement(attempt.row["number"], "accepted", (), receipt)


def _put_off(attempt: Attempt, waiting: tuple[str, ...], receipt: Receipt | None) -> Settlement:
    """Let the message alone wait, for those recipients."""
    next_at = attempt.now + pause(attempt.row["attempts"], attempt.chance)
    return _again(attempt, waiting, receipt, min(next_at, attempt.row["expires_at"]))


def _again(attempt: Attempt, waiting: tuple[str, ...], receipt: Receipt | None, next_at: float) -> Settlement:
    if attempt.now >= attempt.row["expires_at"]:
        return _over(attempt, "failed", receipt)
    error = attempt.result.error
    diagnosis = error.diagnosis if error else None
    return Settlement(attempt.row["number"], "queued", waiting, receipt, diagnosis, next_at)


def _over(attempt: Attempt, outcome: str, receipt: Receipt | None) -> Settlement:
    """End a message: who has it has it, the others' last word is this attempt's."""
    error = attempt.result.error
    diagnosis = error.diagnosis if error else None
    number = attempt.row["number"]
    if receipt is None:
        return Settlement(number, outcome, (), None, diagnosis)
    if error is not None and not isinstance(error, RecipientsRefused):
        receipt = without(receipt, _waiting(attempt.row), error)
    return Settlement(number, "accepted", (), receipt, diagnosis)


def _waiting(row: Any) -> tuple[str, ...]:
    return tuple(json.loads(row["waiting"]))
