"""What is told beside the work: in its order, again until it can be, and never forgotten by who must wait for it."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

import pytest

from franking.errors import SendError
from franking.shared import afterwards as module
from franking.shared.afterwards import Afterwards, Held, afterwards, new_owner, steady


@pytest.fixture
def teller() -> Iterator[Afterwards]:
    one = Afterwards()
    yield one
    one.close()
    assert one._thread is None


def soon(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.002)


def away() -> None:
    raise SendError("away", temporary=True)


def test_it_is_told_in_its_order_and_the_thread_ends(teller: Afterwards, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINGER_SECONDS", 0.01)
    told: list[int] = []
    for number in range(50):
        teller.do(lambda number=number: told.append(number))  # type: ignore[misc]
    teller.wait()
    assert told == list(range(50))
    soon(lambda: teller._thread is None)
    teller.do(lambda: told.append(99))
    teller.wait()
    assert told[-1] == 99


def test_who_must_wait_hears_why_and_what_failed_is_told_later(teller: Afterwards) -> None:
    failing = threading.Event()
    failing.set()
    told: list[str] = []
    teller.do(lambda: told.append("first"))
    teller.do(lambda: away() if failing.is_set() else told.append("second"))
    teller.do(lambda: told.append("third"))
    for _ in range(2):
        with pytest.raises(SendError, match="away"):
            teller.wait()
    assert told == ["first"]
    failing.clear()
    teller.wait()
    assert told == ["first", "second", "third"]


def test_who_waits_has_it_tried_again_at_once(teller: Afterwards, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIRST_PAUSE", "LONGEST_PAUSE", "LINGER_SECONDS"):
        monkeypatch.setattr(module, name, 1000.0)
    answers = [away, lambda: None]
    teller.do(lambda: answers.pop(0)())
    soon(lambda: teller.behind)
    teller.wait(20)
    assert not answers


def test_a_mistake_in_the_program_is_logged_once(teller: Afterwards, caplog: pytest.LogCaptureFixture) -> None:
    teller.do(lambda: 1 / 0)
    teller.wait()
    assert "ZeroDivisionError" in caplog.text


def test_a_machine_that_has_run_out_of_something_tells_it_later(teller: Afterwards) -> None:
    problems: list[Exception] = [OSError(errno.EMFILE, "Too many open files"), MemoryError()]
    told: list[int] = []

    def act() -> None:
        if problems:
            raise problems.pop()
        told.append(1)

    teller.do(act)
    for _ in range(3):
        with suppress(SendError):
            teller.wait()
    teller.wait()
    assert told == [1]


def test_what_goes_wrong_with_what_is_lost_ends_no_thread(teller: Afterwards, caplog: pytest.LogCaptureFixture) -> None:
    held = Held(lambda: False, 0.03, teller.clock, teller.clock())
    teller.hold(held)
    held.lost = lambda: 1 / 0
    soon(lambda: "ZeroDivisionError" in caplog.text)
    told: list[int] = []
    teller.do(lambda: told.append(1))
    teller.wait(60)
    assert told == [1]


def test_what_is_held_is_renewed_until_it_is_lost_or_let_go(teller: Afterwards) -> None:
    answers, asked = [True, None, True, False], threading.Semaphore(0)

    def renew() -> bool:
        asked.release()
        answer = answers.pop(0)
        if answer is None:
            away()
        return bool(answer)

    lost = threading.Event()
    held = Held(renew, 0.03, teller.clock, teller.clock())
    teller.hold(held)
    held.lost = lost.set
    assert lost.wait(60)
    assert not answers
    assert not teller._held
    with teller.holding(lambda: bool(asked.release()) or True, 0.03, teller.clock()):
        for _ in range(6):
            assert asked.acquire(timeout=60)
    assert not teller._held
    assert held.lapsed


def test_who_waits_does_not_wait_for_each_renewal_that_fails(teller: Afterwards) -> None:
    asked: list[int] = []
    failing = True

    def ask(number: int) -> bool:
        asked.append(number)
        if failing:
            away()
        return True

    with teller._changed:  # all at once
        helds = [Held(partial(ask, one), 60, teller.clock, teller.clock() - 30) for one in range(9)]
        teller._held.update(helds)
        teller._acts.append(partial(ask, 9))
    with pytest.raises(SendError, match="away"):
        teller.wait()
    assert teller.behind
    assert asked.index(9) == 1
    failing = False
    soon(lambda: len(set(asked)) == 10 and not teller._acts)  # none is forgotten over the others
    assert not teller.behind
    for held in helds:
        teller.let_go(held)


def test_it_lapses_by_its_own_clock_which_counts_from_when_the_server_was_asked() -> None:
    now = 100.0

    def renew() -> bool:
        nonlocal now
        now += 40  # the answer takes its time
        return True

    held = Held(renew, 60, lambda: now, now)
    now = 159.0
    assert not held.lapsed
    now = 160.0
    assert held.lapsed
    now = 120.0
    assert Afterwards(lambda: now)._renew(held)
    now = 179.0
    assert not held.lapsed
    now = 180.0
    assert held.lapsed


def test_what_was_not_renewed_lapses(teller: Afterwards) -> None:
    held = Held(lambda: True, 60, teller.clock, teller.clock() - 61)
    teller.hold(held)
    soon(lambda: not held.lapsed)
    teller.let_go(held)
    held.since -= 61
    assert held.lapsed


def no_threads(self: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_without_threads_who_must_wait_is_told(teller: Afterwards, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_threads)
        teller.do(lambda: told.append(1))
        with pytest.raises(SendError, match="could not be written down yet"):
            teller.wait()
        with pytest.raises(SendError, match="could not be written down yet"):
            teller.wait()
    teller.do(lambda: told.append(2))
    teller.wait()
    assert told == [1, 2]


def test_a_forked_child_begins_anew(teller: Afterwards, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_threads)
        teller.do(lambda: told.append(1))
    monkeypatch.setattr(os, "getpid", lambda: -1)
    teller.wait()  # the parent's is the parent's
    teller.do(lambda: told.append(2))
    teller.wait()
    assert told == [2]


@pytest.mark.process
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_begun_anew_before_it_does_anything(teller: Afterwards) -> None:
    with teller.holding(lambda: True, 60, teller.clock()):
        child = os.fork()
        if not child:
            os._exit(0 if not teller._held and teller._thread is None else 1)
        assert os.waitpid(child, 0)[1] == 0


def test_those_of_one_store_share_it_and_it_is_closed_at_the_end() -> None:
    class Store:
        pass

    store = Store()
    told: list[int] = []
    assert afterwards(store) is afterwards(store)
    assert afterwards(store) is not afterwards(Store())
    afterwards(store).do(lambda: told.append(1))
    module._at_exit()
    assert told == [1]
    assert afterwards(store)._thread is None


def test_owners_are_never_the_same() -> None:
    assert len({new_owner() for _ in range(100)}) == 100


def test_where_no_clock_counts_while_the_machine_sleeps_another_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(time, "CLOCK_BOOTTIME", raising=False)
    assert steady() == pytest.approx(time.monotonic(), abs=60)


# -- what is told without waiting ------------------------------------------------------------------------------------


class Line:
    """Somebody who is told things, and answers when asked to."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.told: list[str] = []
        self.answers = True
        self.asked = 0

    def act(self) -> None:
        self.told.append("again")

    def say(self) -> Callable[[], object]:
        self.said.append("once")
        return self.answer

    def answer(self) -> None:
        self.asked += 1
        if not self.answers:
            away()


def test_what_was_said_is_heard_by_who_waits_and_wakes_no_thread(
    teller: Afterwards, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HEAR_SECONDS", "LINGER_SECONDS"):
        monkeypatch.setattr(module, name, 1000.0)
    line = Line()
    teller.do(line.act, line.say)
    assert (line.said, line.asked) == (["once"], 0)
    teller.wait()
    assert (line.asked, line.told) == (1, [])


def test_what_was_said_and_not_heard_of_is_told_again(teller: Afterwards) -> None:
    line = Line()
    line.answers = False
    teller.do(line.act, line.say)
    teller.wait()
    assert (line.asked, line.told) == (1, ["again"])


@pytest.mark.parametrize("answers", [True, False])
def test_the_thread_hears_what_nobody_waits_for(teller: Afterwards, answers: bool) -> None:
    line = Line()
    line.answers = answers
    teller.do(line.act, line.say)
    soon(lambda: teller._is_told)
    assert (line.asked, line.told) == (1, [] if answers else ["again"])


def test_who_waits_for_so_long_only_leaves_hearing_to_the_thread(
    teller: Afterwards, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HEAR_SECONDS", "LINGER_SECONDS"):
        monkeypatch.setattr(module, name, 1000.0)
    go = threading.Event()
    teller.do(away, lambda: go.wait)
    with pytest.raises(SendError, match="could not be written down yet"):
        teller.wait(0.01)
    go.set()
    teller.wait(60)
    teller.do(away, lambda: threading.get_ident)
    teller.close()


def test_what_cannot_be_said_is_told(teller: Afterwards) -> None:
    line = Line()
    teller.do(line.act, lambda: None)
    teller.wait()
    teller.do(line.act, away)  # type: ignore[arg-type]
    teller.wait()
    assert line.told == ["again", "again"]

    def strike() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        teller.do(line.act, strike)  # type: ignore[arg-type]
    teller.wait()
    assert line.told == ["again"] * 3


def test_what_comes_behind_something_untold_is_not_said_before_it(teller: Afterwards) -> None:
    line, go = Line(), threading.Event()
    teller.do(go.wait)
    teller.do(line.act, line.say)
    assert not line.said
    go.set()
    teller.wait()
    assert line.told == ["again"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_something_broke_into_is_begun_anew() -> None:
    teller, told = Afterwards(), []

    def struck() -> None:
        told.append("struck")
        if len(told) == 1:
            raise SystemExit

    teller.do(struck)
    thread = teller._thread
    assert thread is not None
    thread.join(10)
    teller.wait(10)
    assert told == ["struck", "struck"]
    teller.close()
