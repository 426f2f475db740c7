"""Limits that are kept in Redis and in PostgreSQL count as those in a file do (here both in this process; the real ones
are in tests/real).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import franking
from franking.errors import SendError, Throttled
from franking.provider import RouteFacts
from franking.sending.limit_files import FileLimits
from franking.sending.limit_places import LoneLimits
from franking.sending.once import deliver_once
from franking.sending.postgres_limits import PostgresLimits
from franking.sending.redis_limits import RedisLimits
from franking.sending.shared_stores import limits_at, open_journal
from franking.shared.afterwards import afterwards
from franking.shared.postgres_server import PostgresServer
from franking.shared.redis_server import RedisServer
from sending.limit_checks import CHECKS, facts
from servers.memoryredis import MemoryRedis
from servers.scripted import Clock, ScriptedProvider
from servers.sqlwire import SqlWire

Place = RedisLimits | PostgresLimits
START = 1_750_000_000.0


@pytest.fixture(scope="module")
def redis() -> Iterator[MemoryRedis]:
    with MemoryRedis() as server:
        yield server


@pytest.fixture(scope="module")
def wire() -> Iterator[SqlWire]:
    with SqlWire() as server:
        PostgresServer(server.url).make_tables()
        yield server


def opened(url: str) -> Place:
    if url.startswith("redis"):
        server = RedisServer(url)
        server.ask("FLUSHALL")
        return RedisLimits(server)
    database = PostgresServer(url)
    for table in ("limits", "sent", "days", "connections", "journal"):
        database.run(f"DELETE FROM {{table}}_{table}")
    return PostgresLimits(database)


@pytest.fixture(params=["redis", "postgres"])
def url(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue({"redis": "redis", "postgres": "wire"}[request.param]).url


@pytest.fixture
def place(url: str) -> Iterator[Place]:
    one = opened(url)
    yield one
    afterwards(one.server).close()
    one.server.close()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_it_counts_as_it_should(check: Callable[[Any], None], place: Place) -> None:
    check(place)


# -- over a long time, by the clock of the one whose clock can be set -------------------------------------------------


@pytest.fixture
def still(wire: SqlWire) -> Iterator[Place]:
    one = opened(wire.url)
    wire.now = START
    yield one
    wire.now = None
    afterwards(one.server).close()
    one.server.close()


def went(wire: SqlWire, place: Place, limits: RouteFacts, seconds: float) -> list[float]:
    """Return when messages went, of one who always wants to and comes back when it is told to."""
    assert wire.now is not None
    times = []
    while wire.now < START + seconds:
        turn = place.take("box", limits, 1)
        if turn.wait > 0:
            wire.now += turn.wait
        else:
            times.append(wire.now)
            wire.now += 0.01
    return times


def most(times: list[float], window: float) -> int:
    return max(sum(at <= other < at + window for other in times) for at in times)


@pytest.mark.parametrize("rate", [0.5, 7])
def test_a_minute_is_never_too_full_and_nearly_always_full(rate: float, wire: SqlWire, still: Place) -> None:
    times = went(wire, still, facts(per_minute=rate), 1200)
    assert most(times, 60.0 if rate >= 1 else 60 / rate) == max(1, int(rate))
    assert len(times) >= 0.99 * rate * 20


def test_a_day_is_never_too_full(wire: SqlWire, still: Place) -> None:
    times = went(wire, still, facts(per_day=20), 3 * 86400)
    assert most(times, 86400.0) == 20
    assert len(times) >= 0.95 * 20 * 3


def test_a_clock_that_was_set_back_holds_a_minute_no_longer_than_it_lasts(wire: SqlWire, still: Place) -> None:
    assert wire.now is not None
    wire.now += 86400 * 9
    assert still.take("box", facts(per_minute=1), 1).wait == 0
    wire.now -= 86400 * 9
    assert 0 < still.take("box", facts(per_minute=1), 1).wait <= 60


# -- a mailer --------------------------------------------------------------------------------------------------------


def shop(**more: Any) -> franking.Account:
    settings: dict[str, Any] = {"timeout": 0.3, **more}
    return franking.Account(name="s", provider="scripted", sender="jan@example.com", **settings)


def one(text: str = "x") -> franking.Message:
    return franking.Message(to=["r@example.com"], subject="x", text=text)


def test_mailers_that_share_a_store_keep_limits_together(
    place: Place, url: str, scripted: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRANKING_STORE", url)
    with (
        franking.connect(shop(per_day=2)) as first,
        franking.connect(shop(per_day=2), limits=place) as second,
    ):
        assert type(first.turns and first.turns._shared) is type(place)
        first.send(one())
        second.send(one())
        for mailer in (first, second):
            with pytest.raises(Throttled) as caught:
                mailer.send(one())
            assert caught.value.diagnosis is not None
            assert caught.value.diagnosis.code == "limit.per-day"
    assert len(scripted.sent) == 2


def test_a_retry_after_of_one_is_obeyed_by_all(place: Place, scripted: ScriptedProvider) -> None:
    scripted.answers = [Throttled("slowly", step="message", retry_after=40.0)]
    with franking.connect(shop(per_minute=9), limits=place) as first, pytest.raises(Throttled):
        first.send(one())
    with franking.connect(shop(per_minute=9), limits=place) as second, pytest.raises(Throttled) as caught:
        second.send(one())
    assert 38 <= (caught.value.retry_after or 0) <= 41
    assert len(scripted.sent) == 1


def test_another_place_may_be_named(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    environ = {"FRANKING_STATE_DIR": str(tmp_path)}
    assert isinstance(limits_at(None, environ), FileLimits)
    assert isinstance(limits_at(str(tmp_path / "x"), environ), FileLimits)
    assert isinstance(limits_at(tmp_path, {"FRANKING_STORE": url}), FileLimits)
    assert isinstance(limits_at(url, environ), RedisLimits | PostgresLimits)
    lone = LoneLimits()
    assert limits_at(lone, {"FRANKING_STORE": url}) is lone


def test_where_the_place_is_away_sending_waits_or_goes_on_without_it(
    place: Place, scripted: ScriptedProvider, caplog: pytest.LogCaptureFixture
) -> None:
    away = "redis://127.0.0.1:1/0"
    with franking.connect(shop(per_day=1), limits=away) as mailer:
        with pytest.raises(SendError, match="cannot be reached") as caught:
            mailer.send(one())
        assert caught.value.temporary
    assert not scripted.sent
    settings = {"per_day": 1, "max_connections": 1}
    with franking.connect(shop(**settings), limits=away, limits_required=False) as mailer:
        mailer.send(one())
        with pytest.raises(Throttled):
            mailer.send(one())
        turns, clock = mailer.turns, Clock()
        assert turns is not None
        turns._clock, turns._shared, turns._alone_until = clock, place, clock.now + 10  # it is back
        with pytest.raises(Throttled):
            mailer.send(one())
        clock.now += 11
        mailer.send(one())
        assert place.take(turns.mailbox, turns.limits, 1).wait > 0
    assert "kept by this program alone" in caplog.text


def test_a_message_and_its_turn_are_taken_together(
    url: str, wire: SqlWire, scripted: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRANKING_STORE", url)
    opened(url).server.close()
    journal = open_journal()
    assert journal is not None
    with franking.connect(shop(per_day=2)) as mailer:
        assert mailer.turns is not None
        assert getattr(mailer.turns._shared, "server", None) is getattr(journal, "server", False)
        assert deliver_once(mailer, one("1"), key="1", journal=journal)["outcome"] == "accepted"
        afterwards(journal).wait()
        flights = wire.flights
        for _ in range(3):  # it is over, and takes no room
            assert deliver_once(mailer, one("1"), key="1", journal=journal)["outcome"] == "accepted"
        if url.startswith("postgresql"):
            assert wire.flights == flights + 3
        assert deliver_once(mailer, one("2"), key="2", journal=journal)["outcome"] == "accepted"
        afterwards(journal).wait()
        if url.startswith("postgresql"):
            assert wire.flights == flights + 3 + 3  # taken, started, accepted
        with pytest.raises(Throttled) as caught:
            deliver_once(mailer, one("3"), key="3", journal=journal)
        assert caught.value.diagnosis is not None
        assert caught.value.diagnosis.code == "limit.per-day"
        afterwards(journal).wait()
    assert len(scripted.sent) == 2
    for it in (afterwards(journal), *(afterwards(server) for server in [getattr(journal, "server", None)] if server)):
        it.close()
    journal.close()  # type: ignore[attr-defined]


# -- connections ------------------------------------------------------------------------------------------------------


def test_connections_are_shared_and_end_with_their_lease(place: Place, scripted: ScriptedProvider) -> None:
    account = shop(max_connections=1)
    with (
        franking.connect(account, limits=place) as first,
        franking.connect(account, limits=place) as second,
    ):
        first.send(one())
        with pytest.raises(Throttled) as caught:
            second.send(one())
        assert caught.value.diagnosis is not None
        assert caught.value.diagnosis.code == "limit.connections"
        (slot,) = first.pool._leases.values()
        slot._held.since -= 61  # type: ignore[attr-defined]  # it stood still
        first.send(one())  # by another one: its own was closed first
        assert scripted.most_open == 1
        assert scripted.opened == 2
    assert scripted.open_now == 0


@pytest.mark.parametrize("busy", [False, True])
def test_a_connection_whose_place_is_another_s_is_broken_off(
    busy: bool, place: Place, scripted: ScriptedProvider
) -> None:
    ended = threading.Event()
    with franking.connect(shop(max_connections=1), limits=place) as mailer:
        with mailer.borrow() as session:
            (slot,) = mailer.pool._leases.values()
            held = slot._held  # type: ignore[attr-defined]
            held.renew = lambda: False
            act = held.lost
            held.lost = lambda: (act(), ended.set())
            if busy:
                with place_of_teller(place)._ready():
                    held.due = 0.0
                assert ended.wait(60)
                assert not session.is_open  # type: ignore[attr-defined]
        if not busy:
            with place_of_teller(place)._ready():
                held.due = 0.0
            assert ended.wait(60)
        assert scripted.open_now == 0
        assert slot.lapsed
        mailer.send(one())


def place_of_teller(place: Place) -> Any:
    return afterwards(place.server)
