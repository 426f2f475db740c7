"""What arrives at real servers equals what was sent, byte by byte, on every endpoint; what they refuse is reported as
they said it.
"""

from __future__ import annotations

import random
import uuid
from email.message import EmailMessage
from typing import Any

import pytest

import franking
from servers.postfix import SIZE_LIMIT, Postfix


def raw(
    body: bytes = b"Hello\r\n", *, headers: str = "Content-Type: text/plain; charset=utf-8\r\n"
) -> tuple[str, bytes]:
    """Make a ready message: nothing in it is left for anybody to add."""
    name = f"<{uuid.uuid4()}@example.cz>"
    head = (
        f"Message-ID: {name}\r\nDate: Sat, 21 Nov 2026 10:00:00 +0100\r\nFrom: info@example.cz\r\n"
        "To: jana@example.com\r\nMIME-Version: 1.0\r\n"
    )
    return name, head.encode() + headers.encode() + b"\r\n" + body


def send_prepared(mailer: franking.Mailer, message: franking.Message | EmailMessage) -> tuple[franking.Receipt, bytes]:
    """Send over the mailer's own session; give the octets that the content says it has, without Bcc."""
    prepared = mailer.prepare(message)
    with mailer.borrow() as session:
        receipt = session.send(prepared.envelope, prepared.content)
    sent = b"".join(prepared.content.chunks(bcc=False))
    assert prepared.content.size == len(sent) == receipt.bytes
    return receipt, sent


AWKWARD = (
    b"\r\n.\r\n..\r\n.x\r\n" + "Příliš žluťoučký kůň\r\n".encode() * 100 + b"\r\n\r\n.\r\n" + b"x" * 998 + b"\r\n.\r\n"
)


@pytest.mark.parametrize(
    "without", [(), ("chunking",), ("chunking", "pipelining")], ids=["all", "no-chunking", "plain"]
)
def test_ready_octets_arrive_unchanged(endpoint: Any, without: tuple[str, ...]) -> None:
    name, octets = raw(AWKWARD)
    with endpoint.connect(without=without) as mailer:
        receipt = mailer.send(octets)
    assert receipt.accepted == ("jana@example.com",)
    assert receipt.refused == {}
    assert receipt.message_id == name
    assert receipt.reply.startswith("250")
    assert endpoint.inbox.find(name) == octets
    assert endpoint.inbox.copies(name) == 1


def test_a_composed_message_arrives_as_composed(endpoint: Any) -> None:
    message = franking.Message(
        to=["Žofie Nováková <jana@example.com>"],
        cc=["petr@example.cz"],
        bcc=["tajny@example.cz"],
        subject="Faktura za listopad – příloha",
        text="Dobrý den,\n.\n..\nposílám fakturu.\n",
        html='<p>Dobrý den</p><img src="cid:logo">',
        attachments=[
            franking.Attachment(data=b"\x89PNG" + bytes(range(256)) * 20, name="logo.png", cid="logo"),
            franking.Attachment(data=b"%PDF\r\n.\r\n" * 999, name="faktura č. 114.pdf"),
        ],
    )
    with endpoint.connect() as mailer:
        receipt, sent = send_prepared(mailer, message)
    assert set(receipt.accepted) == {"jana@example.com", "petr@example.cz", "tajny@example.cz"}
    assert b"tajny" not in sent
    assert endpoint.inbox.find(receipt.message_id) == sent


def test_what_the_standard_library_composed_arrives_as_composed(endpoint: Any) -> None:
    message = EmailMessage()
    message["From"] = "info@example.cz"
    message["To"] = "Žofie <jana@example.com>"
    message["Subject"] = "Dobrý den"
    message["Bcc"] = "tajny@example.cz"
    message.set_content("Příliš žluťoučký kůň\n.\n", cte="8bit")
    with endpoint.connect() as mailer:
        receipt, sent = send_prepared(mailer, message)
    assert b"tajny" not in sent
    assert endpoint.inbox.find(receipt.message_id) == sent


def test_ten_megabytes_arrive(endpoint: Any) -> None:
    data = random.Random(endpoint.port).randbytes(10_000_000)
    message = franking.Message(
        to=["jana@example.com"],
        subject="10 MB",
        text="x\n",
        attachments=[franking.Attachment(data=data, name="big.bin")],
    )
    with endpoint.connect() as mailer:
        receipt, sent = send_prepared(mailer, message)
        assert len(sent) > 13_500_000
        second = mailer.send(raw()[1])  # the session is in step after it
    assert second.accepted == ("jana@example.com",)
    assert endpoint.inbox.find(receipt.message_id) == sent


def test_non_ascii_addresses_go_where_the_server_knows_them(endpoint: Any) -> None:
    message = franking.Message(to=["žofie@example.cz"], subject="SMTPUTF8", text="Dobrý den\n")
    with endpoint.connect() as mailer:
        if endpoint.server in ("postfix", "exim"):
            receipt, sent = send_prepared(mailer, message)
            assert receipt.accepted == ("žofie@example.cz",)
            assert "žofie@example.cz".encode() in sent
            assert endpoint.inbox.find(receipt.message_id) == sent
        else:
            with pytest.raises(franking.MessageError, match="needs SMTPUTF8"):
                mailer.send(message)
        assert mailer.send(raw()[1]).accepted == ("jana@example.com",)


def test_refused_recipients_among_accepted_ones(endpoint: Any) -> None:
    message = franking.Message(
        to=["jana@example.com", "nobody@example.cz"],
        cc=[] if endpoint.server == "opensmtpd" else ["later@example.cz"],
        bcc=["petr@example.cz"],
        subject="x",
        text="x\n",
    )
    with endpoint.connect() as mailer:
        receipt, sent = send_prepared(mailer, message)
    assert receipt.accepted == ("jana@example.com", "petr@example.cz")
    temporary = {address: answer["temporary"] for address, answer in receipt.refused.items()}
    assert temporary == {"nobody@example.cz": False} | (
        {} if endpoint.server == "opensmtpd" else {"later@example.cz": True}
    )
    assert receipt.refused["nobody@example.cz"]["reply"].startswith("550")
    assert endpoint.inbox.find(receipt.message_id) == sent


@pytest.mark.parametrize(
    "without", [(), ("chunking",), ("chunking", "pipelining")], ids=["all", "no-chunking", "plain"]
)
def test_all_recipients_refused_and_the_session_goes_on(endpoint: Any, without: tuple[str, ...]) -> None:
    refused, _ = raw()
    name, octets = raw()
    with endpoint.connect(without=without) as mailer:
        with pytest.raises(franking.RecipientsRefused) as caught:
            mailer.send(
                octets.replace(name.encode(), refused.encode()),
                envelope=franking.Envelope("info@example.cz", ["nobody@example.cz"]),
            )
        assert not caught.value.temporary
        assert not caught.value.possibly_sent
        assert caught.value.refused["nobody@example.cz"]["reply"].startswith("550")
        assert mailer.send(octets).accepted == ("jana@example.com",)
    assert endpoint.inbox.find(name) == octets
    assert endpoint.inbox.copies(refused) == 0


def test_a_message_over_the_servers_limit_is_refused_before_it_leaves(login_endpoint: Any) -> None:
    octets = raw((b"x" * 76 + b"\r\n") * (SIZE_LIMIT // 78 + 1))[1]
    with login_endpoint.connect() as mailer:
        with pytest.raises(franking.FrankingError) as caught:
            mailer.send(octets)
        assert isinstance(caught.value, (franking.Refused, franking.MessageError))
        assert not caught.value.temporary
        assert not caught.value.possibly_sent
        assert mailer.send(raw()[1]).accepted == ("jana@example.com",)


def test_relaying_without_a_login_is_refused(postfix: Postfix, certificates: Any) -> None:
    account = franking.Account(
        name="relay",
        provider="smtp",
        sender="info@example.cz",
        host="localhost",
        port=postfix.port,
        security="starttls",
        ca_file=str(certificates.ca),
    )
    with franking.connect(account) as mailer, pytest.raises(franking.RecipientsRefused) as caught:
        mailer.send(franking.Message(to=["a@elsewhere.test"], subject="x", text="x"))
    assert caught.value.evidence is not None
    assert (caught.value.evidence.code, caught.value.evidence.enhanced) == (554, "5.7.1")
    assert "Relay access denied" in caught.value.evidence.text


def test_anothers_sender_address_is_refused(postfix: Postfix, certificates: Any) -> None:
    account = franking.Account(
        name="boss",
        provider="smtp",
        sender="boss@example.cz",
        host="localhost",
        port=postfix.port,
        security="starttls",
        username="info@example.cz",
        ca_file=str(certificates.ca),
    )
    with franking.connect(account, secret="correct-horse-7") as mailer, pytest.raises(franking.Refused) as caught:
        mailer.send(franking.Message(to=["jana@example.com"], subject="x", text="x"))
    assert caught.value.evidence is not None
    assert (caught.value.evidence.code, caught.value.evidence.enhanced) == (553, "5.7.1")
    assert "not owned by user info@example.cz" in caught.value.evidence.text
