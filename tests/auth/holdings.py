"""What a test does behind the back of a shared store's lock: its time ends, the server's clock is set back."""

from __future__ import annotations

from franking.auth.postgres_store import PostgresStore
from franking.auth.redis_store import RedisStore
from franking.auth.shared_store import SharedStore

__all__ = ["a_clock_that_was_set_back", "lapse"]


def lapse(store: SharedStore, key: str) -> None:
    """Let a lock's time be over, on the server."""
    name = f"secret:{key}"
    if isinstance(store, RedisStore):
        store.server.ask("HSET", store.server.name(name), "until", "1")
    else:
        assert isinstance(store, PostgresStore)
        store.server.run("UPDATE {table} SET until = 1 WHERE key = $1", name)


def set_back(store: SharedStore, key: str) -> None:
    """Set the server's clock an hour back, behind what a lock's holder was told."""
    name = f"secret:{key}"
    if isinstance(store, RedisStore):
        until = int(store.server.ask("HGET", store.server.name(name), "until"))
        store.server.ask("HSET", store.server.name(name), "until", str(until + 3_600_000))
    else:
        assert isinstance(store, PostgresStore)
        store.server.run("UPDATE {table} SET until = until + 3600 WHERE key = $1", name)


def left(store: SharedStore, key: str) -> float:
    """Return for how many seconds a lock is held still."""
    name = f"secret:{key}"
    now = store.rows.read(name)[1]
    if isinstance(store, RedisStore):
        return int(store.server.ask("HGET", store.server.name(name), "until")) / 1000 - now
    assert isinstance(store, PostgresStore)
    ((until,),) = store.server.run("SELECT until FROM {table} WHERE key = $1", name)
    return float(until) - now


def a_clock_that_was_set_back(store: SharedStore) -> None:
    """A holder that is dead has the lock for a lease from now, however late it would have ended."""
    assert store.rows.take("secret:shop", "a holder that dies", 60.0) is not None
    set_back(store, "shop")
    assert store.rows.take("secret:shop", "the next", 5.0) is None
    assert 50 < left(store, "shop") <= 60
