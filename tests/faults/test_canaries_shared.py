"""The password in a shared store's address, the key of what lies there, and a webhook's address: none of them comes out
of an error, or of the frames that it came through.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import redis

import franking
from canaries import everything, found, leaks
from faults.oauth_flows import MESSAGE
from faults.strikes import struck
from faults.test_canaries_frames import KEY, PASSWORD
from franking.account import editing
from franking.auth.postgres_store import PostgresStore
from franking.auth.redis_store import RedisStore
from franking.auth.store import open_store, save_password
from franking.celery.delivery import Deliveries, Letter
from franking.errors import FrankingError, SettingsError
from franking.health.look import look
from franking.sending.journal import Journal
from franking.sending.mailers import KeptMailers
from franking.sending.shared_stores import open_journal
from franking.shared import opening
from franking.shared.afterwards import afterwards
from health.looking import settings
from health.test_alerts import SECRET_PATH, Hook
from outbox.test_outbox import save
from servers.memoryredis import MemoryRedis
from servers.ports import HOST
from servers.smtp import SmtpServer
from servers.sqlwire import SqlWire
from servers.web import Authority

pytestmark = [
    pytest.mark.timeout(300),
    # what is struck between opening and owning a socket or a file is left to the collector of garbage
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]

PLACE = "Canary_4x7Qz-9RkM2p_77"
ECHO = f"ERR unknown command `AUTH`, with args beginning with: `{PLACE}`, "  # what a Redis of old says


@pytest.fixture(autouse=True)
def anew() -> Iterator[None]:
    yield
    forget()


def forget() -> None:
    """Let this process know no server."""
    for server in opening._SERVERS.values():
        server.close()
    opening._SERVERS.clear()


@pytest.fixture
def account() -> Iterator[franking.Account]:
    with SmtpServer(users={"jana": PASSWORD}) as server:
        made = franking.Account(
            name="shop", provider="smtp", sender="jana@example.cz", host=HOST, port=server.port, security="none",
            username="jana", allow_plain_login=True, timeout=5,
        )  # fmt: skip
        editing.save(made)
        yield made


def named(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("FRANKING_STORE", url)
    monkeypatch.setenv("FRANKING_STORE_KEY", KEY)


def shows_nothing(error: BaseException) -> None:
    assert leaks(error, {PLACE, KEY}) == []
    assert found(everything(error), PLACE, KEY) == []


# -- addresses that cannot be used -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        f"redis://:{PLACE}@localhost/x",
        f"redis://:{PLACE}@localhost:port/0",
        f"redis://:{PLACE}@localhost/0?nonsense=1",
        f"redis://:{PLACE}@localhost/0?timeout=no",
        f"redis://:{PLACE}@localhost:1/0",
        f"redis://:7{PLACE}/7@localhost/0",
        f"redis://:7/{PLACE}@localhost/0",
        f"redis://:7#{PLACE}@localhost/0",
        f"redis://:7?{PLACE}@localhost/0",
        f"rediss://:{PLACE}@localhost:1/0?ca_file=/nonexistent",
        f"mysql://u:{PLACE}@localhost/0",
        f"postgresql://u:{PLACE}@localhost:port/d",
        f"postgresql://u:{PLACE}@[::1/d",
        f"postgresql://u:{PLACE}@localhost:1/d?nonsense=1",
        f"postgresql://u:{PLACE}%zz@localhost:1/d",
        f"postgresql://u:7/{PLACE}@localhost:1/d",
        f"postgresql://localhost:1/d?password={PLACE}",
    ],
)
def test_an_address_that_cannot_be_used(url: str, account: franking.Account, monkeypatch: pytest.MonkeyPatch) -> None:
    named(monkeypatch, url)
    with pytest.raises(FrankingError) as caught:
        franking.send("shop", MESSAGE)
    shows_nothing(caught.value)


@pytest.mark.parametrize("url", [f"redis://:7/{PLACE}@localhost/0", f"postgresql://u:7?{PLACE}@localhost/d"])
def test_a_password_that_ends_the_address_early_is_told_how_to_be_written(
    url: str, account: franking.Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    named(monkeypatch, url)
    with pytest.raises(SettingsError, match="/ as %2F"):
        franking.send("shop", MESSAGE)


HANDED: dict[str, Callable[[], Any]] = {
    "Redis without a key": lambda: RedisStore(f"redis://:{PLACE}@localhost/0"),
    "Redis with a short key": lambda: RedisStore(f"redis://:{PLACE}@localhost/0", key="Canary-short"),
    "no number": lambda: RedisStore(f"redis://:{PLACE}@localhost/x", key=KEY),
    "PostgreSQL without a key": lambda: PostgresStore(f"postgresql://u:{PLACE}@localhost/d"),
    "PostgreSQL with a short key": lambda: PostgresStore(f"postgresql://u:{PLACE}@localhost/d", key="Canary-short"),
    "no name of a table": lambda: PostgresStore(f"postgresql://u:{PLACE}@localhost/d", key=KEY, table="no name"),
    "limits": lambda: franking.connect("shop", limits=f"mysql://u:{PLACE}@localhost/0", rate=5).send(MESSAGE),
    "limits and another mistake": lambda: franking.connect("nobody", limits=f"redis://:{PLACE}@localhost/0"),
}


@pytest.mark.parametrize("what", HANDED)
def test_who_is_handed_an_address_or_a_key(what: str, account: franking.Account) -> None:
    with pytest.raises(FrankingError) as caught:
        HANDED[what]()
    shows_nothing(caught.value)
    assert leaks(caught.value, {"Canary-short"}) == []


# -- servers that repeat what they are told ----------------------------------------------------------------------------


@contextmanager
def repeating(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """Serve one connection after the other, and answer each."""
    with socket.create_server((HOST, 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    sock, _ = listener.accept()
                    with sock:
                        answer(sock)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def as_redis(sock: socket.socket) -> None:
    sock.recv(65536)
    sock.sendall(f"-{ECHO}\r\n".encode() * 3)


def as_postgres(sock: socket.socket) -> None:
    code = 0
    while code != 196608:
        size, code = struct.unpack("!ii", sock.recv(8, socket.MSG_WAITALL))
        if size > 8:
            sock.recv(size - 8, socket.MSG_WAITALL)
        else:  # TLS, Kerberos
            sock.sendall(b"N")
    sock.sendall(b"R" + struct.pack("!ii", 8, 3))
    sock.recv(65536)
    fields = b"SFATAL\0C28P01\0M" + ECHO.encode() + b"\0\0"
    sock.sendall(b"E" + struct.pack("!i", 4 + len(fields)) + fields)


@pytest.mark.parametrize("kind", ["redis", "postgresql"])
def test_a_server_that_repeats_its_password(
    kind: str, account: franking.Account, monkeypatch: pytest.MonkeyPatch, loud: pytest.LogCaptureFixture
) -> None:
    with repeating(as_redis if kind == "redis" else as_postgres) as port:
        named(monkeypatch, f"{kind}://u:{PLACE}@{HOST}:{port}/0")
        with pytest.raises(FrankingError, match="unknown command") as caught:
            franking.send("shop", MESSAGE)
    shows_nothing(caught.value)
    ours = [record.getMessage() for record in loud.records if record.name.startswith("franking")]
    assert found("\n".join(ours), PLACE) == []


def test_a_client_of_the_application_whose_server_repeats_its_password(account: franking.Account) -> None:
    with (
        repeating(as_redis) as port,
        closing(redis.Redis(host=HOST, port=port, password=PLACE)) as client,
        pytest.raises(FrankingError, match="unknown command") as caught,
    ):
        franking.send(account, MESSAGE, store=RedisStore(client, key=KEY))
    shows_nothing(caught.value)


# -- what strikes anywhere ---------------------------------------------------------------------------------------------


@pytest.fixture(params=["redis", "postgres"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "redis":
        with MemoryRedis() as memory:
            with closing(redis.Redis(host=HOST, port=memory.port)) as client:
                client.execute_command("ACL", "SETUSER", "default", f">{PLACE}", "on")
            yield f"redis://:{PLACE}@{HOST}:{memory.port}/0?lease=0.3"
    else:
        with SqlWire() as wire:
            yield f"postgresql://postgres:{PLACE}@{HOST}:{wire.port}/mail?lease=0.3"


def prepared(url: str, account: franking.Account, monkeypatch: pytest.MonkeyPatch) -> None:
    named(monkeypatch, url.partition("?")[0])  # a busy machine may need longer than the lease of those that are struck
    place = opening.shared_place(os.environ)
    assert place is not None
    server = opening.server_at(place)
    if url.startswith("postgres"):
        server.make_tables()  # type: ignore[union-attr]
    save_password(open_store(), account, PASSWORD)
    named(monkeypatch, url)


def secrets() -> set[str]:
    return {PASSWORD, KEY, PLACE}


@pytest.mark.matrix
def test_a_store_that_is_named(url: str, account: franking.Account, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared(url, account, monkeypatch)
    assert struck(lambda: franking.send("shop", MESSAGE), secrets, before=forget) == []


@pytest.mark.matrix
def test_a_store_that_is_handed_over(url: str, account: franking.Account, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared(url, account, monkeypatch)
    kind: Any = PostgresStore if url.startswith("postgres") else RedisStore
    name = f"{kind.__module__}.{kind.__name__}.__init__"
    made: list[Any] = []

    def act() -> None:
        made.append(kind(url, key=KEY))
        franking.send(account, MESSAGE, store=made[-1])

    def before() -> None:
        while made:
            made.pop().server.close()

    assert struck(act, secrets, entry=name, before=before) == []
    before()


class Tasks:
    """What a Celery worker does with a task."""

    def __init__(self) -> None:
        self.keys = (f"order-{number}" for number in count())
        self.kept: list[KeptMailers] = []
        self.journals: list[Journal] = []

    def celery(self) -> None:
        self.kept.append(KeptMailers())
        letter = Letter("shop", MESSAGE.as_bytes("jana@example.cz"), key=next(self.keys))
        Deliveries(self.journal(), kept=self.kept[-1]).deliver(letter, None, "task")

    def journal(self) -> Journal:
        journal = open_journal()
        assert journal is not None
        self.journals.append(journal)
        return journal

    def close(self) -> None:
        while self.kept:
            self.kept.pop().close()
        while self.journals:
            with suppress(FrankingError):
                afterwards(self.journals.pop()).close(2)
        forget()


@pytest.mark.matrix
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # struck in the journal's thread
@pytest.mark.parametrize("where", ["store", "environment"])
def test_a_task(where: str, url: str, account: franking.Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """Celery's time limit strikes anywhere; the environment holds the store's password, its key, perhaps another."""
    prepared(url, account, monkeypatch)
    if where == "environment":
        monkeypatch.setenv("FRANKING_SECRET_SHOP", PASSWORD)
    tasks = Tasks()
    assert struck(tasks.celery, secrets, before=tasks.close, strikes=16) == []
    tasks.close()


@pytest.mark.matrix
def test_a_runner_of_the_outbox(url: str, account: franking.Account, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared(url, account, monkeypatch)
    monkeypatch.setenv("FRANKING_SECRET_SHOP", PASSWORD)

    def before() -> None:
        forget()
        with franking.connect("shop") as mailer:
            mailer.queue(MESSAGE)

    def act() -> None:
        with closing(franking.Outbox()) as box:
            box.run(once=True)

    assert struck(act, secrets, before=before) == []


@pytest.mark.matrix
def test_a_look_at_health(url: str, account: franking.Account, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared(url, account, monkeypatch)
    monkeypatch.setenv("FRANKING_SECRET_SHOP", PASSWORD)
    assert struck(lambda: look(verify=True), secrets, before=forget) == []


@pytest.mark.matrix
def test_the_address_of_a_webhook(tmp_path: Path) -> None:
    hook = Hook(Authority(tmp_path))
    with hook.web:
        save(1)
        settings(hook.settings())

        def before() -> None:
            for one in Path(os.environ["FRANKING_STATE_DIR"]).glob("health*"):
                one.unlink()

        assert struck(lambda: look(tell=True), lambda: {SECRET_PATH.rpartition("/")[2]}, before=before) == []
        assert hook.told


def test_the_address_of_a_webhook_in_a_file_that_cannot_be_used(tmp_path: Path) -> None:
    save(1)
    address = f"https://localhost{SECRET_PATH}"
    for wrong in ("account = 'nobody'\nto = 'a@b.cz'", "webhook_form = 'irc'", "nonsense = 1"):
        file = settings(f"[alerts]\nwebhook = '{address}'\n{wrong}\n")
        with pytest.raises(SettingsError) as caught:
            look(tell=True)
        assert found(everything(caught.value), SECRET_PATH) == [] == leaks(caught.value, {SECRET_PATH})
        file.write_text(file.read_text().partition("[alerts]")[0])
    settings(f"[alerts]\nwebhook = '{address}'\n[nonsense]\n")
    with pytest.raises(SettingsError) as caught:
        franking.send("shop", MESSAGE)
    assert found(everything(caught.value), SECRET_PATH) == [] == leaks(caught.value, {SECRET_PATH})
