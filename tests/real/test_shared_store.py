"""Many machines on one real Redis or PostgreSQL: one refresh for all, nothing lost when the store is killed, nothing
overwritten by who stood still, nothing taken by who has the wrong time.

Three state directories stand for three machines. FRANKING_PROOFS=1 takes 20 processes on each instead of 3.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import pytest

import franking
from auth.holdings import a_clock_that_was_set_back
from franking.account.binding import binding_of
from franking.auth.postgres_store import PostgresStore
from franking.auth.redis_store import RedisStore
from franking.auth.secret import Grant
from franking.auth.shared_store import SharedStore
from franking.testing import StoreContract
from servers.daemon import Certificates, Unavailable, directory
from servers.ports import HOST
from servers.postgres import Postgres
from servers.redis import Redis

PROOFS = os.environ.get("FRANKING_PROOFS") == "1"
REQUIRED = os.environ.get("FRANKING_REQUIRE_SERVERS") == "1"
EACH, PATIENCE = (20, 600.0) if PROOFS else (3, 60.0)  # sixty processes have two processors, or less
KEY = "a key of the tests, long enough"
CHEAP = (2**10, 8, 1)
WORKER = Path(__file__).parent / "shared_worker.py"
TESTS = Path(__file__).parents[1]

Server = Redis | Postgres
Made = TypeVar("Made", Redis, Postgres)

pytestmark = pytest.mark.timeout(3 * PATIENCE)


@pytest.fixture(scope="module", params=["redis", "postgres"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with started(Redis if request.param == "redis" else Postgres) as made:
        yield made


def started(make: Callable[[], Made]) -> Made:
    """Start a server, or skip (or fail, where servers are required) with the reason."""
    try:
        return make()
    except Unavailable as why:
        if REQUIRED:
            pytest.fail(f"a required server is not available: {why}")
        pytest.skip(str(why))


def opened(server: Server, state: Path, options: str = "") -> SharedStore:
    if isinstance(server, Redis):
        return RedisStore(server.url + options, key=KEY, directory=state, cost=CHEAP)
    store = PostgresStore(server.url + options, key=KEY, directory=state, cost=CHEAP)
    store.server.make_tables()
    return store


@pytest.fixture
def store(server: Server, tmp_path: Path) -> Iterator[SharedStore]:
    """An empty store, begun with a key that costs little."""
    made = opened(server, tmp_path / "begun")
    if isinstance(made, RedisStore):
        made.server.ask("FLUSHALL")
    elif isinstance(made, PostgresStore):
        made.server.run("DELETE FROM {table}")
    made.check_key()
    yield made
    made.server.close()  # type: ignore[attr-defined]


class TestContract(StoreContract):
    @pytest.fixture
    def store(self, store: SharedStore) -> SharedStore:
        return store


# -- an issuer whose refresh tokens are good for one use ---------------------------------------------------------------


class Issuer:
    """Gives out tokens; a refresh token that comes twice is counted and refused. ``gate`` holds requests back before
    they count, ``late`` answers after they did.
    """

    def __init__(self) -> None:
        self.current, self.asked, self.reused = "refresh-0", 0, 0
        self.gate, self.late = threading.Event(), threading.Event()
        self.gate.set()
        self.late.set()
        self.arrived = threading.Semaphore(0)
        lock = threading.Lock()
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                token = self.rfile.read(int(self.headers["Content-Length"])).decode()
                issuer.arrived.release()
                assert issuer.gate.wait(2 * PATIENCE)
                with lock:
                    good = token == issuer.current
                    if good:
                        issuer.asked += 1
                        issuer.current = f"refresh-{issuer.asked}"
                    else:
                        issuer.reused += 1
                    answer = f"access-{issuer.asked} {issuer.current}".encode()
                assert issuer.late.wait(2 * PATIENCE)
                self.send_response(200 if good else 400)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        self.url = f"http://{HOST}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def close(self) -> None:
        self.gate.set()
        self.late.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def issuer(store: SharedStore) -> Iterator[Issuer]:
    account = franking.Account(name="shop", provider="gmail", sender="jana@example.cz").referred_to_as("shop")
    grant = Grant(
        provider="gmail",
        route="gmail-api",
        who="jana@example.cz",
        scopes=("a",),
        created_at=1.0,
        refreshed_at=1.0,
        access_token="ended",
        data={"refresh_token": "refresh-0"},
        bound=binding_of(account),
    )
    store.save("shop", grant.dumps())
    made = Issuer()
    yield made
    made.close()


class Worker:
    """One process of a machine; a context manager."""

    def __init__(self, server: Server, issuer: Issuer, state: Path, options: str = "", ahead: float = 0) -> None:
        line = [sys.executable, str(WORKER), server.url + options, KEY, str(state), issuer.url, str(ahead)]
        path = os.pathsep.join((os.environ["PYTHONPATH"], str(TESTS)))
        self.process = subprocess.Popen(
            line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
        )
        self.state = state
        assert self.hears() == "ready"

    def told(self, word: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()

    def hears(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def does(self, word: str) -> str:
        self.told(word)
        return self.hears()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exc: object) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait(60)
        self.process.stdin.close()
        self.process.stdout.close()

    def unsaved(self) -> bool:
        return any((self.state / "unsaved").glob("*.json"))


def until(condition: Any) -> None:
    pause = threading.Event()
    for _ in range(int(PATIENCE * 100)):
        if condition():
            return
        pause.wait(0.01)
    pytest.fail(f"it did not come about within {PATIENCE:g} seconds")


# -- one refresh for all -----------------------------------------------------------------------------------------------


def test_one_refresh_for_all_processes_of_three_machines(server: Server, issuer: Issuer, tmp_path: Path) -> None:
    with ExitStack() as stack:
        machines = [tmp_path / f"machine-{number % 3}" for number in range(3 * EACH)]
        workers = [stack.enter_context(Worker(server, issuer, machine)) for machine in machines]
        issuer.gate.clear()
        for worker in workers:
            worker.told("get")
        assert issuer.arrived.acquire(timeout=PATIENCE)
        issuer.gate.set()
        assert {worker.hears() for worker in workers} == {"access-1"}
        for worker in workers:
            worker.told("renew")
        assert {worker.hears() for worker in workers} == {"access-2"}
    assert (issuer.asked, issuer.reused) == (2, 0)


# -- the store killed --------------------------------------------------------------------------------------------------


def test_killed_and_started_before_and_after_a_refresh(server: Server, issuer: Issuer, tmp_path: Path) -> None:
    with Worker(server, issuer, tmp_path / "a", "&timeout=20" if "?" in server.url else "?timeout=20") as one:
        server.kill()
        said = one.does("get")
        assert said.startswith("!SendError True")
        assert issuer.asked == 0, "never without the lock"
        server.start()
        assert one.does("get") == "access-1"
        server.kill()
        assert one.does("get") == "access-1", "a token that is good goes on being used"
        server.start()
        with Worker(server, issuer, tmp_path / "b") as other:
            assert other.does("get") == "access-1"
            assert other.does("renew") == "access-2"
        assert one.does("renew") == "access-2"
    assert (issuer.asked, issuer.reused) == (2, 0)


@pytest.mark.parametrize("back", ["before the answer", "after the answer"])
def test_killed_during_a_refresh(server: Server, issuer: Issuer, tmp_path: Path, back: str) -> None:
    with Worker(server, issuer, tmp_path / "a") as one, Worker(server, issuer, tmp_path / "b") as other:
        issuer.late.clear()
        one.told("get")
        assert issuer.arrived.acquire(timeout=PATIENCE)
        server.kill()
        if back == "before the answer":
            server.start()
        issuer.late.set()
        assert one.hears() == "access-1"
        if back == "after the answer":
            assert one.unsaved()
            server.start()
        assert other.does("renew") == "access-1", "it waits for who has it, and takes what they saved"
        assert other.does("renew") == "access-2"
        until(lambda: not one.unsaved())
    assert (issuer.asked, issuer.reused) == (2, 0)


def test_killed_during_a_refresh_and_the_worker_after_it(server: Server, issuer: Issuer, tmp_path: Path) -> None:
    with Worker(server, issuer, tmp_path / "a", "?lease=3") as one:
        issuer.late.clear()
        one.told("get")
        assert issuer.arrived.acquire(timeout=PATIENCE)
        server.kill()
        issuer.late.set()
        assert one.hears() == "access-1"
    assert one.unsaved()
    server.start()
    with Worker(server, issuer, tmp_path / "a", "?lease=3") as following:
        assert following.does("get") == "access-1"
        assert not following.unsaved()
        with Worker(server, issuer, tmp_path / "b") as other:
            assert other.does("get") == "access-1"
            assert other.does("renew") == "access-2"
    assert (issuer.asked, issuer.reused) == (2, 0)


# -- who stood still, and who has the wrong time -----------------------------------------------------------------------


def test_a_holder_that_stood_still_overwrites_nothing(
    server: Server, store: SharedStore, issuer: Issuer, tmp_path: Path
) -> None:
    with Worker(server, issuer, tmp_path / "a", "?lease=1") as one:
        issuer.gate.clear()
        one.told("get")
        assert issuer.arrived.acquire(timeout=PATIENCE)
        one.process.send_signal(signal.SIGSTOP)
        with store.lock("shop"):  # which has to lapse first
            grant = Grant.loads(store.load("shop") or "")
            now = store.clock()
            newer = replace(
                grant, access_token="signed-in-anew", created_at=now, refreshed_at=now, expires_at=now + 3600
            )
            store.save("shop", newer.dumps())
        issuer.gate.set()
        one.process.send_signal(signal.SIGCONT)
        assert one.hears() == "signed-in-anew"
        assert one.does("get") == "signed-in-anew"
    assert Grant.loads(store.load("shop") or "").access_token == "signed-in-anew"


def test_a_holder_that_stood_still_loses_nothing_if_nobody_came(
    server: Server, store: SharedStore, issuer: Issuer, tmp_path: Path
) -> None:
    with Worker(server, issuer, tmp_path / "a", "?lease=1") as one:
        issuer.late.clear()
        one.told("get")
        assert issuer.arrived.acquire(timeout=PATIENCE)
        one.process.send_signal(signal.SIGSTOP)
        with store.lock("shop"):
            pass
        issuer.late.set()
        one.process.send_signal(signal.SIGCONT)
        assert one.hears() == "access-1"
        until(lambda: Grant.loads(store.load("shop") or "").access_token == "access-1")
        assert one.does("renew") == "access-2"
    assert (issuer.asked, issuer.reused) == (2, 0)


@pytest.mark.parametrize("ahead", [3600, -3600])
def test_a_worker_whose_clock_is_an_hour_off_takes_nothing(
    server: Server, store: SharedStore, issuer: Issuer, tmp_path: Path, ahead: float
) -> None:
    with Worker(server, issuer, tmp_path / "a") as right, Worker(server, issuer, tmp_path / "b", ahead=ahead) as wrong:
        issuer.gate.clear()
        right.told("get")
        assert issuer.arrived.acquire(timeout=PATIENCE)
        wrong.told("get")
        assert not issuer.arrived.acquire(timeout=1), "it waits for the lock"
        issuer.gate.set()
        assert (right.hears(), wrong.hears()) == ("access-1", "access-1")
        assert wrong.does("renew") == "access-2"
        # what it dated is good for the others, and what they dated for it
        assert right.does("renew") == "access-2"
        assert wrong.does("get") == "access-2"
        with Worker(server, issuer, tmp_path / "c") as third:
            assert third.does("get") == "access-2"
        assert abs(Grant.loads(store.load("shop") or "").refreshed_at - store.clock()) < 600
    assert (issuer.asked, issuer.reused) == (2, 0)


def test_a_clock_that_was_set_back_leaves_a_dead_holder_s_lock_for_no_longer_than_a_lease(store: SharedStore) -> None:
    a_clock_that_was_set_back(store)


# -- what it is set to ------------------------------------------------------------------------------------------------


def test_a_store_that_keeps_what_it_is_told_gives_no_concern(store: SharedStore) -> None:
    assert store.concerns() == []


@pytest.mark.parametrize(
    ("settings", "codes"),
    [
        ({"durable": False}, ["store.not-durable"]),
        ({"appendfsync": "everysec"}, ["store.not-durable"]),
        ({"maxmemory": "100mb", "maxmemory_policy": "allkeys-lru"}, ["store.evicts"]),
        ({"rename_command": "CONFIG hidden"}, ["store.not-durable"]),
    ],
)
def test_a_redis_that_may_lose_something(tmp_path: Path, settings: dict[str, Any], codes: list[str]) -> None:
    with started(lambda: Redis(**settings)) as server:
        made = RedisStore(server.url, key=KEY, directory=tmp_path, cost=CHEAP)
        assert [hint.code for hint in made.concerns()] == codes
        made.server.close()


def test_with_a_password_and_tls(tmp_path: Path) -> None:
    certificates = Certificates.make(directory("certificates"))
    with started(lambda: Redis(password="canary-5512", certificates=certificates)) as redis:
        one = RedisStore(redis.url, key=KEY, directory=tmp_path, cost=CHEAP)
        one.save("shop", "x")
        assert one.load("shop") == "x" and one.concerns() == []
        one.server.close()
        with pytest.raises(franking.SettingsError, match=r"(?i)certificate"):
            RedisStore(redis.url.partition("?")[0], key=KEY, directory=tmp_path, cost=CHEAP).load("shop")
        with pytest.raises(franking.SettingsError, match="refuses"):
            RedisStore(redis.url.replace("5512", "5513"), key=KEY, directory=tmp_path, cost=CHEAP).load("shop")
    with started(lambda: Postgres(password="canary-5512", certificates=certificates)) as postgres:
        two = PostgresStore(postgres.url, key=KEY, directory=tmp_path, cost=CHEAP)
        two.server.make_tables()
        two.save("shop", "x")
        assert two.load("shop") == "x" and two.concerns() == []
        two.server.close()
        with pytest.raises(franking.SettingsError, match="refuses"):
            PostgresStore(postgres.url.replace("5512", "5513"), key=KEY, directory=tmp_path, cost=CHEAP).load("shop")
