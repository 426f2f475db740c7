"""Tokens: grants on paper, freshness under wrong clocks, and one refresh for all threads and processes, whatever is
killed meanwhile.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import franking
from franking.auth.secret import Grant, Password
from franking.auth.store import FileStore, MemoryStore
from franking.auth.token import TokenSecret
from franking.errors import Evidence
from servers.renewal import token_secret

NOW = 1_800_000_000.0
BOUND = {"provider": "gmail"}


def grant(token: str = "token-0", *, age: float = 0, left: float = 3600, **rest: Any) -> Grant:
    base = Grant(
        provider="gmail",
        route="gmail-api",
        who="jana@example.cz",
        scopes=("a", "b"),
        created_at=NOW - 86_400,
        refreshed_at=NOW - age,
        access_token=token,
        expires_at=NOW + left,
        data={"refresh_token": "canary-refresh"},
        details={"testing": True},
        bound=BOUND,
    )
    return replace(base, **rest)


class Issuer:
    """Hands out token-1, token-2 …, and can be slow, or refuse."""

    def __init__(self) -> None:
        self.asked: list[Grant | None] = []
        self.error: Exception | None = None
        self.gate: threading.Event | None = None
        self.lifetime = 3600.0
        self.clock = NOW

    def __call__(self, old: Grant | None) -> Grant:
        self.asked.append(old)
        if self.gate:
            assert self.gate.wait(20)
        if self.error:
            raise self.error
        fresh = grant(
            f"token-{len(self.asked)}",
            created_at=self.clock,
            refreshed_at=self.clock,
            expires_at=self.clock + self.lifetime,
        )
        return replace(fresh, data={"refresh_token": f"rotated-{len(self.asked)}"})


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def secret(issuer: Issuer, store: MemoryStore) -> Callable[..., TokenSecret]:
    def make(**options: Any) -> TokenSecret:
        return token_secret(store, issuer, **options, clock=lambda: issuer.clock)

    return make


def test_no_repr_tells_a_secret(secret: Callable[..., TokenSecret], store: MemoryStore) -> None:
    store.save("shop", grant("canary-access").dumps())
    made = secret(exported=grant("canary-access"))
    made.get()
    assert "canary" not in repr([grant("canary-access"), Password("canary-password"), made])


# --- freshness --------------------------------------------------------------------------------------------------------


def test_a_clock_that_jumps_costs_one_renewal_each_time(
    secret: Callable[..., TokenSecret], store: MemoryStore, issuer: Issuer
) -> None:
    store.save("shop", grant().dumps())
    made = secret()
    assert made.get() == "token-0"
    for jump in (86_400.0, -86_400.0, -86_400.0, 86_400.0):
        issuer.clock += jump
        before = len(issuer.asked)
        assert made.get() == secret().get() == f"token-{before + 1}"
        assert len(issuer.asked) == before + 1


def test_a_short_lived_token_is_not_renewed_at_every_call(
    secret: Callable[..., TokenSecret], issuer: Issuer, store: MemoryStore
) -> None:
    store.save("shop", grant("").dumps())
    issuer.lifetime = 60
    made = secret()
    assert {made.get() for _ in range(5)} == {"token-1"}


# --- the recipe -------------------------------------------------------------------------------------------------------


def test_a_fresh_stored_token_is_used_as_it_is(
    secret: Callable[..., TokenSecret], issuer: Issuer, store: MemoryStore
) -> None:
    store.save("shop", grant().dumps())
    made = secret()
    assert made.get() == "token-0"
    assert made.who == "jana@example.cz"
    assert not issuer.asked


def test_an_old_token_is_renewed_and_saved(
    secret: Callable[..., TokenSecret], issuer: Issuer, store: MemoryStore
) -> None:
    store.save("shop", grant(age=3600, left=10).dumps())
    assert secret().get() == "token-1"
    kept = Grant.loads(store.load("shop") or "")
    assert (kept.access_token, kept.data["refresh_token"]) == ("token-1", "rotated-1")
    assert kept.created_at == NOW - 86_400  # the login is as old as it was
    assert secret().get() == "token-1"
    assert len(issuer.asked) == 1


def test_a_refused_token_is_renewed_and_a_newer_one_adopted(
    secret: Callable[..., TokenSecret], issuer: Issuer, store: MemoryStore
) -> None:
    store.save("shop", grant().dumps())
    one, two = secret(), secret()
    assert one.get() == two.get() == "token-0"
    assert one.get(renew_after="token-0") == "token-1"
    assert two.get(renew_after="token-0") == "token-1"  # renewed by the other meanwhile
    assert one.get(renew_after="token-0") == "token-1"
    assert len(issuer.asked) == 1
    assert two.get() == "token-1"


def test_who_was_overtaken_takes_what_another_saved(
    secret: Callable[..., TokenSecret], issuer: Issuer, store: MemoryStore
) -> None:
    """A worker that stood still beyond its lock's lease asks with a refresh token that another has spent meanwhile."""
    store.save("shop", grant(age=3600, left=10).dumps())
    issuer.error = franking.LoginRequired("invalid_grant", repair="franking login shop")
    with pytest.raises(franking.LoginRequired):
        secret().get()
    overtaken, issuer.gate = secret(), threading.Event()
    got: list[str] = []
    worker = threading.Thread(target=lambda: got.append(overtaken.get()))
    worker.start()
    while len(issuer.asked) < 2:
        time.sleep(0.001)
    store.save("shop", grant("newer").dumps())
    issuer.gate.set()
    worker.join(20)
    assert got == ["newer"]


def test_nobody_signed_in(secret: Callable[..., TokenSecret], issuer: Issuer, store: MemoryStore) -> None:
    for text in (None, Password("hunter2").dumps()):
        if text:
            store.save("shop", text)
        with pytest.raises(franking.LoginRequired, match="franking login shop") as caught:
            secret().get()
        assert caught.value.repair == "franking login shop"
        assert caught.value.evidence == Evidence("oauth", reason="no-grant")
    assert not issuer.asked


def test_without_a_person_there_is_nothing_to_sign_in(secret: Callable[..., TokenSecret], issuer: Issuer) -> None:
    assert secret(person=False).get() == "token-1"
    assert issuer.asked == [None]


def test_a_token_for_another_road_is_renewed_first(
    secret: Callable[..., TokenSecret], issuer: Issuer, store: MemoryStore
) -> None:
    store.save("shop", grant().dumps())
    made = secret(route="gmail-smtp")
    assert made.get() == made.get() == "token-1"
    assert Grant.loads(store.load("shop") or "").route == "gmail-smtp"


def test_what_needs_the_network_first_is_done_before_the_lock_and_only_when_needed(
    store: MemoryStore, issuer: Issuer
) -> None:
    seen: list[str] = []

    class Watched(MemoryStore):
        @contextmanager
        def lock(self, key: str) -> Iterator[None]:
            seen.append("lock")
            with super().lock(key):
                yield
            seen.append("unlock")

    kept = Watched()
    secret = token_secret(kept, issuer, log=seen.append, clock=lambda: issuer.clock)
    with pytest.raises(franking.LoginRequired):
        secret.get()
    assert "ready" not in seen  # nobody is asked where nobody has signed in
    kept.save("shop", grant(left=10, age=3600).dumps())
    seen.clear()
    assert secret.get() == "token-1"
    assert seen == ["ready", "lock", "refresh", "unlock"]
    seen.clear()
    again = token_secret(kept, issuer, log=seen.append, clock=lambda: issuer.clock)
    assert again.get() == "token-1"
    assert seen == []  # what is fresh needs neither network nor lock


def test_a_damaged_store_is_said(secret: Callable[..., TokenSecret], store: MemoryStore) -> None:
    store.save("shop", "{")
    with pytest.raises(franking.SettingsError):
        secret().get()


@pytest.mark.parametrize(
    "error", [franking.LoginRequired("dead"), franking.ConnectError("unreachable"), franking.SettingsError("no client")]
)
def test_a_failure_leaves_the_store_as_it_was(
    secret: Callable[..., TokenSecret], issuer: Issuer, store: MemoryStore, error: franking.FrankingError
) -> None:
    store.save("shop", grant(left=10, age=3600).dumps())
    before = store.load("shop")
    issuer.error = error
    made = secret()
    with pytest.raises(type(error)):
        made.get()
    assert store.load("shop") == before
    issuer.error = None
    assert made.get() == "token-2"  # a failure is not kept


# --- provided from outside --------------------------------------------------------------------------------------------


def test_a_provided_grant_counts_until_the_store_has_a_newer_one(
    secret: Callable[..., TokenSecret], issuer: Issuer, store: MemoryStore
) -> None:
    exported = grant("exported", age=7200, left=-3600)
    assert secret(exported=exported).get() == "token-1"
    assert issuer.asked[-1] == exported
    issuer.clock += 4000
    assert secret(exported=exported).get() == "token-2"
    # the rotated one, not the exported
    assert issuer.asked[-1] and issuer.asked[-1].data["refresh_token"] == "rotated-1"
    assert secret(exported=exported).get() == "token-2"


def test_a_later_login_wins_over_an_older_ones_renewal(
    secret: Callable[..., TokenSecret], issuer: Issuer, store: MemoryStore
) -> None:
    store.save("shop", grant("renewed just now", refreshed_at=NOW).dumps())
    later = grant("later login", created_at=NOW - 3600, refreshed_at=NOW - 3600)
    assert secret(exported=later).get() == "later login"


def test_a_read_only_machine_still_sends(issuer: Issuer, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("a file where the directory should be")
    made = token_secret(
        FileStore(blocked / "state"),
        issuer,
        exported=grant("exported", age=7200, left=-1),
        clock=lambda: issuer.clock,
    )
    assert made.get() == made.get() == "token-1"
    issuer.clock += 4000
    assert made.get() == "token-2"
    assert issuer.asked[-1] and issuer.asked[-1].data["refresh_token"] == "rotated-1"  # kept in memory
    assert "kept in memory only" in caplog.text
    assert "rotated" not in caplog.text and "token-" not in caplog.text


def test_a_full_disk_does_not_stop_the_mail(issuer: Issuer, caplog: pytest.LogCaptureFixture) -> None:
    class Full(MemoryStore):
        full = True

        def save(self, key: str, value: str) -> None:
            if self.full:
                raise franking.SettingsError(
                    "could not be written: No space left on device.", evidence=Evidence("store", reason="unwritable")
                )
            super().save(key, value)

    store = Full({"shop": grant(left=10, age=3600).dumps()})
    made = token_secret(store, issuer, clock=lambda: issuer.clock)
    assert made.get() == "token-1"
    assert "could not be saved" in caplog.text and "token-1" not in caplog.text
    store.full = False
    assert made.get(renew_after="token-1") == "token-2"
    assert issuer.asked[-1] and issuer.asked[-1].data["refresh_token"] == "rotated-1"  # nothing was lost
    assert Grant.loads(store.load("shop") or "").access_token == "token-2"


# --- many at once -----------------------------------------------------------------------------------------------------


def in_threads(count: int, act: Callable[[], Any]) -> list[Any]:
    results: list[Any] = []
    ready = threading.Barrier(count + 1)

    def work() -> None:
        ready.wait()
        try:
            results.append(act())
        except Exception as error:
            results.append(error)

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    ready.wait()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.parametrize("shared", [True, False], ids=["one object", "an object each"])
def test_two_hundred_threads_cause_one_refresh(issuer: Issuer, tmp_path: Path, shared: bool) -> None:
    store = FileStore(tmp_path / "state", "file")
    store.save("shop", grant(left=10, age=3600).dumps())
    made = token_secret(store, issuer, clock=lambda: issuer.clock)

    def get() -> str:
        if shared:
            return made.get()
        mine = token_secret(FileStore(tmp_path / "state"), issuer, clock=lambda: issuer.clock)
        return mine.get()

    assert in_threads(200, get) == ["token-1"] * 200
    assert len(issuer.asked) == 1


def test_two_hundred_threads_share_one_failure(
    issuer: Issuer, store: MemoryStore, secret: Callable[..., TokenSecret]
) -> None:
    store.save("shop", grant(left=10, age=3600).dumps())
    issuer.error = franking.ConnectError("the issuer is unreachable")
    issuer.gate = threading.Event()
    made = secret()
    entered = threading.Semaphore(0)

    real = made._mutex

    class Mutex:
        def __enter__(self) -> None:
            entered.release()
            real.acquire()

        def __exit__(self, *rest: object) -> None:
            real.release()

    made._mutex = Mutex()  # type: ignore[assignment]

    def open_when_all_wait() -> None:
        for _ in range(200):
            assert entered.acquire(timeout=20)
        assert issuer.gate
        issuer.gate.set()

    opener = threading.Thread(target=open_when_all_wait)
    opener.start()
    results = in_threads(200, made.get)
    opener.join()
    assert all(isinstance(result, franking.ConnectError) for result in results)
    assert len(issuer.asked) == 1  # not two hundred time-outs one after the other
    issuer.error = None
    assert made.get() == "token-2"


class TokenServer:
    """An issuer over HTTP that counts, forbids the reuse of refresh tokens a while after their rotation, and answers
    slowly.
    """

    def __init__(self) -> None:
        self.asked = 0
        self.current = "refresh-0"
        self.reused = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                sent = self.rfile.read(length).decode()
                with outer.lock:
                    outer.asked += 1
                    if sent != outer.current:
                        outer.reused += 1
                    outer.current = f"refresh-{outer.asked}"
                    body = json.dumps({"access_token": f"token-{outer.asked}", "refresh_token": outer.current}).encode()
                try:
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    pass  # the asker was killed

            def log_message(self, *rest: object) -> None: ...

        self.lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = False
        self.url = f"http://127.0.0.1:{self.server.server_port}/token"

    def __enter__(self) -> TokenServer:
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()
        return self

    def __exit__(self, *rest: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def server() -> Iterator[TokenServer]:
    with TokenServer() as running:
        yield running


CLIENT = """
import json, sys, time, urllib.request
from dataclasses import replace
from franking.auth.store import FileStore
from servers.renewal import token_secret

def refresh(old):
    with urllib.request.urlopen(sys.argv[2], data=old.data["refresh_token"].encode()) as answer:
        new = json.load(answer)
    now = time.time()
    return replace(old, access_token=new["access_token"], refreshed_at=now, expires_at=now + 3600,
                   data={"refresh_token": new["refresh_token"], "bulk": "x" * 20000})

secret = token_secret(FileStore(sys.argv[1]), refresh)
print("ready", flush=True)
refused = sys.stdin.readline().strip()
while True:
    token = secret.get(renew_after=refused or None)
    print(token, flush=True)
    if len(sys.argv) < 4:
        break
    refused = token
"""


def start(state: Path, server: TokenServer, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CLIENT, str(state), server.url, *more]
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environ)


@pytest.mark.process
def test_twenty_processes_cause_one_refresh(tmp_path: Path, server: TokenServer) -> None:
    state = tmp_path / "state"
    store = FileStore(state, "file")
    store.save("shop", grant("dead", left=-1e9, data={"refresh_token": "refresh-0"}).dumps())
    running = [start(state, server) for _ in range(20)]
    for process in running:
        assert process.stdout and process.stdout.readline() == "ready\n"
    for refused in ("", "token-1"):
        for process in running:
            assert process.stdin
            process.stdin.write(f"{refused}\n")
            process.stdin.flush()
        for process in running:
            out, err = process.communicate(timeout=60)
            assert (out, err) == (f"token-{2 if refused else 1}\n", "")
        if not refused:
            assert server.asked == 1
            running = [start(state, server) for _ in range(20)]
            for process in running:
                assert process.stdout and process.stdout.readline() == "ready\n"
    assert server.asked == 2
    assert server.reused == 0


@pytest.mark.process
@pytest.mark.skipif(os.name != "posix", reason="kill -9")
def test_kill_during_the_refresh_a_hundred_times_never_breaks_the_grant(tmp_path: Path, server: TokenServer) -> None:
    state = tmp_path / "state"
    store = FileStore(state, "file")
    store.save("shop", grant("token-0", data={"refresh_token": "refresh-0", "bulk": ""}).dumps())
    for attempt in range(100):
        with start(state, server, "for ever") as process:
            assert process.stdout and process.stdin
            process.stdout.readline()
            process.stdin.write("token-0\n")
            process.stdin.flush()
            for _ in range(attempt % 7):  # somewhere within a refresh, another place each time
                process.stdout.readline()
            process.kill()
        kept = Grant.loads(store.load("shop") or "")  # whole: old or new
        number = int(kept.access_token.removeprefix("token-"))
        assert kept.data["refresh_token"] == f"refresh-{number}"
        assert number >= server.asked - 1  # at most the answer that was under way is missing
        with server.lock:
            server.current = kept.data["refresh_token"]  # this issuer allows the former refresh token once more
    # a request of a killed process may be answered after that, so a reused token is no sign here
    assert server.asked > 100
    final = token_secret(store, lambda old: pytest.fail("fresh"))
    assert final.get().startswith("token-")


def test_errors_of_a_refresh_pickle() -> None:
    error = franking.LoginRequired("x", repair="franking login shop", evidence=Evidence("oauth", reason="no-grant"))
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.repair, again.evidence) == ("x", "franking login shop", error.evidence)
