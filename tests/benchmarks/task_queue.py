"""Mail by Celery's workers beside the same workers with a task that only sleeps 20 ms, in the same run: what a journal,
a claim and a connection that is kept cost a message; and how often the store is waited for. Needs a Redis.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import redis

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import franking
from benchmarks.outbox_peers import shop, smtp
from benchmarks.peers import ready
from celery import Celery
from franking.celery.task import published
from franking.sending import deliver_once, open_journal
from franking.shared.afterwards import afterwards
from servers.celery_workers import Workers
from servers.daemon import Unavailable
from servers.delay import Delay
from servers.redis import Redis
from servers.sink import Sink

__all__ = ["measure"]

Rows = dict[str, dict[str, float]]

NAP = 0.02
PATIENCE = 300.0
WAITING = "waiting"  # the queue of what the workers do not see yet


def _drained(client: Any) -> float:
    """Return when the workers had done everything."""
    until = time.perf_counter() + PATIENCE
    while client.llen("celery") or client.hlen("unacked"):
        if time.perf_counter() > until:
            raise TimeoutError("the workers do not come to an end")
        time.sleep(0.002)
    return time.perf_counter()


def _rate(client: Any, publish: Callable[[], object], number: int) -> float:
    """Return tasks per second, from when the workers have them all before them to the last one acknowledged: to publish
    is no work of theirs, and takes a processor from them here.
    """
    publish()
    began = time.perf_counter()
    client.rename(WAITING, "celery")
    return number / (_drained(client) - began)


def measure(*, messages: int = 200, processes: int = 8, rounds: int = 15) -> Rows:
    """Measure everything, as ratios; nothing where there is no Redis."""
    found: Rows = {}
    with ExitStack() as stack:
        try:
            server = stack.enter_context(Redis(durable=False))
        except Unavailable:
            return {}
        sink = stack.enter_context(Sink())
        far = stack.enter_context(Sink(away=NAP))
        for name, port in (("mail to a sink", sink.port), ("mail over a round trip of 20 ms", far.port)):
            with shop(smtp(port)):
                found[name] = {"ratio": _beside(server, messages, processes, rounds)}
        found["the store, a message"] = {"round_trips": _trips(server.port, smtp(sink.port, per_day=10**6))}
    return found


def _trips(port: int, account: franking.Account, messages: int = 20) -> float:
    """Return how often the store was waited for: limits and claim, the start, and the outcome, which the next message
    does not wait for.
    """
    flights = []
    with Delay(port) as proxy:
        url = f"redis://127.0.0.1:{proxy.port}/0"
        journal = open_journal({"FRANKING_STORE": url})
        assert journal is not None
        with franking.connect(account, limits=url) as mailer:
            for number in range(1 + messages):
                deliver_once(mailer, ready(number), key=os.urandom(8).hex(), journal=journal)
                afterwards(journal).wait()
                flights.append(sum(trip.flights for trip in proxy.trips))
        afterwards(journal).close()
    return (flights[-1] - flights[0]) / messages


def _beside(server: Redis, messages: int, processes: int, rounds: int) -> float:
    """Return the mail's rate as a share of the sleeping task's: the median of so many pairs."""
    client = redis.Redis.from_url(server.url)
    options = {"task_ignore_result": True}
    with (
        Celery(broker=server.url, set_as_current=False) as app,
        Workers(1, broker=server.url, store=server.url, processes=processes, options=options) as workers,
    ):

        def mail(count: int) -> None:
            for number in range(count):
                places, names = published("shop", ready(number), key=os.urandom(8).hex())
                app.send_task("franking.send", places, names, queue=WAITING)

        def naps(count: int) -> None:
            for _ in range(count):
                app.send_task("nap", (NAP,), queue=WAITING)

        workers.wait()
        for publish in (mail, naps):  # connections, and what is imported with the first message
            _rate(client, lambda publish=publish: publish(processes * 4), processes * 4)  # type: ignore[misc]
        ratios = []
        for _ in range(rounds):  # side by side, for what else the machine does changes by the minute
            rate = _rate(client, lambda: mail(messages), messages)
            ratios.append(rate / _rate(client, lambda: naps(messages), messages))
        client.close()
    return median(ratios)


if __name__ == "__main__":
    for what, row in measure().items():
        print(f"{what}: " + ", ".join(f"{value:.2f} {unit}" for unit, value in row.items()))
