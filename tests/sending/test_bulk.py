"""Many messages: drawn lazily, each exactly one result, tried again only where surely not accepted, at the pace that is
allowed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

import franking
from franking.errors import ConnectError, LoginError, OutcomeUnknown, RecipientsRefused, Refused, Throttled
from franking.sending import bulk
from franking.sending.retry import NEVER, Policy
from servers.scripted import Clock, ScriptedProvider, ScriptedSession, messages
from servers.smtp import Fault, SmtpServer, hangs_up, says, then

LATER = {"reply": "451 4.7.1 later", "temporary": True}
NEVER_AGAIN = {"reply": "550 5.1.1 unknown", "temporary": False}
QUICK = Policy(attempts=3, first=0.0)


def send(account: franking.Account, items: Any, **options: Any) -> list[bulk.SendResult]:
    options.setdefault("policy", QUICK)
    with franking.connect(account, secret="x") as mailer:
        return list(mailer.send_many(items, **options))


def test_every_message_has_one_result(account: franking.Account, scripted: ScriptedProvider) -> None:
    sent = list(messages(40))
    results = send(account, sent, window=8)
    assert [result.index for result in results] == list(range(40))
    assert all(result.message is sent[result.index] for result in results)
    assert {result.outcome for result in results} == {"accepted"}
    assert scripted.opened == 1


def test_messages_are_drawn_lazily(account: franking.Account, scripted: ScriptedProvider) -> None:
    drawn: list[int] = []

    def endless() -> Iterator[franking.Message]:
        for number in range(10**9):
            drawn.append(number)
            yield franking.Message(to=["a@example.com"], subject="x", text="x")

    with franking.connect(account, secret="x") as mailer:
        results = mailer.send_many(endless(), window=4)
        for _ in range(10):
            next(results)
        results.close()  # type: ignore[attr-defined]
    assert len(drawn) <= 10 + 4


def test_connections_share_the_work(account: franking.Account, scripted: ScriptedProvider) -> None:
    with franking.connect(account, secret="x", connections=4) as mailer:
        results = list(mailer.send_many(messages(200), window=4, policy=QUICK))
    assert sorted(result.index for result in results) == list(range(200))
    assert scripted.most_open <= 4
    assert scripted.open_now == 0


def test_more_connections_than_the_mailer_was_made_with(account: franking.Account, scripted: ScriptedProvider) -> None:
    with franking.connect(account, secret="x") as mailer:
        assert len(list(mailer.send_many(messages(100), connections=3, policy=QUICK))) == 100
    assert scripted.most_open <= 3


def test_a_temporary_refusal_is_tried_again_with_the_same_message_id(
    account: franking.Account, scripted: ScriptedProvider
) -> None:
    scripted.by_recipient["r1@example.com"] = [Refused("later", temporary=True), Refused("later", temporary=True)]
    results = send(account, messages(3))
    assert {result.index: result.outcome for result in results} == {0: "accepted", 1: "accepted", 2: "accepted"}
    ids = [message_id for recipients, message_id in scripted.sent if recipients == ("r1@example.com",)]
    assert len(ids) == 3
    assert len(set(ids)) == 1


def test_it_gives_up_after_the_last_attempt(account: franking.Account, scripted: ScriptedProvider) -> None:
    scripted.by_recipient["r0@example.com"] = [Refused("later", temporary=True)] * 5
    (result,) = send(account, messages(1))
    assert result.outcome == "failed"
    assert len(scripted.sent) == QUICK.attempts
    assert result.error is not None
    assert result.error.diagnosis is not None


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (Refused("no"), "failed"),
        (RecipientsRefused("none", refused={"r0@example.com": NEVER_AGAIN}), "refused"),
        (OutcomeUnknown("cut", accepted=["r0@example.com"]), "unknown"),
        (franking.MessageError("too large"), "failed"),
    ],
)
def test_what_is_for_good_or_unknown_is_never_sent_again(
    account: franking.Account, scripted: ScriptedProvider, error: franking.FrankingError, outcome: str
) -> None:
    scripted.by_recipient["r0@example.com"] = [error]
    results = {result.index: result for result in send(account, messages(3))}
    assert results[0].outcome == outcome
    assert results[1].outcome == results[2].outcome == "accepted"
    assert sum(recipients == ("r0@example.com",) for recipients, _ in scripted.sent) == 1


def test_a_broken_connection_is_replaced_and_what_was_not_begun_is_sent(
    account: franking.Account, scripted: ScriptedProvider
) -> None:
    scripted.by_recipient["r3@example.com"] = [ConnectError("reset")]
    results = send(account, messages(10), window=4)
    assert {result.outcome for result in results} == {"accepted"}
    assert sorted(result.index for result in results) == list(range(10))
    assert scripted.opened == 2


def test_temporarily_refused_recipients_are_tried_alone(account: franking.Account, scripted: ScriptedProvider) -> None:
    scripted.answers = [{"b@example.com": LATER, "c@example.com": NEVER_AGAIN}]
    (result,) = send(
        account, [franking.Message(to=["a@example.com", "b@example.com", "c@example.com"], subject="x", text="x")]
    )
    assert [recipients for recipients, _ in scripted.sent] == [
        ("a@example.com", "b@example.com", "c@example.com"),
        ("b@example.com",),
    ]
    assert result.outcome == "accepted"
    assert result.receipt is not None
    assert set(result.receipt.accepted) == {"a@example.com", "b@example.com"}
    assert result.receipt.refused == {"c@example.com": NEVER_AGAIN}


def test_recipients_that_stay_refused_are_in_the_receipt(account: franking.Account, scripted: ScriptedProvider) -> None:
    scripted.answers = [{"b@example.com": LATER}, RecipientsRefused("b", refused={"b@example.com": NEVER_AGAIN})]
    (result,) = send(account, [franking.Message(to=["a@example.com", "b@example.com"], subject="x", text="x")])
    assert result.outcome == "accepted"
    assert result.receipt is not None
    assert result.receipt.accepted == ("a@example.com",)
    assert result.receipt.refused == {"b@example.com": NEVER_AGAIN}


def test_all_refused_some_for_now_is_tried_for_those_alone(
    account: franking.Account, scripted: ScriptedProvider
) -> None:
    scripted.answers = [RecipientsRefused("all", refused={"a@example.com": NEVER_AGAIN, "b@example.com": LATER})]
    (result,) = send(account, [franking.Message(to=["a@example.com", "b@example.com"], subject="x", text="x")])
    assert [recipients for recipients, _ in scripted.sent] == [("a@example.com", "b@example.com"), ("b@example.com",)]
    assert result.outcome == "accepted"
    assert result.receipt is not None
    assert result.receipt.accepted == ("b@example.com",)


def test_the_error_names_every_recipient_with_its_last_refusal(
    account: franking.Account, scripted: ScriptedProvider
) -> None:
    scripted.answers = [
        RecipientsRefused("all", refused={"a@example.com": NEVER_AGAIN, "b@example.com": LATER}),
        RecipientsRefused("the rest", refused={"b@example.com": NEVER_AGAIN}),
    ]
    (result,) = send(account, [franking.Message(to=["a@example.com", "b@example.com"], subject="x", text="x")])
    assert (result.outcome, str(result.error)) == ("refused", "the rest")
    assert isinstance(result.error, RecipientsRefused)
    assert result.error.refused == {"a@example.com": NEVER_AGAIN, "b@example.com": NEVER_AGAIN}


def test_too_many_recipients_go_on_without_a_pause(account: franking.Account, scripted: ScriptedProvider) -> None:
    everybody = [f"r{number}@example.com" for number in range(9)]
    too_many = {"reply": "452 4.5.3 too many", "temporary": True}
    scripted.answers = [dict.fromkeys(everybody[3:], too_many), dict.fromkeys(everybody[6:], too_many)]
    (result,) = send(account, [franking.Message(to=everybody, subject="x", text="x")], policy=NEVER)
    assert result.receipt is not None
    assert set(result.receipt.accepted) == set(everybody)


def test_a_wrong_password_is_tried_once_and_every_message_hears_of_it(
    account: franking.Account, scripted: ScriptedProvider
) -> None:
    scripted.openings = [LoginError("wrong")] * 9
    results = send(account, messages(5))
    assert [result.outcome for result in results] == ["failed"] * 5
    assert scripted.opened == 1


def test_a_message_that_cannot_be_composed_fails_alone(account: franking.Account, scripted: ScriptedProvider) -> None:
    items = list(messages(3))
    items[1] = franking.Message(subject="nobody", text="x")
    results = {result.index: result.outcome for result in send(account, items, window=4)}
    assert results == {0: "accepted", 1: "failed", 2: "accepted"}


def test_what_the_iterable_raises_comes_after_the_results(
    account: franking.Account, scripted: ScriptedProvider
) -> None:
    def broken() -> Iterator[franking.Message]:
        yield from messages(3)
        raise RuntimeError("the database went away")

    got: list[bulk.SendResult] = []
    with franking.connect(account, secret="x") as mailer, pytest.raises(RuntimeError, match="database"):
        for result in mailer.send_many(broken(), window=4):
            got.append(result)
    assert [result.outcome for result in got] == ["accepted"] * 3


def test_started_is_told_before_anything_leaves(account: franking.Account, scripted: ScriptedProvider) -> None:
    told: list[tuple[int, str]] = []

    def started(index: int, message_id: str) -> None:
        assert message_id not in [sent for _, sent in scripted.sent]
        told.append((index, message_id))

    results = send(account, messages(5), started=started, window=2)
    assert [index for index, _ in told] == [0, 1, 2, 3, 4]
    assert {result.receipt.message_id for result in results if result.receipt} == {message_id for _, message_id in told}


def test_stop_finishes_what_is_under_way_and_draws_no_more(
    account: franking.Account, scripted: ScriptedProvider
) -> None:
    stop = threading.Event()
    results = []
    with franking.connect(account, secret="x") as mailer:
        for result in mailer.send_many(messages(100), window=4, stop=stop):
            results.append(result)
            if len(results) == 10:
                stop.set()
    assert 10 <= len(results) <= 14
    assert len(scripted.sent) == len(results)


def run(account: franking.Account, items: Any, clock: Clock, **options: Any) -> list[bulk.SendResult]:
    with franking.connect(account, secret="x") as mailer:
        run = bulk.Run(mailer, clock=clock, wait=clock.wait, chance=lambda: 0.0, **options)
        return list(bulk.send_all(run, items))


def test_the_pace_is_kept(account: franking.Account, scripted: ScriptedProvider) -> None:
    clock = Clock()
    results = run(account, messages(25), clock, rate=10)
    assert len(results) == 25
    assert clock.now - 1000.0 == pytest.approx(120.0)  # 10 at once, 10 a minute later, 5 two minutes later


@pytest.mark.parametrize("drawn", [list, iter], ids=["a list", "a generator"])
@pytest.mark.parametrize(("number", "minutes"), [(10, 0), (11, 1), (20, 1), (21, 2)])
def test_a_run_ends_with_its_last_message(
    account: franking.Account, scripted: ScriptedProvider, number: int, minutes: int, drawn: Any
) -> None:
    clock = Clock()
    results = run(account, drawn(messages(number)), clock, rate=10)
    assert [result.outcome for result in results] == ["accepted"] * number
    assert clock.now - 1000.0 == 60.0 * minutes


def test_a_message_that_was_drawn_early_has_a_result_when_the_run_is_stopped(
    account: franking.Account, scripted: ScriptedProvider
) -> None:
    clock, stop, taken = Clock(), threading.Event(), 0

    def items() -> Iterator[Any]:
        nonlocal taken
        for message in messages(25):
            taken += 1
            yield message

    def wait(seconds: float) -> None:
        if seconds > 1:
            stop.set()
        clock.wait(seconds)

    with franking.connect(account, secret="x") as mailer:
        sent = bulk.Run(mailer, rate=10, clock=clock, wait=wait, stop=stop)
        results = list(bulk.send_all(sent, items()))
    assert [result.outcome for result in results] == ["accepted"] * 10 + ["failed"] * (taken - 10)
    assert [result.index for result in results] == list(range(taken))
    assert taken == 11 and len(scripted.sent) == 10
    assert results[-1].error is not None and results[-1].error.diagnosis is not None


def test_retry_after_is_honoured_and_holds_everything(account: franking.Account, scripted: ScriptedProvider) -> None:
    clock = Clock()
    scripted.answers = [Throttled("slow down", retry_after=40.0)]
    results = run(account, messages(3), clock)
    assert {result.outcome for result in results} == {"accepted"}
    assert clock.now - 1000.0 >= 40.0


def test_an_absurd_retry_after_is_given_back(account: franking.Account, scripted: ScriptedProvider) -> None:
    clock = Clock()
    scripted.by_recipient["r0@example.com"] = [Throttled("tomorrow", retry_after=86400.0)]
    results = {result.index: result.outcome for result in run(account, messages(2), clock)}
    assert results == {0: "failed", 1: "accepted"}
    assert clock.now - 1000.0 < 60.0


def test_an_error_in_one_thread_reaches_the_caller(account: franking.Account, scripted: ScriptedProvider) -> None:
    original = type(scripted).open

    def open_badly(self: ScriptedProvider, *arguments: Any) -> Any:
        raise ZeroDivisionError("a bug in a provider")

    type(scripted).open = open_badly  # type: ignore[method-assign]
    try:
        with franking.connect(account, secret="x", connections=2) as mailer, pytest.raises(ZeroDivisionError):
            list(mailer.send_many(messages(5)))
    finally:
        type(scripted).open = original  # type: ignore[method-assign]


def test_a_session_that_the_server_closed_while_it_rested_is_replaced() -> None:
    """Nothing of the message had left: it is no further attempt, even for a policy that allows none."""
    with SmtpServer(
        faults=[Fault("body", then(says("250 2.0.0 ok"), hangs_up), executed=True, connection=1)]
    ) as server:
        account = franking.Account(
            name="t",
            provider="smtp",
            sender="jan@example.com",
            host="127.0.0.1",
            port=server.port,
            security="none",
            timeout=10,
        )
        with franking.connect(account) as mailer:
            mailer.send(franking.Message(to="a@example.com", text="x"))
            server.wait(0)
            results = list(mailer.send_many([franking.Message(to="b@example.com", text="x")], policy=NEVER))
        assert [result.outcome for result in results] == ["accepted"]
        assert [message.recipients for message in server.messages] == [["a@example.com"], ["b@example.com"]]


def test_a_retry_does_not_wait_for_a_slow_iterable(account: franking.Account, scripted: ScriptedProvider) -> None:
    """The iterable waits for a result that only a second attempt can give: one worker draws, the other must come back
    from waiting for its turn.
    """
    scripted.by_recipient["r0@example.com"] = [Refused("later", temporary=True)]
    told = threading.Event()

    def source() -> Iterator[franking.Message]:
        yield from messages(1)
        assert told.wait(20), "the second attempt waited for the iterable"
        yield from messages(1, 1)

    got = {}
    with franking.connect(account, secret="x", connections=2) as mailer:
        for result in mailer.send_many(source(), policy=Policy(attempts=3, first=0.1)):
            got[result.index] = result.outcome
            told.set()
    assert got == {0: "accepted", 1: "accepted"}


# -- sessions ----------------------------------------------------------------------------------------------------------


class Tokens:
    """A secret that counts how often it is renewed."""

    def __init__(self, dead: franking.FrankingError | None = None) -> None:
        self.renewed: list[str] = []
        self.dead = dead

    def get(self, *, renew_after: str | None = None) -> str:
        if renew_after is not None:
            self.renewed.append(renew_after)
            if self.dead is not None:
                raise self.dead
        return f"token-{len(self.renewed)}"


def test_a_token_refused_at_the_opening_is_renewed_once(account: franking.Account, scripted: ScriptedProvider) -> None:
    tokens = Tokens()
    scripted.openings = [LoginError("no", token_refused=True)]
    with franking.connect(account, secret=tokens) as mailer:
        assert [result.outcome for result in mailer.send_many(messages(3), policy=NEVER)] == ["accepted"] * 3
    assert tokens.renewed == ["token-0"]
    assert scripted.opened == 2


def test_a_token_refused_while_sending_is_renewed_once_for_each_message(
    account: franking.Account, scripted: ScriptedProvider
) -> None:
    tokens = Tokens()
    refused = [LoginError("401", token_refused=True) for _ in range(2)]
    scripted.by_recipient["r0@example.com"] = list(refused)
    with franking.connect(account, secret=tokens) as mailer:
        results = {result.index: result for result in mailer.send_many(messages(2), policy=NEVER)}
    assert results[0].error is refused[1]
    assert [results[0].outcome, results[1].outcome] == ["failed", "accepted"]
    assert tokens.renewed == ["token-0"]
    assert len({message_id for recipients, message_id in scripted.sent if recipients == ("r0@example.com",)}) == 1


def test_a_token_that_cannot_be_renewed_ends_the_run(account: franking.Account, scripted: ScriptedProvider) -> None:
    dead = franking.LoginRequired("sign in again")
    scripted.answers = [LoginError("401", token_refused=True)]
    with franking.connect(account, secret=Tokens(dead)) as mailer:
        results = list(mailer.send_many(messages(5)))
    assert [result.outcome for result in results] == ["failed"] * 5
    assert {id(result.error) for result in results} == {id(dead)}
    assert dead.diagnosis is not None
    assert (scripted.opened, len(scripted.sent)) == (1, 1)


def test_a_server_that_is_away_for_a_while_is_asked_again(
    account: franking.Account, scripted: ScriptedProvider
) -> None:
    clock = Clock()
    scripted.openings = [ConnectError("refused"), ConnectError("refused")]
    results = run(account, messages(3), clock, policy=Policy(attempts=3, first=10.0))
    assert {result.outcome for result in results} == {"accepted"}
    assert clock.now - 1000.0 == 30.0, "10 and 20 seconds"
    assert len(scripted.sent) == 3, "an opening is no attempt of a message"


def test_a_server_that_stays_away_fails_the_message_and_not_the_next(
    account: franking.Account, scripted: ScriptedProvider
) -> None:
    scripted.openings = [ConnectError("refused")] * 2
    results = run(account, messages(2), Clock(), policy=Policy(attempts=2, first=10.0))
    assert {result.index: result.outcome for result in results} == {0: "failed", 1: "accepted"}
    assert (scripted.opened, len(scripted.sent)) == (3, 1)


def test_a_session_is_kept_after_a_refusal_and_replaced_when_it_is_closed(
    account: franking.Account, scripted: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripted.by_recipient["r0@example.com"] = [Refused("no")]
    assert {result.outcome for result in send(account, messages(3))} == {"accepted", "failed"}
    assert scripted.opened == 1
    monkeypatch.setattr(ScriptedSession, "closed", True, raising=False)
    scripted.by_recipient["r0@example.com"] = [Refused("no, and good-bye")]
    send(account, messages(3))
    assert scripted.opened == 1 + 3, "a session that says that it is closed is not used again"


def test_the_server_gets_fewer_connections_when_it_wants_less(
    account: franking.Account, scripted: ScriptedProvider
) -> None:
    scripted.by_recipient["r0@example.com"] = [Throttled("slow down", retry_after=0.2) for _ in range(2)]
    with franking.connect(account, secret="x", connections=4) as mailer:
        results = list(mailer.send_many(messages(60), policy=QUICK, window=2))
    assert {result.outcome for result in results} == {"accepted"}
    assert scripted.open_now == 0
