"""A message that is handed out more than once goes once: what a delivery does with what the journal says."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from email.message import EmailMessage
from typing import Any

import pytest

import franking
from franking.errors import (
    ConnectError,
    FrankingError,
    LoginRequired,
    MessageError,
    OutcomeUnknown,
    RecipientsRefused,
    Refused,
    SendError,
    SettingsError,
    Throttled,
)
from franking.sending.journal import Answer, Claim, MemoryJournal
from franking.sending.once import deliver_once
from franking.sending.redis_journal import RedisJournal
from franking.shared.afterwards import afterwards
from servers.memoryredis import MemoryRedis
from servers.scripted import Clock, ScriptedProvider

ACCOUNT: dict[str, Any] = {"name": "s", "provider": "scripted", "sender": "jan@example.com", "username": "jan"}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def journal(clock: Clock) -> Iterator[MemoryJournal]:
    kept = MemoryJournal(clock=clock)
    yield kept
    afterwards(kept).close()


@pytest.fixture
def mailer(scripted: ScriptedProvider) -> Iterator[franking.Mailer]:
    with franking.connect(franking.Account(**ACCOUNT), secret="x") as box:
        yield box


def letter(text: str = "x", **more: Any) -> franking.Message:
    return franking.Message(to=["r@example.com"], subject="x", text=text, **more)


def deliver(mailer: franking.Mailer, journal: MemoryJournal, text: str = "x", key: str | None = "k") -> dict[str, Any]:
    try:
        return deliver_once(mailer, letter(text), key=key, journal=journal)
    finally:
        afterwards(journal).wait()


def test_a_second_delivery_tells_what_the_first_came_to(
    mailer: franking.Mailer, journal: MemoryJournal, scripted: ScriptedProvider
) -> None:
    first = deliver(mailer, journal)
    assert first == {
        "outcome": "accepted",
        "message_id": scripted.sent[0][1],
        "reply": "250 ok",
        "refused": {},
        "diagnosis": None,
    }
    assert deliver(mailer, journal) == first
    assert len(scripted.sent) == 1


def test_the_message_id_is_the_key_where_there_is_no_other(
    mailer: franking.Mailer, journal: MemoryJournal, scripted: ScriptedProvider
) -> None:
    composed = letter(message_id="<1@example.com>").as_bytes("jan@example.com")
    email = EmailMessage()
    email["To"], email["Message-ID"] = "r@example.com", "<2@example.com>"
    for message in (composed, composed, email, email):
        assert deliver_once(mailer, message, journal=journal)["outcome"] == "accepted"
        afterwards(journal).wait()
    assert [message_id for _, message_id in scripted.sent] == ["<1@example.com>", "<2@example.com>"]
    with pytest.raises(MessageError, match="needs one"):
        deliver_once(mailer, letter(), journal=journal)
    with pytest.raises(MessageError, match="no key"):
        deliver_once(mailer, letter(), key=" ", journal=journal)


def test_an_account_s_name_is_enough(journal: MemoryJournal, scripted: ScriptedProvider) -> None:
    account = franking.Account(name="s", provider="scripted", sender="jan@example.com")
    assert deliver_once(account, letter(), key="k", journal=journal)["outcome"] == "accepted"
    assert scripted.open_now == 0


def test_the_same_key_with_another_content_is_a_mistake_that_sends_nothing(
    mailer: franking.Mailer, journal: MemoryJournal, scripted: ScriptedProvider
) -> None:
    deliver(mailer, journal)
    told = deliver(mailer, journal, "other")
    assert told["outcome"] == "failed"
    assert told["diagnosis"]["code"] == "message.key-reused"
    assert len(scripted.sent) == 1


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Refused("no", step="message"), "failed"),
        (RecipientsRefused("no", refused={"r@example.com": {"reply": "550", "temporary": False}}), "refused"),
        (OutcomeUnknown("silent"), "unknown"),
    ],
)
def test_what_is_final_is_kept(
    answer: FrankingError,
    outcome: str,
    mailer: franking.Mailer,
    journal: MemoryJournal,
    scripted: ScriptedProvider,
) -> None:
    scripted.answers = [answer]
    told = deliver(mailer, journal)
    assert told["outcome"] == outcome
    assert told["message_id"] == scripted.sent[0][1]
    assert told["diagnosis"] is not None
    assert told["refused"] == getattr(answer, "refused", {})
    assert deliver(mailer, journal) == told
    assert len(scripted.sent) == 1


@pytest.mark.parametrize(
    "answer",
    [
        Throttled("slowly", step="message", retry_after=7.0),
        ConnectError("gone", step="message"),
        RecipientsRefused("later", temporary=True, refused={"r@example.com": {"reply": "450", "temporary": True}}),
        SendError("busy", step="message", temporary=True),
    ],
)
def test_what_surely_did_not_go_is_raised_and_goes_another_time_as_the_same_message(
    answer: FrankingError,
    mailer: franking.Mailer,
    journal: MemoryJournal,
    scripted: ScriptedProvider,
    clock: Clock,
) -> None:
    scripted.answers = [answer]
    with pytest.raises(type(answer)) as caught:
        deliver(mailer, journal)
    assert not caught.value.possibly_sent
    assert caught.value.diagnosis is not None
    assert deliver(mailer, journal)["outcome"] == "accepted"
    first, second = scripted.sent
    assert first[1] == second[1]


@pytest.mark.parametrize("trouble", [LoginRequired("sign in"), SettingsError("wrong")])
def test_what_is_the_account_s_own_matter_is_raised(
    trouble: FrankingError, mailer: franking.Mailer, journal: MemoryJournal, scripted: ScriptedProvider
) -> None:
    scripted.openings = [trouble]
    with pytest.raises(type(trouble)):
        deliver(mailer, journal)
    assert deliver(mailer, journal)["outcome"] == "accepted"


def test_a_message_that_can_never_go_has_failed(mailer: franking.Mailer, journal: MemoryJournal) -> None:
    nobody = franking.Message(to=[], subject="x", text="x")
    told = deliver_once(mailer, nobody, key="k", journal=journal)
    assert (told["outcome"], told["message_id"]) == ("failed", None)
    assert told["diagnosis"]["code"] == "message.invalid"


# -- several workers -------------------------------------------------------------------------------------------------


def elsewhere(journal: MemoryJournal, mailer: franking.Mailer, scripted: ScriptedProvider) -> Claim:
    """Take the message as another worker would, which got no further."""
    scripted.openings = [LoginRequired("sign in")]
    with pytest.raises(LoginRequired):
        deliver(mailer, journal)
    digest = journal._entries["k"].digest
    claim = Claim("k", "other", digest)
    assert journal.claim(claim).state == "claimed"
    return claim


def test_while_another_has_it_one_comes_back_after_the_rest_of_its_lease(
    mailer: franking.Mailer, journal: MemoryJournal, scripted: ScriptedProvider, clock: Clock
) -> None:
    other = elsewhere(journal, mailer, scripted)
    clock.now += 20
    for _ in range(2):
        with pytest.raises(Throttled) as caught:
            deliver(mailer, journal)
        assert caught.value.retry_after == pytest.approx(40)
        assert caught.value.diagnosis is not None
        assert caught.value.diagnosis.code == "journal.busy"
        assert caught.value.temporary
        journal.renew(other)
        clock.now += 20
    clock.now += 41
    assert deliver(mailer, journal)["outcome"] == "accepted"  # it had not begun
    assert not journal.started(other)


def test_what_a_dead_worker_had_begun_is_unknown_and_never_sent(
    mailer: franking.Mailer, journal: MemoryJournal, scripted: ScriptedProvider, clock: Clock
) -> None:
    other = elsewhere(journal, mailer, scripted)
    assert journal.started(other)
    with pytest.raises(Throttled):
        deliver(mailer, journal)
    clock.now += 61
    told = deliver(mailer, journal)
    assert told["outcome"] == "unknown"
    assert told["message_id"] == journal._entries["k"].message_id
    assert told["diagnosis"]["code"] == "journal.interrupted"
    assert deliver(mailer, journal) == told
    assert not scripted.sent
    assert journal.finish(other, {"outcome": "accepted", "message_id": "<1@x>"})  # it lived after all
    assert deliver(mailer, journal)["outcome"] == "accepted"


def test_a_worker_that_stood_still_before_it_began_sends_nothing(
    mailer: franking.Mailer, journal: MemoryJournal, scripted: ScriptedProvider, clock: Clock
) -> None:
    claims: list[Claim] = []

    class Slow(MemoryJournal):
        def started(self, claim: Claim) -> bool:
            clock.now += 61
            claims.append(Claim(claim.key, "other", claim.digest))
            assert self.claim(claims[0]).state == "claimed"
            return super().started(claim)

    slow = Slow(clock=clock)
    with pytest.raises(Throttled) as caught:
        deliver(mailer, slow)
    assert caught.value.retry_after == 60
    assert not scripted.sent
    assert slow.started(claims[0]) is False or claims  # still the other's
    afterwards(slow).close()


def test_eight_at_once_send_it_once(
    mailer: franking.Mailer, journal: MemoryJournal, scripted: ScriptedProvider
) -> None:
    mailer.pool.widen(8)
    told: list[Any] = []

    def work() -> None:
        try:
            told.append(deliver(mailer, journal)["outcome"])
        except Throttled as busy:
            told.append(busy.diagnosis and busy.diagnosis.code)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(told) == 8
    assert set(told) <= {"accepted", "journal.busy"}
    assert len(scripted.sent) == 1


# -- a journal that is away ------------------------------------------------------------------------------------------


class Away(MemoryJournal):
    """Fail at some of its steps, as often as that is said."""

    def __init__(self, **failures: int) -> None:
        super().__init__()
        self.failures = failures

    def _fails(self, step: str) -> None:
        if self.failures.get(step, 0) > 0:
            self.failures[step] -= 1
            raise SendError("away", step="secret", temporary=True)

    def claim(self, claim: Claim, room: Any = None) -> Answer:
        self._fails("claim")
        return super().claim(claim, room)

    def started(self, claim: Claim) -> bool:
        done = super().started(claim)  # done, and the answer lost
        self._fails("started")
        return done

    def finish(self, claim: Claim, outcome: Any) -> bool:
        self._fails("finish")
        return super().finish(claim, outcome)

    def give_back(self, claim: Claim) -> bool:
        self._fails("give_back")
        return super().give_back(claim)


@pytest.mark.parametrize("step", ["claim", "started"])
def test_where_the_journal_is_away_nothing_goes_and_nothing_is_lost(
    step: str, mailer: franking.Mailer, scripted: ScriptedProvider
) -> None:
    journal = Away(**{step: 1})
    with pytest.raises(SendError, match="away") as caught:
        deliver(mailer, journal)
    assert caught.value.temporary
    assert not scripted.sent
    assert deliver(mailer, journal)["outcome"] == "accepted"
    afterwards(journal).close()


def test_what_became_of_a_message_is_written_down_when_the_journal_is_back_and_until_then_none_begins(
    mailer: franking.Mailer, scripted: ScriptedProvider
) -> None:
    journal = Away(finish=10**9)
    assert deliver_once(mailer, letter(), key="k", journal=journal)["outcome"] == "accepted"
    assert deliver_once(mailer, letter(), key="l", journal=Away())["outcome"] == "accepted"  # it is not its matter
    with pytest.raises(SendError, match="away"):
        deliver_once(mailer, letter(), key="m", journal=journal)
    journal.failures.clear()
    until = time.monotonic() + 60
    while afterwards(journal)._acts:
        assert time.monotonic() < until
        with suppress(SendError):  # an attempt that began before may still fail
            afterwards(journal).wait()
    afterwards(journal).close()
    assert journal._entries["k"].state == "accepted"
    assert "m" not in journal._entries or journal._entries["m"].state == "free"


def test_redis_is_told_without_being_waited_for_and_told_again_what_it_did_not_take(
    mailer: franking.Mailer, scripted: ScriptedProvider
) -> None:
    with MemoryRedis() as memory:
        journal = RedisJournal(memory.url)
        teller = afterwards(journal)
        assert deliver_once(mailer, letter(), key="k", journal=journal)["outcome"] == "accepted"
        assert len(teller._unheard) == 1 and not teller._acts
        assert deliver_once(mailer, letter(), key="l", journal=journal)["outcome"] == "accepted"
        assert len(teller._unheard) == 1  # the first was heard before the second began
        scripted.answers = [ConnectError("gone", step="message")]
        with pytest.raises(ConnectError):
            deliver_once(mailer, letter(), key="m", journal=journal)
        teller.wait()
        journal.server.ask("SCRIPT", "FLUSH")
        for key in "klmn":  # the flushed script is refused once, and told again by its text
            assert deliver_once(mailer, letter(), key=key, journal=journal)["outcome"] == "accepted"
        teller.wait()
        states = [journal.server.ask("HGET", f"franking:journal:{key}", "state") for key in "klmn"]
        teller.close()
        journal.close()
    assert states == ["accepted"] * 4
    assert len(scripted.sent) == 5


# -- what breaks in --------------------------------------------------------------------------------------------------


class Strike(Exception):
    """What a task queue raises in a worker whose time is over."""


@pytest.mark.parametrize(("possibly", "state"), [(True, "unknown"), (None, "unknown"), (False, "free")])
def test_what_breaks_in_says_what_it_knows(
    possibly: bool | None,
    state: str,
    mailer: franking.Mailer,
    journal: MemoryJournal,
    scripted: ScriptedProvider,
) -> None:
    scripted.raised = Strike()
    if possibly is not None:
        scripted.raised.possibly_sent = possibly  # type: ignore[attr-defined]
    with pytest.raises(Strike):
        deliver(mailer, journal)
    assert journal._entries["k"].state == state


@pytest.mark.parametrize(("possibly", "state"), [(True, "unknown"), (False, "free")])
def test_an_interruption_is_told_and_what_became_of_the_message_written_down(
    possibly: bool, state: str, mailer: franking.Mailer, journal: MemoryJournal, scripted: ScriptedProvider
) -> None:
    scripted.raised = KeyboardInterrupt()
    scripted.raised.possibly_sent = possibly  # type: ignore[attr-defined]
    with pytest.raises(KeyboardInterrupt):
        deliver(mailer, journal)
    assert journal._entries["k"].state == ("unknown" if scripted.many else state)  # in a window nobody can tell


# -- limits ----------------------------------------------------------------------------------------------------------


def test_a_message_without_a_turn_is_free_again(scripted: ScriptedProvider, journal: MemoryJournal) -> None:
    with franking.connect(franking.Account(**ACCOUNT, per_minute=1, timeout=0.3), secret="x") as box:
        assert deliver(box, journal)["outcome"] == "accepted"
        with pytest.raises(Throttled) as caught:
            deliver(box, journal, key="l")
        assert caught.value.diagnosis is not None
        assert caught.value.diagnosis.code == "limit.per-minute"
        assert journal._entries["l"].state == "free"
        assert deliver(box, journal)["outcome"] == "accepted"  # it needs none


def test_too_many_recipients_for_a_day_have_failed(scripted: ScriptedProvider, journal: MemoryJournal) -> None:
    with franking.connect(franking.Account(**ACCOUNT, recipients_per_day=1), secret="x") as box:
        told = deliver_once(box, franking.Message(to=["a@x.cz", "b@x.cz"], text="x"), key="k", journal=journal)
    assert told["diagnosis"]["code"] == "recipient.too-many"


def test_a_turn_that_was_not_used_is_given_back(scripted: ScriptedProvider) -> None:
    journal = Away(started=1)
    with franking.connect(franking.Account(**ACCOUNT, per_day=1, timeout=0.3), secret="x") as box:
        with pytest.raises(SendError, match="away"):
            deliver(box, journal)
        scripted.openings = [ConnectError("nobody", step="connect")]
        with pytest.raises(ConnectError):
            deliver(box, journal)
        assert deliver(box, journal)["outcome"] == "accepted"
        with pytest.raises(Throttled):
            deliver(box, journal, key="l")
    afterwards(journal).close()


@pytest.mark.parametrize("own", [False, True])
def test_it_is_written_down_when_its_mailer_is_closed(own: bool, scripted: ScriptedProvider) -> None:
    """A process that was made for one message ends by ``os._exit``, with nothing done at its exit."""

    class Slow(MemoryJournal):
        def finish(self, claim: Claim, outcome: Mapping[str, Any]) -> bool:
            time.sleep(0.2)
            return super().finish(claim, outcome)

    journal = Slow()
    account = franking.Account(name="s", provider="scripted", sender="jan@example.com")
    if own:
        with franking.connect(account) as mailer:
            deliver_once(mailer, letter(), key="k", journal=journal)
    else:
        deliver_once(account, letter(), key="k", journal=journal)
    assert journal._entries["k"].state == "accepted"


def test_what_could_not_be_told_of_a_message_is_told_before_it_is_taken_again(
    mailer: franking.Mailer, scripted: ScriptedProvider, clock: Clock
) -> None:
    """Else its own lapsed ``started`` would make it unknown, although it surely did not go."""

    class Away(MemoryJournal):
        is_away = False

        def give_back(self, claim: Claim) -> bool:
            if self.is_away:
                raise SendError("away", temporary=True)
            return super().give_back(claim)

    journal = Away(clock=clock)
    scripted.answers.append(ConnectError("reset", step="message"))
    journal.is_away = True
    with pytest.raises(ConnectError):
        deliver_once(mailer, letter(), key="k", journal=journal)
    with pytest.raises(SendError, match="away"):
        afterwards(journal).wait()
    clock.now += journal.lease
    with pytest.raises(SendError, match="away"):
        deliver_once(mailer, letter(), key="k", journal=journal)
    journal.is_away = False
    assert deliver_once(mailer, letter(), key="k", journal=journal)["outcome"] == "accepted"
    afterwards(journal).close()
