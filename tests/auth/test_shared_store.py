"""Stores that several machines share: the contract, a lock that is lost, another key, what could not be saved."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
import redis

from auth.holdings import a_clock_that_was_set_back, lapse
from auth.leaving import leave
from franking.auth import encryption
from franking.auth.postgres_store import PostgresStore
from franking.auth.redis_store import RedisStore
from franking.auth.shared_store import SharedStore
from franking.auth.store import open_store
from franking.errors import FrankingError, LockLost, SendError, SettingsError
from franking.shared import failures
from franking.shared.afterwards import afterwards
from franking.testing import StoreContract
from servers.memoryredis import MemoryRedis
from servers.sqlwire import Fault, SqlWire

KEY = "a key of the tests, long enough"
CHEAP: encryption.Cost = (2**10, 8, 1)

Opened = Callable[..., SharedStore]


@pytest.fixture(params=["redis", "postgres"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opened]:
    """Open stores on one server, each as if it were another machine's."""
    stores: list[Any] = []

    def machine(key: str = KEY, where: str = "state", options: str = "", **more: Any) -> SharedStore:
        given: dict[str, Any] = {"key": key, "directory": tmp_path / where, "cost": CHEAP, **more}
        if isinstance(server, MemoryRedis):
            stores.append(RedisStore(server.url + options, **given))
        else:
            stores.append(PostgresStore(server.url + options, **given))
            stores[-1].server.make_tables()
        return stores[-1]  # type: ignore[no-any-return]

    server: MemoryRedis | SqlWire = MemoryRedis() if request.param == "redis" else SqlWire()
    with server:
        yield machine
        leave(*stores)


class TestContract(StoreContract):
    @pytest.fixture
    def store(self, opened: Opened) -> SharedStore:
        return opened()


def test_what_one_machine_saves_another_loads(opened: Opened) -> None:
    opened().save("shop", "hunter2")
    assert opened(where="other").load("shop") == "hunter2"


def test_nothing_can_be_read_on_the_server(opened: Opened) -> None:
    store = opened()
    store.save("shop", "canary-7781")
    raw, _ = store.rows.read("secret:shop")
    assert raw is not None and "canary" not in raw and set(json.loads(raw)) >= {"nonce", "data", "salt"}


def test_a_lock_that_was_lost_saves_nothing(opened: Opened) -> None:
    one, two = opened(), opened(where="other")
    with one.lock("shop"):
        lapse(one, "shop")
        with two.lock("shop"):
            two.save("shop", "newer")
        with pytest.raises(LockLost) as caught:
            one.save("shop", "older")
        with pytest.raises(LockLost):
            one.delete("shop")
    assert caught.value.temporary and isinstance(caught.value, SendError) and caught.value.step == "secret"
    assert one.load("shop") == "newer"


def test_a_lock_that_ran_out_saves_nothing_even_if_nobody_else_has_it(opened: Opened) -> None:
    store = opened()
    with store.lock("shop"):
        lapse(store, "shop")
        with pytest.raises(LockLost):
            store.save("shop", "x")
    assert store.load("shop") is None


def test_a_clock_that_was_set_back_leaves_a_dead_holder_s_lock_for_no_longer_than_a_lease(opened: Opened) -> None:
    a_clock_that_was_set_back(opened())


def test_a_lock_is_waited_for_and_then_given_up(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = opened(), opened(where="other")
    monkeypatch.setattr("franking.auth.shared_store._MARGIN", -59.9)
    with one.lock("shop"), pytest.raises(SendError) as caught, two.lock("shop"):
        pass
    assert caught.value.temporary
    assert caught.value.evidence is not None and caught.value.evidence.reason == "lock-timeout"


def test_a_lock_is_kept_for_as_long_as_it_takes(opened: Opened) -> None:
    store = opened()
    renewed = threading.Event()
    real = store.rows.renew

    def renew(*args: Any) -> bool:
        answer = real(*args)
        renewed.set()
        return answer

    store.rows.renew = renew  # type: ignore[method-assign]
    with store.lock("shop"):
        teller = afterwards(store)
        with teller._ready():
            (held,) = teller._held
            assert held.due - held.since == pytest.approx(store.lease / 3)
            held.due = 0.0  # a third of its time is over
        assert renewed.wait(60)
        store.save("shop", "x")
    assert store.load("shop") == "x"


def test_another_key_is_recognised_and_nothing_is_overwritten(opened: Opened) -> None:
    opened().save("shop", "hunter2")
    other = opened(key="another key, long enough")
    for step in (
        lambda: other.load("shop"),
        lambda: other.save("shop", "x"),
        lambda: other.delete("shop"),
        lambda: other.lock("shop").__enter__(),
    ):
        with pytest.raises(SettingsError) as caught:
            step()
        assert caught.value.field == "FRANKING_STORE_KEY"
        assert caught.value.evidence is not None and caught.value.evidence.reason == "other-key"
    assert opened().load("shop") == "hunter2"


def test_without_a_key_there_is_no_store(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="FRANKING_STORE_KEY is not set"):
        opened(key="")
    with pytest.raises(SettingsError, match="at least 16"):
        opened(key="short")
    monkeypatch.setenv("FRANKING_STORE_KEY", KEY)
    opened(key="").save("shop", "x")
    assert opened().load("shop") == "x"


def test_what_is_damaged_is_told_so(opened: Opened) -> None:
    store = opened()
    store.save("shop", "x")
    store.save("other", "y")
    stolen, _ = store.rows.read("secret:other")
    with store.lock("shop"):
        store._write("shop", stolen)  # what belongs to another account is not this one's
    with pytest.raises(SettingsError, match="cannot be read"):
        store.load("shop")


def test_the_clock_is_the_server_s_where_this_machine_s_is_wrong(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened()
    store.load("shop")
    assert store._ahead == 0
    monkeypatch.setattr("franking.auth.shared_store.time", SimpleNamespace(time=lambda: time.time() - 3600))
    store.load("shop")
    assert abs(store.clock() - time.time()) < 60


def test_what_a_person_asks_of_it(opened: Opened) -> None:
    store = opened()
    assert (store.kind("shop"), store.has("shop"), store.stamp("shop")) == (None, False, "")
    store.save("shop", "x")
    before = store.stamp("shop")
    store.save("shop", "x")
    assert (store.kind("shop"), store.has("shop")) == ("shared", True)
    assert before and store.stamp("shop") != before
    assert store.place("shop") == store.server.where  # type: ignore[attr-defined]


# -- what could not be saved -------------------------------------------------------------------------------------------


class Away:
    """Let one step of a store fail, as if the server were away."""

    def __init__(self, store: SharedStore, *steps: str) -> None:
        self.store, self.steps = store, steps

    def __enter__(self) -> None:
        def fail(*args: Any) -> Any:
            raise SendError("away", step="secret", temporary=True)

        for step in self.steps:
            setattr(self.store.rows, step, fail)

    def __exit__(self, *exc: object) -> None:
        for step in self.steps:
            delattr(self.store.rows, step)


def keep(store: SharedStore, value: str) -> None:
    """Fail to save a value, and keep it."""
    with store.lock("shop"):
        store.load("shop")
        with pytest.raises(SendError):
            store.save("shop", value)
        store.keep("shop", value)


def wait_for(store: SharedStore, value: str) -> None:
    done = threading.Event()
    for _ in range(6000):
        if store.load("shop") == value and not store._unsaved.path("shop").exists():
            return
        done.wait(0.01)
    pytest.fail(f"{value} was never saved")


def test_what_could_not_be_saved_is_saved_when_the_store_is_back(opened: Opened) -> None:
    store, other = opened(), opened(where="other")
    store.save("shop", "old")
    with store.lock("shop"):
        store.load("shop")
        with Away(store, "write"), pytest.raises(SendError):
            store.save("shop", "new")
        store.keep("shop", "new")
        text = store._unsaved.path("shop").read_text()  # once the lock is free it may be saved at any moment
        assert '"new"' not in text and store._unsaved.path("shop").stat().st_mode & 0o77 == 0
    wait_for(store, "new")
    assert other.load("shop") == "new"


def test_nobody_gets_the_lock_before_it_is_saved(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    store, other = opened(), opened(where="other")
    store.save("shop", "old")
    monkeypatch.setattr("franking.auth.unsaved.Unsaved._start", lambda self, key: None)
    with Away(store, "write"):
        keep(store, "new")
    monkeypatch.setattr("franking.auth.shared_store._MARGIN", -59.9)
    with pytest.raises(SendError, match="in use"), other.lock("shop"):
        pass
    with store.lock("shop"):
        assert store.load("shop") == "new"
    with other.lock("shop"):
        assert other.load("shop") == "new"


def test_the_next_process_on_this_machine_saves_it(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("franking.auth.unsaved.Unsaved._start", lambda self, key: None)
    store = opened()
    store.save("shop", "old")
    with Away(store, "write"):
        keep(store, "new")
    lapse(store, "shop")  # that process is no more
    following = opened()
    with following.lock("shop"):
        assert following.load("shop") == "new"
    assert not store._unsaved.path("shop").exists()


def test_it_is_dropped_where_somebody_signed_in_anew(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("franking.auth.unsaved.Unsaved._start", lambda self, key: None)
    store, other = opened(), opened(where="other")
    store.save("shop", "old")
    with Away(store, "write"):
        keep(store, "new")
    lapse(store, "shop")
    other.save("shop", "signed in anew")
    with store.lock("shop"):
        assert store.load("shop") == "signed in anew"
    assert not store._unsaved.path("shop").exists()


def test_a_lock_is_not_given_back_while_what_waits_cannot_be_saved(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("franking.auth.unsaved.Unsaved._start", lambda self, key: None)
    store, other = opened(), opened(where="other")
    store.save("shop", "old")
    with Away(store, "write"):
        keep(store, "new")
        with pytest.raises(SendError, match="away"), store.lock("shop"):
            pytest.fail("nobody works with what may be spent")
    monkeypatch.setattr("franking.auth.shared_store._MARGIN", -59.9)
    with pytest.raises(SendError, match="in use"), other.lock("shop"):
        pass


@pytest.mark.parametrize("content", [b"{}", b"\xff", b'{"key": "shop", "salt": "x", "scrypt": [2, 1, 1]}'])
def test_a_file_that_nobody_can_read_stands_in_nobody_s_way(
    opened: Opened, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    store = opened()
    path = store._unsaved.path("shop")
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with store.lock("shop"):
        store.save("shop", "x")
    assert "cannot be decrypted" in caplog.text and path.exists()


def test_where_nothing_can_be_written_here_it_is_told(opened: Opened, tmp_path: Path) -> None:
    store = opened(where="file/state")
    (tmp_path / "file").write_text("")
    with store.lock("shop"), pytest.raises(SettingsError, match="could not be written"):
        store.keep("shop", "x")


@pytest.mark.parametrize("opened", ["redis"], indirect=True)
def test_what_cannot_be_read_here_stands_in_nobody_s_way(opened: Opened, caplog: pytest.LogCaptureFixture) -> None:
    store = opened()
    store._unsaved.path("shop").mkdir(parents=True)
    store.save("shop", "x")
    assert "cannot be read" in caplog.text and store.load("shop") == "x"
    store._unsaved.path("shop").rmdir()


@pytest.mark.parametrize("opened", ["redis"], indirect=True)
def test_what_cannot_be_removed_here_stands_in_nobody_s_way(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = opened()

    def read_only(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(store._unsaved, "_start", lambda key: None)
    with store.lock("shop"):
        store.load("shop")
        store.keep("shop", "kept")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", read_only)
        with store.lock("shop"):
            assert store.load("shop") == "kept"
    assert "cannot be removed" in caplog.text


@pytest.mark.process
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("opened", ["redis"], indirect=True)
def test_a_forked_child_holds_nothing_of_its_parent_s(opened: Opened) -> None:
    store = opened()
    with store.lock("shop"):
        owner = store._owner
        child = os.fork()
        if not child:
            os._exit(0 if store._holding("shop") is None and store._owner != owner else 1)
        assert os.waitpid(child, 0)[1] == 0
        store.save("shop", "x")


@pytest.mark.parametrize("opened", ["redis"], indirect=True)
def test_one_thread_waits_for_a_key_and_gives_up_where_somebody_has_to_mend_it(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = opened()
    store.save("shop", "old")
    refused = SettingsError("the server refuses this")

    def refuse(*args: Any) -> Any:
        raise refused

    store._unsaved._waiting.add("shop")  # as if a parent's thread waited already
    store._unsaved.begin()
    with store.lock("shop"):
        store.load("shop")
        monkeypatch.setattr(store.rows, "take", refuse)
        store.keep("shop", "new")
        store.keep("shop", "newer")
    for thread in threading.enumerate():
        if thread.name == "franking-unsaved":
            thread.join(60)
    monkeypatch.undo()
    assert "waits to be saved for shop cannot be: the server refuses this" in caplog.text
    assert not store._unsaved._waiting
    with store.lock("shop"):
        assert store.load("shop") == "newer"


# What the real ones say stands in tests/real/test_shared_store.py.
REDIS = {
    "server": "redis_mode:standalone\r\n",
    "memory": "# Memory\r\nmaxmemory_policy:noeviction\r\n",
    "persistence": "aof_enabled:1\r\n",
}


@pytest.mark.parametrize(
    ("said", "synced", "codes"),
    [
        ({}, "always", []),
        ({}, "everysec", ["store.not-durable"]),
        ({"persistence": "aof_enabled:0\r\n"}, "always", ["store.not-durable"]),
        ({"memory": "maxmemory_policy:allkeys-lru\r\n"}, "always", ["store.evicts"]),
    ],
)
def test_what_redis_is_set_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: dict[str, str], synced: str, codes: list[str]
) -> None:
    store = RedisStore("redis://redis.example/0", key=KEY, directory=tmp_path)

    def ask(*words: str) -> Any:
        return ["appendfsync", synced] if words[0] == "CONFIG" else {**REDIS, **said}[words[1]]

    monkeypatch.setattr(store.server, "ask", ask)
    assert [hint.code for hint in store.rows.concerns()] == ["store.unprotected", *codes]


def test_a_redis_that_does_not_tell_all_is_judged_by_what_it_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RedisStore("redis://127.0.0.1/0", key=KEY, directory=tmp_path)
    memory = "maxmemory_policy:allkeys-lru\r\n"

    def ask(*words: str) -> Any:
        if words[0] == "CONFIG":
            raise failures.no_rights("redis", "NOPERM this user has no permissions", step="secret")
        return {**REDIS, "memory": memory}[words[1]]

    monkeypatch.setattr(store.server, "ask", ask)
    kept, evicts = store.rows.concerns()
    assert evicts.code == "store.evicts"
    assert "nobody can see from here what appendonly and appendfsync are (NOPERM this" in kept.say("en")
    assert "FRANKING_STORE" not in kept.say("en")
    memory = ""  # nor which keys go
    monkeypatch.setitem(REDIS, "persistence", "aof_enabled:0\r\n")
    assert [hint.code for hint in store.rows.concerns()] == ["store.not-durable"]


def test_a_cluster_is_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = RedisStore("redis://127.0.0.1/0", key=KEY, directory=tmp_path)
    monkeypatch.setattr(store.server, "ask", lambda *words: "redis_mode:cluster\r\n" if words[0] == "INFO" else [])
    with pytest.raises(SettingsError, match="a Redis Cluster") as caught:
        store.rows.concerns()
    assert caught.value.evidence is not None and caught.value.evidence.reason == "unfit"


# -- the environment ---------------------------------------------------------------------------------------------------


def test_the_environment_names_it(opened: Opened, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    opened().save("shop", "x")  # begun with a cheap key
    where = opened().place("shop")
    environ = {"FRANKING_STORE": f"{where}?lease=7", "FRANKING_STORE_KEY": KEY, "FRANKING_STATE_DIR": str(tmp_path)}
    store = open_store(environ)
    assert isinstance(store, SharedStore) and store.load("shop") == "x" and store.lease == 7
    assert open_store(environ) is store
    file = tmp_path / "address"
    file.write_text(f"{where}?lease=7\n")
    assert open_store({**environ, "FRANKING_STORE": "", "FRANKING_STORE_FILE": str(file)}) is store
    with pytest.raises(SettingsError, match="FRANKING_STORE_KEY"):
        open_store({**environ, "FRANKING_STORE_KEY": ""})
    store.server.close()  # type: ignore[attr-defined]


def test_a_library_s_own_client_will_do(tmp_path: Path) -> None:
    with MemoryRedis() as memory, SqlWire() as wire:
        client = redis.Redis.from_url(memory.url)
        one = RedisStore(client, key=KEY, directory=tmp_path, cost=CHEAP, prefix="shop:")
        one.save("shop", "x")
        assert client.hget("shop:secret:shop", "value")
        two = PostgresStore(lambda: psycopg.connect(wire.url), key=KEY, directory=tmp_path, cost=CHEAP, table="mail_x")
        two.server.make_tables()
        two.save("shop", "y")
        assert (one.load("shop"), two.load("shop")) == ("x", "y")
        client.close()
        one.server.close()
        two.server.close()


def test_a_lock_that_cannot_be_given_back_lapses_by_itself(opened: Opened, caplog: pytest.LogCaptureFixture) -> None:
    store = opened()
    caplog.set_level("INFO")
    with Away(store, "release"), store.lock("shop"):
        pass
    assert "not given back" in caplog.text


def test_missing_tables_are_named(tmp_path: Path) -> None:
    with SqlWire() as wire:
        store = PostgresStore(wire.url, key=KEY, directory=tmp_path, cost=CHEAP)
        with pytest.raises(SettingsError, match="franking store init"):
            store.load("shop")
        store.server.make_tables()
        wire.faults.append(Fault("53300"))
        with pytest.raises(FrankingError, match="try again"):
            store.load("shop")
        store.server.close()
