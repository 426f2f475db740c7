"""What is held for a while: it is put off in time, and whoever lost it learns so."""

from __future__ import annotations

import threading

from franking.errors import SendError
from franking.shared.lease import Lease, new_owner, steady


def test_owners_are_never_the_same() -> None:
    assert len({new_owner() for _ in range(100)}) == 100


def test_it_lapses_by_its_own_clock_unless_it_is_put_off() -> None:
    now = 100.0
    lease = Lease(1, 60, lambda: True, began=now, clock=lambda: now)
    now = 159.0
    assert not lease.lapsed
    assert lease.renew()
    now = 218.0
    assert not lease.lapsed
    now = 219.0
    assert lease.lapsed


def test_it_is_not_longer_than_it_was_when_the_server_was_asked() -> None:
    now = 100.0

    def renew() -> bool:
        nonlocal now
        now = 140.0  # the answer took its time
        return True

    lease = Lease(1, 60, renew, began=now, clock=lambda: now)
    assert lease.renew()
    now = 160.0
    assert lease.lapsed


def test_one_that_is_another_s_has_lapsed_at_once() -> None:
    lease = Lease(1, 60, lambda: False, began=steady())
    assert not lease.renew() and lease.lapsed


def test_it_is_kept_while_the_server_is_away_now_and_then() -> None:
    asked = threading.Semaphore(0)
    answers = [True, SendError("away", temporary=True), True, False]

    def renew() -> bool:
        answer = answers.pop(0)
        asked.release()
        if isinstance(answer, SendError):
            raise answer
        return answer

    lease = Lease(1, 0.03, renew, began=steady())
    lease.keep()
    for _ in range(4):
        assert asked.acquire(timeout=60)
    assert lease._thread is not None
    lease._thread.join(60)  # lost, hence nothing more to put off
    assert not lease._thread.is_alive() and lease.lapsed


def test_it_ends_without_the_server() -> None:
    lease = Lease(1, 60, lambda: True, began=steady())
    lease.keep()
    lease.end()
    assert lease._thread is not None
    lease._thread.join(60)
    assert not lease._thread.is_alive()
