"""Who has which session: at most so many at once, the well ones are kept, and abort finds what is under way."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import pytest

from franking.errors import ConnectError, ConnectTimeout, Evidence, MessageError, OutcomeUnknown, Refused, SettingsError
from franking.provider import Session
from franking.sending.pool import Pool

ME = "me"


class Line:
    """A session that only knows what was done to it."""

    quiet_after_fork = True

    def __init__(self) -> None:
        self.closed = self.aborted = 0

    def send(self, envelope: Any, content: Any) -> Any:
        raise AssertionError("nothing is sent here")

    def close(self) -> None:
        self.closed += 1

    def abort(self) -> None:
        self.aborted += 1


class Opener:
    def __init__(self) -> None:
        self.made: list[Line] = []

    def __call__(self) -> Session:
        self.made.append(Line())
        return self.made[-1]


@pytest.fixture
def opened() -> Opener:
    return Opener()


def test_a_session_that_came_back_well_is_the_next_one(opened: Opener) -> None:
    pool = Pool(1)
    first = pool.take(opened, ME)
    pool.give_back(first, keep=True)
    assert pool.take(opened, ME) is first
    pool.give_back(first, keep=False)
    assert opened.made[0].closed == 1
    assert pool.take(opened, ME) is not first
    assert len(opened.made) == 2


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        (Refused("no"), True),
        (MessageError("no"), True),
        (OutcomeUnknown("cut"), False),
        (ConnectError("x"), False),
        (KeyboardInterrupt(), False),
    ],
)
def test_a_borrowed_session_is_kept_if_the_server_answered(opened: Opener, error: BaseException, kept: bool) -> None:
    pool = Pool(1)
    with pytest.raises(type(error)), pool.borrow(opened):
        raise error
    assert opened.made[0].closed == (0 if kept else 1)
    with pool.borrow(opened):
        pass
    assert len(opened.made) == (1 if kept else 2)


def test_two_idle_sessions_are_dropped_both(opened: Opener) -> None:
    """A stale connection is a hint on every connection that rested meanwhile."""
    pool = Pool(2)
    for session in [pool.take(opened, ME), pool.take(opened, ME)]:
        pool.give_back(session, keep=True)
    pool.drop_idle()
    assert [line.closed for line in opened.made] == [1, 1]
    pool.take(opened, ME)
    pool.take(opened, ME)
    assert len(opened.made) == 4


def test_a_session_that_comes_back_after_the_end_is_closed(opened: Opener) -> None:
    pool = Pool(2)
    idle, used = pool.take(opened, ME), pool.take(opened, ME)
    pool.give_back(idle, keep=True)
    pool.close()
    assert [line.closed for line in opened.made] == [1, 0]
    pool.give_back(used, keep=True)
    assert [line.closed for line in opened.made] == [1, 1]
    with pytest.raises(SettingsError, match="closed"):
        pool.take(opened, ME)
    assert len(opened.made) == 2


def test_a_place_is_free_again_whatever_went_wrong(opened: Opener) -> None:
    pool = Pool(1)

    def broken() -> Session:
        raise ConnectError("no server")

    for _ in range(3):
        with pytest.raises(ConnectError):
            pool.take(broken, ME)
    session = pool.take(opened, ME, wait=False)
    opened.made[0].close = broken  # type: ignore[method-assign, assignment]
    with pytest.raises(ConnectError):
        pool.give_back(session, keep=False)
    assert pool.take(opened, ME, wait=False)
    with pytest.raises(SettingsError, match="busy with send_many"):
        pool.take(opened, ME, wait=False)


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="signals of this kind are POSIX")
def test_an_interruption_between_opening_and_lending_closes_the_session(opened: Opener) -> None:
    pool = Pool(1)

    def interrupted() -> Session:
        session = opened()
        pool.lock.acquire()  # whoever wants it now is interrupted while waiting
        return session

    before = signal.signal(signal.SIGUSR1, signal.default_int_handler)
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1)).start()
    with pytest.raises(KeyboardInterrupt):
        pool.take(interrupted, ME)
    signal.signal(signal.SIGUSR1, before)
    pool.lock.release()
    assert opened.made[0].closed == 1
    assert pool.take(opened, ME, wait=False) is opened.made[1]


def test_who_waits_gets_what_comes_back(opened: Opener) -> None:
    pool = Pool(1)
    session = pool.take(opened, ME)
    got: list[Session] = []
    waiting = threading.Thread(target=lambda: got.append(pool.take(opened, "other")))
    waiting.start()
    time.sleep(0.05)
    assert got == []
    pool.give_back(session, keep=True)
    waiting.join(10)
    assert got == [session]


def test_widening_adds_and_never_takes_away(opened: Opener) -> None:
    pool = Pool(1)
    pool.widen(3)
    pool.widen(2)
    assert pool.connections == 3
    for _ in range(3):
        pool.take(opened, ME, wait=False)
    with pytest.raises(SettingsError):
        pool.take(opened, ME, wait=False)


# -- abort -------------------------------------------------------------------------------------------------------------


def test_abort_breaks_off_everything_or_one_owner(opened: Opener) -> None:
    pool = Pool(3)
    idle, mine, other = (pool.take(opened, owner) for owner in ("x", "me", "other"))
    pool.give_back(idle, keep=True)
    with pool.under_way("me"), pool.under_way("other"):
        pool.abort("me")
        assert [line.aborted for line in opened.made] == [0, 1, 0]
        pool.abort()
        assert [line.aborted for line in opened.made] == [0, 2, 1]
    assert mine is not other


def test_abort_knows_whether_anything_had_begun(opened: Opener) -> None:
    pool = Pool(2)
    assert not pool.abort(), "nothing is under way"
    with pool.under_way("me"):
        assert not pool.abort("other")
    with pool.under_way("me"):
        assert pool.abort("me"), "it waits for its first session"
    with pool.under_way("me"):
        session = pool.take(opened, "me")
        assert not pool.abort("me")
        pool.give_back(session, keep=False)
        assert not pool.abort("me"), "between two sessions it had begun"


def test_what_was_broken_off_gets_no_session(opened: Opener) -> None:
    pool = Pool(1)
    pool.give_back(pool.take(opened, ME), keep=True)
    with pool.under_way("me"):
        pool.abort("me")
        with pytest.raises(ConnectError, match="broken off before anything was sent") as caught:
            pool.take(opened, "me")
        assert not caught.value.stale
    assert len(opened.made) == 1
    with pool.under_way("me"):
        assert pool.take(opened, "me") is opened.made[0], "the next call is another one"


def test_what_is_broken_off_while_it_opens_is_closed(opened: Opener) -> None:
    pool = Pool(1)

    def slow() -> Session:
        pool.abort("me")
        return opened()

    with pool.under_way("me"), pytest.raises(ConnectError, match="broken off"):
        pool.take(slow, "me")
    assert opened.made[0].closed == 1
    assert pool.take(opened, "me", wait=False)


def test_an_inner_call_ends_with_the_outer_one(opened: Opener) -> None:
    pool = Pool(1)
    with pool.under_way("me"):
        with pool.under_way("me"):
            pass
        assert pool.abort("me"), "it is still under way"
    assert not pool.abort("me")


def test_abort_sets_the_stop_event_of_its_own_send_many_only() -> None:
    pool = Pool(1)
    mine, other = threading.Event(), threading.Event()
    with pool.under_way(mine), pool.under_way(other):
        pool.abort(mine)
        assert (mine.is_set(), other.is_set()) == (True, False)


# -- fork --------------------------------------------------------------------------------------------------------------


def test_a_child_begins_anew_and_closes_its_copies(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Pool(2)
    idle, used = pool.take(opened, ME), pool.take(opened, ME)
    pool.give_back(idle, keep=True)
    pool.lock.acquire()  # as a thread of the parent may have
    monkeypatch.setattr(os, "getpid", lambda: -1)
    pool.give_back(used, keep=True)
    assert [line.closed for line in opened.made] == [1, 1], "the parent's: the copy of what was in use is not kept"
    pool.take(opened, ME, wait=False)
    pool.take(opened, ME, wait=False)
    assert len(opened.made) == 4


def test_a_child_leaves_a_session_alone_that_might_speak_for_its_parent(
    opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = Pool(1)
    pool.give_back(pool.take(opened, ME), keep=True)
    opened.made[0].quiet_after_fork = False
    monkeypatch.setattr(os, "getpid", lambda: -1)
    pool.close()
    assert opened.made[0].closed == 0


@pytest.mark.parametrize(
    ("problem", "openings"), [(ConnectTimeout, 1), (ConnectError, 4)], ids=["silent", "refused at once"]
)
def test_who_waited_while_the_time_ran_out_is_told_and_who_comes_later_tries(
    opened: Opener, problem: type[ConnectError], openings: int
) -> None:
    """A server that refuses at once says nothing of the next attempt, and costs none of those who wait their time."""
    pool, begun, may_end = Pool(1), threading.Semaphore(0), threading.Event()
    attempts: list[int] = []
    seen: list[ConnectError] = []

    def silent() -> Session:
        attempts.append(1)
        begun.release()
        assert may_end.wait(10)
        raise problem("no answer", step="connect", evidence=Evidence("connect", reason="timeout"))

    def work() -> None:
        try:
            pool.take(silent, threading.get_ident())
        except ConnectError as told:
            told.add_note("explained")
            seen.append(told)

    first, *others = [threading.Thread(target=work, daemon=True) for _ in range(4)]
    first.start()
    assert begun.acquire(timeout=10)
    for thread in others:
        thread.start()
    time.sleep(0.05)  # they wait for the one session
    may_end.set()
    for thread in (first, *others):
        thread.join(10)
    assert len(attempts) == openings
    assert [(str(one), one.step, one.evidence, one.__notes__) for one in seen] == [
        ("no answer", "connect", Evidence("connect", reason="timeout"), ["explained"])
    ] * 4
    assert len({id(one) for one in seen}) == 4
    assert pool.take(opened, ME) is opened.made[0]


@pytest.mark.parametrize("fresh", [False, True])
def test_a_fresh_session_takes_the_place_of_an_idle_one(opened: Opener, fresh: bool) -> None:
    pool = Pool(1)
    first = pool.take(opened, ME)
    pool.give_back(first, keep=True)
    assert (pool.take(opened, ME, fresh=fresh) is first) is not fresh
    assert opened.made[0].closed == fresh


def test_a_session_that_is_over_is_neither_kept_nor_lent(opened: Opener) -> None:
    pool = Pool(1)
    with pytest.raises(Refused), pool.borrow(opened):
        opened.made[0].closed = 1  # as a session says that its server has ended with a refusal
        raise Refused("421")
    assert opened.made[0].closed == 2
    pool.give_back(pool.take(opened, ME), keep=True)
    opened.made[1].closed = 1  # of old age, meanwhile
    assert pool.take(opened, ME) is opened.made[2]
    assert opened.made[1].closed == 2
