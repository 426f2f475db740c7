"""A composed message: what stands where, which encoding it travels in, and that large files stream."""

from __future__ import annotations

import os
import tracemalloc
from email import policy
from pathlib import Path

import pytest

from franking.errors import MessageError
from franking.message.address import Address, Envelope
from franking.message.attachment import CHUNK, Attachment
from franking.message.message import Message
from franking.message.mime import base64_lines
from franking.message.prepare import prepare
from message.sent import SENDER, content_of, parsed, sent


def test_a_plain_message_to_the_octet() -> None:
    octets = Message(
        to=["Jana <jana@example.cz>"],
        subject="Hello",
        text="One\nTwo",
        headers={"Date": "Mon, 02 Nov 2026 10:00:00 +0100"},
        message_id="1@novak.cz",
    ).as_bytes("Shop <shop@novak.cz>")
    assert octets == (
        b"From: Shop <shop@novak.cz>\r\nTo: Jana <jana@example.cz>\r\nSubject: Hello\r\n"
        b"Date: Mon, 02 Nov 2026 10:00:00 +0100\r\n"
        b"Message-ID: <1@novak.cz>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: 7bit\r\n"
        b"\r\nOne\r\nTwo\r\n"
    )


def test_every_field_stands_where_it_belongs() -> None:
    message = Message(
        to="a@b.cz", cc=["c@d.cz", Address("e@f.cz", "E")], bcc="g@h.cz", reply_to="r@s.cz", sender="Other <o@p.cz>",
        subject="S", text="x",
        headers={"X-Order": "114", "Sender": "Žofie <z@háčky.cz>"},
    )  # fmt: skip
    prepared = prepare(message, sender=SENDER)
    assert prepared.envelope == Envelope("info@novak.cz", ["a@b.cz", "c@d.cz", "e@f.cz", "g@h.cz"])
    ours = parsed(b"".join(prepared.content.chunks(bcc=False)))
    assert [str(ours[name]) for name in ("from", "to", "cc", "reply-to", "x-order")] == [
        "Other <o@p.cz>", "a@b.cz", "c@d.cz, E <e@f.cz>", "r@s.cz", "114",
    ]  # fmt: skip
    assert ours["sender"].address.addr_spec == "z@xn--hky-ela4t.cz"
    assert ours["bcc"] is None
    assert parsed(b"".join(prepared.content.chunks(bcc=True)))["bcc"] == "g@h.cz"
    assert parsed(message.as_bytes())["bcc"] == "g@h.cz"
    assert b"Bcc: g@h.cz\r\n" in message.as_bytes(SENDER)


def test_recipients_once_each_in_order() -> None:
    message = Message(to=["a@b.cz", "b@b.cz"], cc=["A <a@b.cz>", "c@háčky.cz"], bcc=["c@xn--hky-ela4t.cz", "d@b.cz"])
    assert prepare(message, sender=SENDER).envelope.recipients == ("a@b.cz", "b@b.cz", "c@xn--hky-ela4t.cz", "d@b.cz")
    assert content_of(message).recipients == ("a@b.cz", "b@b.cz", "c@xn--hky-ela4t.cz", "d@b.cz")


def test_smtputf8_only_when_a_local_part_needs_it() -> None:
    assert not content_of(Message(to="Žofie <z@háčky.cz>", subject="č", text="č")).smtputf8
    for message in (
        Message(to="žofie@háčky.cz"),
        Message(to="a@b.cz", cc="ž@b.cz"),
        Message(to="a@b.cz", bcc="ž@b.cz"),
        Message(to="a@b.cz", sender="ž@b.cz"),
    ):
        content = content_of(message)
        assert content.smtputf8
        assert not content.eight_bit
    octets = sent(Message(to="Žofie <žofie@háčky.cz>"))
    assert "<žofie@háčky.cz>".encode() in octets
    assert content_of(octets).parts().addresses("to") == (Address("žofie@háčky.cz", "Žofie"),)
    assert content_of(octets).smtputf8


@pytest.mark.parametrize(("text", "encoding"), [
    ("plain\n", "7bit"), ("x" * 998, "7bit"), ("x" * 999, "quoted-printable"), (("Dobrý den, posílám fakturu za "
        "listopad. S pozdravem"), "quoted-printable"),
    ("Příliš žluťoučký kůň", "base64"), ("Привет, мир", "base64"), ("=" * 2000, "base64"),
])  # fmt: skip
def test_the_shorter_seven_bit_encoding_is_taken(text: str, encoding: str) -> None:
    octets = sent(Message(to="a@b.cz", text=text))
    assert octets.isascii()
    assert parsed(octets)["content-transfer-encoding"] == encoding
    assert parsed(octets).get_content().rstrip() == text.rstrip()


@pytest.mark.parametrize("lengths", [
    (998, 998, 998), (998, 999), (999, 998, 1), (*(1,) * 600, 998, 1), (*(1,) * 600, 999, 1), (*(0,) * 998, 999),
])  # fmt: skip
def test_a_line_too_long_is_found_wherever_it_stands(lengths: tuple[int, ...]) -> None:
    for end in ("", "\n"):
        text = "\n".join("x" * length for length in lengths) + end
        octets = sent(Message(to="a@b.cz", text=text))
        encoding = "7bit" if max(lengths) <= 998 else "quoted-printable"
        assert parsed(octets)["content-transfer-encoding"] == encoding
        assert max(map(len, octets.split(b"\r\n"))) <= 998


def test_rewritten_from() -> None:
    message = Message(to="a@b.cz", sender="Cron <root@host>")
    ours = parsed(sent(message, rewrite_from=True))
    assert (str(ours["from"]), str(ours["reply-to"])) == ("Jan Novák <info@novak.cz>", "Cron <root@host>")
    ours = parsed(sent(Message(to="a@b.cz", sender="root@host", reply_to="r@s.cz"), rewrite_from=True))
    assert (str(ours["from"]), str(ours["reply-to"])) == ("Jan Novák <info@novak.cz>", "r@s.cz")
    assert parsed(sent(Message(to="a@b.cz", sender="info@novak.cz"), rewrite_from=True))["reply-to"] is None
    assert str(parsed(sent(message))["from"]) == "Cron <root@host>"


def test_old_clients_find_a_name_too() -> None:
    octets = sent(
        Message(
            to="a@b.cz", attachments=[Attachment(data=b"", name="žádost.pdf"), Attachment(data=b"", name="plain.pdf")]
        )
    )
    assert b'Content-Type: application/pdf;\r\n name="=?utf-8?' in octets
    assert b"filename*=utf-8''%C5%BE%C3%A1dost.pdf" in octets
    assert b'filename="plain.pdf"' in octets


def test_inline_images_go_with_the_html() -> None:
    logo = Attachment(data=b"png", name="logo.png", cid="<logo>")
    octets = sent(
        Message(
            to="a@b.cz", text="t", html='<img src="cid:logo">', attachments=[logo, Attachment(data=b"x", name="x.bin")]
        )
    )
    ours = parsed(octets)
    assert [part.get_content_type() for part in ours.walk()] == [
        "multipart/mixed", "multipart/alternative", "text/plain", "multipart/related", "text/html", "image/png",
        "application/octet-stream",
    ]  # fmt: skip
    image = next(part for part in ours.walk() if part.get_content_type() == "image/png")
    assert (image["content-id"], image.get_content_disposition()) == ("<logo>", "inline")
    # without html nothing can show it: it is a file among others
    assert [part.get_content_type() for part in parsed(sent(Message(to="a@b.cz", text="t",
    attachments=[logo]))).walk()] == [
        "multipart/mixed", "text/plain", "image/png",
    ]  # fmt: skip
    with pytest.raises(MessageError, match="same cid"):
        Message(to="a@b.cz", html="x", attachments=[logo, logo])


def test_embedded_messages_are_never_base64(tmp_path: Path) -> None:
    plain, eight, long = tmp_path / "a.eml", tmp_path / "b.eml", tmp_path / "c.eml"
    plain.write_bytes(b"Subject: inner\n\nHello\r\nWorld\rend")
    eight.write_bytes("Subject: inner\n\nč\n".encode())
    long.write_bytes(b"Subject: inner\n\n" + b"x" * 999)
    ours = parsed(sent(Message(to="a@b.cz", text="t", attachments=[plain, eight, long])))
    inner, *rest = ours.iter_attachments()
    assert (inner.get_content_type(), inner["content-transfer-encoding"], inner.get_filename()) == (
        "message/rfc822",
        "7bit",
        "a.eml",
    )
    assert inner.get_content().as_bytes(policy=policy.SMTP) == b"Subject: inner\r\n\r\nHello\r\nWorld\r\nend"
    assert [(part.get_content_type(), part.get_filename(), part.get_payload(decode=True)) for part in rest] == [
        ("application/octet-stream", "b.eml", eight.read_bytes()),
        ("application/octet-stream", "c.eml", long.read_bytes()),
    ]


def test_an_embedded_message_that_changed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.eml"
    path.write_bytes(b"Subject: x\n\nab\n")
    for other in (
        b"Subject: x\n\nabc",
        b"Subject: x\n\n\n\n\n",
        b"Subject: x\n\n\xff\xff\n",
    ):  # as long, but not the same lines, or not 7 bits
        content = content_of(Message(to="a@b.cz", attachments=[path]))
        path.write_bytes(other)
        with pytest.raises(MessageError, match=r"a\.eml"):
            list(content.chunks(bcc=False))
        path.write_bytes(b"Subject: x\n\nab\n")


def test_large_files_stream(tmp_path: Path) -> None:
    path = tmp_path / "big.bin"
    with path.open("wb") as file:
        file.truncate(25_000_000)
    content = content_of(Message(to="a@b.cz", text="x", attachments=[path]))
    assert content.size > 34_000_000
    tracemalloc.start()
    try:
        total = sum(len(chunk) for chunk in content.chunks(bcc=False))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == content.size
    assert peak < 1_000_000  # the budget of a whole send is 8 MiB


def test_chunks_can_be_closed_half_way(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"x" * 500_000)
    for message in (
        Message(to="a@b.cz", attachments=[path]),
        Message(to="a@b.cz"),
        b"To: a@b.cz\n\n",
        b"To: a@b.cz\n\n" + b"x\n" * 100_000,
    ):
        chunks = content_of(message).chunks(bcc=False)
        next(chunks)
        chunks.close()  # type: ignore[attr-defined]  # a file left open would be a ResourceWarning, which fails the test


def test_small_messages_are_one_chunk() -> None:
    message = Message(
        to="a@b.cz",
        bcc="b@b.cz",
        text="x",
        html="y",
        attachments=[Attachment(data=b"x" * 20_000), Attachment(data=b"y")],
    )
    assert [len(list(content_of(message).chunks(bcc=bcc))) for bcc in (True, False)] == [1, 1]
    raw = b"To: a@b.cz\n\n" + b"x\n" * 10_000
    assert len(list(content_of(raw).chunks(bcc=False))) == 1
    chunks = list(content_of(b"To: a@b.cz\n\n" + b"x\n" * 500_000).chunks(bcc=False))
    assert all(65536 <= len(chunk) < 300_000 for chunk in chunks[:-1])


@pytest.mark.parametrize(
    "length", [0, 1, 2, 3, 56, 57, 58, 57 * 256 - 1, 57 * 256, 57 * 256 + 1, 57 * 1024, 57 * 1024 + 31]
)
def test_base64_lines(length: int) -> None:
    import base64

    data = os.urandom(length)
    assert base64_lines(data) == base64.encodebytes(data).replace(b"\n", b"\r\n")


@pytest.mark.parametrize(("length", "kind"), [(998, "message/rfc822"), (999, "application/octet-stream")])
def test_a_line_of_an_embedded_message_is_measured_across_chunks(length: int, kind: str) -> None:
    start = b"Subject: x\r\n\r\n"
    filler = b"y\r\n" * ((CHUNK - len(start) - 500) // 3)
    data = start + filler + b"z" * length + b"\r\n"
    assert len(start + filler) < CHUNK < len(start + filler) + length
    octets = sent(Message(to="a@b.cz", text="t", attachments=[Attachment(data=data, content_type="message/rfc822")]))
    assert (b"Content-Type: " + kind.encode()) in octets
