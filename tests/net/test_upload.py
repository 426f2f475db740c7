"""Uploads that survive a break: when they go on, when they end, and octets that can be read again."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from franking.errors import ConnectError, Evidence, FrankingError, LoginError, OutcomeUnknown, Refused, Throttled
from franking.net.http import Changed
from franking.net.upload import RESUMES, Rereadable, resumed

BROKEN = ConnectError("The connection broke off.")


def steps(*script: FrankingError | int | None) -> Callable[[], int | None]:
    """Make a step that raises or returns what stands in ``script``, one after the other."""
    left = iter(script)

    def step() -> int | None:
        result = next(left)
        if isinstance(result, FrankingError):
            raise result
        return result

    return step


def test_a_pause_grows_from_break_to_break_and_the_first_is_none() -> None:
    pauses: list[float] = []
    assert resumed(steps(*[BROKEN] * RESUMES, 7), pauses.append) == 7
    assert pauses == [0.0, 1.0, 3.0, 7.0, 15.0]


def test_the_sixth_break_in_a_row_is_the_last() -> None:
    pauses: list[float] = []
    with pytest.raises(ConnectError):
        resumed(steps(*[BROKEN] * (RESUMES + 1), 7), pauses.append)
    assert len(pauses) == RESUMES == 5


def test_a_piece_that_arrived_begins_a_new_row() -> None:
    pauses: list[float] = []
    script = [*[BROKEN] * RESUMES, None, *[BROKEN] * RESUMES, 7]
    assert resumed(steps(*script), pauses.append) == 7
    assert pauses == [0.0, 1.0, 3.0, 7.0, 15.0] * 2


def test_an_abort_ends_it_at_once() -> None:
    pauses: list[float] = []

    def aborted(seconds: float) -> bool:
        pauses.append(seconds)
        return True

    with pytest.raises(ConnectError):
        resumed(steps(BROKEN, 7), aborted)
    assert pauses == [0.0]


def answered(code: int, kind: type[FrankingError] = Refused) -> FrankingError:
    return kind("No.", evidence=Evidence("http", code=code))


@pytest.mark.parametrize(
    ("problem", "goes_on"),
    [
        (BROKEN, True),
        (OutcomeUnknown("Perhaps."), True),
        (answered(500), True),
        (answered(503), True),
        (answered(416), True),
        (answered(499), False),
        (answered(400), False),
        (answered(404), False),
        (answered(503, Throttled), False),
        (answered(429, Throttled), False),
        (answered(401, LoginError), False),
        (Refused("No."), False),
    ],
)
def test_only_a_break_is_survived(problem: FrankingError, goes_on: bool) -> None:
    step = steps(problem, 7)
    if goes_on:
        assert resumed(step, lambda seconds: None) == 7
    else:
        with pytest.raises(type(problem)):
            resumed(step, lambda seconds: None)


def test_what_may_go_on_can_be_narrowed() -> None:
    with pytest.raises(ConnectError):
        resumed(steps(BROKEN, 7), lambda seconds: None, allowed=lambda problem: False)


# -- octets that can be read again -----------------------------------------------------------------------------------


class Source:
    """Octets in chunks of three; counts how often they are begun, and is told when they are let go."""

    def __init__(self, octets: bytes) -> None:
        self.octets, self.begun, self.closed = octets, 0, 0

    def __call__(self) -> Iterator[bytes]:
        self.begun += 1
        try:
            for at in range(0, len(self.octets), 3):
                yield self.octets[at : at + 3]
        finally:
            self.closed += 1


@pytest.fixture
def source() -> Source:
    return Source(bytes(range(20)))


@pytest.fixture
def stream(source: Source) -> Rereadable:
    return Rereadable(source, len(source.octets))


def test_reading_in_order_reads_the_source_once(source: Source, stream: Rereadable) -> None:
    pieces = list(iter(lambda: stream.read(7), b""))
    assert [len(piece) for piece in pieces] == [7, 7, 6]
    assert b"".join(pieces) == source.octets
    assert source.begun == 1


@pytest.mark.parametrize("back", [0, 1, 3, 10, 19, 20])
def test_going_back_begins_again(source: Source, stream: Rereadable, back: int) -> None:
    stream.read(20)
    stream.seek(back)
    assert stream.tell() == back
    assert stream.read(5) == source.octets[back : back + 5]
    assert stream.tell() == min(back + 5, 20)
    assert source.begun == (1 if back == 20 else 2)


def test_seeking_where_one_is_costs_nothing(source: Source, stream: Rereadable) -> None:
    stream.read(4)
    stream.seek(4)
    assert stream.read(2) == source.octets[4:6]
    assert source.begun == 1


def test_the_size_is_told_without_reading(source: Source, stream: Rereadable) -> None:
    stream.seek(0, 2)
    assert (stream.tell(), source.begun) == (20, 0)
    stream.seek(-5, 2)
    assert stream.read(20) == source.octets[15:]


@pytest.mark.parametrize(
    ("size", "words"), [(19, "turned out longer"), (17, "turned out longer"), (21, "ended after 20")]
)
def test_octets_that_do_not_add_up_are_told(source: Source, size: int, words: str) -> None:
    stream = Rereadable(source, size)
    with pytest.raises(Changed, match=words):
        while stream.read(4):
            pass


def test_what_the_source_holds_open_is_let_go(source: Source, stream: Rereadable) -> None:
    stream.close()
    stream.read(4)
    stream.seek(0)
    assert source.closed == 0
    stream.read(4)
    assert source.closed == 1
    stream.close()
    assert source.closed == 2
