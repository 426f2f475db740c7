"""Corners of a run of many messages that no ordinary run comes to: left while retries wait, a slow iterable beside a
retry, a session that died untold.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

import franking
from franking.errors import Refused
from franking.sending import bulk
from franking.sending.queue import Queue
from franking.sending.retry import Decision, Policy
from servers.scripted import ScriptedManySession, ScriptedProvider

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def account(scripted: ScriptedProvider) -> franking.Account:
    return franking.Account(name="s", provider="scripted", sender="jan@example.com", username="jan")


def messages(count: int, start: int = 0) -> Iterator[franking.Message]:
    for number in range(start, start + count):
        yield franking.Message(to=[f"r{number}@example.com"], subject=f"{number}", text="x")


def test_the_pause_before_the_five_thousandth_attempt() -> None:
    """It was 2 to the power of 4,999 seconds, which is no number, and ended the run."""
    assert Policy(attempts=10**6).pause(5_000, 0.0) == 120.0


def test_who_leaves_sends_nothing_again(account: franking.Account, scripted: ScriptedProvider) -> None:
    """A message whose pause is over is not drawn for another attempt when nobody reads results any more."""
    with franking.connect(account, secret="x") as mailer:
        feed = Queue(bulk.Run(mailer, connections=2), messages(2))
        job = feed.draw()
        assert job is not None
        feed.again(Decision("failed", None, Refused("later", temporary=True), following=job))
        feed.abandoned = True
        assert feed.draw() is None
        feed.abandoned = False
        assert feed.draw() is job, "it was there"


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
        for result in mailer.send_many(source(), policy=Policy(attempts=3, first=0.5)):
            got[result.index] = result.outcome
            told.set()
    assert got == {0: "accepted", 1: "accepted"}


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
    monkeypatch.setattr(ScriptedProvider, "open", lambda self, account, secret, observer: Dying(self, observer))
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
