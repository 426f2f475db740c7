"""What a refusing reply is called."""

from __future__ import annotations

import pytest

from franking.errors import (
    Refused,
    Throttled,
)
from franking.smtp.protocol import Reply
from franking.smtp.replies import throttled
from smtp.dialogues import play


@pytest.mark.parametrize(
    ("answer", "kind", "after"),
    [
        ("450 4.2.1 receiving mail at a rate that is too high", Throttled, None),
        ("432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded", Throttled, None),
        ("451 4.7.500 Server busy. Please try again later", Throttled, None),
        ("450 4.7.1 too much mail; retry after 5 minutes", Throttled, 300.0),
        ("451 4.7.1 slow down, try again in 30 seconds", Throttled, 30.0),
        ("451 4.7.1 Greylisting in action", Refused, None),
        ("452 4.3.1 insufficient system storage", Refused, None),
        ("550 5.4.5 daily sending quota exceeded", Refused, None),
    ],
)
def test_what_counts_as_throttled(answer: str, kind: type[Refused], after: float | None) -> None:
    error = play(f"C: MAIL FROM:<a@x.test>\nS: {answer}")[1]
    assert type(error) is kind
    assert error.temporary is answer.startswith("4")
    assert getattr(error, "retry_after", None) == after


def test_throttled_is_refused_and_temporary() -> None:
    assert issubclass(Throttled, Refused)


@pytest.mark.parametrize(
    ("code", "text", "pace"),
    [
        (421, b"closing", True),
        (432, b"wait", True),
        (431, b"wait", False),
        (450, b"4.2.1 wait", True),
        (450, b"4.2.10 wait", False),
        (450, b"4.7.28 wait", True),
        (451, b"4.7.500 wait", True),
        (451, b"4.7.499 wait", False),
        (550, b"4.2.1 too many messages", False),
        (354, b"slow down", False),
    ],
)
def test_pace_is_told_by_code_or_words_and_never_for_good(code: int, text: bytes, pace: bool) -> None:
    assert throttled(Reply(code, (text,))) is pace
