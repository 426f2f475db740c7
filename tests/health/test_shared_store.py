"""What is found of a store that several machines share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from franking.auth.named_store import named_store
from franking.auth.postgres_store import PostgresStore
from franking.health.look import look
from health.looking import Clock, machine
from outbox.test_outbox import save
from servers.memoryredis import MemoryRedis
from servers.ports import HOST, closed_port
from servers.sqlwire import SqlWire

STORE = {"store.not-durable", "store.evicts"}


@pytest.fixture(autouse=True)
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    save(1)
    monkeypatch.setenv("FRANKING_STORE_KEY", "a key of the tests, long enough")
    yield
    from franking.auth.named_store import _OPEN
    from franking.shared.opening import _SERVERS

    for server in _SERVERS.values():
        server.close()
    _OPEN.clear()
    _SERVERS.clear()


def environ(address: str) -> dict[str, str]:
    import os

    return {**os.environ, "FRANKING_STORE": address}


def test_one_that_keeps_everything(present: Clock) -> None:
    with SqlWire() as server:
        store = named_store(environ(server.url))
        assert isinstance(store, PostgresStore)
        store.server.make_tables()
        found = machine(look(clock=present, environ=environ(server.url)))
        assert {code: found[code] for code in STORE} == dict.fromkeys(STORE, "ok")
        store.server.close()


def test_one_that_may_forget(present: Clock) -> None:
    with MemoryRedis() as server:  # it has no append-only file
        found = machine(look(clock=present, environ=environ(server.url)))
        assert found["store.not-durable"] == "warning"
        store = named_store(environ(server.url))
        assert store is not None
        store.server.close()  # type: ignore[attr-defined]


def test_secrets_on_this_machine_and_a_store_that_is_away_are_no_finding(present: Clock) -> None:
    assert not STORE & set(machine(look(clock=present)))
    away = environ(f"redis://{HOST}:{closed_port()}/0")
    assert not STORE & set(machine(look(clock=present, environ=away)))
