"""The journal: memory, Redis and PostgreSQL (both in this process here, the real ones in tests/real) say the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from franking.errors import SendError, SettingsError
from franking.provider import RouteFacts
from franking.sending import postgres_journal
from franking.sending.journal import Claim, MemoryJournal
from franking.sending.limit_places import Room
from franking.sending.postgres_journal import PostgresJournal
from franking.sending.redis_journal import RedisJournal
from franking.sending.redis_limits import RedisLimits
from franking.sending.shared_stores import open_journal
from sending.journals import Journals, a_clock_that_was_set_back
from sending.keepers import Kept, in_memory, in_postgres, in_redis
from servers.memoryredis import MemoryRedis
from servers.sqlwire import SqlWire


@pytest.fixture(scope="module")
def redis() -> Iterator[MemoryRedis]:
    with MemoryRedis() as server:
        yield server


@pytest.fixture(scope="module")
def wire() -> Iterator[SqlWire]:
    with SqlWire() as server:
        yield server


@pytest.fixture(params=["memory", "redis", "postgres"])
def kept(request: pytest.FixtureRequest, redis: MemoryRedis, wire: SqlWire) -> Iterator[Kept]:
    if request.param == "memory":
        yield in_memory()
    elif request.param == "redis":
        with in_redis(redis.url) as one:
            yield one
    else:
        with in_postgres(wire.url) as one:
            yield one


def test_whatever_workers_do_every_journal_says_the_same(redis: MemoryRedis, wire: SqlWire) -> None:
    with in_redis(redis.url) as first, in_postgres(wire.url) as second:

        class Three(Journals):
            kept = (in_memory(), first, second)

        run_state_machine_as_test(Three, settings=settings(max_examples=15, stateful_step_count=25, deadline=None))


def test_a_message_keeps_what_was_added_and_its_last_word(kept: Kept) -> None:
    journal = kept.journal
    first, second = Claim("k", "w1", "d", "<1@x>", "Mon"), Claim("k", "w2", "d", "<2@x>", "Tue")
    assert journal.claim(first).state == "claimed"
    busy = journal.claim(second)
    assert busy.state == "busy"
    assert 0 < busy.wait <= journal.lease
    assert journal.claim(Claim("k", "w2", "other")).state == "reused"
    assert journal.give_back(first)
    again = journal.claim(second)
    assert (again.state, again.message_id, again.date) == ("claimed", "<1@x>", "Mon")
    assert not journal.started(first)
    assert journal.started(second)
    assert journal.renew(second)
    kept.lapse("k")
    lost = journal.claim(first)
    assert (lost.state, lost.message_id, lost.outcome) == ("unknown", "<1@x>", {})
    outcome = {"outcome": "accepted", "message_id": "<1@x>", "reply": "250 žluť", "refused": {}, "diagnosis": None}
    assert not journal.finish(second, {**outcome, "outcome": "failed"})
    assert journal.finish(second, outcome)
    assert journal.claim(first).outcome == outcome
    kept.age("k")
    assert journal.claim(Claim("k", "w1", "other", "<3@x>")).message_id == "<3@x>"


def test_a_clock_that_was_set_back_keeps_no_message_for_longer_than_a_lease(kept: Kept) -> None:
    a_clock_that_was_set_back(kept)


def test_an_outcome_may_hold_whatever_a_server_said(kept: Kept) -> None:
    claim = Claim("k", "w1", "one")
    assert kept.journal.claim(claim).state == "claimed"
    told = {"outcome": "failed", "reply": "\ud83d \udce9 \0", "refused": {}}
    assert kept.journal.finish(claim, told)
    assert kept.journal.claim(claim).outcome == told


def test_a_message_is_counted_where_redis_has_forgotten_how_it_is_taken(redis: MemoryRedis) -> None:
    with in_redis(redis.url) as kept:
        assert isinstance(kept.journal, RedisJournal)
        server, facts = kept.journal.server, RouteFacts("r", per_minute=1)
        place = RedisLimits(server)
        room = Room(place, "box", facts, 1, lambda: place.take("box", facts, 1))
        kept.journal.claim(Claim("a", "w", "d"))  # this connection has brought that script alone
        server.ask("SCRIPT", "FLUSH")
        first = kept.journal.claim(Claim("b", "w", "d"), room)
        assert first.state == "claimed" and first.turn.at
        assert kept.journal.claim(Claim("c", "w", "d"), room).turn.limit == "per-minute"


@pytest.mark.parametrize(("chance", "left"), [(0.0, 2), (1.0, 1)])
def test_processes_that_live_for_one_message_remove_now_and_then_what_is_past_its_keeping(
    wire: SqlWire, monkeypatch: pytest.MonkeyPatch, chance: float, left: int
) -> None:
    monkeypatch.setattr(postgres_journal.random, "random", lambda: chance)
    with in_postgres(wire.url) as kept:
        assert isinstance(kept.journal, PostgresJournal)
        for key in ("old", "new"):
            kept.journal.claim(Claim(key, "w", "d"))
        kept.age("old")
        kept.journal.finish(Claim("new", "w", "d"), {"outcome": "accepted"})
        assert len(kept.journal.server.run("SELECT key FROM {table}_journal")) == left


def test_what_is_past_its_keeping_is_removed_once_an_hour(wire: SqlWire, monkeypatch: pytest.MonkeyPatch) -> None:
    with in_postgres(wire.url) as kept:
        journal = kept.journal
        assert isinstance(journal, PostgresJournal)
        for key in ("old", "new"):
            journal.claim(Claim(key, "w", "d"))
        kept.age("old")
        journal.finish(Claim("new", "w", "d"), {"outcome": "accepted"})
        assert len(journal.server.run("SELECT key FROM {table}_journal")) == 2
        monkeypatch.setattr(postgres_journal, "PURGE_SECONDS", 0.0)
        journal.finish(Claim("new", "w", "d"), {"outcome": "accepted"})
        assert journal.server.run("SELECT key FROM {table}_journal") == [("new",)]


def test_the_shared_store_has_the_journal(redis: MemoryRedis, wire: SqlWire) -> None:
    assert open_journal({}) is None
    assert open_journal({"FRANKING_STORE": "keyring"}) is None
    first = open_journal({"FRANKING_STORE": redis.url}, lease=5)
    assert isinstance(first, RedisJournal)
    assert first.lease == 5
    second = open_journal({"FRANKING_STORE": wire.url})
    assert isinstance(second, PostgresJournal)
    again = open_journal({"FRANKING_STORE": redis.url})
    assert isinstance(again, RedisJournal)
    assert again.server is first.server
    with pytest.raises(SettingsError, match="no store that is known"):
        open_journal({"FRANKING_STORE": "mysql://x/y"})
    for one in (first, second):
        one.close()


def test_a_store_that_is_away_says_so() -> None:
    for url in ("redis://127.0.0.1:1/0", "postgresql://127.0.0.1:1/x"):
        journal = open_journal({"FRANKING_STORE": url})
        assert journal is not None
        with pytest.raises(SendError, match="cannot be reached") as caught:
            journal.claim(Claim("k", "w", "d"))
        assert caught.value.temporary


def test_a_lease_is_as_long_as_it_is_said() -> None:
    assert MemoryJournal(lease=3).lease == 3
    assert RedisJournal("redis://127.0.0.1:1/0", lease=3)._lease == 3000
