"""Celery's workers are killed, and what they talk to goes away and comes back: each message arrives once, or is told as
unknown; none is lost.

FRANKING_PROOFS=1 does it in its whole size; a usual run does a part.
"""

from __future__ import annotations

import os
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis as redis_py

import franking
from celery import Celery
from franking.celery.task import published
from franking.sending import deliver_once, open_journal
from real.conftest import start
from servers.celery_workers import Workers
from servers.rabbitmq import RabbitMQ
from servers.redis import Redis
from servers.shop import letter, write_account
from servers.smtp import Act, Fault, SmtpServer, answers

WHOLE = os.environ.get("FRANKING_PROOFS") == "1"  # read before the tests' environment is cleaned
pytestmark = pytest.mark.timeout(7200 if WHOLE else 600)

LEASE = 5.0
VISIBLE = 5
OPTIONS = {
    "broker_transport_options": {
        "visibility_timeout": VISIBLE,
        "unacked_restore_interval": 1,  # or it would be looked for what the dead had every 100 seconds
        "unacked_restore_throttle": 1,
    }
}


def takes_its_time(usual: float, slow: float, one_in: int) -> Act:
    """Answer after a while, one message of so many after a long one."""
    chance = random.Random(7)

    def act(peer: Any, reply: str) -> None:
        time.sleep(slow if chance.randrange(one_in) == 0 else chance.uniform(0, 2 * usual))
        answers(peer, reply)

    return act


@dataclass
class Trial:
    """Messages in a queue, workers that send them, a server that counts what arrived."""

    number: int
    broker: str
    server: SmtpServer
    monkeypatch: pytest.MonkeyPatch
    store: Redis
    outcomes: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        write_account(self.server.port)
        self.monkeypatch.setenv("FRANKING_STORE", self.store.url)
        self.monkeypatch.setenv("FRANKING_STORE_KEY", "the key of the tests")

    def publish(self) -> None:
        """Hand all messages over; each is with the broker when this returns."""
        with Celery(broker=self.broker, set_as_current=False) as app:
            app.conf.broker_transport_options = {"confirm_publish": True}
            for number in range(self.number):
                places, names = published("shop", self._letter(number), key=f"order-{number}")
                app.send_task("franking.send", places, names)

    def _letter(self, number: int) -> bytes:
        return letter(f"m{number}@example.com", number=number)

    def arrived(self) -> Counter[str]:
        """Return how often each Message-ID came in."""
        return Counter(
            found[1].decode()
            for message in list(self.server.messages)
            if (found := re.search(rb"(?im)^message-id: (\S+)", message.data))
        )

    def wait_for(self, number: int, patience: float = 300) -> None:
        """Wait until so many messages have arrived."""
        until = time.monotonic() + patience
        while len(self.server.messages) < number:
            assert time.monotonic() < until, f"{len(self.server.messages)} of {number} have arrived"
            time.sleep(0.05)

    def judge(self, most_unknown: int) -> None:
        """Ask the journal what became of each message; one that was lost would go now."""
        journal, arrived, before = open_journal(lease=LEASE), self.arrived(), len(self.server.messages)
        assert journal is not None
        with franking.connect("shop") as mailer:
            for number in range(self.number):
                found = deliver_once(mailer, self._letter(number), key=f"order-{number}", journal=journal)
                times = arrived[f"<{number}@novak.cz>"]
                assert (found["outcome"], times) in (("accepted", 1), ("unknown", 0), ("unknown", 1)), (number, found)
                self.outcomes[found["outcome"]] += 1
        assert len(self.server.messages) == before, "a message was lost"
        assert self.outcomes["unknown"] <= most_unknown, self.outcomes


@pytest.fixture
def store() -> Iterator[Redis]:
    with start(Redis) as made:
        yield made


def drained(url: str, seconds: float) -> None:
    """Wait until a Redis that is a broker has nothing more for any worker."""
    client, until, empty = redis_py.Redis.from_url(url), time.monotonic() + seconds, 0
    try:
        while empty < 5:
            left = [client.llen("celery"), client.hlen("unacked")]
            empty = empty + 1 if not any(left) else 0
            assert time.monotonic() < until, f"{left} are left"
            time.sleep(0.2)
    finally:
        client.close()


def test_workers_are_killed(store: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    number, kills, one_in = (10_000, 200, 400) if WHOLE else (240, 8, 80)
    slow = Fault("body", takes_its_time(0.1, VISIBLE + 1.5, one_in), nth=None, executed=True)
    chance = random.Random(3)
    with SmtpServer(faults=[slow]) as server:
        trial = Trial(number, store.url, server, monkeypatch, store)
        trial.publish()
        with Workers(4, broker=store.url, store=store.url, lease=LEASE, pauses=[1.0], options=OPTIONS) as workers:
            done = 0
            for kill in range(kills):
                trial.wait_for(1 + int(kill * number * 0.9 / kills), 600)  # spread over all of it
                workers.wait()
                time.sleep(chance.expovariate(1 / 0.05))
                done += workers.kill(chance.randrange(4), whole=chance.random() < 0.3)
            workers.wait()
            drained(store.url, 3600 if WHOLE else 300)
        trial.judge(done)
    assert done >= kills * 0.9
    print(f"{number} messages, {done} kills: {dict(trial.outcomes)}")


@pytest.mark.parametrize("away", ["store and broker: Redis", "broker: RabbitMQ"])
def test_what_the_workers_talk_to_goes_away(away: str, store: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    number, seconds = (3_000, 60.0) if WHOLE else (150, 3.0)
    with ExitStack() as stack:
        goes: Any = store if "Redis" in away else stack.enter_context(start(RabbitMQ))
        server = stack.enter_context(SmtpServer(faults=[Fault("body", takes_its_time(0.02, 0.1, 50), None, True)]))
        trial = Trial(number, goes.url, server, monkeypatch, store)
        trial.publish()
        workers = stack.enter_context(
            Workers(2, broker=goes.url, store=store.url, lease=LEASE, pauses=[0.5, 1.0], options=OPTIONS)
        )
        trial.wait_for(number // 3)
        goes.kill()
        time.sleep(seconds)
        goes.start()
        _until(lambda: len(trial.arrived()) == number, workers, 900)
        time.sleep(1.0)
        workers.stop()
        trial.judge(0)
    assert trial.outcomes == {"accepted": number}


def _until(reached: Callable[[], bool], workers: Workers, seconds: float) -> None:
    until = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < until, workers.tail()
        time.sleep(0.1)
