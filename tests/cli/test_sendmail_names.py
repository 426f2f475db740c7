"""``franking-sendmail``: the command line as getopt reads it, names of this machine, settings from elsewhere, closed
streams.
"""

from __future__ import annotations

import email
import email.policy
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import commandline
from franking.account import config
from franking_cli.sendmail.options import Options
from mailless import CHILD, shared
from servers.smtp import SmtpServer

__all__ = ["shared"]  # a fixture

Start = Callable[..., SmtpServer]
PROGRAM = str(Path(sys.executable).with_name("franking-sendmail"))
LETTER = b"To: jana@example.com\nSubject: x\n\none\n.\ntwo\n"


def write_settings(path: Path, server: SmtpServer, more: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f'default = "shop"\n[accounts.shop]\nprovider = "smtp"\nfrom = "Shop <info@novak.cz>"\nhost = "127.0.0.1"\n'
        f'port = {server.port}\nsecurity = "none"\n{more}'
    )


@pytest.fixture
def server(smtp_server: Start) -> SmtpServer:
    started = smtp_server()
    write_settings(Path(os.environ["FRANKING_CONFIG"]), started)
    return started


def aliases(text: str) -> None:
    Path(os.environ["FRANKING_CONFIG"]).with_name("aliases").write_text(text)


def header(server: SmtpServer, name: str) -> str:
    return str(email.message_from_bytes(server.messages[-1].data, policy=email.policy.default)[name])


# -- the command line --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "whole", "shown"),
    [
        (("-t",), False, False),
        (("-vt",), False, True),
        (("-tv",), False, True),
        (("-iv", "jana@example.com"), True, True),
        (("-ti",), True, False),
        (("-it",), True, False),
        (("-tiv",), True, True),
        (("-t", "-oi"), True, False),
        (("-t", "-o", "i"), True, False),
        (("-toi",), True, False),
        (("-nGUmt",), False, False),
        (("-tem", "-odb", "-oee"), False, False),
        (("-tB8BITMIME", "-NNEVER", "-RHDRS", "-Vx", "-h5", "-d", "-d0.1", "-Ac", "-Lmail"), False, False),
        (("-bm", "-t"), False, False),
        (("-b", "m", "-t"), False, False),
    ],
)
def test_clusters(server: SmtpServer, arguments: tuple[str, ...], whole: bool, shown: bool) -> None:
    done = commandline.sendmail(*arguments, text=LETTER)
    assert done.code == 0, done.err
    assert server.messages[0].recipients == ["jana@example.com"]
    assert server.messages[0].data.endswith(b"\r\n\r\none\r\n.\r\ntwo\r\n" if whole else b"\r\n\r\none\r\n")
    assert Options(list(arguments)).verbose is shown


@pytest.mark.parametrize(
    ("arguments", "sender"),
    [
        (("-tfa@novak.cz",), "a@novak.cz"),
        (("-tf", "a@novak.cz"), "a@novak.cz"),
        (("-tf", ""), ""),
        (("-vtif", "a@novak.cz"), "a@novak.cz"),
        (("-tr", "a@novak.cz"), "a@novak.cz"),
    ],
)
def test_the_last_of_a_cluster_may_have_a_value(server: SmtpServer, arguments: tuple[str, ...], sender: str) -> None:
    assert commandline.sendmail(*arguments, text=LETTER).code == 0
    assert server.messages[0].sender == sender


@pytest.mark.parametrize("arguments", [("-tZ",), ("-tf",), ("-bd",), ("-tbi",), ("--quick",), ("-I",)])
def test_what_it_does_not_know_is_64(server: SmtpServer, arguments: tuple[str, ...]) -> None:
    done = commandline.sendmail(*arguments, text=LETTER)
    assert (done.code, len(done.err.splitlines())) == (64, 1)
    assert server.messages == []


# -- names of this machine ---------------------------------------------------------------------------------------------


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("socket.gethostname", lambda: "Web01.novak.cz")
    return "web01.novak.cz"


TABLE = "root: admin@example.com\npetr: p@example.com, Q <q@example.com>\nwww: root\n"


@pytest.mark.parametrize(
    ("to", "shown", "recipients"),
    [
        ("Jan <root>", "Jan <admin@example.com>", ["admin@example.com"]),
        ('root, "Petr" <petr>', "admin@example.com, Petr <p@example.com>, Petr <q@example.com>", None),
        ('"Novák, Jan" <root>', '"Novák, Jan" <admin@example.com>', ["admin@example.com"]),
        ("Jan Novák <ROOT>, x@example.com", "Jan Novák <admin@example.com>, x@example.com", None),
        ("root (Cron Daemon)", "admin@example.com", ["admin@example.com"]),
        ("=?utf-8?q?Jan_Nov=C3=A1k?= <www>", "Jan Novák <admin@example.com>", ["admin@example.com"]),
        ("<root>", "admin@example.com", ["admin@example.com"]),
        ("root@web01.novak.cz", "admin@example.com", ["admin@example.com"]),
        ("Root@WEB01", "admin@example.com", ["admin@example.com"]),
        ("Jan <root@localhost>", "Jan <admin@example.com>", ["admin@example.com"]),
        ("root@example.com", "root@example.com", ["root@example.com"]),
        ("nobody@web01.novak.cz", "nobody@web01.novak.cz", ["nobody@web01.novak.cz"]),
        ('"root, x" <a@example.com>', '"root, x" <a@example.com>', ["a@example.com"]),
    ],
)
@pytest.mark.usefixtures("host")
def test_names_in_a_header(server: SmtpServer, to: str, shown: str, recipients: list[str] | None) -> None:
    aliases(TABLE)
    done = commandline.sendmail("-t", text=f"To: {to}\nSubject: x\n\nx\n".encode())
    assert (done.code, done.err) == (0, "")
    assert header(server, "To") == shown
    if recipients is not None:
        assert server.messages[0].recipients == recipients


@pytest.mark.parametrize(
    ("words", "recipients"),
    [
        (["Jan <root>"], ["admin@example.com"]),
        (['root, "Petr, P." <petr>'], ["admin@example.com", "p@example.com", "q@example.com"]),
        (["root@web01", "root@web01.novak.cz", "root"], ["admin@example.com"]),
        (["jana@example.com,root"], ["jana@example.com", "admin@example.com"]),
    ],
)
@pytest.mark.usefixtures("host")
def test_names_on_the_command_line(server: SmtpServer, words: list[str], recipients: list[str]) -> None:
    aliases(TABLE)
    assert commandline.sendmail(*words, text=b"Subject: x\n\nx\n").code == 0
    assert server.messages[0].recipients == recipients


@pytest.mark.parametrize(
    ("to", "recipient"),
    [
        ("anybody@localhost", "me@example.com"),
        ("anybody@web01", "me@example.com"),
        ("anybody", "me@example.com"),
        ("anybody@web01.novak.cz", "anybody@web01.novak.cz"),
    ],
)
@pytest.mark.usefixtures("host")
def test_the_default_takes_what_can_go_nowhere_and_no_colleague(server: SmtpServer, to: str, recipient: str) -> None:
    """A small company's server may be called as its mail domain is."""
    aliases("default: me@example.com\n")
    assert commandline.sendmail(to, text=b"Subject: x\n\nx\n").code == 0
    assert server.messages[0].recipients == [recipient]


def test_a_name_with_a_full_name_that_leads_nowhere_is_67(server: SmtpServer) -> None:
    done = commandline.sendmail("-t", text=b"To: Jan <root>\nSubject: x\n\nx\n")
    assert done.code == 67
    assert "root has no domain" in done.err


@pytest.mark.parametrize("signs", ['"\\', "<", "(", 'a"', ",", "<a", '"a"<'])
@pytest.mark.timeout(20)
def test_an_odd_list_takes_no_time(server: SmtpServer, signs: str) -> None:
    commandline.sendmail("-t", text=b"To: " + signs.encode() * 100_000 + b"\nSubject: x\n\nx\n")


# -- the sender --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "option", "sender"),
    [
        ("rewrite_from = true\n", "root@vm.example.com", "info@novak.cz"),
        ("rewrite_from = true\n", "Jan <root@vm>", "info@novak.cz"),
        ("rewrite_from = true\n", "<>", ""),
        ("", "root@vm.example.com", "root@vm.example.com"),
    ],
)
def test_rewrite_from_rewrites_the_envelope_too(smtp_server: Start, more: str, option: str, sender: str) -> None:
    server = smtp_server()
    write_settings(Path(os.environ["FRANKING_CONFIG"]), server, more)
    assert commandline.sendmail("-f", option, "-t", text=LETTER).code == 0
    text = f"HELO x\nMAIL FROM:<{option.partition('<')[2].rstrip('>') or option.strip('<>')}>\nRCPT TO:<a@b.cz>\nDATA\n"
    assert commandline.sendmail("-bs", text=text.encode() + b"Subject: x\n\nx\n.\nQUIT\n").code == 0
    assert [message.sender for message in server.messages] == [sender] * 2


# -- endings -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("replies", "code"),
    [
        (("550 5.1.1 no such mailbox", "450 4.2.0 greylisted"), 75),
        (("450 4.2.0 greylisted", "550 5.1.1 no such mailbox"), 75),
        (("550 5.1.1 no such mailbox", "550 5.1.1 no such mailbox"), 67),
    ],
)
def test_all_refused_one_of_them_only_for_now(smtp_server: Start, replies: tuple[str, str], code: int) -> None:
    server = smtp_server(refused=dict(zip(("a@example.com", "b@example.com"), replies, strict=True)))
    write_settings(Path(os.environ["FRANKING_CONFIG"]), server)
    assert commandline.sendmail("a@example.com", "b@example.com", text=LETTER).code == code


@pytest.mark.process
@pytest.mark.parametrize(
    ("redirection", "arguments", "code"),
    [
        ("<&-", "-t", 64),
        ("<&-", "-i jana@example.com", 64),
        ("<&-", "-bs", 64),
        (">&- </dev/null", "-bs", 64),
        ("0>/dev/null", "-t", 66),
        ("</dev/null", "-t", 65),
        ("<&- 2>&-", "-t", 64),
        (">&- 2>&-", "-t --aliases /nonexistent", 78),
    ],
)
def test_closed_streams_are_one_line(server: SmtpServer, redirection: str, arguments: str, code: int) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", f"exec {PROGRAM} {arguments} {redirection}"], input=b"", capture_output=True, timeout=60
    )
    assert done.returncode == code, done.stderr
    assert done.stderr.count(b"\n") == ("2>&-" not in redirection)
    assert b"Traceback" not in done.stderr and done.stdout == b""
    assert server.messages == []


# -- settings from elsewhere -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["-C{}", "-C|{}", "-tC{}", "-tC|{}"])
def test_a_settings_file_of_its_own(smtp_server: Start, tmp_path: Path, option: str) -> None:
    server, place = smtp_server(), tmp_path / "for cron" / "accounts.toml"
    write_settings(place, server)
    place.with_name("aliases").write_text("root: admin@example.com\n")
    done = commandline.sendmail(*option.format(place).split("|"), "-t", text=b"To: root\nSubject: x\n\nx\n")
    assert (done.code, done.err) == (0, "")
    assert server.messages[0].recipients == ["admin@example.com"]


@pytest.mark.parametrize("missing", ["nowhere.toml", "no/where.toml", "."])
def test_a_settings_file_that_is_not_there_is_78(server: SmtpServer, tmp_path: Path, missing: str) -> None:
    done = commandline.sendmail("-C", str(tmp_path / missing), "-t", text=LETTER)
    assert (done.code, len(done.err.splitlines())) == (78, 1)
    assert str(tmp_path / missing) in done.err
    assert server.messages == []


def test_the_system_s_settings_and_aliases(smtp_server: Start) -> None:
    server = smtp_server()
    write_settings(Path(config.SYSTEM), server)
    Path(config.SYSTEM).with_name("aliases").write_text("root: admin@example.com\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("FRANKING_CONFIG")
        assert commandline.sendmail("root", text=b"Subject: x\n\nx\n").code == 0
    assert server.messages[0].recipients == ["admin@example.com"]


@pytest.mark.process
@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="becomes another user, which needs root")
@pytest.mark.parametrize("user", ["www-data", "nobody", "daemon"])
@pytest.mark.parametrize("home", ["", "{}/closed", "/nonexistent"])
def test_users_without_a_home_send_with_the_system_s_settings(
    smtp_server: Start, shared: Path, user: str, home: str
) -> None:
    server = smtp_server(users={"info@novak.cz": "pw"})
    secret = shared / "etc" / "password"
    write_settings(
        shared / "etc" / "accounts.toml", server, f'username = "info@novak.cz"\npassword_file = "{secret}"\n'
    )
    secret.write_text("pw\n")
    secret.chmod(0o644)
    (shared / "etc" / "aliases").write_text("default: admin@example.com\n")
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(shared), user, home.format(shared)],
        capture_output=True, text=True, timeout=60, cwd=shared,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert [message.recipients for message in server.messages] == [["admin@example.com"]] * 2
