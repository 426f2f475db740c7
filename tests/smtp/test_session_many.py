"""Many messages on one connection: the window, what is drawn when, and that no message's fate is ever told wrongly."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import franking
from franking.errors import (
    ConnectError,
    FrankingError,
    MessageError,
    OutcomeUnknown,
    RecipientsRefused,
    Refused,
    Throttled,
)
from franking.message.address import Envelope
from franking.provider import Receipt, Step, SupportsMany, silent
from franking.smtp.open import open_session
from franking.smtp.session import SmtpSession
from servers.certificates import Certificates
from servers.dialogue import Raw
from servers.smtp import EXTENSIONS, Fault, SmtpServer, hangs_up, says, silence, then, wait_until

Start = Callable[..., SmtpServer]
Job = tuple[int, Envelope, Raw]
PIPES = ("PIPELINING", "SIZE 52428800", "8BITMIME")
LANES = [
    ("CHUNKING", EXTENSIONS, 1),
    ("CHUNKING, window", EXTENSIONS, 16),
    ("PIPELINING", PIPES, 1),
    ("PIPELINING, window", PIPES, 4),
    ("plain", (), 4),
]
lanes = pytest.mark.parametrize(("extensions", "window"), [lane[1:] for lane in LANES], ids=[lane[0] for lane in LANES])


def opened(server: SmtpServer, **settings: Any) -> SmtpSession:
    options = {"security": "none", "timeout": 5.0, "final_timeout": 5.0, **settings}
    account = franking.Account(
        name="t", provider="smtp", sender="a@x.test", host="127.0.0.1", port=server.port, **options
    )
    return open_session(account, None, silent, route="smtp")


def job(number: int, *, to: str | None = None, sender: str = "a@x.test", size: int = 100) -> Job:
    """Make a message whose text names its recipient, so that a mix-up would show."""
    recipient = to or f"r{number}@y.test"
    body = f"Subject: {number}\r\nTo: {recipient}\r\n\r\n".encode()
    return (
        number,
        Envelope(sender, [recipient]),
        Raw(body + b".x" * (size // 4) + b"\r\n" * (size // 4), message_id=f"<{number}@x.test>", chunk=5000),
    )


class Ready(Iterator[Job]):
    """Jobs that know how many are left, as a list does, so that a session may gather them; draws are still seen one by
    one.
    """

    def __init__(self, jobs: Iterator[Job], left: int) -> None:
        self.jobs, self.left = jobs, left

    def __next__(self) -> Job:
        self.left -= 1
        return next(self.jobs)

    def __length_hint__(self) -> int:
        return max(self.left, 0)


def number_of(data: bytes) -> int:
    return int(data.split(b"\r\n", 1)[0].removeprefix(b"Subject: "))


def right(server: SmtpServer) -> set[int]:
    """Return the numbers of the accepted messages, each whole and at its own recipient."""
    for message in server.messages:
        number = number_of(message.data)
        assert message.recipients in ([f"r{number}@y.test"], ["other@y.test"])
        assert f"To: {message.recipients[0]}\r\n".encode() in message.data
    return {number_of(message.data) for message in server.messages}


def test_a_session_supports_many(smtp_server: Start) -> None:
    session = opened(smtp_server())
    assert isinstance(session, SupportsMany)
    session.close()


@lanes
def test_every_message_arrives_whole_in_order_and_with_its_receipt(
    smtp_server: Start, extensions: tuple[str, ...], window: int
) -> None:
    server = smtp_server(extensions=extensions)
    session = opened(server)
    jobs = [job(number, size=random.Random(number).choice([10, 3000, 70000])) for number in range(60)]
    results = dict(session.send_many(jobs, window=window))
    session.close()
    assert list(results) == list(range(60))
    for number, (message, (_, _, content)) in enumerate(zip(server.messages, jobs, strict=True)):
        receipt = results[number]
        assert isinstance(receipt, Receipt)
        assert receipt.reply == f"250 2.0.0 queued as {number + 1}"
        assert receipt.message_id == content.message_id
        assert message.data == content.data
    assert right(server) == set(range(60))


@lanes
def test_a_refusal_in_the_middle_belongs_to_its_message_only(
    smtp_server: Start, extensions: tuple[str, ...], window: int
) -> None:
    refused = {"evil@x.test": "553 5.7.1 not yours", "nobody@y.test": "550 5.1.1 nobody"}
    faults = [Fault("body", says("554 5.7.1 spam"), nth=5)]
    server = smtp_server(extensions=extensions, refused=refused, faults=faults)
    session = opened(server)
    jobs = [
        job(
            number,
            sender="evil@x.test" if number == 3 else "a@x.test",
            to="nobody@y.test" if number in (7, 8) else None,
        )
        for number in range(20)
    ]
    jobs[11] = (11, Envelope("a@x.test", ["nobody@y.test", "other@y.test"]), job(11, to="other@y.test")[2])
    jobs[13] = (13, jobs[13][1], Raw("ž".encode(), eight_bit=True, smtputf8=True))
    results = dict(session.send_many(jobs, window=window))
    assert not session.closed
    session.close()
    assert set(results) == set(range(20))
    kinds = {number: type(result) for number, result in results.items() if not isinstance(result, Receipt)}
    spam = [number for number, kind in kinds.items() if kind is Refused and number != 3]
    assert len(spam) == 1
    assert kinds.pop(spam[0]) is Refused
    local = {13: MessageError} if "SMTPUTF8" not in extensions else {}
    assert kinds == {3: Refused, 7: RecipientsRefused, 8: RecipientsRefused, **local}
    assert list(results[11].refused) == ["nobody@y.test"]  # type: ignore[union-attr]
    delivered = {number for number, result in results.items() if isinstance(result, Receipt)} - {13}
    server.messages[:] = [message for message in server.messages if message.data != "ž".encode()]
    assert right(server) == delivered


def test_jobs_are_drawn_only_when_there_is_room(smtp_server: Start) -> None:
    go = threading.Event()

    def waits(peer: Any, reply: str) -> None:
        go.wait(10)
        peer.send((reply + "\r\n").encode())

    for extensions, window, most in ((EXTENSIONS, 1, 1), (EXTENSIONS, 4, 4), (PIPES, 1, 2), ((), 4, 1)):
        go.clear()
        drawn: list[int] = []
        enough = threading.Event()

        def jobs(drawn: list[int] = drawn, enough: threading.Event = enough, most: int = most) -> Iterator[Job]:
            for number in range(10):
                drawn.append(number)
                if len(drawn) >= most:
                    enough.set()
                yield job(number)

        server = smtp_server(extensions=extensions, faults=[Fault("body", waits, executed=True)])
        session = opened(server)
        results = session.send_many(jobs(), window=window)
        first: list[Any] = []
        reader = threading.Thread(target=lambda results=results, first=first: first.append(next(results)))
        reader.start()
        assert enough.wait(10)
        assert len(drawn) <= most
        go.set()
        reader.join(10)
        assert first[0][0] == 0
        assert len(dict(results)) == 9
        session.close()


def test_a_result_is_told_before_the_next_job_is_drawn_from_a_slow_source(smtp_server: Start) -> None:
    server = smtp_server()
    session = opened(server)
    seen: list[int] = []

    def jobs() -> Iterator[Job]:
        for number in range(5):
            if number > 1:
                while len(server.messages) < number:
                    pass
            yield job(number)

    for tag, result in session.send_many(jobs(), window=16):
        assert isinstance(result, Receipt)
        seen.append(tag)
    session.close()
    assert seen == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("recipients", [1, 2, 3])
def test_no_reply_is_waited_for_that_was_heard_while_a_slow_source_was_drawn(
    smtp_server: Start, certificates: Certificates, recipients: int
) -> None:
    # each reply is a TLS record of its own, so that the last one may be read where only results were looked for
    server = smtp_server(extensions=PIPES, context=certificates.context("good"), implicit_tls=True)
    session = opened(server, security="tls", ca_file=certificates.ca_file, timeout=2.0)
    to = [f"r{number}@y.test" for number in range(recipients)]

    def jobs() -> Iterator[Job]:
        for number in range(30):
            time.sleep(0.002)
            _, envelope, content = job(number)
            yield number, Envelope(envelope.sender, to), content

    results = dict(session.send_many(jobs()))
    session.close()
    assert [type(result) for result in results.values()] == [Receipt] * 30


def test_a_result_is_told_while_others_are_waited_for(smtp_server: Start) -> None:
    go = threading.Event()

    def waits(peer: Any, reply: str) -> None:
        go.wait(10)
        peer.send((reply + "\r\n").encode())

    server = smtp_server(faults=[Fault("body", waits, nth=2, executed=True)])
    session = opened(server)
    results = session.send_many([job(number) for number in range(40)], window=8)
    assert next(results)[0] == 0
    go.set()
    assert [tag for tag, _ in results] == list(range(1, 40))
    session.close()
    assert right(server) == set(range(40))


def test_jobs_that_are_there_already_leave_half_a_window_at_a_time(
    smtp_server: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = opened(smtp_server())
    flights: list[bytes] = []
    write = session._connection.write

    def seen(data: bytes, enough: Any = None) -> None:
        flights.append(data)
        write(data, enough)

    monkeypatch.setattr(session._connection, "write", seen)
    assert len(dict(session.send_many([job(number) for number in range(40)], window=16))) == 40
    assert [flight.count(b"MAIL FROM") for flight in flights] == [8] * 5
    flights.clear()
    assert len(dict(session.send_many((job(number) for number in range(40)), window=16))) == 40
    assert [flight.count(b"MAIL FROM") for flight in flights] == [1] * 40
    session.close()


@pytest.mark.skipif(not hasattr(socket, "TCP_CORK"), reason="this system has no TCP_CORK")
def test_a_generator_that_keeps_nobody_waiting_is_trusted_to_fill_half_a_window(
    smtp_server: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = opened(smtp_server())
    session._clock = lambda: 0.0  # a busy machine is no slow source
    told: list[str] = []
    write, cork = session._connection.write, session._connection.cork

    def written(data: bytes, enough: Any = None) -> None:
        told.append("held" if session._connection._corked else "left")
        write(data, enough)

    def corked(on: bool) -> None:
        if not on and session._connection._corked:
            told.append("|")
        cork(on)

    monkeypatch.setattr(session._connection, "write", written)
    monkeypatch.setattr(session._connection, "cork", corked)
    assert len(dict(session.send_many((job(number) for number in range(32)), window=16))) == 32
    session.close()
    flights = [flight.split() for flight in " ".join(told).split("|")]
    flights = [flight for flight in flights if flight]  # some are let go before anything was put on them
    assert flights[0] == ["left"] * 8 + ["held"] * 8  # at first nobody knows
    assert flights[1:3] == [["held"] * 8] * 2


def test_what_is_held_leaves_though_a_source_that_was_trusted_makes_it_wait(smtp_server: Start) -> None:
    server = smtp_server()
    session = opened(server)
    session._clock = lambda: 0.0

    def jobs() -> Iterator[Job]:
        yield from (job(number) for number in range(11))
        wait_until(lambda: len(server.messages) == 11)
        yield job(11)

    assert len(list(session.send_many(jobs(), window=16))) == 12
    session.close()
    assert right(server) == set(range(12))


def test_with_pipelining_alone_the_next_message_is_composed_while_the_server_works(smtp_server: Start) -> None:
    drawn = threading.Semaphore(0)

    def jobs() -> Iterator[Job]:
        for number in range(6):
            drawn.release()
            yield job(number)

    def waits(peer: Any, reply: str) -> None:
        taken = sum(drawn.acquire(timeout=10) for _ in range(3))
        peer.send((reply if taken == 3 else f"451 only {taken} were drawn").encode() + b"\r\n")

    server = smtp_server(extensions=PIPES, faults=[Fault("body", waits, executed=True)])
    session = opened(server, timeout=60.0, final_timeout=60.0)
    told = dict(session.send_many(Ready(jobs(), 6)))
    session.close()
    assert all(isinstance(result, Receipt) for result in told.values()), told
    assert right(server) == set(range(6))


def test_a_source_that_fails_leaves_nothing_behind_that_was_gathered(smtp_server: Start) -> None:
    def jobs() -> Iterator[Job]:
        yield job(0)
        yield (1, job(1)[1], Raw("ž".encode(), claimed=10**9))
        yield job(2)
        raise LookupError("no more rows")

    server = smtp_server()
    session = opened(server)
    results = session.send_many(Ready(jobs(), 99), window=16)
    first = dict([next(results), next(results), next(results)])
    assert isinstance(first[1], Refused)
    with pytest.raises(LookupError):
        next(results)
    session.close()
    assert right(server) == {0, 2}


@pytest.mark.parametrize("extensions", [EXTENSIONS, PIPES])
def test_no_message_is_kept_back_while_a_source_that_was_fast_makes_one_wait(
    smtp_server: Start, extensions: tuple[str, ...]
) -> None:
    server = smtp_server(extensions=extensions)
    session = opened(server)

    def jobs() -> Iterator[Job]:
        yield from (job(number) for number in range(3))
        wait_until(lambda: len(server.messages) == 3 if extensions is EXTENSIONS else len(server.messages) >= 2)
        yield job(3)

    assert len(list(session.send_many(jobs(), window=16))) == 4
    session.close()
    assert right(server) == {0, 1, 2, 3}


def test_an_exception_of_the_source_comes_after_the_results(smtp_server: Start) -> None:
    def jobs() -> Iterator[Job]:
        yield job(0)
        yield job(1)
        raise LookupError("no more rows")

    session = opened(smtp_server())
    results = session.send_many(jobs(), window=16)
    assert [next(results)[0], next(results)[0]] == [0, 1]
    with pytest.raises(LookupError):
        next(results)
    assert not session.closed
    session.close()


def test_leaving_early_closes_a_session_with_messages_in_flight(smtp_server: Start) -> None:
    third = threading.Event()

    def waits(peer: Any, reply: str) -> None:
        third.wait(10)
        peer.send((reply + "\r\n").encode())

    def jobs() -> Iterator[Job]:
        for number in range(10):
            if number == 2:
                third.set()
            yield job(number)

    session = opened(smtp_server(faults=[Fault("body", waits, executed=True), Fault("body", silence, nth=2)]))
    results = session.send_many(jobs(), window=4)
    assert next(results)[0] == 0
    results.close()  # type: ignore[attr-defined]
    assert session.closed


def test_closing_in_the_middle_finishes_what_is_in_flight_and_draws_no_more(smtp_server: Start) -> None:
    server = smtp_server()
    session = opened(server)
    told = []
    for tag, result in session.send_many((job(number) for number in range(100)), window=8):
        assert isinstance(result, Receipt)
        told.append(tag)
        session.close()
    assert session.closed
    assert right(server) == set(told)
    assert len(told) < 20
    assert server.wait().lines[-1] == "QUIT"


def test_a_connection_that_ends_while_the_results_are_looked_at_is_stale(smtp_server: Start) -> None:
    server = smtp_server()
    session = opened(server)
    results = session.send_many((job(number) for number in range(5)), window=1)
    assert isinstance(next(results)[1], Receipt)
    server._peers[0].stop()
    server.wait()
    ((tag, error),) = results
    assert tag == 1
    assert isinstance(error, ConnectError)
    assert error.stale
    assert session.closed


def test_nothing_is_drawn_from_a_closed_session(smtp_server: Start) -> None:
    server = smtp_server(faults=[Fault("body", hangs_up)])
    session = opened(server)
    with pytest.raises(OutcomeUnknown):
        session.send(*job(0)[1:])
    drawn: list[Job] = []
    with pytest.raises(ConnectError) as caught:
        list(session.send_many((drawn.append(job(1)) or job(1) for _ in range(3)), window=4))  # type: ignore[func-returns-value]
    assert caught.value.stale
    assert drawn == []


def test_the_session_goes_on_after_many(smtp_server: Start) -> None:
    server = smtp_server()
    session = opened(server)
    assert len(list(session.send_many([job(0), job(1)], window=4))) == 2
    assert isinstance(session.send(*job(2)[1:]), Receipt)
    assert list(session.send_many([], window=4)) == []
    session.close()
    assert right(server) == {0, 1, 2}


def test_too_many_recipients_are_told_as_refused_for_now(smtp_server: Start) -> None:
    server = smtp_server(most_recipients=3)
    session = opened(server)
    everybody = [f"p{number}@y.test" for number in range(8)]
    ((_, receipt),) = session.send_many([(1, Envelope("a@x.test", everybody), Raw())], window=4)
    session.close()
    assert isinstance(receipt, Receipt)
    assert receipt.accepted == tuple(everybody[:3])
    assert receipt.refused == {
        address: {"reply": "452 4.5.3 too many recipients", "temporary": True} for address in everybody[3:]
    }


@pytest.mark.parametrize("nth", [1, 4])
def test_421_in_a_window_leaves_everything_behind_it_safe(smtp_server: Start, nth: int) -> None:
    """On a connection that has carried something it is the session's end, on a new one a wish for less."""
    server = smtp_server(faults=[Fault("mail", then(says("421 4.7.0 too much mail"), hangs_up), nth=nth)])
    session = opened(server)
    results = dict(session.send_many((job(number) for number in range(50)), window=8))
    assert session.closed
    first = nth - 1
    for number, result in results.items():
        assert isinstance(result, Receipt) is (number < first)
        assert not getattr(result, "possibly_sent", False)
        if number >= first:
            assert getattr(result, "stale", False) is bool(first)
    assert isinstance(results[first], ConnectError if first else Throttled)
    assert right(server) == set(range(first))


# — a connection cut anywhere —


def cut_anywhere(extensions: tuple[str, ...], window: int, seed: int) -> Counter[str]:
    """Cut a connection at a random octet, read or sent; check each message's fate against what the server really
    accepted.
    """
    dice = random.Random(seed)
    sizes = [dice.choice([10, 200, 3000]) if dice.random() < 0.95 else 70000 for _ in range(12)]
    total = sum(sizes) + 12 * 120 + 40
    cut = (
        {"cut_received": dice.randrange(40, total)} if dice.random() < 0.6 else {"cut_sent": dice.randrange(220, 1800)}
    )
    refused = {"evil@x.test": "553 5.7.1 not yours", "nobody@y.test": "550 5.1.1 nobody"} if dice.random() < 0.5 else {}
    drawn = []

    def jobs() -> Iterator[Job]:
        for number, size in enumerate(sizes):
            drawn.append(number)
            chance = dice.random()
            yield job(
                number,
                sender="evil@x.test" if chance < 0.1 else "a@x.test",
                to="nobody@y.test" if chance > 0.9 else None,
                size=size,
            )

    with SmtpServer(extensions=extensions, refused=refused, **cut) as server:  # type: ignore[arg-type]
        session = opened(server, timeout=2.0, final_timeout=2.0)
        told = list(session.send_many(Ready(jobs(), 12) if seed % 2 else jobs(), window=window))
        session.close()
        server.wait()
    results: dict[int, Receipt | FrankingError] = dict(told)
    assert len(told) == len(results), "a message was told of twice"
    assert sorted(results) == drawn, "a message was lost"
    really = [number_of(message.data) for message in server.messages]
    assert len(set(really)) == len(really)
    fates: Counter[str] = Counter()
    for number, result in results.items():
        fate = "accepted" if isinstance(result, Receipt) else "unknown" if result.possibly_sent else "safe"
        fates[fate] += 1
        assert isinstance(result, OutcomeUnknown) is (fate == "unknown")
        if fate == "accepted":
            assert number in really, f"{number} is called accepted and was not (seed {seed})"
        if fate == "safe":
            assert number not in really, f"{number} is called safe and was accepted (seed {seed}): {result}"
    for message in server.messages:
        assert f"To: {message.recipients[0]}\r\n".encode() in message.data, (
            f"a message reached another's recipient (seed {seed})"
        )
    return fates


@lanes
def test_a_connection_cut_anywhere_never_makes_a_message_wrongly_safe(extensions: tuple[str, ...], window: int) -> None:
    seen: Counter[str] = Counter()
    for seed in range(100):
        seen += cut_anywhere(extensions, window, seed)
    assert set(seen) == {"accepted", "unknown", "safe"}, seen


def test_an_observer_is_told_of_single_messages_only(smtp_server: Start) -> None:
    steps: list[Step] = []
    server = smtp_server()
    account = franking.Account(
        name="t", provider="smtp", sender="a@x.test", host="127.0.0.1", port=server.port, security="none"
    )
    session = open_session(account, None, steps.append, route="smtp")
    steps.clear()
    assert len(list(session.send_many([job(0), job(1)]))) == 2
    assert steps == []
    session.send(*job(2)[1:])
    assert [step.name for step in steps if step.status == "ok"] == ["message", "accepted"]
    session.close()


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interruption_tells_what_became_of_everything_that_was_drawn(
    smtp_server: Start, monkeypatch: pytest.MonkeyPatch, kind: type[BaseException]
) -> None:
    session = opened(smtp_server(extensions=PIPES, faults=[Fault("body", silence)]))
    fill = session._connection.fill
    waits = iter(range(1, 100))

    def interrupted(seconds: float | None = None) -> None:
        if next(waits) == 2:  # the first content and the second envelope have left, the third job is fetched
            raise kind
        fill(seconds)

    monkeypatch.setattr(session._connection, "fill", interrupted)
    told: dict[int, Any] = {}
    with pytest.raises(kind) as caught:
        for tag, result in session.send_many([job(number) for number in range(9)]):
            told[tag] = result
    assert [type(told[number]) for number in sorted(told)] == [OutcomeUnknown, ConnectError, ConnectError]
    assert "before this message was begun" in str(told[2])
    assert told[2].stale
    assert not told[1].stale
    assert caught.value.possibly_sent is True  # type: ignore[attr-defined]
    assert session.closed


def test_a_broken_source_in_the_middle_of_a_flight_lets_the_flight_land(smtp_server: Start) -> None:
    def jobs() -> Iterator[Job]:
        yield job(0)
        raise KeyboardInterrupt

    server = smtp_server()
    session = opened(server)
    results = session.send_many(jobs(), window=16)
    assert next(results)[0] == 0
    with pytest.raises(KeyboardInterrupt):
        next(results)
    assert not session.closed
    assert isinstance(session.send(*job(1)[1:]), Receipt)
    session.close()
    assert right(server) == {0, 1}


def test_two_rejected_jobs_are_told_in_their_order(smtp_server: Start) -> None:
    server = smtp_server()
    session = opened(server)
    large = Raw(b"x", claimed=10**9)
    jobs = [(number, Envelope("a@x.test", ["b@y.test"]), large) for number in range(3)]
    told = list(session.send_many([*jobs, job(3)], window=16))
    session.close()
    assert [tag for tag, _ in told] == [0, 1, 2, 3]
    assert [isinstance(result, Receipt) for _, result in told] == [False, False, False, True]
    assert server.wait().plain.count(b"MAIL") == 1


def test_a_window_is_never_wider_than_it_was_asked_for(smtp_server: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    for window in (1, 2, 3, 4, 6):
        session = opened(smtp_server())
        pipeline = session._pipeline
        most = 0
        add = pipeline.add

        def counted(*arguments: Any, add: Any = add, pipeline: Any = pipeline, **options: Any) -> Any:
            nonlocal most
            transaction = add(*arguments, **options)
            most = max(most, len(pipeline.unfinished))
            return transaction

        monkeypatch.setattr(pipeline, "add", counted)
        assert len(list(session.send_many([job(number) for number in range(30)], window=window))) == 30
        session.close()
        assert most == window
