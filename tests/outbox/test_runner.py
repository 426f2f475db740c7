"""Runners: who has which row, what a dead one leaves, what is told meanwhile, how one is stopped."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

import franking
from franking.errors import ConnectError, Evidence, MessageError, RecipientsRefused, Refused, SendError
from franking.outbox.claims import Claims, Settlement
from franking.outbox.entry import write_value
from franking.outbox.outcome import Attempt, after, is_the_accounts
from franking.outbox.store import Store
from franking.provider import Receipt, Step
from franking.sending.queue import SendResult
from outbox.test_outbox import message, message_id, save
from servers.smtp import Fault, Peer, SmtpServer, silence, wait_until
from smtp.sessions import flights_of


@pytest.fixture
def box() -> Iterator[franking.Outbox]:
    made = franking.Outbox(clock=later)
    yield made
    made.close()


def queue(count: int) -> list[franking.OutboxEntry]:
    mailer = franking.connect("shop")
    return [mailer.queue(message(number)) for number in range(count)]


def later() -> float:
    return time.time() + 1


def dies(claims: Claims) -> None:
    """End as a killed process does: the lock is free, nothing was given back."""
    claims._alive.release()


def test_what_a_dead_runner_had_is_unknown_only_where_it_may_have_left(box: franking.Outbox) -> None:
    save(1)
    entries = queue(3)
    dead = Claims(Store().database)
    rows, _ = dead.claim("shop", 2, later())
    assert [row["number"] for row in rows] == [1, 2]
    assert dead.claim("shop", 0, later(), started=[1]) == ([], {1})
    living = Claims(box.database)
    assert living.take_over(later()) == []  # it lives
    dies(dead)
    assert living.take_over(later()) == [1]
    states = [box.get(entry.id).state for entry in entries]
    assert states == ["unknown", "queued", "queued"]
    diagnosis = box.get(entries[0].id).diagnosis
    assert diagnosis is not None and diagnosis.code == "outbox.interrupted"
    assert any(entries[0].id in command for command in diagnosis.commands)
    living.close()


def test_who_was_killed_at_rest_leaves_no_lock_for_long(box: franking.Outbox) -> None:
    save(1)
    box.counts()
    living, dead = Claims(Store().database), Claims(Store().database)
    dies(dead)
    for claims in (living, dead):
        claims._path.touch()
        os.utime(claims._path, (1, 1))
    fresh = living._path.with_name("f.lock")
    fresh.touch()  # of one that begins just now
    box.run(once=True)
    assert sorted(path.name for path in living._path.parent.iterdir()) == sorted([living._path.name, fresh.name])
    living.close()


def test_the_mark_is_a_fence(box: franking.Outbox) -> None:
    """Whose rows were taken over sends nothing more of them, and settles only what it had marked."""
    save(1)
    marked, unmarked = queue(2)
    slow = Claims(Store().database)
    slow.claim("shop", 2, later())
    slow.claim("shop", 0, later(), started=[1])
    dies(slow)
    other = Claims(box.database)
    other.take_over(later())
    assert slow.claim("shop", 0, later(), started=[2]) == ([], set())
    slow.claim("shop", 0, later(), [Settlement(2, "accepted")])
    assert box.get(unmarked.id).state == "queued"
    slow.claim("shop", 0, later(), [Settlement(1, "accepted")])
    assert box.get(marked.id).state == "accepted"
    other.close()


def test_what_was_taken_and_not_begun_waits_again(box: franking.Outbox) -> None:
    save(1)
    (entry,) = queue(1)
    claims = Claims(box.database)
    claims.claim("shop", 1, later())
    assert (box.get(entry.id).state, box.get(entry.id).attempts) == ("sending", 1)
    claims.give_back([1])
    assert (box.get(entry.id).state, box.get(entry.id).attempts) == ("queued", 0)
    claims.claim("shop", 1, later())
    claims.close()
    assert box.get(entry.id).state == "queued"


def test_each_step_is_told_with_its_message(box: franking.Outbox) -> None:
    seen: list[tuple[str, str, str]] = []

    def watch(entry: franking.OutboxEntry, step: Step) -> None:
        seen.append((entry.id, step.name, step.status))

    with SmtpServer() as server:
        save(server.port)
        first, second = queue(2)
        box.run(once=True, observer=watch)
    assert (first.id, "connect", "ok") in seen
    assert [one for one, name, status in seen if (name, status) == ("accepted", "ok")] == [first.id, second.id]


@pytest.mark.parametrize("connections", [1, 3])
def test_all_leave_once_over_any_number_of_connections(connections: int, box: franking.Outbox) -> None:
    with SmtpServer() as server:
        save(server.port)
        queue(20)
        assert box.run(once=True, connections=connections, window=4).outcomes == {"accepted": 20}
    assert len(server.messages) == 20


def test_four_runners_double_nothing() -> None:
    with SmtpServer() as server:
        save(server.port)
        queue(40)
        boxes = [franking.Outbox(clock=later) for _ in range(4)]
        threads = [threading.Thread(target=one.run, kwargs={"once": True}) for one in boxes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert boxes[0].counts()["accepted"] == 40
    assert len(server.messages) == 40


def test_who_is_stopped_waits_no_longer_than_its_patience(
    box: franking.Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What may have left is unknown then; what has not is queued."""
    monkeypatch.setattr("franking.outbox.runner.PATIENCE_SECONDS", 0.3)
    stop = threading.Event()
    with SmtpServer(faults=[Fault("body", silence, executed=True)]) as server:
        save(server.port)
        first, second = queue(2)
        runner = threading.Thread(target=box.run, args=(stop,))
        runner.start()
        wait_until(lambda: bool(server.messages))
        stop.set()
        runner.join(20)
        assert not runner.is_alive()
    assert [box.get(entry.id).state for entry in (first, second)] == ["unknown", "queued"]


def test_a_running_runner_keeps_its_connection(box: franking.Outbox) -> None:
    stop = threading.Event()
    with SmtpServer() as server:
        save(server.port)
        runner = threading.Thread(target=box.run, args=(stop,))
        runner.start()
        try:
            for number in range(2):
                queue(1)
                wait_until(lambda number=number: len(server.messages) == number + 1)  # type: ignore[misc]
        finally:
            stop.set()
            runner.join()
        assert len(server.sessions) == 1


def test_on_trial_the_others_follow_the_first(box: franking.Outbox) -> None:
    save(1)
    queue(3)
    box.run(once=True)
    with SmtpServer() as server:
        Path(os.environ["FRANKING_CONFIG"]).unlink()
        save(server.port)  # another port: tried at once
        assert box.run(once=True).outcomes == {"accepted": 3}
    assert len(server.sessions) == 1


def test_a_bug_of_one_account_is_not_the_others(
    box: franking.Outbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(peer: Peer, reply: str) -> None:
        raise AssertionError

    with SmtpServer() as server:
        save(server.port)
        (entry,) = queue(1)
        monkeypatch.setattr("franking.outbox.runner.after", broken)
        box.run(once=True)
        assert "cannot go on with the account 'shop'" in caplog.text
        monkeypatch.undo()
        assert len(server.messages) == 1
    assert box.get(entry.id).state == "unknown"


def test_what_was_begun_and_never_told_of_is_unknown_and_the_rest_waits(
    box: franking.Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a result cannot be written down: nothing that may have left goes back to the queue."""
    with SmtpServer() as server:
        save(server.port)
        entries = queue(6)
        real = Claims.claim
        full = threading.Event()

        def claim(self: Claims, *given: Any, **more: Any) -> Any:
            if server.messages and not full.is_set():
                full.set()  # the disk is full, for a moment
                raise SendError("full", temporary=True)
            return real(self, *given, **more)

        with monkeypatch.context() as patch:
            patch.setattr(Claims, "claim", claim)
            box.run(once=True, window=4)
        assert server.messages and full.is_set()
        assert "sending" not in {box.get(entry.id).state for entry in entries}
        box.run(once=True)
    ids = [message_id(received.data) for received in server.messages]
    assert len(ids) == len(set(ids))  # none twice
    assert {box.get(entry.id).state for entry in entries} <= {"accepted", "unknown"}


def test_what_nobody_told_of_is_unknown_while_its_runner_goes_on(
    box: franking.Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(attempt: Attempt) -> Settlement:
        raise AssertionError

    stop = threading.Event()
    monkeypatch.setattr("franking.outbox.runner.after", broken)
    with SmtpServer() as server:
        save(server.port)
        (entry,) = queue(1)
        runner = threading.Thread(target=box.run, args=(stop,))
        runner.start()
        try:
            wait_until(lambda: box.get(entry.id).state == "unknown")
        finally:
            stop.set()
            runner.join()


def test_a_running_runner_outlives_a_full_disk(box: franking.Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    stop, failed = threading.Event(), threading.Event()
    real = Claims.take_over

    def take_over(self: Claims, now: float) -> Any:
        if not failed.is_set():
            failed.set()
            raise SendError("full", temporary=True)
        return real(self, now)

    monkeypatch.setattr(Claims, "take_over", take_over)
    with SmtpServer() as server:
        save(server.port)
        queue(1)
        runner = threading.Thread(target=box.run, args=(stop,))
        runner.start()
        try:
            wait_until(lambda: len(server.messages) == 1)
        finally:
            stop.set()
            runner.join()
    assert failed.is_set()


# -- what an attempt leads to ------------------------------------------------------------------------------------------

ROW = {
    "number": 1, "attempts": 2, "waiting": '["a@b.cz", "c@d.cz"]', "receipt": None, "expires_at": 10_000.0,
}  # fmt: skip
EARLIER = Receipt("<1>", "smtp", "250 ok", accepted=("x@y.cz",))
LATER = {"reply": "450 later", "temporary": True}
NEVER = {"reply": "550 no", "temporary": False}


def led_to(error: franking.FrankingError | None, outcome: str = "failed", now: float = 0.0, **row: Any) -> Settlement:
    return after(Attempt({**ROW, **row}, SendResult(0, None, outcome, None, error), now, 0.5))


def test_a_refusal_for_good_ends_it() -> None:
    assert led_to(RecipientsRefused("x", refused={"a@b.cz": NEVER}), "refused").state == "refused"
    assert led_to(Refused("x", temporary=False)).state == "failed"
    assert led_to(MessageError("x")).state == "failed"


def test_a_refusal_for_now_waits_for_whom_it_was_for_now() -> None:
    settlement = led_to(RecipientsRefused("x", refused={"a@b.cz": NEVER, "c@d.cz": LATER}, temporary=True))
    assert (settlement.state, settlement.waiting, settlement.next_at) == ("queued", ("c@d.cz",), 120.0)
    settlement = led_to(Refused("x", temporary=True), now=9_990.0)
    assert (settlement.state, settlement.next_at) == ("queued", 10_000.0)  # its last attempt
    assert led_to(Refused("x", temporary=True), now=10_000.0).state == "failed"


def test_who_has_it_has_it_whatever_ends_the_others() -> None:
    earlier = write_value(EARLIER)
    settlement = led_to(Refused("no", temporary=False), receipt=earlier)
    assert settlement.state == "accepted"
    assert settlement.receipt is not None
    assert settlement.receipt.accepted == ("x@y.cz",)
    assert set(settlement.receipt.refused) == {"a@b.cz", "c@d.cz"}
    refused = RecipientsRefused("no", refused={"a@b.cz": NEVER, "c@d.cz": NEVER})
    settlement = led_to(refused, "refused", receipt=earlier)
    assert settlement.state == "accepted"
    assert settlement.receipt is not None and set(settlement.receipt.refused) == {"a@b.cz", "c@d.cz"}


@pytest.mark.parametrize(
    ("error", "the_accounts"),
    [
        (franking.LoginRequired("x"), True),
        (franking.LoginError("x"), True),
        (franking.SettingsError("x"), True),
        (franking.TLSError("x"), True),
        (franking.Throttled("x"), True),
        (ConnectError("x", step="connect"), True),
        (ConnectError("x", step="message"), False),
        (SendError("x", step="secret", temporary=True), True),
        (SendError("x", step="message", temporary=True), False),
        (Refused("x", temporary=True), False),
        (MessageError("x"), False),
        (franking.OutcomeUnknown("x"), False),
    ],
)
def test_what_is_wrong_with_an_account_is_told_from_what_is_wrong_with_a_message(
    error: franking.FrankingError, the_accounts: bool
) -> None:
    assert is_the_accounts(error) == the_accounts


# -- what queue is given -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"give_up": 0}, "give_up"),
        ({"give_up": float("nan")}, "give_up"),
        ({"not_before": datetime(2030, 1, 1)}, "time zone"),
    ],
)
def test_wrong_times_are_named(given: dict[str, Any], said: str, box: franking.Outbox) -> None:
    save(1)
    with pytest.raises(franking.SettingsError, match=said):
        franking.connect("shop").queue(message(), **given)


@pytest.mark.parametrize(
    ("line", "subject"),
    [
        (b"Subject: plain\r\n", "plain"),
        (b"Subject: =?utf-8?q?=C5=BDlu=C5=A5?=\r\n", "Žluť"),
        (b"Subject: in\r\n two lines\r\n", "in two lines"),
        (b"X-Other: x\r\nSubject: plain\r\n", "plain"),
        (b"X-Other: x\r\nSubject: in\r\n two lines\r\n", "in two lines"),
        (b"X-Other: x\r\nSUBJECT : loud\r\n", "loud"),
        (b"X-Other: x\r\n", ""),
    ],
)
def test_a_subject_is_kept_as_a_person_reads_it(line: bytes, subject: str, box: franking.Outbox) -> None:
    save(1)
    assert franking.connect("shop").queue(line + b"To: a@example.com\r\n\r\nx\r\nSubject: no\r\n").subject == subject


def test_evidence_of_the_outbox_has_words() -> None:
    error = SendError("gone", evidence=Evidence("outbox", reason="body-missing", details={"path": "/x"}))
    from franking.sending.explain import explain

    assert explain(error).code == "outbox.body-missing"


def test_what_is_due_leaves_half_a_window_at_a_time(
    box: franking.Outbox, smtp_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(smtp_server().port)
    entries = queue(32)
    flights = flights_of(monkeypatch)
    box.run(once=True, window=16)
    assert {box.get(entry.id).state for entry in entries} == {"accepted"}
    assert max(flights) == 8
    assert len(flights) <= 8
