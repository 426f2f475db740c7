"""``franking send``: every option, what arrives, what is refused before anything leaves, and the dry run."""

from __future__ import annotations

import email
import io
import json
import os
import socket
from collections.abc import Callable, Iterator
from email import policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from franking.account import config, editing
from franking_cli.app import run
from reports import report
from servers.smtp import SmtpServer

TO = ("--to", "Jana Nová <jana@example.cz>")


class Ended:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def server() -> Iterator[SmtpServer]:
    with SmtpServer() as server:
        editing.save(
            config.load().build(
                name="shop",
                provider="smtp",
                sender="Jan Novák <info@novak.cz>",
                host="127.0.0.1",
                port=server.port,
                security="none",
                timeout=5.0,
            )
        )
        yield server


Send = Callable[..., Ended]


@pytest.fixture
def send(server: SmtpServer, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Send:
    def act(*arguments: str, stdin: bytes = b"") -> Ended:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        code = run(["send", "shop", *arguments])
        out, err = capfdbinary.readouterr()
        assert b"Traceback" not in out + err
        return Ended(code, out.decode(), err.decode())

    return act


def received(server: SmtpServer) -> EmailMessage:
    message = email.message_from_bytes(server.messages[-1].data, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def test_everything_together(server: SmtpServer, send: Send, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("Dobrý den", encoding="utf-8")
    (tmp_path / "page.html").write_text("<p>Dobrý den</p>", encoding="utf-8")
    (tmp_path / "faktura č. 1.pdf").write_bytes(b"%PDF-1.7" + bytes(range(256)) * 40)
    done = send(
        *TO, "--to", "b@example.cz", "--cc", "c@example.cz", "--bcc", "d@example.cz", "--reply-to", "answers@novak.cz",
        "--subject", "Faktura č. 1",
        "--text-file", str(tmp_path / "text.txt"), "--html-file", str(tmp_path / "page.html"), "--attach",
        str(tmp_path / "faktura č. 1.pdf"),
        "--header", "X-Order: 114", "--header", "X-Two:  kus", "--json",
    )  # fmt: skip
    told = report(done.out, hints=False)
    assert (done.code, told["outcome"]) == (0, "sent")
    assert told["to"] == ["jana@example.cz", "b@example.cz", "c@example.cz", "d@example.cz"]
    assert server.messages[0].recipients == told["to"]
    message = received(server)
    assert (message["To"], message["Cc"], message["Bcc"]) == (
        "Jana Nová <jana@example.cz>, b@example.cz",
        "c@example.cz",
        None,
    )
    assert (message["From"], message["Reply-To"], message["Subject"]) == (
        "Jan Novák <info@novak.cz>",
        "answers@novak.cz",
        "Faktura č. 1",
    )
    assert (message["X-Order"], message["X-Two"]) == ("114", "kus")
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    assert text is not None
    assert html is not None
    assert (text.get_content().strip(), html.get_content().strip()) == ("Dobrý den", "<p>Dobrý den</p>")
    (attached,) = message.iter_attachments()
    assert (attached.get_filename(), attached.get_content()) == (
        "faktura č. 1.pdf",
        (tmp_path / "faktura č. 1.pdf").read_bytes(),
    )


def test_text_and_html_from_the_command_line(server: SmtpServer, send: Send) -> None:
    assert send(*TO, "--subject", "x", "--text", "Ahoj", "--html", "<p>Ahoj</p>").code == 0
    text, html = received(server).get_body(("plain",)), received(server).get_body(("html",))
    assert text is not None and text.get_content().strip() == "Ahoj"
    assert html is not None and html.get_content().strip() == "<p>Ahoj</p>"


def test_text_from_stdin(server: SmtpServer, send: Send) -> None:
    assert send(*TO, "--subject", "x", stdin="Ahoj,\nžluťoučký kůň\n.\n".encode()).code == 0
    assert received(server).get_content().splitlines() == ["Ahoj,", "žluťoučký kůň", "."]


def test_text_from_stdin_must_be_utf_8(server: SmtpServer, send: Send) -> None:
    done = send(*TO, stdin=b"\xe1\xe9 latin")
    assert (done.code, "not UTF-8" in done.err) == (2, True)
    assert not server.messages


@pytest.mark.parametrize(
    "arguments",
    [
        [*TO, "--text", "x", "--subject", "a\r\nBcc: x@y.cz"],
        [*TO, "--text", "x", "--header", "X-A: b\r\nBcc: x@y.cz"],
        [*TO, "--text", "x", "--header", "X-A\r\nBcc: b"],
        [*TO, "--text", "x", "--header", "X A: b"],
        [*TO, "--text", "x", "--header", "X-A: b\0"],
        [*TO, "--text", "x", "--reply-to", "a@b.cz\r\nBcc: x@y.cz"],
        ["--to", "a@b.cz\nBcc: x@y.cz", "--text", "x"],
        ["--to", "a@b.cz> SIZE=1\r\nRCPT TO:<x@y.cz", "--text", "x"],
        ["--cc", "nobody", "--text", "x"],
        ["--bcc", "", "--text", "x"],
    ],
)
@pytest.mark.parametrize("mode", [[], ["--dry-run"]])
def test_injection_is_refused_before_anything_leaves(
    server: SmtpServer, send: Send, arguments: list[str], mode: list[str]
) -> None:
    done = send(*arguments, *mode)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("✗ ")
    assert not server.sessions


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--attach", "missing.pdf"], "missing.pdf"),
        (["--text-file", "missing.txt"], "missing.txt"),
        (["--html-file", "missing.html"], "missing.html"),
        (["--eml", "missing.eml"], "missing.eml"),
        (["--text", "x", "--text-file", "y"], "either --text or --text-file"),
        (["--html", "x", "--html-file", "y"], "either --html or --html-file"),
        (["--password-stdin"], "stdin holds the password"),
        (["--text", "x", "--header", "X-A: 1", "--header", "x-a: 2"], "given twice"),
    ],
)
def test_what_cannot_be_read_is_named(server: SmtpServer, send: Send, arguments: list[str], words: str) -> None:
    done = send(*TO, *arguments, *(["--text", "x"] if arguments[0] == "--attach" else []))
    assert done.code == 2
    assert words in done.err
    assert not server.sessions


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        (("x-a: 1", "X-A: 2"), "X-A is given twice; one of the two would be lost"),
        (("X-A",), "not of the form"),
        ((": 1",), "not of the form"),
    ],
)
def test_a_header_that_would_be_lost_or_is_none_is_refused(
    server: SmtpServer, send: Send, headers: tuple[str, ...], words: str
) -> None:
    flags = [word for header in headers for word in ("--header", header)]
    ended = send("--to", "a@example.com", "--text", "x", *flags)
    assert (ended.code, server.messages) == (2, [])
    assert words in ended.err


def test_an_eml_goes_as_it_is(server: SmtpServer, send: Send, tmp_path: Path) -> None:
    eml = tmp_path / "message.eml"
    eml.write_bytes(
        b"From: info@novak.cz\nTo: a@example.cz\nBcc: hidden@example.cz\n"
        b"Subject: =?utf-8?q?P=C5=99=C3=ADklad?=\nDate: Mon, 1 Jan 2026 00:00:00 +0000\n"
        b"Message-ID: <1@novak.cz>\n\n.dot\nbody\n"
    )
    assert send("--eml", str(eml)).code == 0
    got = server.messages[0]
    assert got.recipients == ["a@example.cz", "hidden@example.cz"]
    assert got.data == eml.read_bytes().replace(b"Bcc: hidden@example.cz\n", b"").replace(b"\n", b"\r\n")
    assert send("--eml", str(eml), "--to", "elsewhere@example.cz", "--json").code == 0
    assert server.messages[1].recipients == ["elsewhere@example.cz"]


def test_a_big_eml(server: SmtpServer, send: Send, tmp_path: Path) -> None:
    eml = tmp_path / "big.eml"
    line = b"x" * 76 + b"\r\n"
    eml.write_bytes(
        (
            b"From: info@novak.cz\r\nTo: a@example.cz\r\nDate: Mon, 1 Jan 2026 00:00:00 +0000\r\n"
            b"Message-ID: <1@novak.cz>\r\n\r\n"
        )
        + line * 120_000
    )
    assert send("--eml", str(eml)).code == 0
    assert server.messages[0].data == eml.read_bytes()


def test_a_dry_run_writes_the_message_and_tells_the_rest_on_stderr(
    server: SmtpServer, send: Send, tmp_path: Path
) -> None:
    done = send(*TO, "--bcc", "d@example.cz", "--subject", "x", "--text", "Ahoj ž", "--dry-run")
    assert done.code == 0
    message = email.message_from_string(done.out, policy=policy.default)
    assert (message["To"], message["Bcc"]) == ("Jana Nová <jana@example.cz>", "d@example.cz")
    for words in ("Route:      smtp", "<info@novak.cz> to jana@example.cz, d@example.cz", "bytes", "Nothing was sent."):
        assert words in done.err
    told = json.loads(send(*TO, "--text", "x", "--dry-run", "--json").out)
    assert (told["outcome"], told["to"], "hints" in told) == ("checked", ["jana@example.cz"], False)
    assert not server.sessions


def test_a_dry_run_can_be_sent_afterwards(server: SmtpServer, send: Send, tmp_path: Path) -> None:
    done = send(*TO, "--bcc", "d@example.cz", "--subject", "Příklad", "--text", "Ahoj", "--dry-run")
    (tmp_path / "kept.eml").write_bytes(done.out.encode())
    assert send("--eml", str(tmp_path / "kept.eml")).code == 0
    assert server.messages[0].recipients == ["jana@example.cz", "d@example.cz"]
    assert received(server)["Subject"] == "Příklad"


def test_a_disabled_account_says_how_to_enable_it(server: SmtpServer, send: Send) -> None:
    editing.set_enabled("shop", False)
    done = send(*TO, "--text", "x")
    assert done.code == 2
    assert "franking accounts enable shop" in done.err
    assert "✗ settings" in done.err and "✓" not in done.err
    assert not server.sessions


def test_all_recipients_refused(server: SmtpServer, send: Send) -> None:
    server.refused |= {"jana@example.cz": "550 5.1.1 no such user", "b@example.cz": "451 4.7.1 later"}
    done = send("--to", "jana@example.cz", "--text", "x", "--json")
    told = report(done.out, hints=False)
    assert (done.code, told["diagnosis"]["code"], told["to"]) == (1, "recipient.unknown", ["jana@example.cz"])
    assert send("--to", "b@example.cz", "--text", "x").code == 5


def test_the_log_says_what_happens(server: SmtpServer, send: Send) -> None:
    quiet, loud, louder = (send(*TO, "--text", "x", *flags) for flags in ([], ["-v"], ["-vv"]))
    assert "franking." not in quiet.err
    assert "franking.mailer: " in loud.err
    assert "was accepted by smtp" in loud.err
    assert "EHLO" not in loud.err
    assert "franking.wire: C: EHLO" in louder.err
    assert "franking.wire: S: 250" in louder.err


def test_a_mistake_of_ours_is_told_without_a_traceback(send: Send, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: Any, **options: Any) -> None:
        raise ZeroDivisionError("oops\x1b[31m")

    monkeypatch.setattr("franking.sending.testsend.send_watched", broken)
    done = send(*TO, "--text", "x")
    assert (done.code, done.out) == (1, "")
    assert "ZeroDivisionError: oops\\x1b[31m" in done.err
    assert "-vv" in done.err
    told = report(send(*TO, "--text", "x", "--json").out, hints=False)
    assert told["diagnosis"]["code"] == "bug"


def test_the_traceback_of_a_mistake_of_ours_shows_no_token(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any, **options: Any) -> None:
        try:
            raise ValueError("Authorization: Bearer canary.token_0123456789\x1b[31m")
        except ValueError as problem:
            raise ZeroDivisionError("client_secret=canary-secret-1&code=1") from problem

    monkeypatch.setattr("franking.sending.testsend.send_watched", broken)
    assert run(["send", "smtp://127.0.0.1:1?from=a@b.cz&security=none", *TO, "--text", "x", "-vv"]) == 1
    shown = capsys.readouterr().err
    assert "    raise ZeroDivisionError(" in shown
    assert "canary.token" not in shown
    assert "ZeroDivisionError: client_secret [hidden]" in shown


# -- what is no file ---------------------------------------------------------------------------------------------------


def pipe(path: Path) -> None:
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(path))


NO_FILES: dict[str, Callable[[Path], Any]] = {
    "a named pipe": pipe,
    "a directory": lambda path: path.mkdir(),
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a terminal": lambda path: path.symlink_to("/dev/tty"),
    "a socket": a_socket,
    "a link to itself": lambda path: path.symlink_to(path),
    "nothing": lambda path: None,
}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="such files are POSIX")
@pytest.mark.parametrize("kind", NO_FILES)
def test_what_is_no_file_is_refused_at_once(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody writes into the pipe, and the device never ends: opening one, or reading the other, would wait for
    ever.
    """
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "odd"
    NO_FILES[kind](path)
    url = f"file://{tmp_path}/mail?from=a@b.cz"
    assert run(["send", url, "--to", "c@d.cz", "--text", "x", "--attach", str(path)]) == 2
    assert "odd" in capsys.readouterr().err
    for flag in ("--text-file", "--html-file", "--eml"):
        if kind in ("a directory", "nothing", "a link to itself"):
            assert run(["send", url, "--to", "c@d.cz", flag, str(path)]) == 2
    assert not (tmp_path / "mail").exists()
