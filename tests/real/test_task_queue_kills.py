"""Celery's workers are killed, and what they talk to goes away and comes back: each message arrives once, or is told as
unknown; none is lost.

FRANKING_PROOFS=1 does it in its whole size; a usual run does a part.
"""

from __future__ import annotations

import gc
import os
import random
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from celery.result import AsyncResult

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
pytestmark = pytest.mark.timeout(10_800 if WHOLE else 900)
PATIENCE = 3600.0 if WHOLE else 300.0

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
    results: list[AsyncResult] = field(default_factory=list)

    def __post_init__(self) -> None:
        write_account(self.server.port)
        self.monkeypatch.setenv("FRANKING_STORE", self.store.url)
        self.monkeypatch.setenv("FRANKING_STORE_KEY", "the key of the tests")
        self.app = Celery(broker=self.broker, backend=self.store.url, set_as_current=False)
        self.app.conf.broker_transport_options = {"confirm_publish": True}

    def __enter__(self) -> Trial:
        return self

    def __exit__(self, *exc: object) -> None:
        # one that is collected later asks its Redis, which is no more then, for minutes
        self.results.clear()
        gc.collect()
        self.app.close()

    def publish(self) -> None:
        """Hand all messages over; each is with the broker when this returns. ``results`` are what these come to."""
        self.results.clear()
        for number in range(self.number):
            places, names = published("shop", self._letter(number), key=f"order-{number}")
            self.results.append(self.app.send_task("franking.send", places, names))

    def workers(self, number: int, **more: Any) -> Workers:
        """Start workers, each as on a machine of its own."""
        given: dict[str, Any] = {"results": self.store.url, "lease": LEASE, "options": OPTIONS, **more}
        return Workers(number, broker=self.broker, store=self.store.url, **given)

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

    def judge(self, workers: Workers, most_unknown: int, *, results: bool = True) -> None:
        """Hold what the tasks came to, and what the journal says, against what arrived. A task that was lost comes to
        nothing.
        """
        told = []
        for number, result in enumerate(self.results if results else []):
            try:
                told.append(result.get(timeout=PATIENCE))
            except Exception as problem:
                raise AssertionError(f"nothing is known of message {number}:\n{workers.tail()}") from problem
        workers.stop()
        journal, arrived, before = open_journal(lease=LEASE), self.arrived(), len(self.server.messages)
        assert journal is not None
        with franking.connect("shop") as mailer:
            for number in range(self.number):
                found = deliver_once(mailer, self._letter(number), key=f"order-{number}", journal=journal)
                times = arrived[f"<{number}@novak.cz>"]
                assert (found["outcome"], times) in (("accepted", 1), ("unknown", 0), ("unknown", 1)), (number, found)
                assert not told or told[number]["outcome"] in (found["outcome"], "unknown"), (number, found)
                self.outcomes[found["outcome"]] += 1
        assert len(self.server.messages) == before
        assert self.outcomes["unknown"] <= most_unknown, self.outcomes


@pytest.fixture
def store() -> Iterator[Redis]:
    with start(Redis) as made:
        yield made


# Redis hands a task out before it is noted who has it: a whole worker that is killed in between takes the task along
# (kombu's BRPOP). There an application publishes again what it has no result of; RabbitMQ loses none.
@pytest.mark.parametrize(
    ("broker", "whole", "again"),
    [
        pytest.param("redis", 0.0, False, id="processes, Redis"),
        pytest.param("rabbitmq", 0.3, False, id="workers too, RabbitMQ"),
        pytest.param("redis", 0.3, True, id="workers too, Redis, published again"),
    ],
)
def test_workers_are_killed(
    broker: str,
    whole: float,
    again: bool,
    store: Redis,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    number, kills, one_in = (10_000, 200, 400) if WHOLE else (120, 6, 40)
    slow = Fault("body", takes_its_time(0.1, VISIBLE + 1.5, one_in), nth=None, executed=True)
    url = store.url if broker == "redis" else request.getfixturevalue("rabbitmq").url
    chance = random.Random(3)
    with SmtpServer(faults=[slow]) as server, Trial(number, url, server, monkeypatch, store) as trial:
        done = 0
        trial.publish()
        with trial.workers(4, pauses=[1.0]) as workers:
            for kill in range(kills):
                trial.wait_for(1 + int(kill * number * 0.9 / kills), PATIENCE)  # spread over all of it
                workers.wait()
                time.sleep(chance.expovariate(1 / 0.05))
                done += workers.kill(chance.randrange(4), whole=chance.random() < whole)
            workers.wait()
            if again:
                trial.wait_for(number - 2 * done, PATIENCE)  # a kill may lose one, and leave one in doubt
                trial.publish()
            trial.judge(workers, done)
    assert done >= kills * 0.8
    print(f"{number} messages, {broker}, {done} kills: {dict(trial.outcomes)}")


@pytest.mark.parametrize("away", ["store", "broker"])
def test_what_the_workers_talk_to_goes_away(
    away: str, store: Redis, rabbitmq: RabbitMQ, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, seconds = (3_000, 60.0) if WHOLE else (90, 2.0)
    server = SmtpServer(faults=[Fault("body", takes_its_time(0.02, 0.1, 50), None, True)])
    with server, Trial(number, rabbitmq.url, server, monkeypatch, store) as trial:
        trial.publish()
        with trial.workers(2, pauses=[0.5, 1.0], results=None) as workers:  # they would go away with the store
            trial.wait_for(number // 3)
            goes = store if away == "store" else rabbitmq
            goes.kill()
            time.sleep(seconds)
            goes.start()
            trial.wait_for(number, PATIENCE)
            trial.judge(workers, 0, results=False)
    assert trial.outcomes == {"accepted": number}
