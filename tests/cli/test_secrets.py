"""A planted password comes out nowhere: not in output, log, transcript, JSON, exceptions, files or the process list,
whatever its source and whatever fails.
"""

from __future__ import annotations

import base64
import contextlib
import copy
import io
import logging
import pickle
import stat
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

import franking
from commandline import Franking
from franking.account import config, editing
from franking.auth.secret import Password
from franking.auth.store import open_store
from franking_cli.app import run
from servers.smtp import Fault, Peer, SmtpServer, hangs_up, says, silence

CANARY = "kanár-9f3c71/+ &x"
USER = "info@novak.cz"
FORMS = [
    CANARY,
    CANARY.encode("unicode_escape").decode(),
    quote(CANARY),
    quote(CANARY, safe=""),
    ascii(CANARY)[1:-1],
    base64.b64encode(CANARY.encode()).decode(),
    base64.b64encode(f"\0{USER}\0{CANARY}".encode()).decode(),
    "9f3c71",
]


def clean(*texts: str) -> None:
    for text in texts:
        for form in FORMS:
            assert form not in text, f"{form!r} came out:\n{text}"


def echoes(peer: Peer, reply: str) -> None:
    """Refuse the login and repeat what was said, as careless servers do: the AUTH line, the password, and the two in
    base64.
    """
    line = peer.heard.lines[-1]
    peer.send(
        (
            f"535-5.7.8 {CANARY} is wrong\r\n535-5.7.8 you said {line}\r\n535 5.7.8 {FORMS[-3]} and {FORMS[-2]}\r\n"
        ).encode()
    )


FAULTS: dict[str, list[Fault]] = {
    "sent": [],
    "refused": [Fault("auth", says("535 5.7.8 no"), nth=None)],
    "echoed": [Fault("auth", echoes)],
    "echoed as an unknown reply": [Fault("auth", lambda peer, reply: peer.send(f"999 {CANARY}\r\n".encode()))],
    "cut": [Fault("auth", hangs_up)],
    "relay": [Fault("rcpt", says(f"554 5.7.1 relay denied for {CANARY}"), nth=None)],
    "unknown": [Fault("body", hangs_up)],
    "trouble": [Fault("auth", says("454 4.7.0 later"))],
}


@pytest.fixture
def records() -> Iterator[io.StringIO]:
    """Everything that anybody logs in this process, at every level."""
    heard = io.StringIO()
    handler = logging.StreamHandler(heard)
    root, ours = logging.getLogger(), logging.getLogger("franking")
    before = root.level, ours.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    ours.setLevel(logging.DEBUG)
    yield heard
    root.removeHandler(handler)
    root.setLevel(before[0])
    ours.setLevel(before[1])


def planted(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[dict[str, Any], list[str], str, list[Path]]:
    """Plant the canary: settings and flags for it, what goes to stdin, and the files that may hold it."""
    match source:
        case "environment":
            monkeypatch.setenv("FRANKING_SECRET_SHOP", CANARY)
        case "file":
            path = tmp_path / "password"
            path.write_text(CANARY + "\n")
            path.chmod(0o600)
            return {"password_file": str(path)}, [], "", [path]
        case "command":
            script = tmp_path / "vault.py"
            script.write_text(f"print({CANARY!r})\n")
            return {"password_command": f"{sys.executable} {script}"}, [], "", [script]
        case "store":
            store = open_store()
            store.save("shop", Password(CANARY).dumps())
            return {}, [], "", [store.path("shop")]
        case "stdin":
            return {}, ["--password-stdin"], CANARY + "\n", []
    return {}, [], "", []


SOURCES = ("environment", "file", "command", "store", "stdin")


@pytest.mark.process
@pytest.mark.parametrize(
    ("source", "fault"),
    [*((source, fault) for source in SOURCES for fault in ("sent", "echoed")), *(("stdin", fault) for fault in FAULTS)],
)
def test_it_comes_out_nowhere(
    source: str,
    fault: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    records: io.StringIO,
) -> None:
    settings, flags, stdin, own = planted(source, tmp_path, monkeypatch)
    with SmtpServer(
        users={USER: CANARY}, faults=FAULTS[fault], extensions=("ENHANCEDSTATUSCODES", "8BITMIME", "SMTPUTF8")
    ) as server:
        editing.save(
            config.load().build(
                name="shop",
                provider="smtp",
                sender=USER,
                host="127.0.0.1",
                port=server.port,
                security="none",
                username=USER,
                timeout=5.0,
                **settings,
            )
        )
        for command in (
            ["send-test", "shop", "--to", "a@example.cz", "-vv", "--transcript"],
            ["send-test", "shop", "--to", "a@example.cz", "-vv", "--transcript", "--json"],
            ["check", "shop", "-v", "--json"],
            ["send", "shop", "--to", "a@example.cz", "--text", "x", "--transcript"],
        ):
            monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
            code = run([*command, *flags])
            out, err = capsys.readouterr()
            assert (code == 0) == (fault == "sent" or (command[0] == "check" and fault in ("relay", "unknown"))), err
            assert "AUTH" in err or "--transcript" not in command, "the login was not even tried"
            clean(out, err)
        for command in (
            ["accounts", "list"],
            ["accounts", "show", "shop", "--json"],
            ["status", "shop", "--json"],
            ["status"],
        ):
            run(command)
            clean(*capsys.readouterr())
    clean(records.getvalue())
    assert "C: AUTH" in records.getvalue()
    for path in tmp_path.rglob("*"):
        if path.is_file() and path not in own:
            clean(path.read_bytes().decode("utf-8", "replace"))
    for path in own:
        assert source == "command" or stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("fault", [name for name in FAULTS if name != "sent"])
def test_no_exception_holds_it(fault: str) -> None:
    with SmtpServer(users={USER: CANARY}, faults=FAULTS[fault], extensions=("ENHANCEDSTATUSCODES",)) as server:
        account = franking.Account(
            name="shop",
            provider="smtp",
            sender=USER,
            host="127.0.0.1",
            port=server.port,
            security="none",
            username=USER,
        )
        mailer = franking.connect(account, secret=CANARY)
        with pytest.raises(franking.FrankingError) as caught, mailer:
            mailer.send(franking.Message(to=["a@example.cz"], subject="x", text="x"))
        report = franking.send_test(account, "a@example.cz", secret=CANARY)
    error = caught.value
    again = pickle.loads(pickle.dumps(error))
    for one in (error, again, report.error, copy.copy(error)):
        clean(repr(one), str(one), repr(vars(one)), "".join(traceback.format_exception(one)))
    clean(repr(mailer), repr(account), repr(report), str(report.as_dict()), repr(report.diagnosis), repr(report.hints))


def test_a_password_in_an_account_url_is_refused_unseen(
    capsys: pytest.CaptureFixture[str], records: io.StringIO
) -> None:
    url = f"smtp://info:{quote(CANARY, safe='')}@127.0.0.1?from={USER}"
    for command in (
        ["send-test", url, "--to", USER],
        ["check", url, "--json"],
        ["login", url],
        ["send", url, "--to", USER, "--text", "x", "-vv"],
        ["check", "shop", url],
        ["status", "shop", url, "--json"],
    ):
        assert run(command) == 2
        clean(*capsys.readouterr())
    clean(records.getvalue())


@pytest.mark.process
@pytest.mark.parametrize("key", ["password-command", "token-command"])
@pytest.mark.parametrize(
    "code",
    [
        "print(canary); print(canary, file=sys.stderr); sys.exit(3)",
        "print(); print(canary)",
        "sys.stdout.buffer.write(canary.encode() + bytes([255]))",
        "raise ValueError(canary)",
    ],
)
def test_a_broken_password_command_does_not_show_what_it_said(
    key: str, code: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    script = tmp_path / "vault.py"
    script.write_text(f"import sys\ncanary = {CANARY!r}\n{code}\n")
    flags = [
        "--from",
        USER,
        "--host",
        "127.0.0.1",
        "--port",
        "1",
        "--username",
        USER,
        f"--{key}",
        f"{sys.executable} {script}",
    ]
    for command in (["send-test", *flags, "--to", USER, "-vv", "--transcript"], ["check", *flags, "--json"]):
        assert run(command) == 2
        clean(*capsys.readouterr())


@pytest.fixture
def process() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    with contextlib.ExitStack() as stack:

        def start(*arguments: str) -> subprocess.Popen[bytes]:
            started = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", "from franking_cli.app import main; main()", *arguments],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                )
            )
            stack.callback(started.kill)
            return started

        yield start


@pytest.mark.process
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")
def test_the_process_list_does_not_show_it(process: Callable[..., subprocess.Popen[bytes]]) -> None:
    reached = threading.Event()

    def waits(peer: Peer, reply: str) -> None:
        reached.set()
        silence(peer, reply)

    with SmtpServer(users={USER: CANARY}, faults=[Fault("auth", waits)]) as server:
        running = process(
            "send-test", "--from", USER, "--host", "127.0.0.1", "--port", str(server.port), "--security", "none",
            "--username", USER,
            "--password-stdin", "--to", USER,
        )  # fmt: skip
        assert running.stdin
        running.stdin.write(CANARY.encode() + b"\n")
        running.stdin.flush()
        assert reached.wait(60)
        shown = Path(f"/proc/{running.pid}/cmdline").read_bytes() + Path(f"/proc/{running.pid}/environ").read_bytes()
        clean(shown.decode("utf-8", "replace"))
        running.kill()
        clean(*(text.decode("utf-8", "replace") for text in running.communicate()))


def test_a_sign_in_address_of_google_stays_out_of_the_transcript(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (
        "534-5.7.14 <https://accounts.google.com/signin/continue?sarp=1&scc=1&plt=AKgnsbtokenONE",
        "534-5.7.14 tokenTWO-xyz",
        "534-5.7.14 tokenTHREE> Please log in via your web browser and",
        "534-5.7.14 then try again.",
        "534 5.7.14  Learn more at https://support.google.com/mail/?p=WebLoginRequired a1-2 - gsmtp",
    )
    monkeypatch.setattr("sys.stdin", io.StringIO("x\n"))
    with SmtpServer(users={USER: CANARY}, faults=[Fault("auth", says(*lines))]) as server:
        flags = [
            "--from",
            USER,
            "--host",
            "127.0.0.1",
            "--port",
            str(server.port),
            "--security",
            "none",
            "--username",
            USER,
        ]
        assert run(["send-test", *flags, "--to", USER, "--password-stdin", "--transcript", "-vv"]) == 1
    out, err = capsys.readouterr()
    for hidden in ("token", "plt=", "scc=1"):
        assert hidden not in out + err
    assert "accounts.google.com/signin/continue" in err
    assert "?p=WebLoginRequired" in err


SHAPES = [
    "canary-content-1",
    '{"installed": {"client_id": "canary-content-1", "client_secret": "canary-content-2"}}',
    '{"type": "service_account", "private_key": "canary-content-1", "client_email": "canary-content-2"}',
    """-----BEGIN PRIVATE KEY-----
canary-content-1
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
canary-content-2
-----END CERTIFICATE-----
""",
    '<html>canary-content-1 {"canary-content-2"}',
]


@pytest.mark.parametrize("command", [("check",), ("login", "--no-browser")], ids=lambda command: command[0])
@pytest.mark.parametrize(
    "url",
    [
        "gmail://me@gmail.com?client_secrets=FILE",
        "gmail://me@corp.invalid?service_account=FILE",
        "gmail://me@corp.invalid?api_endpoint=https://other.invalid&service_account=FILE",
        "outlook://me@corp.invalid?client_id=c&app_only=true&authority=https://login.invalid/t&certificate=FILE",
        "smtp://127.0.0.1:9?from=a@b.cz&security=tls&ca_file=FILE",
    ],
)
def test_a_file_that_a_url_names_is_read_and_never_shown(
    franking: Franking, tmp_path: Path, url: str, command: tuple[str, ...]
) -> None:
    file = tmp_path / "file"
    named = url.replace("FILE", str(file))
    for content in SHAPES:
        file.write_text(content)
        for more in (("--json",), ("-vv",)):
            ended = franking(*command, named, *more)
            assert ended.code != 0
            assert "canary-content" not in ended.out + ended.err
