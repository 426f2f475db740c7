"""Servers that somebody else set up: a user who may do only what is asked for, and a Redis of another kind."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import franking
from franking.auth.postgres_store import PostgresStore
from franking.auth.redis_store import RedisStore
from franking.auth.shared_store import SharedStore
from franking.diagnosis import texts
from franking.sending import deliver_once, open_journal
from franking.shared.postgres_server import PostgresServer
from franking.shared.redis_server import RedisServer
from real.conftest import start
from servers.postgres import Postgres
from servers.redis import Redis

KEY = "a key of the tests, long enough"
CHEAP = (2**10, 8, 1)


def used(store: SharedStore, url: str, folder: Path) -> None:
    """Keep a secret, be without concern, and send one message by the journal and the limits."""
    store.save("shop", "x")
    assert store.load("shop") == "x" and store.concerns() == []
    store.delete("shop")
    limits = {"per_minute": 9, "per_day": 90, "recipients_per_day": 900, "max_connections": 2}
    account = franking.Account(name="shop", provider="file", sender="jana@example.cz", path=str(folder), **limits)
    message = franking.Message(to=["petr@example.cz"], subject="x", text="y").as_bytes("jana@example.cz")
    journal = open_journal({"FRANKING_STORE": url})
    assert journal is not None
    for _ in range(2):
        with franking.connect(account, limits=url) as mailer:
            assert deliver_once(mailer, message, key="order-114", journal=journal)["outcome"] == "accepted"
    assert len([one for one in folder.rglob("*") if one.is_file()]) == 1


def test_in_redis_the_rights_that_are_asked_for_are_enough(tmp_path: Path) -> None:
    (told,) = [one for one in texts.entry("store.no-rights")["remedies"] if "Redis" in one]
    with start(Redis) as redis:
        rules = told.split("`")[1].split()
        RedisServer(redis.url).ask("ACL", "SETUSER", "mail", "on", ">canary-5512", *rules)
        url = redis.url.replace("//", "//mail:canary-5512@")
        store = RedisStore(url, key=KEY, directory=tmp_path, cost=CHEAP)
        used(store, url, tmp_path / "sent")
        store.server.close()


def test_in_postgresql_the_rights_that_are_asked_for_are_enough(tmp_path: Path) -> None:
    with start(Postgres) as postgres:
        PostgresServer(postgres.url).make_tables()
        postgres.sql("CREATE ROLE mail LOGIN")
        url = postgres.url.replace("postgres@", "mail@")
        store = PostgresStore(url, key=KEY, directory=tmp_path, cost=CHEAP)
        postgres.sql("GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO mail")
        with pytest.raises(franking.SettingsError, match="it has no DELETE on franking, DELETE on franking_journal"):
            store.concerns()
        postgres.sql("GRANT DELETE ON ALL TABLES IN SCHEMA public TO mail")
        used(store, url, tmp_path / "sent")
        postgres.sql("DROP TABLE franking_journal; CREATE TABLE franking_journal (key text PRIMARY KEY, body text)")
        with pytest.raises(franking.SettingsError, match="column"):
            PostgresServer(postgres.url).make_tables()
        store.server.close()


def test_a_cluster_is_refused_before_anything_is_sent_by_it(tmp_path: Path) -> None:
    with start(lambda: Redis(cluster_enabled="yes")) as redis:
        server = RedisServer(redis.url)
        server.ask("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        until = time.monotonic() + 60
        while "cluster_state:ok" not in server.ask("CLUSTER", "INFO"):
            assert time.monotonic() < until
            time.sleep(0.05)
        store = RedisStore(redis.url, key=KEY, directory=tmp_path, cost=CHEAP)
        with pytest.raises(franking.SettingsError, match="Cluster"):
            store.concerns()
        store.server.close()
