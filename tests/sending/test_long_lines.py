"""Mail of others with a line of more than 998 octets, where the server takes none: encoded anew and sent, or diagnosed.

How a message is encoded is tested in ``tests/message/test_lines.py``.
"""

from __future__ import annotations

import email.policy
import json
import os
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

import commandline
import franking
from franking.errors import OutcomeUnknown, Refused
from servers.ports import reserved_ports
from servers.smtp import EXTENSIONS, Fault, SmtpServer, hangs_up, says

Start = Callable[..., SmtpServer]
LONG = "long " * 400 + "end\n"
MAIL = f"From: root@vm.example.com\nTo: jana@example.com\nSubject: Cron\nMessage-ID: <1@vm>\n\nfirst\n{LONG}".encode()
SIGNED = b"DKIM-Signature: v=1; d=vm.example.com; b=x\n" + MAIL
DIALOGUES = [EXTENSIONS, ("PIPELINING", "8BITMIME"), ()]


def account(port: int) -> franking.Account:
    return franking.Account(
        name="shop", provider="smtp", sender="info@novak.cz", host="127.0.0.1", port=port, security="none"
    )


@pytest.fixture
def saved(smtp_server: Start) -> SmtpServer:
    """A server that takes no long line, and settings that lead to it."""
    server = smtp_server(longest_line=998)
    Path(os.environ["FRANKING_CONFIG"]).write_text(
        f'default = "shop"\n[accounts.shop]\nprovider = "smtp"\nfrom = "info@novak.cz"\nhost = "127.0.0.1"\n'
        f'port = {server.port}\nsecurity = "none"\n'
    )
    return server


def text_of(data: bytes) -> str:
    message = email.message_from_bytes(data, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message.get_content().replace("\r\n", "\n")


def bodies(server: SmtpServer) -> int:
    """Return how many contents were offered on all connections."""
    return sum(line.startswith(("DATA", "BDAT")) for heard in server.sessions for line in heard.lines)


@pytest.mark.parametrize("extensions", DIALOGUES)
def test_it_is_encoded_where_the_server_refused_it_and_from_then_on(smtp_server: Start, extensions: Any) -> None:
    server = smtp_server(longest_line=998, extensions=extensions)
    with franking.connect(account(server.port)) as mailer:
        receipt = mailer.send(MAIL)
        assert receipt.message_id == "<1@vm>"
        assert bodies(server) == 2
        mailer.send(MAIL)
        assert bodies(server) == 3
        mailer.send(b"To: jana@example.com\n\nshort\n")
    assert [text_of(message.data) for message in server.messages] == [f"first\n{LONG}"] * 2 + ["short\n"]
    assert {message.data.count(b"Message-ID: <1@vm>") for message in server.messages[:2]} == {1}


def test_where_the_server_takes_it_it_goes_as_it_is(smtp_server: Start) -> None:
    server = smtp_server()
    franking.send(account(server.port), MAIL)
    assert LONG.strip().encode() in server.messages[0].data


def test_an_email_message(smtp_server: Start) -> None:
    server = smtp_server(longest_line=998)
    message = EmailMessage()
    message["To"] = "jana@example.com"
    message.set_content(LONG, cte="7bit")
    franking.send(account(server.port), message)
    assert text_of(server.messages[0].data) == LONG


@pytest.mark.parametrize("extensions", DIALOGUES)
@pytest.mark.parametrize(("window", "connections"), [(1, 1), (16, 1), (4, 2)])
def test_many(smtp_server: Start, extensions: Any, window: int, connections: int) -> None:
    server = smtp_server(longest_line=998, extensions=extensions)
    messages = [b"To: a%d@example.com\nMessage-ID: <%d>\n\n%d " % (n, n, n) + LONG.encode() for n in range(20)]
    started: dict[int, set[str]] = {}
    with franking.connect(account(server.port), window=window, connections=connections) as mailer:
        results = list(
            mailer.send_many([*messages, SIGNED], started=lambda n, one: started.setdefault(n, set()).add(one))
        )
    assert sorted(result.index for result in results) == list(range(21))
    outcomes = {result.index: result.outcome for result in results}
    assert outcomes == {**dict.fromkeys(range(20), "accepted"), 20: "failed"}
    assert started == {n: {f"<{n}>"} for n in range(20)} | {20: {"<1@vm>"}}
    assert sorted(text_of(message.data) for message in server.messages) == sorted(f"{n} {LONG}" for n in range(20))
    if window == 1 and connections == 1:
        assert bodies(server) < 24 + 2  # from the first refusal on, nothing is tried as it is


@pytest.mark.parametrize("message", [SIGNED, b"To: a@example.com\nX: " + b"y" * 999 + b"\n\nx\n"])
def test_what_has_to_stay_is_diagnosed(smtp_server: Start, message: bytes) -> None:
    server = smtp_server(longest_line=998)
    with pytest.raises(Refused) as caught:
        franking.send(account(server.port), message)
    assert caught.value.diagnosis is not None
    assert (caught.value.diagnosis.code, caught.value.temporary) == ("message.line-too-long", False)
    assert "signed" in caught.value.diagnosis.cause
    assert (server.messages, bodies(server)) == ([], 1)


@pytest.mark.parametrize("reply", ["552 5.6.0 Bad message", "550 5.7.1 message looks like spam"])
def test_another_refusal_is_not_made_up_for(smtp_server: Start, reply: str) -> None:
    server = smtp_server(faults=[Fault("body", says(reply), nth=None)])
    with pytest.raises(Refused):
        franking.send(account(server.port), MAIL)
    assert bodies(server) <= 2


def test_a_refusal_of_the_short_form_too_is_the_last_word(smtp_server: Start) -> None:
    server = smtp_server(faults=[Fault("body", says("500 Line too long"), nth=None)])
    with pytest.raises(Refused):
        franking.send(account(server.port), MAIL)
    assert bodies(server) == 2


def test_what_may_have_been_accepted_is_not_sent_again(smtp_server: Start) -> None:
    server = smtp_server(faults=[Fault("body", hangs_up, executed=True)])
    with pytest.raises(OutcomeUnknown):
        franking.send(account(server.port), MAIL)
    assert len(server.messages) == 1


def test_a_long_recipient_is_no_long_line_of_the_message(smtp_server: Start) -> None:
    server = smtp_server(refused={"jana@example.com": "500 5.5.2 Line too long"})
    with pytest.raises(Refused) as caught:
        franking.send(account(server.port), MAIL)
    assert caught.value.diagnosis is not None and caught.value.diagnosis.code != "message.line-too-long"
    assert bodies(server) <= 1


def test_sendmail(saved: SmtpServer) -> None:
    done = commandline.sendmail("-t", text=MAIL)
    assert (done.code, done.err) == (0, "")
    assert text_of(saved.messages[0].data) == f"first\n{LONG}"
    done = commandline.sendmail("-t", text=SIGNED)
    assert done.code == 69
    assert "A line of the message is too long" in done.err


def test_a_file(saved: SmtpServer, tmp_path: Path) -> None:
    (tmp_path / "cron.eml").write_bytes(MAIL)
    done = commandline.franking("send", "--eml", str(tmp_path / "cron.eml"), "--json")
    assert done.code == 0, done.err
    assert text_of(saved.messages[0].data) == f"first\n{LONG}"
    steps = [(step["name"], step["status"]) for step in done.json["steps"]]
    assert steps[-4:] == [("message", "ok"), ("accepted", "warning"), ("message", "ok"), ("accepted", "ok")]


def test_send_many_from_a_file_tells_who_could_not_be_helped(saved: SmtpServer, tmp_path: Path) -> None:
    (tmp_path / "mail.jsonl").write_text(json.dumps({"to": ["a@example.com"], "subject": "x", "text": LONG}) + "\n")
    done = commandline.franking("send-many", str(tmp_path / "mail.jsonl"))
    assert done.code == 0, done.err
    assert text_of(saved.messages[0].data) == LONG


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_aiosmtpd() -> None:
    from aiosmtpd.controller import Controller

    received: list[bytes] = []

    class Handler:
        async def handle_DATA(self, server: Any, peer: Any, envelope: Any) -> str:
            received.append(envelope.content)
            return "250 2.0.0 kept"

    controller = Controller(Handler(), hostname="127.0.0.1", port=reserved_ports(1)[0])
    controller.start()
    try:
        franking.send(account(controller.port), MAIL)
    finally:
        controller.stop()
    assert [text_of(content) for content in received] == [f"first\n{LONG}"]
