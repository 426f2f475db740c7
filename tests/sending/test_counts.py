"""What a mailbox sent lately, and when there is room for more: never above a limit, and never far below it."""

from __future__ import annotations

import random
from array import array

import pytest

from franking.provider import RouteFacts
from franking.sending.counts import Counts, Turn

START = 1_750_000_000.0


def limits(**some: float) -> RouteFacts:
    return RouteFacts("x", **some)  # type: ignore[arg-type]


def taken(
    counts: Counts, allowed: RouteFacts, seconds: float, *, recipients: int = 1, start: float = START
) -> list[float]:
    """Return when messages went, of one who always wants to and comes back when it is told to."""
    now, went = start, []
    while now < start + seconds:
        turn = counts.take(allowed, recipients, now)
        if turn.wait > 0:
            now += turn.wait
        else:
            went.append(now)
            now += 0.01
    return went


def most(went: list[float], window: float) -> int:
    return max(sum(at <= other < at + window for other in went) for at in went)


@pytest.mark.parametrize("rate", [0.5, 1, 7, 30])
def test_a_minute_is_never_too_full_and_nearly_always_full(rate: float) -> None:
    went = taken(Counts(), limits(per_minute=rate), 3600)
    window = 60.0 if rate >= 1 else 60 / rate
    assert most(went, window) == max(1, int(rate))
    assert len(went) >= 0.99 * rate * 60


def test_a_day_is_never_too_full() -> None:
    went = taken(Counts(), limits(per_day=40), 5 * 86400)
    assert most(went, 86400.0) == 40
    assert len(went) >= 0.95 * 40 * 5  # in quarters of an hour


def test_who_asks_again_and_again_gets_no_more_of_a_day() -> None:
    counts, allowed = Counts(), limits(per_day=3)
    went = [at for at in range(0, 3 * 86400, 60) if counts.take(allowed, 1, START + at).wait == 0]
    assert most(list(map(float, went)), 86400.0) == 3


def test_recipients_count_each() -> None:
    counts, allowed = Counts(), limits(recipients_per_day=10)
    assert [counts.take(allowed, 4, START + n).wait > 0 for n in range(3)] == [False, False, True]
    assert counts.take(allowed, 4, START).limit == "recipients-per-day"
    assert counts.take(allowed, 2, START).wait == 0


def test_the_limit_that_lasts_longest_is_named() -> None:
    counts, allowed = Counts(), limits(per_minute=1, per_day=1)
    counts.take(allowed, 1, START)
    assert counts.take(allowed, 1, START).limit == "per-day"
    counts.hold_off(10, START)
    assert Counts().take(allowed, 1, START).wait == 0
    assert counts.take(limits(per_minute=9), 1, START) == Turn(10.0, "retry-after")


def test_what_was_not_used_is_free_again() -> None:
    counts, allowed = Counts(), limits(per_minute=2, per_day=2, recipients_per_day=6)
    first, second = counts.take(allowed, 3, START), counts.take(allowed, 3, START + 1)
    counts.give_back(first)
    counts.give_back(first)  # once is enough
    assert counts.take(allowed, 3, START + 2).wait == 0
    assert counts.take(allowed, 3, START + 3).wait > 0
    counts.give_back(second)
    assert counts.take(allowed, 3, START + 3).wait == 0


def test_a_clock_that_was_set_back_holds_nothing_for_longer_than_a_limit_lasts() -> None:
    counts, allowed = Counts(), limits(per_minute=1, per_day=9)
    counts.take(allowed, 1, START + 86400 * 9)
    counts.hold_off(40, START + 86400 * 9)
    counts = Counts.from_bytes(counts.to_bytes())
    assert counts.take(limits(), 1, START) == Turn(40.0, "retry-after")
    assert counts.take(allowed, 1, START).wait == 60
    assert counts.take(allowed, 1, START + 60).wait == 0
    counts.hold_off(10, START - 86400)
    counts.hold_off(20, START - 86400 * 2)
    assert counts.take(limits(), 1, START - 86400 * 2).wait == 20


def test_counts_that_the_version_before_wrote_are_read() -> None:
    quarter = START // 900
    before = Counts.from_bytes(array("d", [1, START + 7, 60, 1, START - 5, quarter, 2, 3]).tobytes())
    assert before.take(limits(), 1, START) == Turn(7.0, "retry-after")
    assert before.take(limits(per_minute=1), 1, START).wait == 55
    assert before.take(limits(per_day=2), 1, START).limit == "per-day"


def test_it_is_the_same_when_it_is_read_again() -> None:
    chance, counts, allowed = random.Random(7), Counts(), limits(per_minute=50, per_day=300, recipients_per_day=900)
    now = START
    for _ in range(400):
        now += chance.expovariate(1 / 90)
        again = Counts.from_bytes(counts.to_bytes())
        assert again.take(allowed, 3, now) == counts.take(allowed, 3, now)
        assert again.to_bytes() == counts.to_bytes()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        b"\0" * 31,
        b"\xff" * 40,
        *(
            array("d", row).tobytes()
            for row in (
                [1, 0, 60, 9e99],
                [1, 0, 60, 0, 1],
                [2, 0, 60, 0],
                [1, 0, 60, -9],
                [2, 0, 60, 0, 1],
                [3, 0, 60, 0, 0],
            )
        ),
    ],
)
def test_what_it_did_not_write_is_as_nothing(data: bytes) -> None:
    assert Counts.from_bytes(data).take(limits(per_minute=1), 1, START).wait == 0
