"""``franking-sendmail`` and the outbox: ``--queue``, ``-q``, ``-bp``, ``mailq``; which account a message goes by."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

import franking
from commandline import sendmail
from franking_cli.sendmail.main import main
from servers.smtp import Fault, SmtpServer, hangs_up

MAIL = b"To: jana@example.com\nSubject: x\n\ntext\n"


def save(*tables: tuple[str, int], more: str = "") -> None:
    Path(os.environ["FRANKING_CONFIG"]).write_text(
        more
        + "".join(
            f"[accounts.{name}]\nprovider = 'smtp'\nfrom = '{name}@example.cz'\nhost = '127.0.0.1'\nsecurity = 'none'\n"
            f"port = {port}\ntimeout = 3\n"
            for name, port in tables
        )
    )


@pytest.fixture
def server() -> Iterator[SmtpServer]:
    with SmtpServer() as made:
        save(("shop", made.port))
        yield made


def test_put_down_listed_and_delivered(server: SmtpServer) -> None:
    ended = sendmail("-t", "-i", "--queue", text=MAIL)
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    assert server.sessions == []
    (entry,) = franking.Outbox().list()
    listed = sendmail("-bp")
    assert listed.code == 0
    assert listed.out.startswith("-Queue ID-")
    assert entry.id in listed.out and "jana@example.com" in listed.out
    assert listed.out.endswith("-- 1 Kbytes in 1 Request.\n")
    assert sendmail("-q").code == 0
    assert [received.recipients for received in server.messages] == [["jana@example.com"]]
    assert sendmail("-bp").out == "Mail queue is empty\n"


def test_a_key_goes_once(server: SmtpServer) -> None:
    for _ in range(2):
        assert sendmail("-t", "--queue", "--key", "order-1", text=MAIL).code == 0
    assert franking.Outbox().counts()["queued"] == 1
    other = sendmail("-t", "--queue", "--key=order-1", text=MAIL + b"more\n")
    assert other.code == 65
    assert "order-1" in other.err
    assert sendmail("-t", "--key", "k", text=MAIL).code == 64


def test_queue_in_the_account(server: SmtpServer) -> None:
    path = Path(os.environ["FRANKING_CONFIG"])
    path.write_text(path.read_text() + "queue = true\n")
    assert sendmail("-t", text=MAIL).code == 0
    assert franking.Outbox().counts()["queued"] == 1


def test_called_as_mailq_it_lists(server: SmtpServer, capsys: pytest.CaptureFixture[str]) -> None:
    sendmail("-t", "--queue", text=MAIL)
    with mock.patch.object(sys, "argv", ["/usr/bin/mailq"]), pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert "jana@example.com" in capsys.readouterr().out


def test_mail_that_still_waits_is_no_failure_of_a_run_and_an_unknown_one_is() -> None:
    save(("shop", 1))
    sendmail("-t", "--queue", text=MAIL)
    assert sendmail("-q15m").code == 0
    assert "connection refused" in sendmail("-bp").out
    with SmtpServer(faults=[Fault("body", hangs_up, executed=True)]) as server:
        save(("shop", server.port))
        assert sendmail("-q").code == 70
        assert "?" in sendmail("-bp").out


def test_an_outbox_that_cannot_be_written_is_73(server: SmtpServer, tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    ended = sendmail("-t", "--queue", text=MAIL, env={"FRANKING_OUTBOX": str(in_the_way / "outbox")})
    assert ended.code == 73
    assert len(ended.err.splitlines()) == 1


def test_the_account_is_found_by_from() -> None:
    with SmtpServer() as one, SmtpServer() as two:
        save(("shop", one.port), ("office", two.port), more='default = "shop"\n[routes]\n"@novak.cz" = "office"\n')
        assert sendmail("-t", text=b"From: Jan <jan@novak.cz>\n" + MAIL).code == 0
        assert sendmail("-t", text=b"From: root (Cron Daemon)\n" + MAIL).code == 0
        assert sendmail("-t", "-a", "shop", text=b"From: jan@novak.cz\n" + MAIL).code == 0
    assert (len(one.messages), len(two.messages)) == (2, 1)
