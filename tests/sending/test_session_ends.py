"""Servers that end a session's sending: by a number of messages, by time, by vanishing. Nobody who sends notices.

Through the ways that applications take: ``send``, a mailer shared by threads, ``send_many``; each in every mode.
"""

from __future__ import annotations

import functools
import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import franking
from franking.errors import ConnectError, Refused, Throttled
from franking.sending.retry import NEVER
from franking.smtp.open import open_session
from servers.scripted import messages
from servers.smtp import EXTENSIONS, Fault, SmtpServer, hangs_up, says, silence, then
from tiers import one_of_each

PIPES = tuple(word for word in EXTENSIONS if word != "CHUNKING")
MODES = {"chunking": EXTENSIONS, "pipelining": PIPES, "dialogue": ("8BITMIME",)}
modes = pytest.mark.parametrize("extensions", MODES.values(), ids=MODES)
windows = pytest.mark.parametrize("window", [1, 16])
ENOUGH = [
    "452 4.5.3 Too many recipients: Too many messages sent",
    "450 4.7.1 rate: too many messages in this session",
    "451 4.3.0 no more",
    "421 4.7.0 too many messages in this session",
    "421 closing",
]
enough = pytest.mark.parametrize("reply", ENOUGH)
Start = Callable[..., SmtpServer]


def account(server: SmtpServer, **settings: Any) -> franking.Account:
    given: dict[str, Any] = {"host": "127.0.0.1", "security": "none", "timeout": 10.0, "final_timeout": 10.0}
    return franking.Account(
        name="t", provider="smtp", sender="jan@example.com", port=server.port, **{**given, **settings}
    )


def recipients(server: SmtpServer) -> list[str]:
    return sorted(message.recipients[0] for message in server.messages)


def everybody(count: int) -> list[str]:
    return sorted(f"r{number}@example.com" for number in range(count))


def message(to: str = "a@example.com") -> franking.Message:
    return franking.Message(to=to, subject="x", text="x")


# -- so many messages for each session ---------------------------------------------------------------------------------


@modes
@enough
def test_a_mailer_goes_on_in_another_session(smtp_server: Start, extensions: tuple[str, ...], reply: str) -> None:
    server = smtp_server(extensions=extensions, most_messages=3, enough=reply)
    with franking.connect(account(server)) as mailer:
        for one in messages(10):
            mailer.send(one)
    assert recipients(server) == everybody(10)
    assert len(server.sessions) == 4


@modes
@windows
@enough
@pytest.mark.parametrize("ready", [list, iter], ids=["a list", "a generator"])
def test_many_messages_go_on_in_further_sessions_without_a_pause(
    smtp_server: Start, extensions: tuple[str, ...], window: int, reply: str, ready: Any
) -> None:
    """Even for a policy that allows one attempt: a session that ended was none of the message's."""
    server = smtp_server(extensions=extensions, most_messages=3, enough=reply)
    started = time.monotonic()
    with franking.connect(account(server)) as mailer:
        results = list(mailer.send_many(ready(list(messages(20))), window=window, policy=NEVER))
    assert time.monotonic() - started < 5.0
    assert {result.outcome for result in results} == {"accepted"}
    assert sorted(result.index for result in results) == list(range(20))
    assert recipients(server) == everybody(20)
    assert len(server.sessions) == math.ceil(20 / 3)


@windows
def test_several_connections_each_go_on_in_further_sessions(smtp_server: Start, window: int) -> None:
    server = smtp_server(most_messages=5)
    with franking.connect(account(server)) as mailer:
        results = list(mailer.send_many(messages(100), connections=4, window=window, policy=NEVER))
    assert {result.outcome for result in results} == {"accepted"}
    assert recipients(server) == everybody(100)
    assert 20 <= len(server.sessions) <= 40


def test_threads_that_share_a_mailer_never_see_an_exhausted_session(smtp_server: Start) -> None:
    server = smtp_server(most_messages=4)
    problems: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for one in messages(15, start=number * 15):
                mailer.send(one)
        except BaseException as problem:
            problems.append(problem)

    with franking.connect(account(server), connections=2) as mailer:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert problems == []
    assert recipients(server) == everybody(60)


def test_the_exhausted_session_is_left_with_a_quit(smtp_server: Start) -> None:
    server = smtp_server(most_messages=1)
    with franking.connect(account(server)) as mailer:
        mailer.send(message())
        mailer.send(message())
        assert server.wait(0).lines[-1] == "QUIT"
        assert mailer.pool._idle[0].closed is False  # type: ignore[attr-defined]


@modes
@pytest.mark.parametrize("reply", ["450 4.7.1 rate limit", "421 4.7.0 slow down"])
def test_later_on_a_new_session_too_is_throttling(smtp_server: Start, extensions: tuple[str, ...], reply: str) -> None:
    server = smtp_server(
        extensions=extensions, faults=[Fault("mail", says(reply), nth=2), Fault("mail", says(reply), connection=2)]
    )
    with franking.connect(account(server)) as mailer:
        mailer.send(message())
        with pytest.raises(Throttled):
            mailer.send(message())
    assert len(server.sessions) == 2
    assert len(server.messages) == 1


@windows
@pytest.mark.parametrize("connections", [1, 4])
def test_a_sender_refused_for_now_costs_one_session_and_ends_as_what_it_is(
    smtp_server: Start, window: int, connections: int
) -> None:
    server = smtp_server(refused={"evil@example.com": "451 4.1.8 cannot verify the sender now"})
    with franking.connect(account(server)) as mailer:
        jobs: list[Any] = list(messages(60))
        evil = franking.Envelope("evil@example.com", ["r30@example.com"])
        jobs[30] = mailer.prepare(jobs[30], envelope=evil)
        results = {
            result.index: result
            for result in mailer.send_many(jobs, window=window, connections=connections, policy=NEVER)
        }
    assert type(results[30].error) is Refused
    assert results[30].outcome == "failed"
    assert {results[number].outcome for number in range(60) if number != 30} == {"accepted"}
    assert len(server.messages) == 59
    assert len(server.sessions) <= 2 * connections


def test_a_window_broken_off_behind_the_refused_mail_is_unknown_where_nothing_was_answered(smtp_server: Start) -> None:
    """The server says that it takes no more and then hangs up: what had left behind that was not answered."""
    server = smtp_server(faults=[Fault("mail", then(says("452 4.5.3 enough"), hangs_up), nth=4, connection=1)])
    with franking.connect(account(server)) as mailer:
        results = {each.index: each for each in mailer.send_many(list(messages(40)), window=16, policy=NEVER)}
    outcomes = [results[number].outcome for number in range(40)]
    assert outcomes[:4] == ["accepted"] * 4, "the refused one goes in another session"
    assert "unknown" in outcomes
    accepted = [f"r{number}@example.com" for number, outcome in enumerate(outcomes) if outcome == "accepted"]
    assert recipients(server) == sorted(accepted)


# -- connections that rested -------------------------------------------------------------------------------------------


class Clock:
    """The machine's clock, pushed on by hand."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("franking.smtp.open.open_session", functools.partial(open_session, clock=made))
    return made


def waiting(one: object, other: object) -> list[Any]:
    """Return the modes with either: each waits for half a second, so two of the six are quick."""
    cells = [(mode, one) for mode in MODES] + [(mode, other) for mode in reversed(MODES)]
    return one_of_each(cells, lambda cell: cell[1])


@pytest.mark.parametrize(("mode", "used"), waiting(True, False))
def test_a_half_open_connection_that_rested_is_replaced_within_the_time_out(
    smtp_server: Start, clock: Clock, mode: str, used: bool
) -> None:
    faults = [Fault("mail", silence, nth=2 if used else 1, connection=1)]
    server = smtp_server(extensions=MODES[mode], faults=faults)
    with franking.connect(account(server, timeout=1.5)) as mailer:
        if used:
            mailer.send(message())
        else:
            mailer.check()
        clock.ahead += 11.0
        started = time.monotonic()
        mailer.send(message())
        assert time.monotonic() - started < 1.5
    assert len(server.sessions) == 2
    assert len(server.messages) == 1 + used


@pytest.mark.parametrize(("mode", "window"), waiting(16, 1))
def test_many_messages_on_a_half_open_connection(smtp_server: Start, clock: Clock, mode: str, window: int) -> None:
    server = smtp_server(extensions=MODES[mode], faults=[Fault("mail", silence, nth=2, connection=1)])
    with franking.connect(account(server, timeout=1.5)) as mailer:
        mailer.send(next(messages(1)))
        clock.ahead += 11.0
        results = list(mailer.send_many(messages(20, start=1), window=window, policy=NEVER))
    assert {result.outcome for result in results} == {"accepted"}
    assert recipients(server) == everybody(21)
    assert len(server.sessions) == 2


def test_a_connection_that_dies_again_is_not_replaced_again(smtp_server: Start, clock: Clock) -> None:
    server = smtp_server(extensions=PIPES, faults=[Fault("mail", silence, nth=None)])
    with franking.connect(account(server, timeout=0.3)) as mailer:
        mailer.check()
        clock.ahead += 11.0
        with pytest.raises(ConnectError):
            mailer.send(message())
    assert len(server.sessions) == 2


def test_silence_without_a_rest_is_waited_for_as_long_as_ever(smtp_server: Start, clock: Clock) -> None:
    server = smtp_server(extensions=PIPES, faults=[Fault("mail", silence, nth=2)])
    with franking.connect(account(server, timeout=0.6)) as mailer:
        mailer.send(message())
        clock.ahead += 9.0
        started = time.monotonic()
        with pytest.raises(ConnectError):
            mailer.send(message())
        assert time.monotonic() - started >= 0.6
    assert len(server.sessions) == 1


# -- age ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("age", "sessions"), [(595.0, 1), (601.0, 2)])
def test_a_session_is_ten_minutes_old_at_most(smtp_server: Start, clock: Clock, age: float, sessions: int) -> None:
    server = smtp_server()
    with franking.connect(account(server)) as mailer:
        mailer.send(message())
        clock.ahead += age
        mailer.send(message())
        mailer.check()
    assert len(server.sessions) == sessions
    assert {session.lines[-1] for session in server.sessions} == {"QUIT"}
    assert len(server.messages) == 2


@modes
@windows
def test_a_session_grows_no_older_in_a_long_run(
    smtp_server: Start, clock: Clock, extensions: tuple[str, ...], window: int
) -> None:
    server = smtp_server(extensions=extensions)

    def slow() -> Iterator[franking.Message]:
        for one in messages(40):
            clock.ahead += 50.0  # 33 minutes in all
            yield one

    with franking.connect(account(server)) as mailer:
        results = list(mailer.send_many(slow(), window=window, policy=NEVER))
    assert {result.outcome for result in results} == {"accepted"}
    assert recipients(server) == everybody(40)
    assert 4 <= len(server.sessions) <= 5
    assert all(session.lines[-1] == "QUIT" for session in server.sessions)
