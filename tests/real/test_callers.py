"""Programs that call ``sendmail``: cron's way, PHP, git send-email, mailx; each through franking-sendmail and a real
Postfix.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from email import message_from_bytes
from pathlib import Path

import pytest

from servers.opensmtpd import OpenSMTPD
from servers.postfix import Postfix

PROGRAM = Path(sys.executable).with_name("franking-sendmail")
REQUIRED = os.environ.get("FRANKING_REQUIRE_SERVERS") == "1"


def needs(program: str, *probe: str) -> None:
    found = shutil.which(program) is not None and (
        not probe or subprocess.run([program, *probe], capture_output=True).returncode == 0
    )
    if not found:
        assert not REQUIRED, f"{program} is required here"
        pytest.skip(f"{program} {' '.join(probe)} is not installed")


@pytest.fixture
def account(postfix: Postfix) -> None:
    """Settings that lead to Postfix, and an alias for names of this machine."""
    config = Path(os.environ["FRANKING_CONFIG"])
    config.write_text(
        'default = "shop"\n[accounts.shop]\nprovider = "smtp"\nfrom = "Shop <info@example.cz>"\n'
        f'host = "127.0.0.1"\nport = {postfix.plain_port}\n'
        'security = "none"\nrewrite_from = true\n'
    )
    config.with_name("aliases").write_text("default: jana@example.com\n")


@pytest.fixture
def arrived(postfix: Postfix) -> Callable[[str], bytes]:
    return lambda text: postfix.inbox.containing(text.encode())


def run(*command: str, text: str = "", cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.usefixtures("account")
def test_cron(arrived: Callable[[str], bytes]) -> None:
    text = (
        "From: root (Cron Daemon)\nTo: root\nSubject: Cron <root@web> backup-4711\n"
        "Content-Type: text/plain; charset=UTF-8\n\ndisk full\n"
    )
    run(str(PROGRAM), "-FCronDaemon", "-i", "-B8BITMIME", "-oem", "root", text=text)
    message = arrived("backup-4711")
    assert b"info@example.cz" in message
    assert b"disk full" in message


@pytest.mark.usefixtures("account")
def test_php(arrived: Callable[[str], bytes]) -> None:
    needs("php")
    code = "exit(mail('jana@example.com', 'From PHP 4712', \"Hello\\nfrom PHP\\n\", 'X-Shop: 7') ? 0 : 1);"
    run("php", "-d", f"sendmail_path={PROGRAM} -t -i", "-r", code)
    message = arrived("From PHP 4712")
    assert b"X-Shop: 7" in message
    assert b"Hello\r\nfrom PHP" in message


@pytest.mark.usefixtures("account")
def test_php_hears_of_a_refusal() -> None:
    needs("php")
    code = "exit(mail('nobody@example.com', 'x', 'x') ? 0 : 3);"
    done = subprocess.run(["php", "-d", f"sendmail_path={PROGRAM} -t -i", "-r", code], capture_output=True, timeout=60)
    assert done.returncode == 3


@pytest.mark.usefixtures("account")
def test_git_send_email(arrived: Callable[[str], bytes], tmp_path: Path) -> None:
    needs("git", "send-email", "--dump-aliases")
    repository = tmp_path / "repository"
    author = ["-c", "user.name=Jan Novák", "-c", "user.email=jan@example.cz"]
    run("git", "init", "-q", str(repository))
    (repository / "file").write_text("x\n")
    run("git", "add", "file", cwd=repository)
    run("git", *author, "commit", "-qm", "A change numbered 4713", cwd=repository)
    run(
        "git",
        *author,
        "-c",
        f"sendemail.smtpserver={PROGRAM}",
        "send-email",
        "--quiet",
        "--confirm=never",
        "--suppress-cc=all",
        "--to=jana@example.com",
        "--from=Jan Novák <jan@example.cz>",
        "-1",
        cwd=repository,
    )
    message = arrived("A change numbered 4713")
    assert b"Subject: [PATCH] A change numbered 4713" in message


@pytest.mark.usefixtures("account")
def test_mailx(arrived: Callable[[str], bytes]) -> None:
    needs("mailx")
    (Path.home() / ".mailrc").write_text(f"set sendmail={PROGRAM}\n")
    run("mailx", "-s", "From mailx 4714", "jana@example.com", text="Hello from mailx\n")
    assert b"Hello from mailx" in arrived("From mailx 4714")


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("to", ["root", f"root@{socket.gethostname()}", "root@localhost"])
def test_mailx_to_root(arrived: Callable[[str], bytes], to: str) -> None:
    needs("mailx")
    Path(os.environ["FRANKING_CONFIG"]).with_name("aliases").write_text("root: jana@example.com\n")
    (Path.home() / ".mailrc").write_text(f"set sendmail={PROGRAM}\n")
    run("mailx", "-s", f"To {to} 4716", to, text="Hello root\n")
    assert b"Hello root" in arrived(f"To {to} 4716")


@pytest.fixture
def strict(opensmtpd: OpenSMTPD) -> OpenSMTPD:
    """Settings that lead to OpenSMTPD. It answers 500 in the middle of an endless line, and closes the connection."""
    Path(os.environ["FRANKING_CONFIG"]).write_text(
        '[accounts.shop]\nprovider = "smtp"\nfrom = "info@example.cz"\nhost = "127.0.0.1"\n'
        f'port = {opensmtpd.port}\nsecurity = "none"\n'
    )
    return opensmtpd


def test_php_s_html_of_one_endless_line_through_opensmtpd(strict: OpenSMTPD) -> None:
    needs("php")
    code = (
        "exit(mail('jana@example.com', 'Newsletter 4717', str_repeat('<p>Ahoj</p>', 20000), "
        '"MIME-Version: 1.0\\r\\nContent-type: text/html; charset=UTF-8") ? 0 : 1);'
    )
    run("php", "-d", f"sendmail_path={PROGRAM} -t -i", "-r", code)
    message = message_from_bytes(strict.inbox.containing(b"Newsletter 4717"))
    assert message.get_content_type() == "text/html"
    assert message.get_payload(decode=True).strip() == b"<p>Ahoj</p>" * 20_000  # type: ignore[union-attr]


def test_cron_s_endless_line_through_opensmtpd(strict: OpenSMTPD) -> None:
    run(str(PROGRAM), "-i", "jana@example.com", text="Subject: endless 4715\n\n" + "x" * 300_000 + "\n")
    message = message_from_bytes(strict.inbox.containing(b"endless 4715"))
    assert message.get_payload(decode=True).strip() == b"x" * 300_000  # type: ignore[union-attr]
