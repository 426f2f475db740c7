"""What holds for every OAuth provider: one refresh for all, nothing lost when killed, nothing secret in any output.

Each provider signs in and renews with its real library over HTTPS at its strict fake. A further provider is one more
maker in ``MAKERS``.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

import franking
from franking.auth.secret import Grant
from franking.auth.sources import secret_for
from franking.auth.store import FileStore
from franking.provider import SupportsLogin
from franking.registry import provider as find_provider
from servers.google import Google
from servers.microsoft import Microsoft
from servers.person import Person, browse
from servers.web import Authority


@dataclass
class Issuer:
    """One provider with somebody signed in: its account as keyword arguments, and what the fake has seen."""

    name: str
    settings: dict[str, Any]
    modules: tuple[str, ...]  # loaded before the gate opens
    person: Callable[[], Person]
    renewals: Callable[[], int]
    secrets: Callable[[], set[str]]
    asked: threading.Event  # set by each POST to the fake

    def account(self) -> franking.Account:
        return franking.Account(name="shop", provider=self.name, **self.settings)

    def sign_in(self) -> Grant:
        found = find_provider(self.name)
        assert isinstance(found, SupportsLogin)
        return found.login(self.account(), self.person())

    def store(self, state: Path) -> FileStore:
        """Keep a grant whose access token has ended."""
        store = FileStore(state, "file")
        store.save("shop", replace(self.sign_in(), access_token="ended", expires_at=0.0).dumps())
        return store


@contextmanager
def gmail(directory: Path) -> Iterator[Issuer]:
    with Google(Authority(directory)) as google:
        (directory / "client.json").write_text(json.dumps(google.client_secrets()))
        ca_file = google.authority.ca_file
        yield Issuer(
            name="gmail",
            settings={
                "sender": "me@gmail.com",
                "client_secrets": str(directory / "client.json"),
                "api_endpoint": google.url,
                "ca_file": ca_file,
                "timeout": 20,
            },
            modules=("google.oauth2.credentials", "requests", "googleapiclient.discovery"),
            person=lambda: Person(lambda url: browse(url, ca_file)),
            renewals=lambda: sum(form["grant_type"] == "refresh_token" for form in google.token_requests),
            secrets=lambda: set(google.secrets),
            asked=google.web.asked,
        )


@contextmanager
def outlook(directory: Path) -> Iterator[Issuer]:
    with Microsoft(directory) as microsoft:
        # Entra ID lets an old refresh token live on; an issuer that does not may cost a sign-in after kill -9
        microsoft.rotate = False
        yield Issuer(
            name="outlook",
            settings={"sender": "jan@contoso.com", **microsoft.settings(timeout=20)},
            modules=("msal", "requests"),
            person=lambda: Person(microsoft.browser),
            renewals=lambda: microsoft.token_requests.count("refresh_token"),
            secrets=lambda: {*microsoft.secrets, *microsoft.refresh_tokens},
            asked=microsoft.server.asked,
        )


MAKERS = {"gmail": gmail, "outlook": outlook}


@pytest.fixture(params=MAKERS)
def issuer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Issuer]:
    directory = tmp_path / "issuer"
    directory.mkdir()
    with MAKERS[request.param](directory) as made:
        yield made


# -- one refresh for all -----------------------------------------------------------------------------------------------

CLIENT = """
import importlib, json, sys
import franking
from franking.auth.sources import secret_for
from franking.registry import provider
from franking.auth.store import FileStore

settings, state, modules = json.loads(sys.argv[1])
for module in modules:
    importlib.import_module(module)
account = franking.Account(name="shop", **settings)
secret = secret_for(account, provider(account.provider), FileStore(state, "file"), {})
print("ready", flush=True)
sys.stdin.readline()
print(secret.get(), flush=True)
"""


def start(issuer: Issuer, state: Path, code: str, *more: str) -> subprocess.Popen[str]:
    told = json.dumps([{"provider": issuer.name, **issuer.settings}, str(state), list(issuer.modules)])
    return subprocess.Popen(
        [sys.executable, "-c", code, told, *more],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.process
def test_twenty_processes_cause_one_refresh(issuer: Issuer, tmp_path: Path) -> None:
    state = tmp_path / "state"
    issuer.store(state)
    before = issuer.renewals()
    processes = [start(issuer, state, CLIENT) for _ in range(20)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", process.communicate()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=60) for process in processes]
    assert {err for _, err in answers} == {""}
    assert len({out for out, _ in answers}) == 1
    assert issuer.renewals() - before == 1


def test_two_hundred_threads_cause_one_refresh(issuer: Issuer, tmp_path: Path) -> None:
    store = issuer.store(tmp_path / "state")
    before = issuer.renewals()
    # ten mailers of one program
    secrets = [secret_for(issuer.account(), find_provider(issuer.name), store, {}) for _ in range(10)]
    gate = threading.Barrier(200)

    def get(number: int) -> str:
        gate.wait(30)
        return secrets[number % len(secrets)].get()

    with ThreadPoolExecutor(200) as threads:
        assert len(set(threads.map(get, range(200)))) == 1
    assert issuer.renewals() - before == 1


# -- killed at any point -----------------------------------------------------------------------------------------------

RENEWER = (
    CLIENT.partition("sys.stdin.readline()")[0]
    + """
import os, signal
while line := sys.stdin.readline():
    child = os.fork()
    if child == 0:
        token = secret.get()
        os.write(1, b"renewing\\n")
        while True:
            token = secret.get(renew_after=token)
    sys.stdin.readline()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.write(1, b"killed\\n")
"""
)


@pytest.mark.process
@pytest.mark.skipif(not hasattr(os, "fork"), reason="kill -9 and fork are POSIX")
def test_killed_a_hundred_times_during_the_refresh(issuer: Issuer, tmp_path: Path) -> None:
    """A process that renews over and over is killed at a hundred points: the grant on disk is always whole, and
    good.
    """
    state = tmp_path / "state"
    store = issuer.store(state)
    before = issuer.renewals()
    chance = random.Random(20261121)
    process = start(issuer, state, RENEWER)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n", process.communicate()
    pause = threading.Event()
    try:
        for _ in range(100):
            issuer.asked.clear()
            process.stdin.write("fork\n")
            process.stdin.flush()
            assert process.stdout.readline() == "renewing\n"
            assert issuer.asked.wait(20)
            pause.wait(chance.uniform(0, 0.06))  # the question, the answer, the writing, or what comes after
            process.stdin.write("kill\n")
            process.stdin.flush()
            assert process.stdout.readline() == "killed\n"
            grant = Grant.loads(store.load("shop") or "")
            assert grant.access_token
    finally:
        process.stdin.close()
        process.wait(30)
        assert process.stderr is not None
        errors = process.stderr.read()
        process.stdout.close()
        process.stderr.close()
    assert errors == ""
    assert issuer.renewals() - before > 50, "it was killed while renewing, not before"
    last = Grant.loads(store.load("shop") or "")
    assert secret_for(issuer.account(), find_provider(issuer.name), store, {}).get(
        renew_after=last.access_token
    ) not in (
        "",
        last.access_token,
    )


# -- nothing secret comes out ------------------------------------------------------------------------------------------

LOUD = """
import importlib, json, logging, pickle, sys, traceback
logging.basicConfig(level=logging.DEBUG, stream=sys.stderr, format="%(name)s %(message)s")

class Whole(logging.StreamHandler):
    def emit(self, record):
        sys.stderr.write(repr(record.__dict__) + "\\n")

logging.getLogger().addHandler(Whole())
import franking
from franking.registry import provider
from franking.auth.store import FileStore

settings, state, modules = json.loads(sys.argv[1])
for module in modules:
    importlib.import_module(module)
for name in list(logging.root.manager.loggerDict):
    logging.getLogger(name).setLevel(logging.DEBUG)
    logging.getLogger(name).propagate = True
account = franking.Account(name="shop", **settings)
store = FileStore(state, "file")
print(account, store)

def send():
    with franking.connect(account, store=store, observer=print) as mailer:
        print(repr(mailer), repr(mailer._secret_in_use()), mailer._secret_in_use().__dict__)
        file = franking.Attachment(data=b"z" * 2_500_000, name="f")
        print(mailer.send(franking.Message(to=["jana@example.cz"], subject="x", text="y", attachments=[file])))

def report():
    made = franking.send_test(account, to="jana@example.cz", store=store)
    print(made, json.dumps(made.as_dict()))

for command in sys.argv[2].split():
    try:
        globals()[command]()
    except Exception as problem:
        traceback.print_exc()
        print(repr(problem), problem.__dict__, pickle.dumps(problem))
    sys.stdin.readline()
"""


@pytest.mark.process
def test_no_secret_in_any_output(issuer: Issuer, tmp_path: Path) -> None:
    """Every logger at its loudest, every object printed, errors with traceback and pickled: no token, code or client
    secret is in it.
    """
    state = tmp_path / "state"
    store = issuer.store(state)
    kept = Grant.loads(store.load("shop") or "")
    process = start(issuer, state, LOUD, "send report")
    out, err = process.communicate("\n\n", timeout=90)
    assert process.returncode == 0, err[-3000:]
    assert "'ok': True" in out or '"ok": true' in out, out[-3000:] + err[-3000:]
    dead = replace(kept, access_token="", expires_at=0.0, data=_broken(kept.data))
    store.save("shop", dead.dumps())
    process = start(issuer, state, LOUD, "send report")
    refused, loud = process.communicate("\n\n", timeout=90)
    assert "LoginRequired" in loud, loud[-3000:]
    assert "login-required" in refused
    everything = out + err + refused + loud
    assert len(err) > 2_000, "the libraries did log"
    secrets = issuer.secrets() | {"canary-that-is-no-token"}
    assert len(secrets) > 4
    for secret in secrets:
        assert secret not in everything, secret[:12]
    assert secrets.isdisjoint(repr(kept).split("'"))


def _broken(data: Any) -> Any:
    """Put a refresh token that nobody issued where the right one was, however deep it lies."""
    if isinstance(data, str):
        with contextlib.suppress(ValueError):
            inner = json.loads(data)
            if isinstance(inner, dict):
                return json.dumps(_broken(inner))
        return data
    if isinstance(data, dict):
        return {
            key: "canary-that-is-no-token"
            if key == "refresh_token" or (key == "secret" and data.get("credential_type") == "RefreshToken")
            else _broken(value)
            for key, value in data.items()
            if not (isinstance(value, dict) and value.get("credential_type") == "AccessToken")
        }
    if isinstance(data, list):
        return [_broken(value) for value in data]
    return data
