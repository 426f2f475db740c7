"""What the outbox keeps of a message that was received."""

from __future__ import annotations

from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest

from franking.message.address import Address
from franking.message.prepare import Prepared
from franking.provider import RouteFacts
from franking.relay.incoming import Header, Unwanted, compose, received_line

DATES = b"Date: Sun, 29 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@example.cz>\r\n"
SMTP, API = RouteFacts("smtp"), RouteFacts("graph", api=True)


def made(message: bytes, *recipients: str, utf8: bool = False, **options: Any) -> Prepared:
    header = Header(message, utf8=utf8)
    settings: dict[str, Any] = {
        "sender": "shop@example.cz", "account": Address.parse("Shop <shop@example.cz>"), "rewrite_from": False,
        "route": SMTP, "received": b"Received: by x\r\n", "eight_bit": False, "rest": (None, 0),
    }  # fmt: skip
    return compose(header, message, recipients=recipients or ("a@b.cz",), **{**settings, **options})


def octets(prepared: Prepared, *, bcc: bool = False) -> bytes:
    return b"".join(prepared.content.chunks(bcc=bcc))


def test_thirty_servers_and_no_more() -> None:
    message = b"From: a@b.cz\r\n" + DATES + b"\r\nhi\r\n"
    assert Header(b"Received: by x\r\n" * 30 + message).authors == ("a@b.cz",)
    with pytest.raises(Unwanted, match="in a circle"):
        Header(b"Received: by x\r\n" * 31 + message)


@pytest.mark.parametrize("name", [b"Bcc", b"Resent-Bcc"])
def test_who_is_hidden_stays_hidden(name: bytes) -> None:
    prepared = made(b"From: a@b.cz\r\n" + name + b": secret@example.com\r\n" + DATES + b"\r\nhi\r\n")
    assert b"secret" not in octets(prepared) and b"secret" in octets(prepared, bcc=True)


def test_a_complete_message_stays_octet_by_octet() -> None:
    message = b"From: a@b.cz\r\nSUBJECT:  x\r\n y\r\n" + DATES + b"\r\nhi\r\n"
    prepared = made(message)
    assert octets(prepared) == b"Received: by x\r\n" + message
    assert prepared.content.size == len(octets(prepared)) == prepared.content.size_with_bcc()
    assert prepared.content.message_id == "<1@example.cz>"
    assert prepared.content.parts().text == "hi\n"


@pytest.mark.parametrize(
    ("message", "missing"),
    [
        (b"\r\nhi\r\n", ("date", "from", "message-id")),
        (b"hi there\r\n", ("date", "from", "message-id")),
        (b"From: a@b.cz\r\nDate: x\r\n\r\nhi\r\n", ("message-id",)),
        (b"From:\r\n" + DATES + b"\r\nhi\r\n", ("from",)),
        (b"From: root (Cron Daemon)\r\n" + DATES + b"\r\nhi\r\n", ("from",)),
        (b"From: a@b.cz\r\n" + DATES, ()),
    ],
)
def test_what_is_missing_is_added_once(message: bytes, missing: tuple[str, ...]) -> None:
    assert Header(message).missing == missing
    read = message_from_bytes(octets(made(message)), policy=policy.default)
    for name in ("From", "Date", "Message-ID"):
        assert len(read.get_all(name, [])) == 1
    assert read["From"] == ("Shop <shop@example.cz>" if "from" in missing else "a@b.cz")


def test_odd_lines_in_a_header_end_it() -> None:
    read = octets(made(b"From: a@b.cz\r\n" + DATES + b"no field\r\nBcc: c@d.cz\r\n\r\nhi\r\n"))
    head, _, body = read.partition(b"\r\n\r\n")
    assert b"no field" not in head
    assert body == b"no field\r\nBcc: c@d.cz\r\n\r\nhi\r\n"


def test_bcc_comes_off_on_smtp_and_the_envelope_counts() -> None:
    prepared = made(b"From: a@b.cz\r\nTo: x@y.cz\r\nBcc: c@d.cz\r\n" + DATES + b"\r\nhi\r\n", "e@f.cz", "e@f.cz")
    assert b"Bcc" not in octets(prepared)
    assert prepared.envelope.recipients == ("e@f.cz",)


def test_on_an_api_who_stands_in_the_envelope_alone_becomes_a_bcc() -> None:
    message = b"From: a@b.cz\r\nTo: X <x@Y.cz>\r\n%b" + DATES + b"\r\nhi\r\n"
    prepared = made(message % b"", "x@y.cz", "e@f.cz", route=API, sender="")
    assert b"\r\nBcc: e@f.cz\r\n" in octets(prepared, bcc=True)
    assert b"Bcc" not in octets(prepared)
    assert prepared.envelope.sender == "shop@example.cz"
    both = made(message % b"Bcc: c@d.cz\r\n", "x@y.cz", "c@d.cz", "e@f.cz", route=API)
    assert b"\r\nBcc: c@d.cz, e@f.cz\r\n" in octets(both, bcc=True)
    same = made(message % b"Bcc: c@d.cz\r\n", "x@y.cz", "c@d.cz", route=API)
    assert octets(same, bcc=True).count(b"Bcc") == 1


def test_on_an_api_who_stands_in_the_header_alone_must_not_get_it() -> None:
    with pytest.raises(Unwanted) as caught:
        made(b"From: a@b.cz\r\nTo: x@y.cz\r\nCc: z@y.cz\r\n" + DATES + b"\r\nhi\r\n", "x@y.cz", route=API)
    assert (caught.value.code, caught.value.enhanced) == (550, "5.6.0")
    assert "z@y.cz" in caught.value.text
    assert 'route = "smtp"' in caught.value.text
    with pytest.raises(Unwanted):
        made(b"From: a@b.cz\r\nTo: root\r\n" + DATES + b"\r\nhi\r\n", "x@y.cz", route=API)


def test_from_is_rewritten_where_the_account_says_so() -> None:
    prepared = made(b"From: root@host\r\n" + DATES + b"\r\nhi\r\n", rewrite_from=True, sender="root@host")
    assert prepared.envelope.sender == "shop@example.cz"
    assert b"From: Shop <shop@example.cz>\r\nReply-To: root@host\r\n" in octets(prepared)


@pytest.mark.parametrize("charset", ["utf-8", "cp1250", "cp1252"])
def test_eight_bit_headers_become_encoded_words(charset: str) -> None:
    subject = "Příliš žluťoučký"
    if charset == "cp1252":
        subject = "Größe"
    kind = "" if charset == "cp1252" else f"Content-Type: text/plain; charset={charset}\r\n"
    text = f"From: Jan Ö <a@b.cz>\r\nTo: \xe9@b.cz\r\nSubject: {subject}\r\n{kind}"
    prepared = made(text.encode(charset) + DATES + b"\r\nhi\r\n")
    read = message_from_bytes(octets(prepared), policy=policy.default)
    assert (read["Subject"], read["From"]) == (subject, "Jan Ö <a@b.cz>")
    assert prepared.content.smtputf8  # an address itself cannot be encoded


def test_a_client_that_knows_smtputf8_means_what_it_writes() -> None:
    message = "From: a@b.cz\r\nSubject: é\r\n".encode() + DATES + b"\r\nhi\r\n"
    prepared = made(message, utf8=True)
    assert message in octets(prepared)
    assert prepared.content.smtputf8
    unknown = b"From: a@b.cz\r\nSubject: \xe9\x81\r\nContent-Type: text/plain; charset=none\r\n" + DATES + b"\r\n"
    assert octets(made(unknown)).isascii()


def test_what_is_refused() -> None:
    for begin in (b"Received: by x\r\n" * 31 + b"\r\n", b"Subject: \0\r\n\r\n"):
        with pytest.raises(Unwanted):
            Header(begin)


def test_a_body_that_lies_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "rest").write_bytes(b"z" * 200_000)
    message = b"From: a@b.cz\r\n" + DATES + b"\r\n" + b"y" * 100_000
    prepared = made(message, rest=(tmp_path / "rest", 200_000))
    assert octets(prepared) == b"Received: by x\r\n" + message + b"z" * 200_000
    assert prepared.content.size == len(octets(prepared))


def test_the_received_field() -> None:
    line = received_line("ESMTPSA", "localhost", "1", "from x ([10.0.0.1])\r\n\t")
    assert line.startswith(b"Received: from x ([10.0.0.1])\r\n\tby localhost (Franking relay) with ESMTPSA id 1;\r\n\t")
