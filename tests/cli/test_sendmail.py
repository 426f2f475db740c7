"""``franking-sendmail``: its options, its exit codes, its aliases, its dialogue; one line on stderr for whatever goes
wrong.
"""

from __future__ import annotations

import email
import email.policy
import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import commandline
from franking.auth.secret import Grant
from franking.sending.mailer import Mailer
from franking_cli.sendmail.main import main
from servers.google import SEND, Google
from servers.smtp import Fault, SmtpServer, hangs_up, says, silence
from servers.web import Authority

Start = Callable[..., SmtpServer]
PROGRAM = str(Path(sys.executable).with_name("franking-sendmail"))
CRON = (
    "From: root@web01 (Cron Daemon)\nTo: root\nSubject: Cron <root@web01> /usr/local/bin/backup\nMIME-Version: 1.0\n"
    "Content-Type: text/plain; charset=UTF-8\nAuto-Submitted: auto-generated\n\nbackup: disk full\n"
)


@pytest.fixture
def settings(smtp_server: Start, tmp_path: Path) -> Callable[..., SmtpServer]:
    """Start a server and write the settings that lead to it."""

    def make(more: str = "", **options: Any) -> SmtpServer:
        server = smtp_server(**options)
        Path(os.environ["FRANKING_CONFIG"]).write_text(
            'default = "shop"\n\n[accounts.shop]\nprovider = "smtp"\nfrom = "Shop <info@novak.cz>"\n'
            f'host = "127.0.0.1"\nport = {server.port}\n'
            f'security = "none"\n{more}'
        )
        return server

    return make


def sendmail_dialogue(text: str) -> commandline.Ended:
    """Speak with ``-bs``; each message that fails has a line on stderr."""
    return commandline.sendmail("-bs", text=text.encode())


def sendmail(
    *arguments: str,
    text: str | bytes = "To: jana@example.com\nSubject: x\n\nhello\n",
    env: dict[str, str] | None = None,
) -> commandline.Ended:
    data = text.encode() if isinstance(text, str) else text
    done = commandline.sendmail(*arguments, text=data, env=env)
    assert len(done.err.splitlines()) <= 1, done.err
    return done


def test_recipients_on_the_command_line(settings: Callable[..., SmtpServer]) -> None:
    server = settings()
    done = sendmail("-i", "petr@example.com", "pavel@example.com")
    assert (done.code, done.out, done.err) == (0, "", "")
    (message,) = server.messages
    assert (message.sender, message.recipients) == ("info@novak.cz", ["petr@example.com", "pavel@example.com"])
    parsed = email.message_from_bytes(message.data)
    assert (parsed["To"], parsed["From"]) == ("jana@example.com", "Shop <info@novak.cz>")
    assert parsed["Message-ID"]
    assert parsed["Date"]


def test_recipients_from_the_headers_and_bcc_removed(settings: Callable[..., SmtpServer]) -> None:
    server = settings()
    text = "To: jana@example.com\nCc: petr@example.com\nBcc: boss@example.com\nSubject: x\n\nhello\n"
    assert sendmail("-t", "-oi", text=text).code == 0
    (message,) = server.messages
    assert message.recipients == ["jana@example.com", "petr@example.com", "boss@example.com"]
    assert b"boss" not in message.data


@pytest.mark.parametrize(
    ("options", "body"), [((), b"one\r\n"), (("-i",), b"one\r\n.\r\ntwo\r\n"), (("-oi",), b"one\r\n.\r\ntwo\r\n")]
)
def test_a_lone_dot(settings: Callable[..., SmtpServer], options: tuple[str, ...], body: bytes) -> None:
    server = settings()
    assert sendmail(*options, "jana@example.com", text="Subject: x\n\none\n.\ntwo\n").code == 0
    assert server.messages[0].data.endswith(b"\r\n\r\n" + body)


def test_cron(settings: Callable[..., SmtpServer]) -> None:
    """Cron's own command line and message: mail for root of this machine, from root of this machine."""
    server = settings("rewrite_from = true\n")
    Path(os.environ["FRANKING_CONFIG"]).with_name("aliases").write_text(
        "# where mail goes\nroot: admin@example.com, ops@example.com\n"
    )
    done = sendmail("-FCronDaemon", "-i", "-B8BITMIME", "-oem", "root", text=CRON)
    assert (done.code, done.err) == (0, "")
    (message,) = server.messages
    assert (message.sender, message.recipients) == ("info@novak.cz", ["admin@example.com", "ops@example.com"])
    parsed = email.message_from_bytes(message.data)
    assert "info@novak.cz" in parsed["From"]
    assert "root@web01" in parsed["Reply-To"]


def test_a_name_that_leads_nowhere(settings: Callable[..., SmtpServer]) -> None:
    server = settings()
    done = sendmail("-i", "root", text=CRON)
    assert done.code == 67
    assert "root has no domain" in done.err
    assert "default:" in done.err
    assert server.messages == []


def test_the_default_alias_takes_every_other_name(settings: Callable[..., SmtpServer], tmp_path: Path) -> None:
    server = settings()
    aliases = tmp_path / "aliases"
    aliases.write_text("default: me@example.com\nwww-data: root\nroot: admin@example.com\n")
    text = "To: www-data, nobody, x@example.com\nSubject: x\n\nhello\n"
    assert sendmail("-t", "--aliases", str(aliases), text=text).code == 0
    assert set(server.messages[0].recipients) == {"admin@example.com", "me@example.com", "x@example.com"}
    assert email.message_from_bytes(server.messages[0].data)["To"] == "admin@example.com, me@example.com, x@example.com"


def test_aliases_that_chase_each_other_end(settings: Callable[..., SmtpServer], tmp_path: Path) -> None:
    settings()
    aliases = tmp_path / "aliases"
    aliases.write_text("a: b\nb: a\n")
    assert sendmail("--aliases", str(aliases), "a").code == 67


@pytest.mark.parametrize(
    ("option", "sender"), [("-fbounces@novak.cz", "bounces@novak.cz"), ("-f<>", ""), ("-froot", "info@novak.cz")]
)
def test_the_sender_of_the_envelope(settings: Callable[..., SmtpServer], option: str, sender: str) -> None:
    server = settings()
    assert sendmail(option, "-t").code == 0
    assert server.messages[0].sender == sender


def test_the_full_name(settings: Callable[..., SmtpServer]) -> None:
    server = settings()
    assert sendmail("-F", "Jan Novák", "-t").code == 0
    parsed = email.message_from_bytes(server.messages[0].data, policy=email.policy.default)
    assert str(parsed["From"]) == "Jan Novák <info@novak.cz>"
    assert sendmail("-F", "Ignored", "-t", text="From: own@novak.cz\nTo: a@example.com\n\nx\n").code == 0
    assert email.message_from_bytes(server.messages[1].data)["From"] == "own@novak.cz"


def test_the_dialogue(settings: Callable[..., SmtpServer]) -> None:
    server = settings(refused={"bad@example.com": "550 5.1.1 no such mailbox"})
    dialogue = (
        "EHLO localhost\r\nMAIL FROM:<bounces@novak.cz> BODY=8BITMIME\r\nRCPT TO:<jana@example.com>\r\n"
        "DATA\r\nSubject: x\r\n\r\n..dot\r\n.\r\n"
        "RCPT TO:<a@example.com>\r\nFOO\r\nRSET\r\nMAIL FROM:<x@novak.cz>\r\nRCPT TO:<bad@example.com>\r\n"
        "DATA\r\nSubject: y\r\n\r\ny\r\n.\r\nQUIT\r\n"
    )
    done = sendmail("-bs", text=dialogue)
    codes = [line[:3] for line in done.out.splitlines() if line[3:4] == " "]
    assert codes == ["220", "250", "250", "250", "354", "250", "503", "502", "250", "250", "250", "354", "554", "221"]
    (message,) = server.messages
    assert (message.sender, message.recipients) == ("bounces@novak.cz", ["jana@example.com"])
    assert message.data.endswith(b"\r\n\r\n.dot\r\n")
    assert done.code == 67


@pytest.mark.parametrize(
    ("faults", "code", "words"),
    [
        ([Fault("rcpt", says("550 5.1.1 no such mailbox"), nth=None)], 67, "550 5.1.1"),
        ([Fault("mail", says("450 4.7.1 too much mail"), nth=None)], 75, "450 4.7.1"),
        ([Fault("mail", says("550 5.7.1 you may not send"), nth=None)], 69, "550 5.7.1"),
        ([Fault("body", hangs_up, executed=True, nth=None)], 70, "not known whether"),
        ([Fault("connect", hangs_up, nth=None)], 75, "clos"),
    ],
    ids=["nobody", "later", "refused", "unknown", "connection"],
)
def test_exit_codes(settings: Callable[..., SmtpServer], faults: list[Fault], code: int, words: str) -> None:
    settings(faults=faults, extensions=())
    done = sendmail("-t")
    assert done.code == code, done.err
    assert words in done.err
    assert done.err.startswith("franking-sendmail: ")


def test_partly_refused_is_69(settings: Callable[..., SmtpServer]) -> None:
    server = settings(refused={"b@example.com": "550 5.1.1 no such mailbox"})
    done = sendmail("a@example.com", "b@example.com")
    assert done.code == 69
    assert "b@example.com was refused" in done.err
    assert server.messages[0].recipients == ["a@example.com"]


def test_unreadable_settings_are_78() -> None:
    Path(os.environ["FRANKING_CONFIG"]).write_text("[accounts.shop\n")
    assert sendmail("-t").code == 78


def test_no_account_is_78() -> None:
    done = sendmail("-t")
    assert done.code == 78
    assert "franking setup" in done.err


def test_a_missing_password_is_78_and_a_missing_grant_77() -> None:
    config = Path(os.environ["FRANKING_CONFIG"])
    config.write_text(
        '[accounts.shop]\nprovider = "smtp"\nfrom = "info@novak.cz"\nhost = "127.0.0.1"\nusername = "info@novak.cz"\n'
    )
    done = sendmail("-t", env={"FRANKING_ACCOUNT": "shop"})
    assert done.code == 78
    assert "franking login shop" in done.err
    config.write_text(
        '[accounts.shop]\nprovider = "outlook"\nfrom = "info@novak.cz"\n'
        'client_id = "8a3c1a52-0f0c-4b7e-9a55-0a4b7f6f0d11"\n'
    )
    done = sendmail("-t", env={"FRANKING_ACCOUNT": "shop"})
    assert done.code == 77
    assert "franking login shop" in done.err


@pytest.mark.parametrize("arguments", [(), ("-Z",), ("-t", "-f")])
def test_wrong_usage_is_64(arguments: tuple[str, ...]) -> None:
    done = sendmail(*arguments)
    assert done.code == 64
    assert "--help" in done.err


def test_an_empty_message_is_65(settings: Callable[..., SmtpServer]) -> None:
    settings()
    assert sendmail("a@example.com", text="").code == 65


def test_version_and_help() -> None:
    assert sendmail("--version").out.startswith("franking-sendmail ")
    assert "-bs" in sendmail("--help").out


@pytest.mark.process
def test_it_loads_neither_typer_nor_an_sdk(settings: Callable[..., SmtpServer]) -> None:
    settings()
    code = (
        "import sys; sys.argv = ['franking-sendmail', '-t']\n"
        "from franking_cli.sendmail.main import main\n"
        "try: main()\nexcept SystemExit as done: assert done.code == 0\n"
        "heavy = {'typer', 'rich', 'msal', 'googleapiclient', 'google', 'requests', 'tomlkit', 'dns', "
        "'keyring', 'cryptography'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=b"To: a@example.com\n\nx\n", capture_output=True, timeout=60
    )
    assert done.stdout.decode().strip() == "[]", done.stderr.decode()


def test_a_mistake_of_ours_is_one_line_and_never_try_again(
    settings: Callable[..., SmtpServer], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*arguments: Any, **options: Any) -> None:
        raise ZeroDivisionError("oops")

    server = settings()
    monkeypatch.setattr("franking.sending.mailer.Mailer.send", broken)
    monkeypatch.setattr("sys.argv", ["franking-sendmail", "jana@example.com"])
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"Subject: x\n\nhello\n")))
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 70
    assert capsys.readouterr().err == "franking-sendmail: ZeroDivisionError: oops\n"
    assert server.messages == []


@pytest.mark.parametrize(
    ("sent", "code", "words"),
    [(False, 75, "interrupted; nothing was sent"), (True, 70, "interrupted; the message may have been sent")],
)
def test_an_interruption_is_no_reason_to_try_again_what_may_have_been_sent(
    settings: Callable[..., SmtpServer], monkeypatch: pytest.MonkeyPatch, sent: bool, code: int, words: str
) -> None:
    def interrupted(*arguments: Any, **options: Any) -> None:
        broken = KeyboardInterrupt()
        broken.possibly_sent = sent  # type: ignore[attr-defined]
        raise broken

    settings()
    monkeypatch.setattr("franking.sending.mailer.Mailer.send", interrupted)
    done = sendmail("-t")
    assert (done.code, done.err) == (code, f"franking-sendmail: {words}\n")


def test_an_interrupted_farewell_changes_nothing(
    settings: Callable[..., SmtpServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    close = Mailer.close

    def interrupted(mailer: Mailer) -> None:
        close(mailer)
        raise KeyboardInterrupt

    server = settings()
    monkeypatch.setattr(Mailer, "close", interrupted)
    assert sendmail("-t").code == 0
    assert len(server.messages) == 1


def test_several_refused_are_one_line(settings: Callable[..., SmtpServer]) -> None:
    settings(refused={"b@example.com": "550 5.1.1 no such mailbox", "c@example.com": "550 5.1.1 nobody"})
    done = sendmail("a@example.com", "b@example.com", "c@example.com")
    assert done.code == 69
    assert done.err.startswith("franking-sendmail: b@example.com (and 1 more) was refused, the others were accepted: ")


@pytest.mark.parametrize("arguments", [("-f", ""), ("-f", "<>"), ("-r", "")])
def test_an_empty_sender_is_the_sender_of_bounces(
    settings: Callable[..., SmtpServer], arguments: tuple[str, ...]
) -> None:
    server = settings()
    assert sendmail(*arguments, "a@example.com").code == 0
    assert server.messages[0].sender == ""


def test_behind_two_dashes_all_words_are_recipients(settings: Callable[..., SmtpServer]) -> None:
    server = settings()
    assert sendmail("-B", "8BITMIME", "-odi", "--", "a@example.com").code == 0
    assert server.messages[0].recipients == ["a@example.com"]
    assert sendmail("--", "-t").code == 67


@pytest.mark.parametrize(
    ("content", "words"),
    [("root\n", "aliases:1: a line is 'name: address'"), ("# x\nroot: \n", "aliases:2: "), (None, "no such aliases")],
)
def test_a_broken_aliases_file_is_78(
    settings: Callable[..., SmtpServer], tmp_path: Path, content: str | None, words: str
) -> None:
    settings()
    if content is not None:
        (tmp_path / "aliases").write_text(content)
    done = sendmail("-t", f"--aliases={tmp_path / 'aliases'}")
    assert done.code == 78
    assert words in done.err


@pytest.mark.parametrize(
    ("dialogue", "last"),
    [
        ("NOOP\r\n", "250 2.0.0 ok"),
        ("DATA\r\n", "503 5.5.1 MAIL and RCPT first"),
        ("MAIL FROM:a@b.cz\r\n", "501 5.5.4 MAIL needs an address in angle brackets"),
        ("MAIL FROM:<>\r\nRCPT TO:<>\r\n", "501 5.5.4 RCPT needs an address in angle brackets"),
        ("RCPT TO:<a@b.cz>\r\n", "503 5.5.1 MAIL first"),
        ("MAIL FROM:<a@b.cz>\r\nRCPT TO:<c@d.cz>\r\nHELO x\r\nRCPT TO:<c@d.cz>\r\n", "503 5.5.1 MAIL first"),
        (f"NOOP {'x' * 12_282}\n", "250 2.0.0 ok"),
        (f"NOOP {'x' * 12_283}\n", "500 5.5.6 line too long"),
    ],
    ids=lambda value: value[:30],
)
def test_replies_of_the_dialogue(settings: Callable[..., SmtpServer], dialogue: str, last: str) -> None:
    server = settings()
    assert sendmail_dialogue(dialogue).out.splitlines()[-1] == last
    assert server.messages == []


@pytest.mark.process
def test_the_dialogue_with_the_server_is_shown_with_v(settings: Callable[..., SmtpServer]) -> None:
    settings()
    done = subprocess.run([PROGRAM, "-v", "a@example.com"], input=b"Subject: x\n\nx\n", capture_output=True, timeout=60)
    assert done.returncode == 0
    assert b"EHLO" in done.stderr and b"C:" in done.stderr


PLAIN = """account account.account account.config account.environment account.fields errors message message.address
message.content message.headers message.idna message.prepare message.raw net net.tcp provider redaction registry
sending sending.connect sending.mailer sending.pool sending.record sending.watched_secret smtp smtp.connection
smtp.fields smtp.handshake smtp.jobs smtp.open smtp.pipeline smtp.protocol smtp.provider smtp.replies smtp.session
smtp.transaction smtp.writer text"""
"""The modules of ours that a plain delivery needs. Before you add one: each costs every mail that cron sends, so import
it in the function that needs it.
"""
SPARED = {
    "email",
    "logging",
    "subprocess",
    "ssl",
    "json",
    "hashlib",
    "secrets",
    "shlex",
    "difflib",
    "zipfile",
    "locale",
    "queue",
    "stringprep",
    "pathlib",
    "urllib",
}


@pytest.mark.process
def test_a_plain_delivery_loads_what_it_needs_and_nothing_else(settings: Callable[..., SmtpServer]) -> None:
    server = settings()
    code = (
        "import sys; before = set(sys.modules); sys.argv = ['franking-sendmail', '-t']\n"
        "from franking_cli.sendmail.main import main\n"
        "try: main()\nexcept SystemExit as done: assert done.code == 0\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    text = b"From: info@example.cz\nTo: a@example.com\nSubject: x\n\nhello\n"
    done = subprocess.run([sys.executable, "-c", code], input=text, capture_output=True, timeout=60)
    assert len(server.messages) == 1, done.stderr.decode()
    loaded = set(done.stdout.decode().split())
    assert {name for name in loaded if name.startswith("franking.")} == {f"franking.{name}" for name in PLAIN.split()}
    assert "franking_cli.sendmail.smtp_server" not in loaded
    assert {name.partition(".")[0] for name in loaded} & SPARED == set()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_hundred_at_once(settings: Callable[..., SmtpServer]) -> None:
    server = settings(backlog=250)
    codes: list[int] = []
    gate = threading.Semaphore(25)  # as many processes as a small machine bears; all 200 wait in line

    def one(number: int) -> None:
        with gate:
            text = f"Subject: {number}\n\nhello {number}\n".encode()
            command = [PROGRAM, "-i", f"r{number}@example.com"]
            codes.append(subprocess.run(command, input=text, timeout=300, check=False).returncode)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [0] * 200
    assert sorted(message.recipients[0] for message in server.messages) == sorted(
        f"r{number}@example.com" for number in range(200)
    )


def test_half_a_message_in_the_dialogue_is_not_sent(settings: Callable[..., SmtpServer]) -> None:
    server = settings()
    done = sendmail("-bs", text="HELO x\nMAIL FROM:<a@b.cz>\nRCPT TO:<jana@example.com>\nDATA\nSubject: cut\n\nhalf")
    assert (done.code, server.messages) == (65, [])
    assert "was not sent" in done.err


def test_an_unknown_message_of_a_dialogue_is_never_a_reason_to_try_again(settings: Callable[..., SmtpServer]) -> None:
    settings(
        faults=[
            Fault("body", hangs_up, executed=True, connection=1),
            Fault("mail", says("451 4.3.0 later"), nth=None, connection=2),
        ],
        extensions=(),
    )
    letter = "MAIL FROM:<a@b.cz>\nRCPT TO:<jana@example.com>\nDATA\nSubject: x\n\nx\n.\n"
    done = sendmail_dialogue(f"HELO x\n{letter}{letter}QUIT\n")
    assert done.code == 70, done.err


@pytest.mark.parametrize(
    ("arguments", "sender", "recipients"),
    [
        (("a@example.com,b@example.com",), "info@novak.cz", ["a@example.com", "b@example.com"]),
        (("-d", "a@example.com"), "info@novak.cz", ["a@example.com"]),
        (("-f", "Jan <jan@novak.cz>", "a@example.com"), "jan@novak.cz", ["a@example.com"]),
        (("-F", "Jan N", "a@example.com"), "info@novak.cz", ["a@example.com"]),
    ],
)
def test_what_callers_also_write(
    settings: Callable[..., SmtpServer], arguments: tuple[str, ...], sender: str, recipients: list[str]
) -> None:
    server = settings()
    done = sendmail(*arguments, text="From jan Mon Nov 21 10:00:00 2026\nSubject: x\n\nx\n")
    assert (done.code, done.err) == (0, "")
    (message,) = server.messages
    assert (message.sender, message.recipients) == (sender, recipients)
    assert email.message_from_bytes(message.data)["Subject"] == "x"


@pytest.mark.parametrize(
    ("header", "named"),
    [
        ("Subject: x", ["a@example.com"]),
        ("To: a@example.com\nSubject: x", ["a@example.com", "hidden@example.com"]),
        ("To: a@example.com\nBcc: b@example.com\nSubject: x", ["a@Example.com", "b@example.com", "hidden@example.com"]),
    ],
    ids=["no header names anybody", "git --bcc", "Bcc in both places"],
)
def test_an_api_route_delivers_to_those_on_the_command_line(header: str, named: list[str], tmp_path: Path) -> None:
    with Google(Authority(tmp_path)) as google:
        Path(os.environ["FRANKING_CONFIG"]).write_text(
            f'[accounts.g]\nprovider = "gmail"\nfrom = "me@gmail.com"\napi_endpoint = "{google.url}"\n'
            f'ca_file = "{google.authority.ca_file}"\n'
        )
        now = time.time()
        given = Grant("gmail", "gmail-api", "me@gmail.com", (SEND,), now, now, google.give_access(), now + 3600)
        done = sendmail("-i", *named, text=f"{header}\n\nx\n", env={"FRANKING_SECRET_G": given.dumps()})
        assert (done.code, done.err) == (0, "")
        (message,) = google.messages
        assert sorted(address.lower() for address in message.recipients) == sorted(address.lower() for address in named)
        assert b"hidden@" not in message.delivered


@pytest.mark.process
def test_an_interruption_after_the_hand_over_is_unknown(settings: Callable[..., SmtpServer]) -> None:
    handed_over = threading.Event()

    def never(peer: Any, reply: str) -> None:
        handed_over.set()
        silence(peer, reply)

    settings(faults=[Fault("body", never, executed=True)], extensions=())
    with subprocess.Popen([PROGRAM, "jana@example.com"], stdin=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdin is not None and running.stderr is not None
        running.stdin.write(b"Subject: x\n\nx\n")
        running.stdin.close()
        assert handed_over.wait(30)
        running.send_signal(signal.SIGINT)
        assert (running.wait(30), b"may have been sent" in running.stderr.read()) == (70, True)


@pytest.mark.process
def test_a_caller_that_does_not_wait_for_the_replies(settings: Callable[..., SmtpServer]) -> None:
    settings(faults=[Fault("mail", says("550 5.7.1 no"), nth=None)])
    letter = b"HELO x\nMAIL FROM:<a@b.cz>\nRCPT TO:<jana@example.com>\nDATA\nSubject: x\n\nx\n.\nQUIT\n"
    with subprocess.Popen(
        [PROGRAM, "-bs"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert running.stdin is not None and running.stdout is not None and running.stderr is not None
        running.stdin.write(letter[:-11])
        running.stdin.flush()
        for _ in range(5):  # greeting, HELO, MAIL, RCPT, DATA
            running.stdout.readline()
        running.stdout.close()
        running.stdin.write(letter[-11:])
        running.stdin.close()
        told = running.stderr.read().decode()
        assert (running.wait(60), told.count("\n")) == (69, 1), told


@pytest.mark.parametrize(
    ("header", "name", "value"),
    [
        ("Subject: Cron <root@web01> /usr/bin/zálohuj".encode(), "Subject", "Cron <root@web01> /usr/bin/zálohuj"),
        (b"Subject: pr\xedli\xb9", "Subject", "príli¹"),
        ("Subject: one\n žluť".encode(), "Subject", "one žluť"),
        ("From: Cron Démon <info@novak.cz>".encode(), "From", "Cron Démon <info@novak.cz>"),
        ("Cc: Jan Novák <jan@example.com>, b@example.com".encode(), "Cc", "Jan Novák <jan@example.com>, b@example.com"),
    ],
)
def test_raw_letters_in_a_header_reach_a_server_without_smtputf8(
    settings: Callable[..., SmtpServer], header: bytes, name: str, value: str
) -> None:
    server = settings(extensions=("PIPELINING", "8BITMIME"))
    done = sendmail("-i", "a@example.com", text=header + "\nX-Plain: 1\n\nžluť\n".encode())
    assert (done.code, done.err) == (0, "")
    (message,) = server.messages
    parsed = email.message_from_bytes(message.data, policy=email.policy.default)
    assert (parsed[name], parsed["X-Plain"]) == (value, "1")
    assert message.data.partition(b"\r\n\r\n")[0].isascii() and message.data.endswith("\r\n\r\nžluť\r\n".encode())


def test_raw_letters_without_a_header_are_text(settings: Callable[..., SmtpServer]) -> None:
    server = settings(extensions=("8BITMIME",))
    assert sendmail("a@example.com", text="žluť: text\n").code == 0
    assert server.messages[0].data.endswith("\r\n\r\nžluť: text\r\n".encode())
