"""Accounts that wait: for how long, what a clock that is set back changes, whose time is over meanwhile."""

from __future__ import annotations

import time

import pytest

import franking
from franking.diagnosis.diagnosis import Diagnosis
from franking.outbox.holds import PAUSES, Holds, pause
from franking.outbox.store import Store
from outbox.test_outbox import message, save


@pytest.fixture
def box() -> Store:
    save(1)
    return Store()


@pytest.fixture
def holds(box: Store) -> Holds:
    return Holds(box.database, lambda account: "the same")


def test_a_pause_is_longer_after_each_failure_and_then_stays() -> None:
    assert [pause(number + 1, 0.5) for number in range(len(PAUSES))] == list(PAUSES)
    assert pause(100, 0.5) == PAUSES[-1]
    assert (pause(1, 0.0), pause(1, 1.0)) == pytest.approx((48.0, 72.0))


def test_a_clock_that_was_set_back_holds_nobody(holds: Holds) -> None:
    franking.connect("shop").queue(message())
    now = time.time() + 10
    holds.hold("shop", Diagnosis("connect.refused"), now, 0.5)
    assert holds.due(now + 59) == []
    assert holds.due(now + 60) == [("shop", True)]
    assert holds.due(now - 1) == [("shop", True)], "the hold began later than now"


def test_a_message_whose_time_is_over_fails_while_its_account_waits(holds: Holds, box: Store) -> None:
    mailer = franking.connect("shop")
    patient, over = mailer.queue(message(0)), mailer.queue(message(1), give_up=60)
    now = time.time()
    assert holds.hold("shop", Diagnosis("connect.refused"), now + 50, 0.5) == []
    assert len(holds.hold("shop", Diagnosis("connect.refused"), now + 70, 0.5)) == 1
    assert (box.get(over.id).state, box.get(patient.id).state) == ("failed", "queued")
