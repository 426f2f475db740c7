"""What keeps a journal or limits, each kind with what a test does behind its back: a lease ends, 30 days pass, a
server's clock is set back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from franking.sending.journal import KEPT_SECONDS, Journal, MemoryJournal
from franking.sending.postgres_journal import PostgresJournal
from franking.sending.redis_journal import RedisJournal
from franking.shared.afterwards import afterwards
from franking.shared.postgres_server import PostgresServer
from franking.shared.redis_server import RedisServer

__all__ = ["Kept", "in_memory", "in_postgres", "in_redis"]


@dataclass(frozen=True)
class Kept:
    """A journal; ``lapse`` ends the lease of a key, ``age`` lets 30 days pass for it, ``set_back`` sets the clock an
    hour back behind what was written of it.
    """

    journal: Journal
    lapse: Callable[[str], object]
    age: Callable[[str], object]
    set_back: Callable[[str], object] = lambda key: None  # what is in memory goes by a clock that is never set


def in_memory() -> Kept:
    journal = MemoryJournal()

    def change(key: str, **values: float) -> None:
        for name, value in values.items():
            if key in journal._entries:
                setattr(journal._entries[key], name, value)

    return Kept(journal, lambda key: change(key, until=0.0), lambda key: change(key, changed=-KEPT_SECONDS))


@contextmanager
def in_redis(url: str) -> Iterator[Kept]:
    server = RedisServer(url)
    server.ask("FLUSHALL")

    def lapse(key: str) -> None:
        if server.ask("EXISTS", f"franking:journal:{key}"):
            server.ask("HSET", f"franking:journal:{key}", "until", "0")

    def set_back(key: str) -> None:
        until = int(server.ask("HGET", f"franking:journal:{key}", "until"))
        server.ask("HSET", f"franking:journal:{key}", "until", str(until + 3_600_000))

    journal = RedisJournal(server)
    try:
        yield Kept(journal, lapse, lambda key: server.ask("DEL", f"franking:journal:{key}"), set_back)
    finally:
        afterwards(journal).close()
        journal.close()


@contextmanager
def in_postgres(url: str) -> Iterator[Kept]:
    server = PostgresServer(url)
    server.make_tables()
    server.run("DELETE FROM {table}_journal")

    def change(column: str) -> Callable[[str], Any]:
        return lambda key: server.run(f"UPDATE {{table}}_journal SET {column} = 0 WHERE key = $1", key)

    def set_back(key: str) -> None:
        moved = "until = until + 3600, changed = changed + 3600"
        server.run(f"UPDATE {{table}}_journal SET {moved} WHERE key = $1", key)

    journal = PostgresJournal(server)
    try:
        yield Kept(journal, change("until"), change("changed"), set_back)
    finally:
        afterwards(journal).close()
        journal.close()
