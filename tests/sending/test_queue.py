"""What leaves next, and when: the pace, the day, pauses, and how many connections a server likes."""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterator
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

import franking
from franking.errors import Refused, Throttled
from franking.provider import Receipt
from franking.sending.queue import Job, Limit, Queue, Run, SendResult, accepted
from franking.sending.retry import Decision
from franking.sending.source import Source
from servers.scripted import Clock, messages

pytestmark = [
    pytest.mark.usefixtures("scripted"),
    pytest.mark.parametrize("scripted", [False], indirect=True, ids=["no session"]),
]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def mailer(account: franking.Account) -> Iterator[franking.Mailer]:
    with franking.connect(account, secret="x") as made:
        yield made


def queue(mailer: franking.Mailer, clock: Clock, items: Any, **options: Any) -> Queue:
    run = Run(mailer, clock=clock, wait=clock.wait, **options)
    return Queue(run, Source(items, run.stop))


def drawn(jobs: Queue) -> list[Job]:
    """Draw all that may leave now."""
    found = []
    while (job := jobs.draw()) is not None:
        found.append(job)
    return found


def later(job: Job, pause: float) -> Decision:
    return Decision("failed", None, Refused("later", temporary=True), following=job, pause=pause)


# -- limits ------------------------------------------------------------------------------------------------------------


def test_a_limit_holds_in_any_stretch_of_its_seconds() -> None:
    limit = Limit(2, 60.0)
    for now in (0.0, 10.0):
        assert limit.wait(now) == 0.0
        limit.take(now)
    assert limit.wait(10.0) == 50.0
    assert limit.wait(59.9) == pytest.approx(0.1)
    assert limit.wait(60.0) == 0.0, "the first is a minute ago"
    limit.take(60.0)
    assert limit.wait(60.0) == 10.0
    assert limit.wait(70.0) == 0.0


def test_a_place_that_was_not_needed_is_given_back() -> None:
    limit = Limit(1, 60.0)
    limit.give_back()
    limit.take(0.0)
    limit.give_back()
    assert limit.wait(0.0) == 0.0
    assert limit.wait(0.0) == 0.0, "asking takes nothing"


def test_no_limit_is_no_limit() -> None:
    for limit in (Limit(None, 60.0), Limit.per_minute(None)):
        for _ in range(1000):
            limit.take(0.0)
        assert limit.wait(0.0) == 0.0


@pytest.mark.parametrize(
    ("rate", "times"), [(1, [0, 60, 120]), (2.9, [0, 0, 60]), (0.5, [0, 120, 240]), (0.1, [0, 600])]
)
def test_a_rate_is_so_many_in_a_minute_or_one_in_more(rate: float, times: list[float]) -> None:
    limit, now = Limit.per_minute(rate), 0.0
    for expected in times:
        now += limit.wait(now)
        assert now == expected
        limit.take(now)


# -- drawing -----------------------------------------------------------------------------------------------------------


def test_messages_are_drawn_in_order_and_then_it_is_over(mailer: franking.Mailer, clock: Clock) -> None:
    jobs = queue(mailer, clock, messages(3))
    found = drawn(jobs)
    assert [(job.index, job.attempt) for job in found] == [(0, 1), (1, 1), (2, 1)]
    assert not jobs.done(), "they have no results yet"
    for _ in found:
        jobs.settled(success=True)
    assert jobs.done()


def test_the_pace_is_kept(mailer: franking.Mailer, clock: Clock) -> None:
    jobs = queue(mailer, clock, messages(5), rate=2)
    assert len(drawn(jobs)) == 2
    assert jobs.delay() == 60.0
    clock.now += 59.0
    assert drawn(jobs) == []
    clock.now += 1.0
    assert len(drawn(jobs)) == 2


def test_what_cannot_be_composed_takes_no_place_of_the_pace(mailer: franking.Mailer, clock: Clock) -> None:
    nobody = franking.Message(subject="nobody", text="x")
    jobs = queue(mailer, clock, [nobody, nobody, *messages(2), nobody], rate=2)
    assert [jobs.draw(), jobs.draw()] == [None, None]
    assert jobs.delay() == 0.0
    assert len(drawn(jobs)) == 2
    failed = [jobs.unprepared(), jobs.unprepared()]
    assert [result and (result.index, result.outcome) for result in failed] == [(0, "failed"), (1, "failed")]
    assert failed[0] is not None and failed[0].error is not None and failed[0].error.diagnosis is not None
    assert jobs.unprepared() is None
    clock.now += 60.0
    assert drawn(jobs) == []
    assert jobs.delay() == 0.0, "the end of the iterable takes no place either"


def test_the_day_s_limit_refuses_the_next_for_now(mailer: franking.Mailer, clock: Clock) -> None:
    jobs = queue(mailer, clock, messages(5), per_day=2)
    assert jobs.draw() and jobs.draw()
    clock.now += 3600.0
    assert jobs.draw() is None
    result = jobs.unprepared()
    assert result is not None and isinstance(result.error, Throttled)
    assert (result.index, result.outcome, result.error.retry_after) == (2, "failed", 82800.0)
    assert str(result.error) == (
        "The day's limit of 2 messages is reached; it was not sent. The next can go in 23.0 hours."
    )
    clock.now += 82800.0
    assert jobs.draw() is not None, "a day after the first"


# -- again -------------------------------------------------------------------------------------------------------------


def test_a_job_comes_back_when_its_pause_is_over_and_before_new_ones(mailer: franking.Mailer, clock: Clock) -> None:
    jobs = queue(mailer, clock, messages(4))
    first, second = jobs.draw(), jobs.draw()
    assert first is not None and second is not None
    jobs.again(later(first, 30.0))
    jobs.again(later(second, 10.0))
    assert [job.index for job in drawn(jobs)] == [2, 3]
    assert jobs.delay() == 10.0
    clock.now += 10.0
    assert drawn(jobs) == [second]
    clock.now += 20.0
    assert drawn(jobs) == [first]
    assert not jobs.done()


def test_jobs_of_the_same_moment_keep_their_order(mailer: franking.Mailer, clock: Clock) -> None:
    jobs = queue(mailer, clock, messages(3))
    found = drawn(jobs)
    for job in found:
        jobs.again(later(job, 5.0))
    clock.now += 5.0
    assert drawn(jobs) == found


def test_a_second_attempt_counts_for_the_pace(mailer: franking.Mailer, clock: Clock) -> None:
    jobs = queue(mailer, clock, messages(3), rate=2)
    first, second = drawn(jobs)
    jobs.again(later(first, 0.0))
    assert jobs.draw() is None
    assert second.index == 1
    clock.now += 60.0
    assert [job.index for job in drawn(jobs)] == [0, 2]


def test_a_run_that_stops_gives_up_what_waits_and_begins_nothing(mailer: franking.Mailer, clock: Clock) -> None:
    jobs = queue(mailer, clock, messages(3))
    job = jobs.draw()
    assert job is not None
    decision = later(job, 3600.0)
    jobs.again(decision)
    assert jobs.given_up() is None, "it runs"
    jobs._run.stop.set()
    assert jobs.draw() is None
    assert not jobs.done()
    assert jobs.given_up() is decision
    assert jobs.given_up() is None
    assert not jobs.done()
    jobs.settled()
    assert jobs.done()


def test_who_leaves_sends_nothing_again(mailer: franking.Mailer, clock: Clock) -> None:
    """A message whose pause is over is not drawn for another attempt when nobody reads results any more."""
    jobs = queue(mailer, clock, messages(2), connections=2)
    job = jobs.draw()
    assert job is not None
    jobs.again(later(job, 0.0))
    jobs.abandoned = True
    assert jobs.draw() is None
    assert jobs.done()
    jobs.abandoned = False
    assert jobs.draw() is job, "it was there"


@pytest.mark.parametrize("problem", [KeyboardInterrupt(), SystemExit(1), RuntimeError("the database went away")])
def test_what_the_iterable_raises_ends_the_drawing(
    mailer: franking.Mailer, clock: Clock, problem: BaseException
) -> None:
    def broken() -> Iterator[franking.Message]:
        yield from messages(1)
        raise problem

    jobs = queue(mailer, clock, broken())
    assert len(drawn(jobs)) == 1
    assert jobs.source.broken is problem
    assert jobs.source.halted == (not isinstance(problem, Exception))
    jobs.settled()
    assert jobs.done()


def test_the_first_interruption_is_the_one_that_is_raised(mailer: franking.Mailer, clock: Clock) -> None:
    jobs = queue(mailer, clock, messages(1))
    first = KeyboardInterrupt()
    jobs.source.halt(first)
    jobs.source.halt(SystemExit())
    assert jobs.source.broken is first
    assert jobs.draw() is None


def test_an_interruption_while_a_message_is_prepared_fails_it(
    mailer: franking.Mailer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(message: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(mailer, "prepare", broken)
    jobs = queue(mailer, clock, messages(2))
    assert jobs.draw() is None
    result = jobs.unprepared()
    assert result is not None
    assert (result.index, result.outcome) == (0, "failed")
    assert isinstance(jobs.source.broken, KeyboardInterrupt)


def test_close_draws_no_more(mailer: franking.Mailer, clock: Clock) -> None:
    jobs = queue(mailer, clock, messages(2))
    jobs.source.end()
    assert jobs.draw() is None
    assert jobs.done()


# -- what the server likes ---------------------------------------------------------------------------------------------


def test_slowing_down_holds_everything_and_halves_the_connections(mailer: franking.Mailer, clock: Clock) -> None:
    jobs = queue(mailer, clock, messages(2), connections=5)
    jobs.slow_down(40.0)
    jobs.slow_down(10.0)
    assert jobs.delay() == 40.0, "the longer pause wins"
    assert jobs.allowed == 1, "5, 2, 1"
    jobs.slow_down(0.0)
    assert jobs.allowed == 1
    clock.now += 39.5
    assert jobs.draw() is None
    clock.now += 0.5
    assert jobs.draw() is not None


def test_connections_grow_again_one_by_one_while_it_goes_well(mailer: franking.Mailer, clock: Clock) -> None:
    jobs = queue(mailer, clock, messages(1), connections=4)
    jobs.slow_down(0.0)
    jobs.slow_down(0.0)
    assert jobs.allowed == 1
    grown = []
    for _ in range(250):
        jobs.settled(success=True)
        jobs.settled(success=False)
        grown.append(jobs.allowed)
    assert [grown.index(number) + 1 for number in (2, 3, 4)] == [50, 100, 150]
    assert max(grown) == 4, "never more than were asked for"
    assert math.isfinite(jobs.delay())


# -- results -----------------------------------------------------------------------------------------------------------


def test_the_result_of_a_message_that_was_accepted_is_one_like_any_other() -> None:
    receipt = Receipt("<1@x>", "smtp")
    made, wanted = accepted(3, b"x", receipt), SendResult(3, b"x", "accepted", receipt)
    assert type(made) is SendResult
    assert made == wanted
    assert repr(made) == repr(wanted)
    assert pickle.loads(pickle.dumps(made)) == wanted
    with pytest.raises(FrozenInstanceError):
        made.outcome = "failed"  # type: ignore[misc]
