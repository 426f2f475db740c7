"""Workers in processes of their own on a real Redis and a real PostgreSQL: killed, stopped, cut off, and many at once.

``FRANKING_PROOFS=1`` makes sixty of them, as docs/shared-limits.md tells.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import franking
from franking.errors import FrankingError
from franking.sending.journal import Claim
from franking.sending.once import deliver_once
from franking.sending.shared_stores import limits_at, open_journal
from franking.shared.afterwards import afterwards
from franking.shared.postgres_server import PostgresServer
from real.conftest import start
from sending import working
from sending.keepers import in_postgres, in_redis
from servers.delay import Delay
from servers.postgres import Postgres
from servers.redis import Redis
from servers.smtp import SmtpServer

PROOFS = os.environ.get("FRANKING_PROOFS") == "1"
MANY = 60 if PROOFS else 6
pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    with start(Redis) as server:
        yield server


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with start(Postgres) as server:
        PostgresServer(server.url).make_tables()
        yield server


@pytest.fixture(params=["redis", "postgres"])
def store(request: pytest.FixtureRequest) -> Any:
    server = request.getfixturevalue(request.param)
    with kept(server.url):
        pass  # and empties it
    if request.param == "postgres":
        for table in ("limits", "sent", "days", "connections"):
            server.sql(f"DELETE FROM franking_{table}")
    return server


def kept(url: str) -> Any:
    return in_redis(url) if url.startswith("redis") else in_postgres(url)


def worker(url: str, port: int, *act: object) -> subprocess.Popen[str]:
    command = [sys.executable, working.__file__, url, str(port), *map(str, act)]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(working.__file__).parent.parent)])}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ)


@contextmanager
def workers(number: int, url: str, port: int, *act: object) -> Iterator[list[subprocess.Popen[str]]]:
    """Start workers that begin together, when a line is written to each."""
    found = [worker(url, port, *act) for _ in range(number)]
    try:
        for one in found:
            assert one.stdout is not None
            assert one.stdout.readline() == "ready\n"
        yield found
    finally:
        for one in found:
            with suppress(ProcessLookupError):
                one.send_signal(signal.SIGCONT)
            one.kill()
            one.communicate()


def said(worker: subprocess.Popen[str]) -> list[list[str]]:
    """Let a worker begin, and return what it said until its end."""
    return [line.split() for line in worker.communicate("\n", timeout=300)[0].splitlines()]


def said_by_all(found: list[subprocess.Popen[str]]) -> list[list[str]]:
    results: list[list[str]] = []
    threads = [threading.Thread(target=lambda one=one: results.extend(said(one))) for one in found]  # type: ignore[misc]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


# -- the journal -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("point", "outcome", "arrived"),
    [
        ("none", "accepted", 1),
        ("claimed", "accepted", 1),
        ("starting", "accepted", 1),
        ("started", "unknown", 0),
        ("accepted", "unknown", 1),
        ("told", "accepted", 1),
    ],
)
def test_a_worker_that_dies_at_any_point_leaves_a_message_sent_once_or_unknown(
    point: str, outcome: str, arrived: int, store: Any
) -> None:
    with SmtpServer() as server, kept(store.url) as other:
        dead = worker(store.url, server.port, "deliver", "order-1", point)
        out = dead.communicate(timeout=60)[0].split()
        assert out == (["accepted"] if point == "none" else ["dies", point])
        other.lapse("order-1")
        for _ in range(2):
            told = deliver_once(
                working.account(str(server.port)), working.letter("order-1"), key="order-1", journal=other.journal
            )
            assert told["outcome"] == outcome
            afterwards(other.journal).wait()
        assert len(server.messages) == arrived


def test_a_process_that_ends_at_once_has_told_what_became_of_its_message(store: Any) -> None:
    with SmtpServer() as server, kept(store.url) as other:
        ended = worker(store.url, server.port, "leave", "order-1")
        ended.communicate(timeout=60)
        assert ended.returncode == 0
        sender = working.account(str(server.port))
        told = deliver_once(sender, working.letter("order-1"), key="order-1", journal=other.journal)
        assert (told["outcome"], len(server.messages)) == ("accepted", 1)


def test_the_store_may_go_away_and_come_back(redis: Redis) -> None:
    """Nothing is lost, nothing doubled, and every failure meanwhile is one that may pass."""
    number, told = 12, {}
    journal = open_journal({"FRANKING_STORE": redis.url + "?timeout=2"})
    assert journal is not None
    away, failures = threading.Event(), []

    with SmtpServer() as server, franking.connect(working.account(str(server.port))) as mailer:

        def send() -> None:
            for key in range(number):
                if key == number // 2:
                    away.set()
                while key not in told:
                    try:
                        told[key] = deliver_once(mailer, working.letter(str(key)), key=str(key), journal=journal)
                    except FrankingError as error:
                        failures.append(error)
                        time.sleep(0.05)

        sending = threading.Thread(target=send, daemon=True)
        sending.start()
        assert away.wait(60)
        redis.kill()
        time.sleep(60 if PROOFS else 1)
        redis.start()  # in this thread: it would end with another
        sending.join(120)
        assert len(told) == number
        assert failures
        assert all(error.temporary and not error.possibly_sent for error in failures)
        afterwards(journal).close()
        assert [one["outcome"] for one in told.values()] == ["accepted"] * number
        assert len(server.messages) == number
        for key in range(number):
            assert journal.claim(Claim(str(key), "x", "x")).state == "reused"  # it is written down
            assert deliver_once(mailer, working.letter(str(key)), key=str(key), journal=journal) == told[key]
        afterwards(journal).close()
    journal.close()  # type: ignore[attr-defined]


def test_a_message_costs_the_store_three_round_trips(store: Any) -> None:
    """One to take it and its turn, one before it leaves, one for what became of it."""
    with SmtpServer() as server, Delay(store.port) as proxy:
        url = store.url.replace(str(store.port), str(proxy.port))
        journal = open_journal({"FRANKING_STORE": url})
        assert journal is not None
        account = working.account(str(server.port), per_minute=100, per_day=1000, recipients_per_day=1000)
        with franking.connect(account, limits=url) as mailer:
            flights = []
            for key in "abcd":
                assert deliver_once(mailer, working.letter(key), key=key, journal=journal)["outcome"] == "accepted"
                afterwards(journal).wait()
                flights.append(sum(trip.flights for trip in proxy.trips))
            assert [after - before for before, after in pairwise(flights[1:])] == [3, 3]
        afterwards(journal).close()
        journal.close()  # type: ignore[attr-defined]


# -- limits ----------------------------------------------------------------------------------------------------------


def test_processes_together_take_what_there_is_and_no_more(store: Any) -> None:
    with workers(MANY, store.url, 0, "take", 100, 40) as found:
        lines = said_by_all(found)
    assert len(lines) == MANY * 40
    taken = sorted(float(at) for what, at in lines if what == "taken")
    assert len(taken) == 100 or taken[-1] - taken[0] > 60  # on a very slow machine a minute has passed
    assert all(after - before > 60 for before, after in zip(taken, taken[100:], strict=False))


def test_a_retry_after_is_obeyed_by_all_at_once(store: Any) -> None:
    place = limits_at(store.url, {})
    with workers(MANY, store.url, 0, "take", 10**6, 10**6) as found:
        for one in found:
            assert one.stdin is not None
            assert one.stdout is not None
            one.stdin.write("\n")
            one.stdin.flush()
            assert one.stdout.readline().startswith("taken")
        place.hold_off("box", 300.0)
        since = time.time()
        for one in found:
            assert one.stdout is not None
            *times, (last, _) = [line.split() for line in one.stdout]
            assert last == "retry-after"
            assert all(float(at) <= since for _, at in times)
    place.server.close()  # type: ignore[attr-defined]


def test_never_more_than_three_connections_of_living_workers(store: Any) -> None:
    with workers(MANY, store.url, 0, "hold", 10) as found:
        lines = said_by_all(found)
    assert len(lines) == MANY * 10
    moments = sorted(moment for _, since, until in lines for moment in ((float(since), 1), (float(until), -1)))
    now = most = 0
    for _, change in moments:
        now += change
        most = max(most, now)
    assert 1 <= most <= 3


def test_a_worker_that_stood_still_closes_its_connection_before_it_sends_again(store: Any) -> None:
    with SmtpServer() as server, workers(2, store.url, server.port, "lines") as (first, second):

        def send(one: subprocess.Popen[str], text: str) -> str:
            assert one.stdin is not None
            assert one.stdout is not None
            one.stdin.write(text + "\n")
            one.stdin.flush()
            return one.stdout.readline()

        assert send(first, "1").startswith("250")
        first.send_signal(signal.SIGSTOP)
        assert send(second, "2").startswith("250")  # once the lease is over
        second.kill()
        first.send_signal(signal.SIGCONT)
        assert send(first, "3").startswith("250")
        heard = [[line for line in one.lines if line.startswith("MAIL")] for one in server.sessions]
    assert [len(mails) for mails in heard] == [1, 1, 1]  # each on a connection of its own
