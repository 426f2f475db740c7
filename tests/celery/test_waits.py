"""When a task comes back, for which error, and how long it sleeps at once."""

from __future__ import annotations

import json

import pytest

from franking.celery.waits import LOOK, Hold, Pauses, Wait, accounts_fault, nap, needs_a_person
from franking.errors import (
    ConnectError,
    Evidence,
    FrankingError,
    LoginError,
    LoginRequired,
    RecipientsRefused,
    SendError,
    SettingsError,
    Throttled,
)

BUSY = Throttled("Another worker has it.", retry_after=7.0, evidence=Evidence("journal", reason="busy"))
AWAY = ConnectError("Nobody answers.", step="connect")
DEAD = LoginRequired("Sign in again.")


@pytest.mark.parametrize(
    ("error", "failures", "least", "most"),
    [
        (AWAY, 1, 48, 72),
        (AWAY, 3, 240, 360),
        (AWAY, 99, 11_520, 17_280),
        (Throttled("Too much.", retry_after=120.0), 5, 120, 144),
        (Throttled("Too much."), 2, 96, 144),
        (BUSY, 1, 7, 8.4),
        (Throttled("At once.", retry_after=0.0), 1, 0.5, 0.6),
        (DEAD, 1, 720, 1080),
        (LoginError("535 no"), 4, 720, 1080),
        (SettingsError("There is no such account."), 5, 2880, 4320),
        (LoginError("454 not now", temporary=True), 1, 48, 72),
    ],
)
def test_a_pause(error: FrankingError, failures: int, least: float, most: float) -> None:
    for chance in (0.0, 0.5, 0.999):
        assert least <= Pauses().after(error, failures, chance) <= most
    assert Pauses().after(error, failures, 0.0) < Pauses().after(error, failures, 0.999)  # they do not come in step


def test_pauses_of_one_s_own() -> None:
    pauses = Pauses((1.0, 2.0))
    assert [pauses.after(AWAY, failures, 0.5) for failures in (1, 2, 3)] == [1.0, 2.0, 2.0]
    assert pauses.after(DEAD, 1, 0.5) == 900.0  # a dead sign-in is not looked at more often for that


@pytest.mark.parametrize(
    ("error", "accounts", "person"),
    [
        (AWAY, True, False),
        (BUSY, False, False),
        (DEAD, True, True),
        (LoginError("535 no"), True, True),
        (Throttled("Too much."), True, False),
        (ConnectError("It broke.", step="message"), False, False),
        (RecipientsRefused("All.", refused={"a@b.cz": {"reply": "451", "temporary": True}}), False, False),
        (SendError("The store is away.", step="secret", temporary=True), True, False),
    ],
)
def test_whose_fault_it_is(error: FrankingError, accounts: bool, person: bool) -> None:
    assert (accounts_fault(error), needs_a_person(error)) == (accounts, person)


def test_a_task_sleeps_for_half_of_what_its_broker_allows() -> None:
    assert nap(3 * 3600, 3600.0, looks=False) == 1800
    assert nap(60, 3600.0, looks=False) == 60
    assert nap(3 * 3600, None, looks=False) == 3 * 3600
    assert nap(900, 3600.0, looks=True) == LOOK
    assert nap(-1, 5.0, looks=False) == 0


def test_what_a_task_carries_is_the_same_when_it_comes_back() -> None:
    wait = Wait(100.0, 200.0, 3, "stamp", {"outcome": "accepted", "refused": {}})
    assert Wait.read(json.loads(json.dumps(wait.as_dict())), 900.0) == wait
    assert Wait.read(None, 900.0) == Wait(900.0)
    anew = wait.begun_anew({"outcome": "accepted"})
    assert (anew.since, anew.until, anew.failures, anew.stamp) == (100.0, 0.0, 0, None)


def test_a_hold_ends_with_its_time_and_with_a_clock_that_is_set_back() -> None:
    hold = Hold(100.0, 200.0, 1, None, AWAY)
    assert [hold.holds(now) for now in (99.0, 100.0, 199.9, 200.0)] == [False, True, True, False]
