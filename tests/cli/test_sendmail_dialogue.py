"""``franking-sendmail -bs``: where a message ends, whatever the caller's line ends, and who is told of refusals."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import commandline
from servers.smtp import SmtpServer

Start = Callable[..., SmtpServer]
SMUGGLED = "MAIL FROM:<evil@novak.cz>\r\nRCPT TO:<victim@example.com>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n"


@pytest.fixture
def server(smtp_server: Start) -> SmtpServer:
    server = smtp_server(
        refused={"no@example.com": "550 5.1.1 no such mailbox", "later@example.com": "450 4.2.0 greylisted"}
    )
    Path(os.environ["FRANKING_CONFIG"]).write_text(
        'default = "shop"\n[accounts.shop]\nprovider = "smtp"\nfrom = "Shop <info@novak.cz>"\nhost = "127.0.0.1"\n'
        f'port = {server.port}\nsecurity = "none"\n'
    )
    return server


def dialogue(text: str) -> commandline.Ended:
    return commandline.sendmail("-bs", text=text.encode())


def letter(*recipients: str, text: str = "Subject: x\r\n\r\nhello\r\n.\r\n") -> str:
    named = "".join(f"RCPT TO:<{recipient}>\r\n" for recipient in recipients)
    return f"HELO x\r\nMAIL FROM:<info@novak.cz>\r\n{named}DATA\r\n{text}"


@pytest.mark.parametrize("end", ["\n.\n", "\r\n.\n", "\n.\r\n", "\r.\r\n", "\r.\r", "\n.\r", "\r\n.\r"])
def test_in_a_dialogue_of_crlf_only_crlf_dot_crlf_ends_the_data(server: SmtpServer, end: str) -> None:
    """A web form's text with such an end in it is one message, not two."""
    done = dialogue(letter("jana@example.com", text=f"Subject: x\r\n\r\nform:{end}{SMUGGLED}.\r\nQUIT\r\n"))
    assert done.code == 0, done.err
    (message,) = server.messages
    assert message.recipients == ["jana@example.com"]
    assert b"smuggled" in message.data
    assert [line[:3] for line in done.out.splitlines()] == ["220", "250", "250", "250", "354", "250", "221"]


@pytest.mark.parametrize(
    "data", ["HELO x\nMAIL FROM:<a@b.cz>\nRCPT TO:<jana@example.com>\nDATA\nSubject: x\n\n..\nx\n.\nQUIT\n"]
)
def test_a_caller_whose_lines_end_with_lf(server: SmtpServer, data: str) -> None:
    done = dialogue(data)
    assert done.code == 0, done.err
    assert server.messages[0].data.endswith(b"\r\n\r\n.\r\nx\r\n")


def test_a_caller_with_lf_commands_and_a_crlf_text(server: SmtpServer) -> None:
    done = dialogue(
        "HELO x\nMAIL FROM:<a@b.cz>\nRCPT TO:<jana@example.com>\nDATA\nSubject: x\r\n\r\n..a\r\n.\r\nQUIT\n"
    )
    assert done.code == 0, done.err
    assert server.messages[0].data.endswith(b"\r\n\r\n.a\r\n")


def test_dots_are_taken_off_where_the_caller_doubled_them(server: SmtpServer) -> None:
    """Behind a bare LF it saw no line begin."""
    done = dialogue(letter("jana@example.com", text="Subject: x\r\n\r\n..one\r\ntwo\n..three\n.four\r\n..\r\n.\r\n"))
    assert done.code == 0, done.err
    assert server.messages[0].data.endswith(b"\r\n\r\n.one\r\ntwo\r\n..three\r\n.four\r\n.\r\n")


def test_half_a_message_with_a_wrong_end_is_not_sent(server: SmtpServer) -> None:
    done = dialogue(letter("jana@example.com", text="Subject: x\r\n\r\nhello\n.\n"))
    assert (done.code, server.messages) == (65, [])
    assert "was not sent" in done.err


def test_a_partly_refused_recipient_is_told(server: SmtpServer) -> None:
    done = dialogue(letter("jana@example.com", "no@example.com") + letter("jana@example.com") + "QUIT\r\n")
    assert done.code == 69
    assert "250 2.0.0 accepted, but not for no@example.com (550 5.1.1 no such mailbox)" in done.out.splitlines()
    assert done.err == (
        "franking-sendmail: no@example.com was refused, the others were accepted: 550 5.1.1 no such mailbox\n"
    )
    assert [message.recipients for message in server.messages] == [["jana@example.com"]] * 2


@pytest.mark.parametrize(
    ("recipients", "reply", "code"),
    [
        (["no@example.com", "later@example.com"], "451", 75),
        (["later@example.com", "no@example.com"], "451", 75),
        (["no@example.com"], "554", 67),
    ],
)
def test_all_refused(server: SmtpServer, recipients: list[str], reply: str, code: int) -> None:
    done = dialogue(letter(*recipients) + "QUIT\r\n")
    assert done.code == code
    assert done.out.splitlines()[-2].startswith(reply)


def test_each_message_of_a_dialogue_goes_by_the_account_of_its_from(server: SmtpServer, smtp_server: Start) -> None:
    office = smtp_server()
    path = Path(os.environ["FRANKING_CONFIG"])
    path.write_text(
        path.read_text()
        + '[accounts.office]\nprovider = "smtp"\nfrom = "o@office.cz"\nhost = "127.0.0.1"\n'
        + f'port = {office.port}\nsecurity = "none"\n[routes]\n"@office.cz" = "office"\n'
    )
    texts = [f"From: {sender}\r\nSubject: {sender}\r\n\r\nx\r\n.\r\n" for sender in ("a@office.cz", "b@novak.cz")]
    done = dialogue("".join(letter("to@example.com", text=text) for text in (*texts, texts[0])))
    assert done.code == 0
    assert (len(server.messages), len(office.messages)) == (1, 2)
    assert len(office.sessions) == 1
    path.write_text(path.read_text() + '"@x.cz" = "gone"\n')
    done = dialogue(letter("to@example.com", text=texts[1]))
    assert done.code == 78
    assert "There is no account 'gone'" in done.out
