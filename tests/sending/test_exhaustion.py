"""Descriptors, memory and threads run out: a temporary error of ours, a result for everything that was drawn."""

from __future__ import annotations

import asyncio
import builtins
import errno
import importlib
import os
import selectors
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

import franking
import franking.aio
from franking.errors import ConnectError, FrankingError, OutcomeUnknown
from franking.message.address import Envelope
from franking.message.prepare import Prepared
from franking.sending.retry import NEVER
from servers.dialogue import Raw
from servers.scripted import ScriptedProvider, messages
from servers.smtp import EXTENSIONS, SmtpServer

Start = Callable[..., SmtpServer]
PIPES = tuple(word for word in EXTENSIONS if word != "CHUNKING")
SCARCE: dict[str, Callable[[], BaseException]] = {
    "descriptors": lambda: OSError(errno.EMFILE, os.strerror(errno.EMFILE)),
    "descriptors of all": lambda: OSError(errno.ENFILE, os.strerror(errno.ENFILE)),
    "memory of the kernel": lambda: OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
    "memory": MemoryError,
    "threads": lambda: RuntimeError("can't start new thread"),
}
scarce = pytest.mark.parametrize("make", SCARCE.values(), ids=SCARCE)


def account(server: SmtpServer, **settings: Any) -> franking.Account:
    given: dict[str, Any] = {"host": "127.0.0.1", "security": "none", "timeout": 10.0, "final_timeout": 10.0}
    return franking.Account(
        name="t", provider="smtp", sender="jan@example.com", port=server.port, **{**given, **settings}
    )


def message(to: str = "a@example.com") -> franking.Message:
    return franking.Message(to=to, subject="x", text="x")


def ours(error: FrankingError | None, *, unknown: bool = False) -> None:
    assert type(error) is (OutcomeUnknown if unknown else ConnectError)
    assert error.temporary is not unknown
    assert error.possibly_sent is unknown
    assert error.diagnosis is not None
    assert error.diagnosis.code == ("outcome.unknown" if unknown else "machine.exhausted")


class Broken:
    """What raises whenever it is called."""

    def __init__(self, make: Callable[[], BaseException]) -> None:
        self.make = make

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        raise self.make()

    def get(self, *, renew_after: str | None = None) -> str:
        raise self.make()


@dataclass(frozen=True)
class Scarce(Raw):
    """A content that cannot be read to its end: nothing of it (``after`` 0), or half."""

    make: Callable[[], BaseException] = MemoryError
    after: int = 0

    def chunks(self, *, bcc: bool) -> Iterator[bytes]:
        if self.after:
            yield self.data[: self.after]
        raise self.make()


OURS = {"smtp": "franking.smtp.provider:SmtpProvider", "gmail": "franking.gmail.provider:GmailProvider"}
PLACES = [(selectors, "DefaultSelector"), (socket, "socket")]


@scarce
@pytest.mark.parametrize(("module", "name"), PLACES, ids=["selector", "socket"])
@pytest.mark.parametrize("way", ["send", "check", "borrow", "send_many", "several"])
def test_a_connection_that_this_machine_cannot_open(
    monkeypatch: pytest.MonkeyPatch, make: Callable[[], BaseException], module: Any, name: str, way: str
) -> None:
    given = franking.Account(
        name="t", provider="smtp", sender="jan@example.com", host="127.0.0.1", port=9, security="none"
    )
    with franking.connect(given) as mailer:
        list(mailer.send_many([]))  # everything is imported that a run needs
        monkeypatch.setattr(module, name, Broken(make))
        if way in ("send_many", "several"):
            results = list(mailer.send_many(messages(5), policy=NEVER, connections=3 if way == "several" else 1))
            assert sorted(result.index for result in results) == list(range(5))
            for result in results:
                assert result.outcome == "failed"
                ours(result.error)
            return
        with pytest.raises(FrankingError) as caught:
            if way == "send":
                mailer.send(message())
            elif way == "check":
                mailer.check()
            else:
                with mailer.borrow():
                    pass
        ours(caught.value)


@scarce
def test_a_name_that_no_thread_can_look_up(monkeypatch: pytest.MonkeyPatch, make: Callable[[], BaseException]) -> None:
    given = franking.Account(name="t", provider="smtp", sender="jan@example.com", host="nowhere.invalid")
    monkeypatch.setattr(threading.Thread, "start", Broken(make))
    report = franking.send_test(given)
    assert (report.ok, report.outcome) == (False, "failed")
    ours(report.error)
    assert [step.status for step in report.steps].count("failed") == 1


@scarce
def test_a_secret_that_cannot_be_read(smtp_server: Start, make: Callable[[], BaseException]) -> None:
    given = account(smtp_server(), username="jan")
    with franking.connect(given, secret=Broken(make)) as mailer:
        with pytest.raises(FrankingError) as caught:
            mailer.send(message())
        ours(caught.value)
        results = list(mailer.send_many(messages(3), policy=NEVER))
    assert [result.outcome for result in results] == ["failed"] * 3


@scarce
@pytest.mark.parametrize("extensions", [EXTENSIONS, PIPES, ()], ids=["chunking", "pipelining", "dialogue"])
@pytest.mark.parametrize("window", [0, 1, 16])
@pytest.mark.parametrize("after", [0, 70_000])
def test_a_content_that_cannot_be_read(
    smtp_server: Start, make: Callable[[], BaseException], extensions: tuple[str, ...], window: int, after: int
) -> None:
    """Alone where nothing of it had left, else with its connection; the others go on in another one."""
    server = smtp_server(extensions=extensions)
    content = Scarce(b"x" * 78 + b"\r\n" * (after or 10), make=make, after=after)
    job = Prepared(Envelope("jan@example.com", ["odd@example.com"]), content)
    with franking.connect(account(server)) as mailer:
        if not window:
            with pytest.raises(FrankingError) as caught:
                mailer.send(job)
            ours(caught.value)
            assert mailer.send(message()).accepted
            return
        jobs: list[Any] = list(messages(9))
        jobs[4] = job
        results = {each.index: each for each in mailer.send_many(jobs, window=window, policy=NEVER)}
    assert sorted(results) == list(range(9))
    ours(results[4].error)
    arrived = {received.recipients[0] for received in server.messages}
    for number, result in results.items():
        if result.outcome != "unknown":  # broken off by the content in the middle of the window
            assert (result.outcome == "accepted") == (f"r{number}@example.com" in arrived)
    assert {results[number].outcome for number in range(4)} <= {"accepted", "unknown"}


@scarce
def test_a_message_that_cannot_be_composed(
    smtp_server: Start, make: Callable[[], BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = smtp_server()
    with franking.connect(account(server)) as mailer:
        results = list(mailer.send_many([message(), message()], policy=NEVER))
        monkeypatch.setattr("franking.sending.mailer.prepare", Broken(make))
        with pytest.raises(FrankingError) as caught:
            mailer.send(message())
        ours(caught.value)
        results += mailer.send_many([message(), message()], policy=NEVER)
    assert [result.outcome for result in results] == ["accepted", "accepted", "failed", "failed"]
    ours(results[-1].error)


@scarce
@pytest.mark.parametrize("unknown", [False, True])
def test_a_session_that_runs_out_says_whether_the_message_had_left(
    account: franking.Account, scripted: ScriptedProvider, make: Callable[[], BaseException], unknown: bool
) -> None:
    problem: Any = make()
    problem.possibly_sent = unknown
    scripted.raised = problem
    with franking.connect(account, secret="x") as mailer:
        with pytest.raises(FrankingError) as caught:
            mailer.send(message())
        ours(caught.value, unknown=unknown)


@pytest.mark.parametrize("started", [0, 1, 2])
def test_fewer_threads_than_connections(smtp_server: Start, monkeypatch: pytest.MonkeyPatch, started: int) -> None:
    """As many as there are send everything; where there is not even one, the caller's own does."""
    server = smtp_server()
    start = threading.Thread.start
    left = iter(range(started))

    def scarce_start(self: threading.Thread) -> None:
        if self.name.startswith("franking-") and next(left, None) is None:
            raise RuntimeError("can't start new thread")
        start(self)

    monkeypatch.setattr(threading.Thread, "start", scarce_start)
    with franking.connect(account(server), connections=4) as mailer:
        results = list(mailer.send_many(messages(30), window=4))
    assert {result.outcome for result in results} == {"accepted"}
    assert sorted(result.index for result in results) == list(range(30))
    assert len(server.messages) == 30


@pytest.mark.parametrize("error", [OSError(errno.EACCES, "no"), RuntimeError("a bug"), ZeroDivisionError("another")])
def test_what_is_no_scarcity_stays_what_it_is(
    account: franking.Account, scripted: ScriptedProvider, error: BaseException
) -> None:
    scripted.raised = error
    with franking.connect(account, secret="x") as mailer, pytest.raises(type(error)) as caught:
        mailer.send(message())
    assert caught.value is error


@pytest.mark.parametrize("make", [lambda: OSError(errno.EMFILE, os.strerror(errno.EMFILE)),
    lambda: ImportError(f"x.so: cannot open shared object file: {os.strerror(errno.EMFILE)}"),
    lambda: ImportError(f"x.so: failed to map segment: {os.strerror(errno.ENOMEM)}"), MemoryError],
    ids=["descriptors", "a library", "a library, memory", "memory"])  # fmt: skip
@pytest.mark.parametrize("way", ["first", "connect", "provider", "recommend", "send_many", "queue"])
def test_what_is_imported_late(monkeypatch: pytest.MonkeyPatch, make: Callable[[], BaseException], way: str) -> None:
    """The first thing that an application asks for, before there is a mailer."""
    given = franking.Account(name="t", provider="smtp", sender="jan@example.com", host="127.0.0.1", security="none")
    mailer = franking.connect(given)
    wanted = {
        "first": ("franking.sending.connect", lambda: franking.__getattr__("connect")),
        "connect": ("franking.account.url", lambda: franking.connect("smtp://127.0.0.1?from=a@b.cz&security=none")),
        "provider": ("franking.gmail.provider", lambda: franking.connect("gmail://me@gmail.com")),
        "recommend": ("dns.resolver", lambda: franking.recommend("info@nowhere.invalid")),
        "send_many": ("franking.sending.bulk", lambda: mailer.send_many([message()])),
        "queue": ("franking.sending.enqueue", lambda: mailer.queue(message())),
    }
    module, act = wanted[way]
    imported = builtins.__import__
    problem = make()

    def scarce_import(name: str, *rest: Any, **more: Any) -> Any:
        if name == module:
            raise problem
        return imported(name, *rest, **more)

    def scarce_module(name: str) -> Any:
        return scarce_import(name, fromlist=("x",))

    monkeypatch.setattr("franking.registry._PROVIDERS", dict(OURS))
    monkeypatch.setattr(importlib, "import_module", scarce_module)
    monkeypatch.setattr(builtins, "__import__", scarce_import)
    with pytest.raises(FrankingError) as caught:
        act()
    assert caught.value.__cause__ is problem
    monkeypatch.undo()
    ours(caught.value)


def test_no_thread_for_asyncio(monkeypatch: pytest.MonkeyPatch, smtp_server: Start) -> None:
    """A temporary error of ours, and a mailer that can be closed all the same."""
    server = smtp_server()

    async def act() -> None:
        with pytest.raises(FrankingError) as caught:
            await franking.aio.send(account(server), message())
        ours(caught.value)
        async with franking.aio.connect(account(server)) as mailer:
            with pytest.raises(FrankingError) as caught:
                await mailer.send(message())
            ours(caught.value)
            with pytest.raises(FrankingError) as caught:
                async for _ in mailer.send_many([message()]):
                    pass
            ours(caught.value)
            mailer._mailer = franking.connect(account(server))

    monkeypatch.setattr(threading.Thread, "start", Broken(lambda: RuntimeError("can't start new thread")))
    asyncio.run(act())


def test_an_outbox_that_no_descriptor_is_left_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite only says that it cannot open the file."""

    def cannot_open(*place: Any, **options: Any) -> Any:
        problem = sqlite3.OperationalError("unable to open database file")
        problem.sqlite_errorname = "SQLITE_CANTOPEN"
        raise problem

    monkeypatch.setattr("franking.outbox.database.room", Broken(SCARCE["descriptors"]))
    monkeypatch.setattr(sqlite3, "connect", cannot_open)
    box = franking.Outbox()
    with pytest.raises(ConnectError) as caught:
        box.list()
    assert caught.value.temporary


COLD = """
import os, resource, sys
import franking
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
held = []
try:
    while True:
        held.append(os.open(os.devnull, os.O_RDONLY))
except OSError:
    pass
for _ in range(int(sys.argv[1])):
    os.close(held.pop())
url = "smtp://127.0.0.1:" + sys.argv[2] + "?from=jan@example.com&security=none&timeout=10"
octets = b"To: a@example.com" + bytes([13, 10, 13, 10])
ways = {
    "connect": lambda: franking.connect("nobody"),
    "send": lambda: franking.send(url, octets),
    "send_test": lambda: franking.send_test(url).error,
    "recommend": lambda: franking.recommend("info@nowhere.invalid"),
    "account": lambda: franking.Account(name="x", provider="smtp", sender="a@b.cz", host="x"),
    "message": lambda: franking.Message(to="a@b.cz", text="x"),
    "send_many": lambda: list(franking.connect(url).send_many([octets] * 3)),
}
for name, act in ways.items():
    try:
        done = act()
        if name == "send_many":
            assert len(done) == 3, done
    except franking.FrankingError as error:
        assert error.temporary or name == "connect", repr(error)
        for one in held[:20]:
            os.close(one)
        assert error.diagnosis or name == "account", repr(error)
        held[:20] = []
        while len(held) < 40:
            held.append(os.open(os.devnull, os.O_RDONLY))
"""


@pytest.mark.process
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
@pytest.mark.parametrize("free", [0, 2])
def test_a_program_that_never_had_a_descriptor_for_us(smtp_server: Start, free: int) -> None:
    """Nothing is loaded yet but ``import franking`` itself."""
    command = [sys.executable, "-c", COLD, str(free), str(smtp_server().port)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


CHILD = """
import os, resource, sys
import franking
from franking.sending.retry import NEVER
port, free = int(sys.argv[1]), int(sys.argv[2])
message = franking.Message(to="a@example.com", subject="x", text="x", attachments=[sys.argv[3]])
account = franking.Account(name="t", provider="smtp", sender="jan@example.com", host="127.0.0.1", port=port,
                           security="none", timeout=10)
with franking.connect(account) as mailer:
    assert len(list(mailer.send_many([message]))) == 1  # everything is loaded that sending needs
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
held = []
try:
    while True:
        held.append(os.open(os.devnull, os.O_RDONLY))
except OSError:
    pass
for _ in range(free):
    os.close(held.pop())
words = []
with franking.connect(account) as mailer:
    try:
        mailer.send(message)
        words.append("accepted")
    except franking.FrankingError as error:
        assert error.temporary and not error.possibly_sent, repr(error)
        words.append(type(error).__name__)
with franking.connect(account) as mailer:
    results = list(mailer.send_many([message, message], policy=NEVER))
    assert len(results) == 2, results
    for result in results:
        assert result.outcome == "accepted" or result.error.temporary, repr(result.error)
    words.append(results[0].outcome)
print(*words)
"""


@pytest.mark.process
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_whatever_is_left_of_the_descriptors(smtp_server: Start, tmp_path: Any) -> None:
    """A real limit: with none left, with one, and so on until it goes well."""
    server = smtp_server()
    file = tmp_path / "a.txt"
    file.write_text("attached\n" * 20_000)
    seen = []
    for free in range(8):
        command = [sys.executable, "-c", CHILD, str(server.port), str(free), str(file)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, (free, done.stderr)
        seen.append(done.stdout.split())
    assert seen[0][0] == "ConnectError"
    assert seen[-1] == ["accepted", "accepted"]
