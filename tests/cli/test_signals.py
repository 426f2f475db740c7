"""Signals in the middle of a send, on every route: the exit code and the verdict agree with what the server has, and
nothing hangs.

The server presses: it sends the signal to this process's main thread when the client has come to a chosen point, and
then says nothing more.
"""

from __future__ import annotations

import gc
import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import franking
from franking.provider import Step
from franking_cli.app import run
from servers import held
from servers.certificates import Certificates
from servers.held import Hook, Service, early, late
from servers.smtp import EXTENSIONS, Fault, Peer, SmtpServer, answers, silence, then
from tiers import one_of_each

pytestmark = [
    pytest.mark.timeout(60),
    pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="signals of this kind are POSIX"),
    # an interruption may fall between two steps, where a socket is nobody's yet: the collector closes it
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]

PIPES = tuple(word for word in EXTENSIONS if word != "CHUNKING")
PLAIN = ("SIZE 52428800", "8BITMIME")


@pytest.fixture(autouse=True)
def no_garbage_collection() -> Iterator[None]:
    """Keep the collector still: what falls into a callback of its (other plugins have one) is lost in there."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()
    gc.collect()


def press(number: int) -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, number)


def presses(number: int) -> Callable[[Peer, str], None]:
    """Send the signal, and never answer."""

    def act(peer: Peer, reply: str) -> None:
        press(number)
        silence(peer, reply)

    return act


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a file that no socket's buffers swallow."""
    file = tmp_path_factory.mktemp("large") / "film.bin"
    file.touch()
    os.truncate(file, 24_000_000)
    return file


# -- Ctrl-C, SIGTERM and SIGHUP of the command line --------------------------------------------------------------------

# step, what the server offers, whether the message is large, whether the server accepts it, exit code
SMTP = {
    "before the greeting": ("connect", EXTENSIONS, False, False, 130),
    "at the greeting": ("greet", EXTENSIONS, False, False, 130),
    "after EHLO": ("ehlo", EXTENSIONS, False, False, 130),
    "after STARTTLS": ("starttls", EXTENSIONS, False, False, 130),
    "in the TLS handshake": ("handshake", EXTENSIONS, False, False, 130),
    "in the login": ("auth", EXTENSIONS, False, False, 130),
    "after MAIL": ("mail", PLAIN, False, False, 130),
    "after RCPT": ("rcpt", PLAIN, False, False, 130),
    "after DATA": ("data", PLAIN, False, False, 130),
    "after DATA, with PIPELINING": ("data", PIPES, False, False, 130),
    "in the middle of DATA": ("content", PIPES, True, False, 130),
    "after MAIL of a large chunk": ("mail", EXTENSIONS, True, False, 130),
    "in the middle of a chunk": ("content", EXTENSIONS, True, False, 130),
    "after all of one flight": ("mail", EXTENSIONS, False, False, 3),
    "before the reply to DATA": ("body", PLAIN, False, True, 3),
    "before the reply to a chunk": ("body", EXTENSIONS, False, True, 3),
    "in the farewell": ("quit", EXTENSIONS, False, True, 3),
}
CELLS = [
    (point, number)
    for point in SMTP
    for number in ("SIGINT", "SIGTERM", "SIGHUP")
    if number == "SIGINT" or point[:6] == "before"
]


def told(code: int, captured: Any) -> None:
    assert "Traceback" not in captured.err
    assert ("not known whether" in captured.err) is (code == 3), captured.err
    assert captured.err.strip()


@pytest.mark.parametrize(("point", "name"), one_of_each(CELLS, lambda cell: cell[0]))
def test_the_command_line_tells_by_its_code_what_a_signal_left_at_smtp(
    point: str,
    name: str,
    large: Path,
    certificates: Certificates,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    step, words, is_large, taken, code = SMTP[point]
    monkeypatch.setenv("FRANKING_SECRET_SMTP_JANA_127_0_0_1", "pw")
    faults = [Fault(step, presses(getattr(signal, name)), executed=taken)]
    with SmtpServer(
        extensions=words, users={"jana": "pw"}, context=certificates.context("good"), faults=faults
    ) as server:
        url = (
            f"smtp://jana@127.0.0.1:{server.port}?from=a@b.cz&security=starttls&timeout=20&"
            f"ca_file={certificates.ca_file}"
        )
        arguments = ["send", url, "--to", "c@d.cz", "--text", "x", *(["--attach", str(large)] if is_large else [])]
        assert run(arguments) == code, capsys.readouterr().err
        server.wait()
        assert len(server.messages) == taken
        assert all("QUIT" not in heard.lines for heard in server.sessions) or step == "quit", (
            "no farewell in the middle of something"
        )
    if step != "quit":
        told(code, capsys.readouterr())


API = {  # service: point: (method, part of the path, early or late, whether the message is large, exit code)
    "gmail": {
        "while the token is renewed": ("POST", "/token", early, False, 130),
        "after the token was renewed": ("POST", "/token", late, False, 130),
        "before the answer": ("POST", "uploadType=m", late, False, 3),
        "when an upload begins": ("POST", "uploadType=resumable", late, True, 130),
        "in the middle of an upload": ("PUT", "upload_id=", early, True, 130),
        "between two chunks": ("PUT", "upload_id=", late, True, 130),
    },
    "graph": {
        "while the token is renewed": ("POST", "/token", early, False, 130),
        "before the answer": ("POST", "/sendMail", late, False, 3),
        "when the draft is made": ("POST", "/me/messages", early, True, 130),
        "when the upload begins": ("POST", "/createUploadSession", late, True, 130),
        "in the middle of an upload": ("PUT", "/upload/", early, True, 130),
        "between two ranges": ("PUT", "/upload/", late, True, 130),
        "before the answer to the send": ("POST", "/send?", late, True, 3),
    },
}


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Service]]:
    with held.gmail(tmp_path_factory.mktemp("gmail")) as gmail, held.graph(tmp_path_factory.mktemp("graph")) as graph:
        yield {"gmail": gmail, "graph": graph}


@pytest.mark.parametrize(
    ("name", "point"),
    one_of_each([(name, point) for name, points in API.items() for point in points], lambda cell: cell[1]),
)
def test_the_command_line_tells_by_its_code_what_a_signal_left_at_an_api(
    name: str, point: str, services: dict[str, Service], large: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service = services[name]
    method, part, when, is_large, code = API[name][point]
    service.write(tmp_path / "home" / "accounts.toml")
    store = service.save(tmp_path / "home" / "state", ended="token" in point)
    before = service.arrived()
    number = signal.SIGTERM if when is late else signal.SIGINT
    service.fake.hook = Hook(method, part, when(lambda: press(number)))
    arguments = ["send", "shop", "--to", "c@d.cz", "--text", "x", *(["--attach", str(large)] if is_large else [])]
    assert run(arguments) == code, capsys.readouterr().err
    assert service.fake.hook is None
    assert service.arrived() - before == (code == 3)
    told(code, capsys.readouterr())
    if name == "graph":
        assert service.fake.graph.drafts == {}, "a draft was left"
    with store.lock("shop"):
        pass  # the lock is free, and the sign-in is whole:
    assert run(["send", "shop", "--to", "c@d.cz", "--text", "x"]) == 0, capsys.readouterr().err


CLI = "from franking_cli.app import main; main()"
SENDMAIL = "from franking_cli.sendmail.main import main; main()"
WORDS = ["send", "--to", "c@d.cz", "--text", "x"]
PROGRAMS = {
    "franking send, SIGTERM before": (CLI, WORDS, "rcpt", signal.SIGTERM, 130),
    "franking send, SIGTERM after": (CLI, WORDS, "body", signal.SIGTERM, 3),
    "franking-sendmail, Ctrl-C before": (SENDMAIL, ["c@d.cz"], "rcpt", signal.SIGINT, 75),
    "franking-sendmail, Ctrl-C after": (SENDMAIL, ["c@d.cz"], "body", signal.SIGINT, 70),
    "franking-sendmail, Ctrl-C in the farewell": (SENDMAIL, ["c@d.cz"], "quit", signal.SIGINT, 0),
}


@pytest.mark.process
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_ends_with_the_right_code(program: str) -> None:
    """75 would make callers of sendmail send again: never once the message was handed over."""
    code, words, step, number, expected = PROGRAMS[program]
    running: list[subprocess.Popen[str]] = []

    def act(peer: Peer, reply: str) -> None:
        running[0].send_signal(number)
        silence(peer, reply)

    with SmtpServer(extensions=PLAIN, faults=[Fault(step, act, executed=True)]) as server:
        account = f"smtp://127.0.0.1:{server.port}?from=a@b.cz&security=none"
        running.append(
            subprocess.Popen(
                [sys.executable, "-c", code, *words],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                env=os.environ | {"FRANKING_ACCOUNT": account},
            )
        )  # fmt: skip
        _, errors = running[0].communicate("Subject: x\n\ny\n", timeout=50)
        assert running[0].returncode == expected, errors
        assert "Traceback" not in errors
        assert bool(server.messages) is (step != "rcpt")


# -- handlers of an application ----------------------------------------------------------------------------------------


class Alarm(Exception):
    """What an application's handler raises."""


def quits(number: int, frame: Any) -> None:
    sys.exit(9)


def raises(kind: type[BaseException]) -> Callable[[int, Any], None]:
    def handler(number: int, frame: Any) -> None:
        raise kind

    return handler


@pytest.fixture
def alarm() -> Iterator[Callable[[Any], None]]:
    """Set what SIGALRM does."""
    before = signal.getsignal(signal.SIGALRM)
    yield lambda handler: signal.signal(signal.SIGALRM, handler)
    signal.signal(signal.SIGALRM, before)


def verdict(act: Callable[[], object]) -> bool:
    """Return whether the message may have been accepted, by what the send raised: an error of ours, or the handler's
    own with the verdict on it.
    """
    with pytest.raises((franking.FrankingError, Alarm, TimeoutError, SystemExit)) as caught:
        act()
    return bool(caught.value.possibly_sent)  # type: ignore[union-attr]


class Alarmed:
    """A socket on whose ``send`` the handler's exception falls when the kernel has taken the octets: between two steps
    of the interpreter.
    """

    def __init__(self, sock: Any) -> None:
        self.sock = sock

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sock, name)

    def send(self, data: bytes) -> int:
        self.sock.send(data)
        raise TimeoutError("the handler's")


def test_an_alarm_behind_the_last_octet_is_no_broken_connection() -> None:
    """It was taken for one that broke before the octets had left, and the message for safe to send again."""
    with SmtpServer() as server:
        account = franking.Account(
            name="t", provider="smtp", sender="a@b.cz", host="127.0.0.1", port=server.port, security="none"
        )
        with franking.connect(account) as mailer:
            with mailer.borrow() as session:
                connection = session._connection  # type: ignore[attr-defined]
                connection._sock = Alarmed(connection._sock)
            assert verdict(lambda: mailer.send(franking.Message(to="c@d.cz", text="x"))) is True
        server.wait()
        assert len(server.messages) == 1


HANDLERS = {"its own": raises(Alarm), "TimeoutError": raises(TimeoutError), "SystemExit": quits}


@pytest.mark.parametrize(
    ("point", "handler"),
    one_of_each(
        [(point, handler) for point in SMTP if point != "in the farewell" for handler in HANDLERS], lambda cell: cell[1]
    ),
)
def test_what_a_handler_raises_leaves_with_the_verdict_at_smtp(
    point: str, handler: str, large: Path, certificates: Certificates, alarm: Callable[[Any], None]
) -> None:
    step, words, is_large, taken, code = SMTP[point]
    alarm(HANDLERS[handler])
    faults = [Fault(step, presses(signal.SIGALRM), executed=taken)]
    with SmtpServer(
        extensions=words, users={"jana": "pw"}, context=certificates.context("good"), faults=faults
    ) as server:
        account = franking.Account(
            name="t", provider="smtp", sender="a@b.cz", host="127.0.0.1", port=server.port, security="starttls",
            username="jana",
            ca_file=certificates.ca_file, timeout=20,
        )  # fmt: skip
        message = franking.Message(to="c@d.cz", text="x", attachments=[large] if is_large else [])
        with franking.connect(account, secret="pw") as mailer:
            assert verdict(lambda: mailer.send(message)) is (code == 3)
            server.wait()
            assert len(server.messages) == taken
            server.faults.clear()
            assert mailer.send(franking.Message(to="c@d.cz", text="x")).accepted, (
                "the mailer goes on, with another connection"
            )


@pytest.mark.parametrize("handler", one_of_each(HANDLERS, type))
@pytest.mark.parametrize(
    ("name", "point"), [(name, point) for name in API for point in ("before the answer", "in the middle of an upload")]
)
def test_what_a_handler_raises_leaves_with_the_verdict_at_an_api(
    name: str,
    point: str,
    handler: str,
    services: dict[str, Service],
    large: Path,
    tmp_path: Path,
    alarm: Callable[[Any], None],
) -> None:
    service = services[name]
    method, part, when, is_large, code = API[name][point]
    alarm(HANDLERS[handler])
    before = service.arrived()
    message = franking.Message(to="c@d.cz", text="x", attachments=[large] if is_large else [])
    with franking.connect(service.account(), store=service.save(tmp_path / "state")) as mailer:
        service.fake.hook = Hook(method, part, when(lambda: press(signal.SIGALRM)))
        if (
            is_large and handler == "TimeoutError"
        ):  # where it falls decides: taken for a broken connection, and the upload goes on, or for a file's
            try:
                assert mailer.send(message).accepted
            except franking.FrankingError as error:
                assert not error.possibly_sent
            assert service.arrived() - before <= 1
            return
        assert verdict(lambda: mailer.send(message)) is (code == 3)
        assert service.arrived() - before == (code == 3)
        assert mailer.send(franking.Message(to="c@d.cz", text="x")).accepted


def test_a_handler_that_returns_changes_nothing(certificates: Certificates, alarm: Callable[[Any], None]) -> None:
    """Every wait of the dialogue is interrupted (EINTR) and goes on."""
    heard = itertools.count()
    alarm(lambda number, frame: next(heard))

    def silently(peer: Peer, reply: str) -> None:
        press(signal.SIGALRM)

    faults = [Fault(step, silently, nth=None) for step in ("connect", "handshake", "content")]
    faults += [
        Fault(step, then(silently, answers), nth=None, executed=True)
        for step in ("greet", "ehlo", "mail", "rcpt", "body")
    ]
    for words in (EXTENSIONS, PIPES, PLAIN):
        with SmtpServer(
            extensions=words, users={"jana": "pw"}, context=certificates.context("good"), faults=faults
        ) as server:
            account = franking.Account(
                name="t", provider="smtp", sender="a@b.cz", host="127.0.0.1", port=server.port, security="starttls",
                username="jana",
                ca_file=certificates.ca_file, timeout=20,
            )  # fmt: skip
            with franking.connect(account, secret="pw") as mailer:
                assert mailer.send(franking.Message(to="c@d.cz", text="x" * 900_000)).accepted
                assert mailer.send(franking.Message(to="c@d.cz", text="x")).accepted
            assert len(server.messages) == 2
    assert next(heard) > 20


@pytest.mark.parametrize("name", API)
def test_a_handler_that_returns_changes_nothing_at_an_api(
    name: str, services: dict[str, Service], large: Path, tmp_path: Path, alarm: Callable[[Any], None]
) -> None:
    heard = itertools.count()
    alarm(lambda number, frame: next(heard))
    service = services[name]

    def look(step: Step) -> None:
        press(signal.SIGALRM)

    before = service.arrived()
    with franking.connect(
        service.account(), store=service.save(tmp_path / "state", ended=True), observer=look
    ) as mailer:
        for method, part, _, is_large, _ in API[name].values():

            def act(request: Any, answer: Callable[[], Any]) -> Any:
                press(signal.SIGALRM)
                done = answer()
                press(signal.SIGALRM)
                return done

            service.fake.hook = Hook(method, part, act)
            assert mailer.send(
                franking.Message(to="c@d.cz", text="x", attachments=[large] if is_large else [])
            ).accepted
            service.fake.hook = None
    assert service.arrived() - before == len(API[name])
    assert next(heard) > 20


# -- many messages -----------------------------------------------------------------------------------------------------


def messages(count: int) -> Iterator[franking.Message]:
    for number in range(count):
        yield franking.Message(to=[f"r{number}@example.com"], subject=f"{number}", text="x")


@pytest.mark.parametrize(
    ("step", "window", "kind"),
    # with a window each takes the two seconds of its time-out
    one_of_each(itertools.product(("body", "mail"), (1, 8), (KeyboardInterrupt, SystemExit)), lambda row: row[1]),
)
def test_an_interrupted_run_tells_what_became_of_every_message(
    kind: type[BaseException], window: int, step: str, alarm: Callable[[Any], None]
) -> None:
    """Ctrl-C, or the exit that a handler of SIGTERM asks for: results first, then the interruption."""
    alarm(raises(kind))
    drawn: list[int] = []

    def source() -> Iterator[franking.Message]:
        for number, message in enumerate(messages(100)):
            drawn.append(number)
            yield message

    with SmtpServer(faults=[Fault(step, presses(signal.SIGALRM), nth=20, executed=True)]) as server:
        account = franking.Account(
            name="t",
            provider="smtp",
            sender="a@b.cz",
            host="127.0.0.1",
            port=server.port,
            security="none",
            timeout=5,
            final_timeout=2,
        )
        results: dict[int, franking.SendResult] = {}
        with franking.connect(account) as mailer, pytest.raises(kind):
            for result in mailer.send_many(source(), window=window):
                assert result.index not in results
                results[result.index] = result
        server.wait()
    assert set(results) == set(drawn)
    arrived = {int(message.data.split(b"Subject: ")[1].split(b"\r\n")[0]) for message in server.messages}
    for number, result in results.items():
        assert (
            result.outcome in ("accepted", "unknown") if number in arrived else result.outcome in ("failed", "unknown")
        )
    assert sum(result.outcome == "unknown" for result in results.values()) >= 1
    assert len(arrived) == 20 - (step == "mail")


@pytest.mark.parametrize("name", API)
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("when", [early, late])
def test_an_interrupted_run_at_an_api(
    name: str,
    kind: type[BaseException],
    when: Any,
    services: dict[str, Service],
    tmp_path: Path,
    alarm: Callable[[Any], None],
) -> None:
    alarm(raises(kind))
    service = services[name]
    before = service.arrived()
    results: list[franking.SendResult] = []
    with franking.connect(service.account(), store=service.save(tmp_path / "state")) as mailer, pytest.raises(kind):
        for result in mailer.send_many(messages(20), rate=float("inf")):
            results.append(result)
            if len(results) == 5:
                service.fake.hook = Hook("POST", service.send, when(lambda: press(signal.SIGALRM)))
    assert [result.outcome for result in results[:5]] == ["accepted"] * 5
    assert [result.outcome for result in results[5:]] == ["unknown"]
    assert service.arrived() - before == 5 + (when is late)
