"""How a run of many messages ends early: stopped, interrupted, left, cut off. Every message's state is known, and
nothing is sent twice.
"""

from __future__ import annotations

import gc
import itertools
import math
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import franking
from franking.errors import OutcomeUnknown, RecipientsRefused, SettingsError, Throttled
from franking.provider import Facts, RouteFacts
from franking.sending import bulk
from franking.sending.queue import Queue
from franking.sending.retry import Policy
from franking.testing.capture import capture
from servers.scripted import ScriptedManySession, ScriptedProvider, ScriptedSession, messages
from servers.smtp import EXTENSIONS, Fault, SmtpServer
from tiers import one_of_each

LATER = {"reply": "451 4.7.1 later", "temporary": True}
AGAIN = Policy(attempts=10_000, first=0.0)
PIPES = ("PIPELINING", "SIZE 52428800", "8BITMIME")


# -- connections -----------------------------------------------------------------------------------------------------


def test_a_send_between_two_results_does_not_wait_for_itself(
    account: franking.Account, scripted: ScriptedProvider
) -> None:
    alert = next(messages(1, 99))
    with franking.connect(account, secret="x") as mailer:
        for result in mailer.send_many(messages(3)):
            if result.index == 0:
                with pytest.raises(SettingsError, match="another mailer"):
                    mailer.send(alert)
        assert mailer.send(alert).accepted == ("r99@example.com",)


def test_a_slow_iterable_does_not_keep_the_results_of_other_connections(
    account: franking.Account, scripted: ScriptedProvider
) -> None:
    told = threading.Event()

    def slow() -> Iterator[franking.Message]:
        yield from messages(4)
        assert told.wait(20), "the results of four messages were kept until the fifth was drawn"
        yield from messages(1, 4)

    got = []
    with franking.connect(account, secret="x") as mailer:
        for result in mailer.send_many(slow(), connections=2):
            got.append(result.index)
            if len(got) >= 3:  # one may be on its way with the connection that draws
                told.set()
    assert sorted(got) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("connections", [1, 3])
def test_who_leaves_the_loop_sends_no_more(
    account: franking.Account, scripted: ScriptedProvider, connections: int
) -> None:
    with franking.connect(account, secret="x", connections=connections) as mailer:
        for _ in mailer.send_many(messages(1_000_000), window=4):
            break
    assert len(scripted.sent) < 500
    assert scripted.open_now == 0


# -- stopped ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("connections", [1, 2])
def test_stop_does_not_wait_for_pauses(account: franking.Account, scripted: ScriptedProvider, connections: int) -> None:
    scripted.by_recipient["r0@example.com"] = [Throttled("in a quarter of an hour", retry_after=800.0)]
    stop = threading.Event()
    waits = threading.Event()

    def source() -> Iterator[franking.Message]:
        yield from messages(1)
        yield from messages(10, 1)

    def stopper() -> None:
        waits.wait(20)
        stop.set()

    thread = threading.Thread(target=stopper)
    thread.start()
    original = Queue.slow_down

    def slow_down(feed: Queue, pause: float) -> None:
        original(feed, pause)
        waits.set()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Queue, "slow_down", slow_down)
        with franking.connect(account, secret="x", connections=connections) as mailer:
            results = {result.index: result for result in mailer.send_many(source(), stop=stop)}
    thread.join()
    assert results[0].outcome == "failed"
    assert isinstance(results[0].error, Throttled)
    assert results[0].error.diagnosis is not None
    assert {result.outcome for result in results.values()} <= {"failed", "accepted"}


@pytest.mark.parametrize(
    ("answers", "outcome", "accepted"),
    [
        ([{"r0@example.com": LATER}], "accepted", ("b@example.com",)),
        ([RecipientsRefused("all", refused={"r0@example.com": LATER, "b@example.com": LATER})], "failed", None),
    ],
)
def test_stop_tells_who_was_refused_for_now(
    account: franking.Account, scripted: ScriptedProvider, answers: list[Any], outcome: str, accepted: Any
) -> None:
    scripted.answers = list(answers)
    stop = threading.Event()

    def source() -> Iterator[franking.Message]:
        yield franking.Message(to=["r0@example.com", "b@example.com"], subject="x", text="x")
        stop.set()  # now the first waits for its second attempt
        yield from messages(1, 7)

    with franking.connect(account, secret="x") as mailer:
        results = {
            result.index: result
            for result in mailer.send_many(source(), window=1, stop=stop, policy=Policy(attempts=5, first=3600.0))
        }
    first = results[0]
    assert first.outcome == outcome
    assert (first.receipt.accepted if first.receipt else None) == accepted
    refused = first.receipt.refused if first.receipt else first.error.refused  # type: ignore[union-attr]
    assert refused["r0@example.com"] == LATER


# -- Ctrl-C ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("connections", [1, 2])
def test_an_interruption_of_the_iterable_comes_after_the_results(
    account: franking.Account, scripted: ScriptedProvider, connections: int
) -> None:
    def source() -> Iterator[franking.Message]:
        yield from messages(3)
        raise KeyboardInterrupt

    got = []
    with franking.connect(account, secret="x") as mailer, pytest.raises(KeyboardInterrupt):
        for result in mailer.send_many(source(), window=4, connections=connections):
            got.append((result.index, result.outcome))
    assert sorted(got) == [(0, "accepted"), (1, "accepted"), (2, "accepted")]


class Dying(ScriptedManySession):
    """Draw two messages, and die of Ctrl-C without a word about either."""

    def send_many(self, jobs: Any, *, window: int) -> Iterator[Any]:
        source = iter(jobs)
        yield from ()
        next(source), next(source)
        raise KeyboardInterrupt


@pytest.mark.parametrize("scripted", [True], indirect=True)
def test_what_a_session_had_begun_is_unknown_when_it_dies_of_an_interruption(
    account: franking.Account, scripted: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ScriptedProvider, "open", lambda self, account, *more: Dying(self, more[1], account.name))
    results = {}
    with franking.connect(account, secret="x", window=4) as mailer, pytest.raises(KeyboardInterrupt):
        for result in mailer.send_many(messages(5)):
            results[result.index] = result.outcome
    assert results == {0: "unknown", 1: "unknown"}


@pytest.mark.parametrize("scripted", [True], indirect=True)
def test_what_a_session_had_not_begun_is_safe(account: franking.Account, scripted: ScriptedProvider) -> None:
    """The second message is drawn, and Ctrl-C comes while it is noted down (``started``): nothing of it left."""

    def started(index: int, message_id: str) -> None:
        if index == 1:
            raise KeyboardInterrupt

    results = {}
    with franking.connect(account, secret="x", window=4) as mailer, pytest.raises(KeyboardInterrupt):
        for result in mailer.send_many(messages(5), started=started):
            results[result.index] = result.outcome
    assert results == {0: "unknown", 1: "failed"}
    assert scripted.sent == []


def test_an_interruption_while_a_session_opens_sends_nothing(
    account: franking.Account, scripted: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(ScriptedProvider, "open", broken)
    results = []
    with franking.connect(account, secret="x") as mailer, pytest.raises(KeyboardInterrupt):
        for result in mailer.send_many(messages(5)):
            results.append(result)
    assert [(result.index, result.outcome) for result in results] == [(0, "failed")]
    assert results[0].error is not None and results[0].error.diagnosis is not None


@pytest.mark.parametrize("scripted", [False], indirect=True)
@pytest.mark.parametrize(("mark", "outcome"), [(None, "unknown"), (True, "unknown"), (False, "failed")])
def test_a_session_that_was_interrupted_says_whether_it_may_have_been_accepted(
    account: franking.Account,
    scripted: ScriptedProvider,
    monkeypatch: pytest.MonkeyPatch,
    mark: bool | None,
    outcome: str,
) -> None:
    interruption: Any = KeyboardInterrupt()
    if mark is not None:
        interruption.possibly_sent = mark

    def broken(self: ScriptedSession, envelope: Any, content: Any) -> Any:
        raise interruption

    monkeypatch.setattr(ScriptedSession, "send", broken)
    results = []
    with franking.connect(account, secret="x") as mailer, pytest.raises(KeyboardInterrupt) as caught:
        for result in mailer.send_many(messages(5), policy=AGAIN):
            results.append((result.index, result.outcome))
    assert caught.value is interruption
    assert results == [(0, outcome)]
    assert scripted.opened == 1


@pytest.mark.parametrize("scripted", [False], indirect=True)
def test_the_second_ctrl_c_breaks_off_what_several_connections_wait_for(
    account: franking.Account, scripted: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting, aborted = threading.Semaphore(0), threading.Event()

    def waits(self: ScriptedSession, envelope: Any, content: Any) -> Any:
        waiting.release()
        assert aborted.wait(20), "nobody broke it off"
        raise OutcomeUnknown("broken off")

    def presses() -> None:
        main = threading.main_thread().ident or 0
        for _ in range(2):
            assert waiting.acquire(timeout=20)
        signal.pthread_kill(main, signal.SIGINT)
        time.sleep(0.2)
        assert not aborted.is_set(), "the first one waits for replies"
        for _ in range(10):  # a busy machine may see two as one
            signal.pthread_kill(main, signal.SIGINT)
            if aborted.wait(2):
                break

    monkeypatch.setattr(ScriptedSession, "send", waits)
    monkeypatch.setattr(ScriptedSession, "abort", lambda self: aborted.set())
    hand = threading.Thread(target=presses)
    hand.start()
    results = []
    with franking.connect(account, secret="x", connections=2) as mailer, pytest.raises(KeyboardInterrupt):
        for result in mailer.send_many(messages(50), policy=AGAIN):
            results.append(result.outcome)
    hand.join()
    assert results == ["unknown", "unknown"]


@pytest.fixture
def no_garbage_collection() -> Iterator[None]:
    """Keep the collector still: an interruption that falls into a callback of its (other plugins have one) is lost in
    there.
    """
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def interrupting(when: int) -> Callable[..., None]:
    """Press Ctrl-C when the server has heard so many ends of messages; the answer goes out all the same."""
    heard = itertools.count(1)

    def act(peer: Any, reply: str) -> None:
        if next(heard) == when:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        peer.send((reply + "\r\n").encode())

    return act


@pytest.mark.parametrize(
    ("extensions", "window"),
    [(EXTENSIONS, 1), (EXTENSIONS, 16), (PIPES, 1), ((), 1)],
    ids=["chunking", "window", "pipelining", "plain"],
)
@pytest.mark.usefixtures("no_garbage_collection")
def test_ctrl_c_at_any_message_leaves_every_state_known(extensions: tuple[str, ...], window: int) -> None:
    """Python's own handler raises in the main thread, wherever that is; the server's record is the judge of what is
    then told.
    """
    seen: Counter[str] = Counter()
    for seed in range(40):
        drawn = []

        def source(drawn: list[int] = drawn) -> Iterator[franking.Message]:
            for number, message in enumerate(messages(60)):
                drawn.append(number)
                yield message

        with SmtpServer(
            extensions=extensions, faults=[Fault("body", interrupting(seed % 30 + 1), nth=None, executed=True)]
        ) as server:
            account = franking.Account(
                name="t",
                provider="smtp",
                sender="a@example.com",
                host="127.0.0.1",
                port=server.port,
                security="none",
                timeout=5.0,
            )
            results: dict[int, bulk.SendResult] = {}
            interrupted = False
            with franking.connect(account) as mailer:
                many = mailer.send_many(source(), window=window)
                while True:
                    try:
                        for result in many:
                            assert result.index not in results, "a message was told of twice"
                            results[result.index] = result
                        break
                    except KeyboardInterrupt:
                        interrupted = True  # in the library, or in this very loop: then there is more to read
            server.wait()
            arrived = Counter(int(message.data.split(b"Subject: ")[1].split(b"\r\n")[0]) for message in server.messages)
        assert interrupted
        # the last one may have been lost on its way into the library
        assert set(drawn) - set(results) <= {drawn[-1]}, "a message was lost"
        assert set(arrived) <= set(results)
        assert max(arrived.values()) == 1
        for number, result in results.items():
            seen[result.outcome] += 1
            if result.outcome == "accepted":
                assert arrived[number] == 1
            if result.outcome == "failed":
                assert arrived[number] == 0, f"{number} is called safe and was accepted (seed {seed}): {result.error}"
    assert seen["accepted"]


def test_ctrl_c_with_several_connections_finishes_what_is_under_way() -> None:
    with SmtpServer(faults=[Fault("body", interrupting(20), nth=None, executed=True)]) as server:
        account = franking.Account(
            name="t", provider="smtp", sender="a@example.com", host="127.0.0.1", port=server.port, security="none"
        )
        results = []
        with franking.connect(account, connections=3, window=4) as mailer, pytest.raises(KeyboardInterrupt):
            for result in mailer.send_many(messages(1_000_000)):
                results.append(result)
        assert {result.outcome for result in results} == {"accepted"}
        assert len(results) == len(server.messages) < 100_000


# -- a very long list of recipients -----------------------------------------------------------------------------------


@pytest.mark.parametrize("extensions", [EXTENSIONS, PIPES], ids=["chunking", "pipelining"])
@pytest.mark.parametrize("many", [False, True], ids=["send", "send_many"])
def test_ten_thousand_recipients_are_one_receipt(extensions: tuple[str, ...], many: bool) -> None:
    """A server that takes a thousand in one transaction (452 4.5.3) gets ten transactions: everybody once, one
    Message-ID, one receipt.
    """
    everybody = [f"r{number}@example.com" for number in range(10_000)]
    message = franking.Message(to="list@example.com", bcc=everybody[1:], subject="x", text="x\n")
    refused = {"r77@example.com": "550 5.1.1 nobody", "r7777@example.com": "550 5.1.1 nobody"}
    with SmtpServer(extensions=extensions, most_recipients=1_000, refused=refused) as server:
        account = franking.Account(
            name="t", provider="smtp", sender="a@example.com", host="127.0.0.1", port=server.port, security="none"
        )
        with franking.connect(account) as mailer:
            if many:
                (result,) = mailer.send_many([message], window=4)
                assert result.receipt is not None
                receipt = result.receipt
            else:
                receipt = mailer.send(message)
    expected = {"list@example.com", *everybody[1:]} - set(refused)
    assert set(receipt.accepted) == expected
    assert len(receipt.accepted) == len(expected)
    assert set(receipt.refused) == set(refused)
    arrived = [recipient for one in server.messages for recipient in one.recipients]
    assert sorted(arrived) == sorted(expected)
    assert {len(one.data) for one in server.messages} == {len(server.messages[0].data)}
    assert all(receipt.message_id.encode() in one.data for one in server.messages)
    assert len(server.sessions) == 1


# -- cut off ---------------------------------------------------------------------------------------------------------


class CuttingServer(SmtpServer):
    """Cut every connection at a random octet of its own, heard or said."""

    dice = random.Random(0)

    @property  # type: ignore[override]
    def cut_received(self) -> int | None:
        return self.dice.randrange(40, 4_000) if self.dice.random() < 0.6 else None

    @cut_received.setter
    def cut_received(self, value: object) -> None: ...

    @property  # type: ignore[override]
    def cut_sent(self) -> int | None:
        return self.dice.randrange(220, 2_500)

    @cut_sent.setter
    def cut_sent(self, value: object) -> None: ...


@pytest.mark.parametrize(
    ("extensions", "window", "connections"),
    one_of_each([(EXTENSIONS, 16, 3), (EXTENSIONS, 16, 1), (EXTENSIONS, 1, 1), (PIPES, 1, 1), ((), 1, 1)], type),
    ids=["connections", "window", "chunking", "pipelining", "plain"],
)
def test_two_hundred_cuts_and_nothing_twice(extensions: tuple[str, ...], window: int, connections: int) -> None:
    """What is called safe is sent again until it is accepted: were one of them wrongly called safe, the server would
    have it twice.
    """
    seen: Counter[str] = Counter()
    CuttingServer.dice = random.Random(window)
    with CuttingServer(extensions=extensions) as server:
        account = franking.Account(
            name="t",
            provider="smtp",
            sender="a@example.com",
            host="127.0.0.1",
            port=server.port,
            security="none",
            timeout=5.0,
        )
        total = 0
        while len(server.sessions) < 200:
            before = len(server.messages)
            with franking.connect(account, connections=connections, window=window) as mailer:
                results = list(mailer.send_many(messages(100, total), policy=AGAIN))
            assert sorted(result.index for result in results) == list(range(100))
            arrived = Counter(
                int(message.data.split(b"Subject: ")[1].split(b"\r\n")[0]) for message in server.messages[before:]
            )
            for message in server.messages[before:]:
                number = int(message.data.split(b"Subject: ")[1].split(b"\r\n")[0])
                assert message.recipients == [f"r{number}@example.com"], "a message reached another's recipient"
                assert message.data.endswith(b"\r\n\r\n%d\r\n" % number), "a message arrived in part"
            for result in results:
                seen[result.outcome] += 1
                copies = arrived[total + result.index]
                assert copies <= 1, "a message that was called safe had been accepted"
                assert result.outcome in ("accepted", "unknown"), result.error
                assert result.outcome == "unknown" or copies == 1
            total += 100
    assert seen["accepted"]
    assert seen["unknown"]


# -- limits ----------------------------------------------------------------------------------------------------------


def limited(scripted: ScriptedProvider, **limits: Any) -> None:
    scripted.facts = Facts(routes=(RouteFacts("scripted", **limits),), mail_domains=("example.com",))


def test_the_providers_day_is_kept_and_what_is_left_fails_for_now(
    account: franking.Account, scripted: ScriptedProvider
) -> None:
    limited(scripted, per_day=5)
    with franking.connect(account, secret="x") as mailer:
        results = {result.index: result for result in mailer.send_many(messages(8), window=4)}
    assert [results[number].outcome for number in range(8)] == ["accepted"] * 5 + ["failed"] * 3
    assert len(scripted.sent) == 5
    error = results[5].error
    assert isinstance(error, Throttled)
    assert error.temporary
    assert error.retry_after == pytest.approx(86400 + 450, abs=451)  # until the quarter of an hour is a day ago
    assert error.diagnosis is not None
    assert error.diagnosis.code == "limit.per-day"


def test_every_limit_can_be_set_or_lifted(account: franking.Account, scripted: ScriptedProvider) -> None:
    limited(scripted, per_day=5, per_minute=1)
    with franking.connect(account, secret="x", rate=math.inf) as mailer:
        assert {result.outcome for result in mailer.send_many(messages(8), per_day=math.inf)} == {"accepted"}
        assert [result.outcome for result in mailer.send_many(messages(3), per_day=2)] == [
            "accepted",
            "accepted",
            "failed",
        ]
        with pytest.raises(SettingsError, match="per_day"):
            mailer.send_many([], per_day=0)
        with pytest.raises(SettingsError, match="connections"):
            mailer.send_many([], connections=-1)


def test_a_personal_mailbox_may_send_fewer(account: franking.Account, scripted: ScriptedProvider) -> None:
    limited(scripted, per_day=2_000, per_day_personal=500)
    assert franking.connect(account, secret="x").limits.per_day == 500
    company = franking.Account(name="s", provider="scripted", sender="jan@novak.cz")
    assert franking.connect(company).limits.per_day == 2_000


@pytest.mark.parametrize(
    ("mailer_s", "run_s", "minutes"),
    [(None, None, 1), (4.0, None, 0), (None, 1.0, 2), (4.0, 1.0, 2), (math.inf, None, 0), (None, 0.5, 4)],
)
def test_the_pace_is_the_run_s_or_the_mailer_s_or_the_provider_s(
    account: franking.Account, scripted: ScriptedProvider, mailer_s: float | None, run_s: float | None, minutes: int
) -> None:
    limited(scripted, per_minute=2)
    with capture() as outbox, franking.connect(account, rate=mailer_s) as mailer:
        began = outbox.clock()
        told = [outbox.clock() for _ in mailer.send_many(messages(3), rate=run_s)]
    assert [round((moment - began) / 60) for moment in told][-1:] == [minutes]
    assert len(told) == 3
