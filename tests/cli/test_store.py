"""``franking store``: the shared store made and looked at, and every other command that uses it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from commandline import Franking
from servers.memoryredis import MemoryRedis
from servers.ports import HOST, closed_port
from servers.sqlwire import SqlWire

KEY = "a key of the tests, long enough"


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("franking.auth.encryption.COST", (2**10, 8, 1))
    monkeypatch.setenv("FRANKING_STORE_KEY", KEY)


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Iterator[SqlWire]:
    with SqlWire() as server:
        monkeypatch.setenv("FRANKING_STORE", server.url)
        yield server
        _close()


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryRedis]:
    with MemoryRedis() as server:
        monkeypatch.setenv("FRANKING_STORE", server.url)
        yield server
        _close()


def _close() -> None:
    from franking.auth.named_store import _OPEN
    from franking.shared.opening import _SERVERS

    for store in _OPEN.values():
        store.server.close()  # type: ignore[attr-defined]
    for server in _SERVERS.values():
        server.close()
    _OPEN.clear()
    _SERVERS.clear()


def test_tables_are_made_once_and_the_store_is_looked_at(franking: Franking, wire: SqlWire) -> None:
    missing = franking("store", "check", "--json")
    assert missing.code == 2 and missing.json["diagnosis"]["code"] == "store.no-table"
    assert "franking store init" in json.dumps(missing.json)
    for _ in range(2):
        assert franking("store", "init", "--json").json == {
            "ok": True,
            "store": wire.url.replace("postgres@", ""),
            "tables": True,
        }
    assert "tables are there" in franking("store", "init").err
    looked = franking("store", "check", "--json")
    assert looked.json == {"ok": True, "store": wire.url.replace("postgres@", ""), "warnings": []}
    assert "the key fits" in franking("store", "check").err


def test_the_statements_are_printed_without_a_store(franking: Franking) -> None:
    said = franking("store", "init", "--sql")
    assert said.code == 0 and said.out.startswith("CREATE TABLE IF NOT EXISTS franking (")
    assert said.out.rstrip().endswith(";")


def test_redis_needs_no_tables_and_says_what_may_get_lost(franking: Franking, memory: MemoryRedis) -> None:
    assert franking("store", "init", "--json").json["tables"] is False
    looked = franking("store", "check", "--json")
    assert looked.code == 0
    assert [warning["code"] for warning in looked.json["warnings"]] == ["store.not-durable"]
    assert "may lose" in " ".join(franking("store", "check").err.split())


def test_a_password_is_stored_told_of_and_forgotten_there(franking: Franking, memory: MemoryRedis) -> None:
    franking("accounts", "add", "shop", "--from", "info@novak.cz", "--host", HOST, "--username", "info@novak.cz")
    stored = franking("login", "shop", "--password-stdin", stdin="hunter2-canary\n")
    assert stored.code == 0 and f"redis://{HOST}:{memory.port}" in " ".join(stored.err.split())
    (row,) = franking("status", "--json").json
    assert (row["source"], row["store"], row["ok"]) == ("store", "shared", True)
    assert franking("logout", "shop", "--json").json["forgotten"] is True
    assert franking("logout", "shop", "--json").json["forgotten"] is False


@pytest.mark.parametrize("command", [("store", "init"), ("store", "check")])
def test_without_a_shared_store_it_says_how_to_name_one(franking: Franking, command: tuple[str, ...]) -> None:
    said = franking(*command, "--json")
    assert said.code == 2 and said.json["diagnosis"]["code"] == "store.address"


def test_another_key_and_a_server_that_is_away(
    franking: Franking, memory: MemoryRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert franking("store", "check").code == 0
    monkeypatch.setenv("FRANKING_STORE_KEY", "another key, long enough")
    said = franking("store", "check", "--json")
    assert said.code == 2 and said.json["diagnosis"]["code"] == "store.wrong-key"
    monkeypatch.setenv("FRANKING_STORE_KEY", "")
    assert franking("store", "check", "--json").json["diagnosis"]["code"] == "store.no-key"
    monkeypatch.setenv("FRANKING_STORE_KEY", KEY)
    monkeypatch.setenv("FRANKING_STORE", f"redis://:canary-5512@{HOST}:{closed_port()}/0")
    said = franking("store", "check", "--json")
    assert said.code == 5 and said.json["diagnosis"]["code"] == "store.away"
    assert "canary-5512" not in said.out + said.err
    monkeypatch.setenv("FRANKING_STORE", "mysql://h/mail")
    assert franking("store", "check", "--json").json["diagnosis"]["code"] == "store.address"
