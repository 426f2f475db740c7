"""One run of the task: sent once, or when it comes back, and what it does not ask meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

import franking
from franking.celery.delivery import Deliveries, Later, Letter, given_up
from franking.celery.forgetful import Forgetful
from franking.celery.waits import GIVE_UP, Pauses
from franking.sending.journal import Claim, MemoryJournal
from franking.sending.mailers import KeptMailers
from franking.sending.redis_journal import RedisJournal
from franking.shared.afterwards import afterwards
from servers.memoryredis import MemoryRedis
from servers.ports import closed_port
from servers.shop import letter, save_password, write_account
from servers.smtp import Fault, SmtpServer

LOGIN = 'username = "info@novak.cz"\nallow_plain_login = true\n'


@dataclass
class Desk:
    """A worker's process, and the clock that goes by hand; ``run`` is what Celery does with a task."""

    journal: Any = field(default_factory=MemoryJournal)
    now: float = 1_000_000.0
    pauses: Pauses = field(default_factory=Pauses)

    def __post_init__(self) -> None:
        self.kept = KeptMailers(clock=lambda: self.now)
        self.deliveries = Deliveries(
            self.journal, self.pauses, kept=self.kept, clock=lambda: self.now, chance=lambda: 0.5
        )

    def run(self, what: Letter | Later) -> dict[str, Any] | Later:
        wait = None
        if isinstance(what, Later):
            what, wait = what.letter, what.wait.as_dict()
        afterwards(self.journal).wait(60)  # what became of those before is written down by a thread
        return self.deliveries.deliver(what, wait, "task-1")

    def later(self, what: Letter | Later) -> Later:
        found = self.run(what)
        assert isinstance(found, Later), found
        return found

    def result(self, what: Letter | Later) -> dict[str, Any]:
        found = self.run(what)
        assert isinstance(found, dict), found
        return found


def order(*to: str, number: int = 1, **more: Any) -> Letter:
    return Letter("shop", letter(*(to or ("jana@example.com",)), number=number), **more)


@pytest.fixture
def desk() -> Any:
    made = Desk()
    yield made
    made.kept.close()


def test_a_message_goes_once_however_often_it_is_delivered(desk: Desk, server: SmtpServer) -> None:
    first = desk.result(order())
    assert (first["outcome"], first["message_id"]) == ("accepted", "<1@novak.cz>")
    assert desk.result(order()) == first
    assert len(server.messages) == 1


def test_the_key_names_the_message(desk: Desk, server: SmtpServer) -> None:
    assert desk.result(order(number=1, key="order-114"))["outcome"] == "accepted"
    other = desk.result(order(number=2, key="order-114"))
    assert (other["outcome"], other["diagnosis"]["code"]) == ("failed", "message.key-reused")
    assert len(server.messages) == 1


@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"])
def test_a_message_that_is_composed_twice_is_the_same_message(desk: Desk, server: SmtpServer, line_end: bytes) -> None:
    message = franking.Message(to=["jana@example.com"], subject="Order 114", text="Thanks.", html="<p>Thanks.</p>")

    def composed() -> Letter:
        return Letter("shop", message.as_bytes("info@novak.cz").replace(b"\r\n", line_end), "order-114")

    assert composed().message != composed().message
    assert desk.result(composed()) == desk.result(composed())
    other = replace(composed(), message=composed().message.replace(b"Thanks.", b"Date: tomorrow"))
    assert desk.result(other)["diagnosis"]["code"] == "message.key-reused"
    assert len(server.messages) == 1


def test_a_message_without_a_message_id_is_named_by_its_task(desk: Desk, server: SmtpServer) -> None:
    nameless = Letter("shop", b"To: jana@example.com\r\nSubject: x\r\n\r\nHello\r\n")
    first = desk.result(nameless)
    assert desk.result(nameless) == first
    assert len(server.messages) == 1


def test_without_an_account_the_from_decides(desk: Desk, server: SmtpServer) -> None:
    assert desk.result(replace(order(), account=None))["outcome"] == "accepted"


def test_the_envelope_is_the_given_one(desk: Desk, server: SmtpServer) -> None:
    envelope = franking.Envelope("bounces@novak.cz", ["b@example.com"])
    assert desk.result(order(envelope=envelope))["outcome"] == "accepted"
    assert (server.messages[0].sender, server.messages[0].recipients) == ("bounces@novak.cz", ["b@example.com"])


def test_one_connection_carries_the_messages_of_a_process(desk: Desk, server: SmtpServer) -> None:
    for number in range(5):
        desk.result(order(number=number))
    assert (len(server.messages), len(server.sessions)) == (5, 1)


def test_a_refused_message_is_over(desk: Desk, server: SmtpServer) -> None:
    server.refused["gone@example.com"] = "550 5.1.1 nobody here"
    found = desk.result(order("gone@example.com"))
    assert (found["outcome"], found["refused"]["gone@example.com"]["temporary"]) == ("refused", False)


def test_a_message_that_is_put_off_waits_alone(desk: Desk, server: SmtpServer) -> None:
    server.refused["later@example.com"] = "450 4.2.0 greylisted"
    waiting = desk.later(order("later@example.com"))
    assert (waiting.wait.until, waiting.wait.failures) == (desk.now + 60, 1)
    assert desk.result(order(number=2))["outcome"] == "accepted"  # the account does not wait
    desk.now += 60
    again = desk.later(waiting)
    assert (again.wait.until, again.wait.failures) == (desk.now + 120, 2)
    server.refused.clear()
    desk.now += 120
    assert desk.result(again)["outcome"] == "accepted"
    assert [message.recipients for message in server.messages] == [["jana@example.com"], ["later@example.com"]]


def test_a_task_that_wakes_early_touches_no_server(desk: Desk, server: SmtpServer) -> None:
    server.refused["later@example.com"] = "450 4.2.0 greylisted"
    waiting = desk.later(order("later@example.com"))
    heard = len(server.sessions[0].lines)
    desk.now += 59
    early = desk.later(waiting)
    assert early.wait == waiting.wait
    assert (len(server.sessions), len(server.sessions[0].lines)) == (1, heard)


def test_who_was_put_off_gets_it_later_and_nobody_twice(desk: Desk, server: SmtpServer) -> None:
    server.refused["later@example.com"] = server.refused["too@example.com"] = "450 4.2.0 greylisted"
    waiting = desk.later(order("jana@example.com", "later@example.com", "too@example.com", key="order-7"))
    assert waiting.letter.key == "order-7 #2"
    del server.refused["later@example.com"]
    desk.now += 60
    third = desk.later(waiting)
    assert third.letter.key == "order-7 #3"
    server.refused["too@example.com"] = "550 5.1.1 nobody here"
    desk.now += 60
    found = desk.result(third)
    assert (found["outcome"], list(found["refused"])) == ("accepted", ["too@example.com"])
    assert not found["refused"]["too@example.com"]["temporary"]
    assert [message.recipients for message in server.messages] == [["jana@example.com"], ["later@example.com"]]
    assert len({message.data for message in server.messages}) == 1  # and with one Message-ID


def test_those_who_were_put_off_get_the_same_message_id(desk: Desk, server: SmtpServer) -> None:
    server.refused["later@example.com"] = "450 4.2.0 greylisted"
    octets = b"To: a@example.com, later@example.com\r\nSubject: x\r\n\r\nHello\r\n"
    waiting = desk.later(Letter("shop", octets, "order-8"))
    server.refused.clear()
    desk.now += 60
    found = desk.result(waiting)
    assert [found["message_id"].encode() in message.data for message in server.messages] == [True, True]


def test_the_rest_that_may_have_arrived_makes_all_of_it_unknown(desk: Desk, server: SmtpServer) -> None:
    server.refused["later@example.com"] = "450 4.2.0 greylisted"
    waiting = desk.later(order("a@example.com", "later@example.com"))
    server.refused.clear()
    server.faults[:] = [Fault("body", lambda peer, reply: peer.sock.shutdown(2), nth=None, executed=True)]
    desk.now += 60
    assert desk.result(waiting)["outcome"] == "unknown"


def test_what_is_wrong_with_the_account_lets_all_its_tasks_of_the_process_wait(desk: Desk, server: SmtpServer) -> None:
    write_account(closed_port())
    first = desk.later(order())
    second = desk.later(order(number=2))
    assert second.wait.until == first.wait.until == desk.now + 60
    assert second.error is first.error  # nobody was asked again
    desk.now += 60
    assert desk.later(second).wait.until == desk.now + 120
    write_account(server.port)
    desk.now += 120
    assert desk.result(first)["outcome"] == desk.result(second)["outcome"] == "accepted"


def test_another_worker_s_message_is_no_reason_for_the_others_to_wait(desk: Desk, server: SmtpServer) -> None:
    with_other = desk.journal.claim(Claim("<1@novak.cz>", "another worker", _digest(desk)))
    assert with_other.state == "claimed"
    waiting = desk.later(order())
    assert 0 < waiting.wait.until - desk.now <= 66
    assert waiting.wait.failures == 0
    assert desk.result(order(number=2))["outcome"] == "accepted"


def _digest(desk: Desk) -> str:
    from franking.outbox.fingerprint import fingerprint

    mailer = desk.kept.of("shop")
    octets = order().message
    return fingerprint("shop", mailer.prepare(octets).envelope, octets, composed=True).hex()


def test_a_dead_sign_in_is_tried_every_quarter_of_an_hour_then_hourly(desk: Desk, server: SmtpServer) -> None:
    write_account(server.port, LOGIN)
    save_password("wrong")
    waiting, pauses = desk.later(order()), []
    for _ in range(5):
        pauses.append(round(waiting.wait.until - desk.now))
        heard = sum("AUTH" in line for one in server.sessions for line in one.lines)
        desk.now += 30
        assert desk.later(waiting).wait == waiting.wait
        assert sum("AUTH" in line for one in server.sessions for line in one.lines) == heard
        desk.now = waiting.wait.until
        waiting = desk.later(waiting)
    assert pauses == [900, 900, 900, 900, 3600]


def test_another_secret_ends_the_wait_at_once(desk: Desk, server: SmtpServer) -> None:
    write_account(server.port, LOGIN)
    save_password("wrong")
    first, second = desk.later(order()), desk.later(order(number=2))
    save_password("right")
    desk.now += 5
    assert desk.result(second)["outcome"] == desk.result(first)["outcome"] == "accepted"


def test_an_account_that_is_made_later_is_found(desk: Desk, server: SmtpServer) -> None:
    waiting = desk.later(replace(order(), account="office"))
    assert waiting.error is not None and waiting.error.diagnosis is not None
    assert waiting.error.diagnosis.code == "settings.no-account"
    write_account(server.port)
    text = f'[accounts.office]\nprovider = "smtp"\nfrom = "o@novak.cz"\nhost = "127.0.0.1"\nport = {server.port}\n'
    write_account(server.port, text + 'security = "none"\n')
    desk.now += 5
    assert desk.result(waiting)["outcome"] == "accepted"


def test_a_last_attempt_is_made_at_the_end_and_then_it_is_given_up(desk: Desk, server: SmtpServer) -> None:
    server.refused["later@example.com"] = "450 4.2.0 greylisted"
    waiting = desk.later(order("later@example.com"))
    end = desk.now + GIVE_UP
    desk.now = end - 10
    last = desk.later(waiting)
    assert last.wait.until == end
    desk.now = end
    found = desk.result(last)
    assert (found["outcome"], found["diagnosis"]["code"]) == ("failed", "greylisted")
    assert not server.messages


def test_given_up_while_the_account_waits(desk: Desk, server: SmtpServer) -> None:
    write_account(closed_port())
    waiting = desk.later(order())
    desk.now += GIVE_UP - 1
    assert desk.later(order(number=2)).wait.until > desk.now + 1  # the account waits once more
    assert desk.later(waiting).wait.until == desk.now + 1  # and no task beyond its own end
    desk.now += 1
    assert desk.result(waiting)["outcome"] == "failed"


@pytest.mark.parametrize(
    ("state", "left", "outcome", "code"),
    [
        (None, 0, "failed", "broker.time-limit"),
        ("free", 0, "failed", "broker.time-limit"),
        ("claimed", -1.0, "failed", "broker.time-limit"),
        ("claimed", 9.0, None, None),
        ("started", 9.0, None, None),
        ("started", -1.0, "unknown", "journal.interrupted"),
        ("accepted", 0, "accepted", None),
    ],
)
def test_a_time_limit_that_strikes_at_the_end_tells_what_is_known(
    desk: Desk, server: SmtpServer, state: str | None, left: float, outcome: str | None, code: str | None
) -> None:
    """Nothing is sent then, and nothing is said to have failed that may have left."""
    struck = desk.deliveries.broken_off(order(), None, "task-1")
    assert isinstance(struck, Later)
    assert (struck.wait.failures, struck.wait.until) == (1, desk.now + 60)
    assert struck.error is not None
    assert desk.run(order()) and len(server.messages) == 1
    afterwards(desk.journal).wait(60)
    entry = desk.journal._entries.pop("<1@novak.cz>")
    if state is not None:
        desk.journal._entries["<1@novak.cz>"] = entry
        entry.state, entry.owner, entry.until = state, "another worker", desk.journal._clock() + left
        entry.outcome = entry.outcome if state == "accepted" else {}
    desk.now += GIVE_UP
    found = desk.deliveries.broken_off(order(), struck.wait.as_dict(), "task-1")
    assert len(server.messages) == 1
    if outcome is None:
        assert isinstance(found, Later) and found.wait.until > desk.now
    else:
        assert isinstance(found, dict)
        assert (found["outcome"], (found["diagnosis"] or {}).get("code")) == (outcome, code)


def test_who_is_put_off_at_the_end_is_given_up(desk: Desk, server: SmtpServer) -> None:
    server.refused["jana@example.com"] = server.refused["later@example.com"] = "450 4.2.0 greylisted"
    waiting = desk.later(order("jana@example.com", "later@example.com"))
    del server.refused["jana@example.com"]
    desk.now += GIVE_UP
    found = desk.result(waiting)
    assert (found["outcome"], list(found["refused"])) == ("accepted", ["later@example.com"])


def test_what_another_worker_has_at_the_end_is_not_given_up(desk: Desk, server: SmtpServer) -> None:
    server.refused["jana@example.com"] = "450 4.2.0 greylisted"
    waiting = desk.later(order())
    desk.now += GIVE_UP
    afterwards(desk.journal).wait(60)
    assert desk.journal.claim(Claim("<1@novak.cz>", "another worker", _digest(desk))).state == "claimed"
    assert desk.later(waiting).wait.until > desk.now


def test_while_the_store_is_away_nothing_is_said_to_have_failed(server: SmtpServer) -> None:
    with MemoryRedis() as store:
        desk = Desk(RedisJournal(store.url))
        sent = desk.deliveries.deliver(order(), None, "task-1")  # by a worker that died before it could say so
        assert isinstance(sent, dict) and len(server.messages) == 1
        afterwards(desk.journal).close()
    waiting = desk.deliveries.deliver(order(), None, "task-1")
    assert isinstance(waiting, Later) and waiting.wait.until == desk.now + 60
    desk.now += GIVE_UP
    again = desk.deliveries.deliver(order(), waiting.wait.as_dict(), "task-1")
    assert isinstance(again, Later) and again.wait.until > desk.now
    desk.kept.close()


def test_an_account_that_works_again_waits_as_briefly_as_at_first(desk: Desk, server: SmtpServer) -> None:
    write_account(closed_port())
    waiting = desk.later(order())
    write_account(server.port)
    desk.now += 60
    assert desk.result(waiting)["outcome"] == "accepted"
    desk.kept.forget("shop")
    write_account(closed_port())
    assert desk.later(order(number=2)).wait.until == desk.now + 60


def test_who_is_refused_for_good_is_not_asked_for_again(desk: Desk, server: SmtpServer) -> None:
    server.refused["gone@example.com"] = "550 5.1.1 nobody here"
    server.refused["later@example.com"] = "450 4.2.0 greylisted"
    waiting = desk.later(order("a@example.com", "gone@example.com", "later@example.com"))
    assert waiting.letter.envelope is not None
    assert waiting.letter.envelope.recipients == ("later@example.com",)


def test_an_unknown_outcome_never_comes_back(desk: Desk, server: SmtpServer) -> None:
    server.faults.append(Fault("body", lambda peer, reply: peer.sock.shutdown(2), executed=True))
    found = desk.result(order())
    assert found["outcome"] == "unknown"
    assert desk.result(order()) == found
    assert len(server.messages) == 1


def test_without_a_journal_it_may_double_with_one_message_id(server: SmtpServer) -> None:
    desk = Desk(journal=Forgetful())
    nameless = Letter("shop", b"To: jana@example.com\r\nSubject: x\r\n\r\nHello\r\n")
    first, second = desk.result(nameless), desk.result(nameless)
    assert first["message_id"] == second["message_id"] != ""
    assert len(server.messages) == 2
    desk.kept.close()


def test_nobody_waits_for_a_task_that_was_called(desk: Desk, server: SmtpServer) -> None:
    server.refused["later@example.com"] = "450 4.2.0 greylisted"
    found = given_up(desk.later(order("later@example.com")))
    assert (found["outcome"], found["diagnosis"]["code"]) == ("failed", "greylisted")
    partly = given_up(desk.later(order("a@example.com", "later@example.com", number=2)))
    assert (partly["outcome"], list(partly["refused"])) == ("accepted", ["later@example.com"])
