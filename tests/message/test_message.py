"""Messages: what is composed, what is refused and by which name, what happens to messages that somebody else
composed.
"""

from __future__ import annotations

import io
import os
import pickle
import re
import socket
import tracemalloc
from collections.abc import Callable
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.message import Message as OldMessage
from pathlib import Path
from typing import Any

import pytest

import franking
from franking.errors import MessageError
from franking.message.address import Address, Envelope
from franking.message.attachment import CHUNK, Attachment
from franking.message.content import Content, crlf
from franking.message.message import Message
from franking.message.mime import base64_lines
from franking.message.prepare import prepare
from servers.privileges import where_modes_count

SENDER = Address.parse("Jan Novák <info@novak.cz>")


def sent(message: Any, *, bcc: bool = False, **how: Any) -> bytes:
    """Compose, and check that the size said before is the size that came."""
    content = prepare(message, sender=SENDER, **how).content
    octets = b"".join(content.chunks(bcc=bcc))
    assert len(octets) == (content.size_with_bcc() if bcc else content.size)
    assert octets.count(b"\r\n") == octets.count(b"\n") == octets.count(b"\r")
    return octets


def content_of(message: Any, **how: Any) -> Content:
    return prepare(message, sender=SENDER, **how).content


def parsed(octets: bytes) -> EmailMessage:
    message = message_from_bytes(octets, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


# ── Message ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_plain_message_to_the_octet() -> None:
    octets = Message(
        to=["Jana <jana@example.cz>"],
        subject="Hello",
        text="One\nTwo",
        headers={"Date": "Mon, 02 Nov 2026 10:00:00 +0100"},
        message_id="1@novak.cz",
    ).as_bytes("Shop <shop@novak.cz>")
    assert octets == (
        b"From: Shop <shop@novak.cz>\r\nTo: Jana <jana@example.cz>\r\nSubject: Hello\r\nDate: Mon, 02 Nov 2026 10:00:00 +0100\r\n"
        b"Message-ID: <1@novak.cz>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n"
        b"\r\nOne\r\nTwo\r\n"
    )


def test_every_field_stands_where_it_belongs() -> None:
    message = Message(
        to="a@b.cz", cc=["c@d.cz", Address("e@f.cz", "E")], bcc="g@h.cz", reply_to="r@s.cz", sender="Other <o@p.cz>", subject="S", text="x",
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


def test_no_subject_no_recipient_no_body() -> None:
    octets = Message().as_bytes(SENDER)
    assert b"Subject" not in octets
    assert b"\r\nTo:" not in octets
    assert octets.endswith(b"\r\n\r\n\r\n")
    with pytest.raises(MessageError, match="no recipient") as caught:
        prepare(Message(text="x"), sender=SENDER)
    assert caught.value.field == "to"
    assert prepare(Message(text="x"), sender=SENDER, envelope=Envelope("", ["a@b.cz"])).envelope.sender == ""
    with pytest.raises(MessageError, match="who sends"):
        Message(to="a@b.cz").as_bytes()


def test_recipients_once_each_in_order() -> None:
    message = Message(to=["a@b.cz", "b@b.cz"], cc=["A <a@b.cz>", "c@háčky.cz"], bcc=["c@xn--hky-ela4t.cz", "d@b.cz"])
    assert prepare(message, sender=SENDER).envelope.recipients == ("a@b.cz", "b@b.cz", "c@xn--hky-ela4t.cz", "d@b.cz")
    assert content_of(message).recipients == ("a@b.cz", "b@b.cz", "c@xn--hky-ela4t.cz", "d@b.cz")


def test_message_ids_are_random_in_the_senders_domain_and_tell_nothing_of_this_machine() -> None:
    ids = [content_of(Message(to="a@b.cz")).message_id for _ in range(200)]
    assert len(set(ids)) == 200
    assert all(re.fullmatch(r"<[0-9a-f]{32}@novak\.cz>", each) for each in ids)
    assert socket.gethostname() not in ids[0]
    assert content_of(Message(to="a@b.cz", sender="x@háčky.cz")).message_id.endswith("@xn--hky-ela4t.cz>")
    assert content_of(Message(to="a@b.cz", sender="x@[127.0.0.1]")).message_id.endswith("@[127.0.0.1]>")
    content = content_of(Message(to="a@b.cz", message_id="<own@id>"))
    assert content.message_id == "<own@id>"
    assert parsed(b"".join(content.chunks(bcc=False)))["message-id"] == "<own@id>"
    assert content_of(Message(to="a@b.cz", headers={"message-id": "own@id"})).message_id == "<own@id>"


def test_date_is_now_in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("franking.message.headers.time.time", lambda: 1793610605.9)
    assert b"\r\nDate: Mon, 02 Nov 2026 09:10:05 +0000\r\n" in Message(to="a@b.cz").as_bytes(SENDER)
    monkeypatch.setattr("franking.message.headers.time.time", lambda: 1793610606.1)
    assert b"\r\nDate: Mon, 02 Nov 2026 09:10:06 +0000\r\n" in Message(to="a@b.cz").as_bytes(SENDER)
    octets = Message(to="a@b.cz", headers={"date": "Tue, 03 Nov 2026 10:00:00 +0100"}).as_bytes(SENDER)
    assert octets.lower().count(b"\r\ndate:") == 1
    assert b"03 Nov" in octets


@pytest.mark.parametrize(("typed", "field", "says"), [
    ({"From": "a@b.cz"}, "headers", "sender="), ({"TO": "a@b.cz"}, "headers", "to="), ({"bcc": "a@b.cz"}, "headers", "bcc="),
    ({"Reply-To": "a@b.cz"}, "headers", "reply_to="), ({"subject": "x"}, "headers", "subject="), ({"MIME-Version": "1.0"}, "headers", "cannot be set"),
    ({"Content-Type": "x/y"}, "headers", "cannot be set"), ({"content-transfer-encoding": "8bit"}, "headers", "cannot be set"),
    ({"Resent-To": "a@b.cz"}, "headers", "cannot be set"), ({"Return-Path": "<>"}, "headers", "cannot be set"),
    ({"Date": "yesterday"}, "headers", "no date"), ({"Message-ID": "none"}, "message_id", "no Message-ID"), ({"X Y": "z"}, "headers", "no name"),
    ({"X:": "z"}, "headers", "no name"), ({"": "z"}, "headers", "no name"), ({"X-Ž": "z"}, "headers", "no name"), ({"X": 5}, "headers", "not int"),
    ({5: "z"}, "headers", "not int"), (["X"], "headers", "mapping"), ({"X" * 999: "z"}, "headers", "longer than 998"),
])  # fmt: skip
def test_headers_that_cannot_be_set(typed: Any, field: str, says: str) -> None:
    with pytest.raises(MessageError, match=says) as caught:
        Message(to="a@b.cz", headers=typed)
    assert caught.value.field == field


BAD = ["\r", "\n", "\r\nBcc: x@y.cz", "\0", "\x0b", "\x1b", "\x85", "\u2028", "\ud800"]
FIELDS: dict[str, Callable[[str], Message]] = {
    "to": lambda text: Message(to=[text]),
    "cc": lambda text: Message(cc=["ok@b.cz", f"Jan {text} <a@b.cz>"]),
    "bcc": lambda text: Message(bcc=f"a@b.cz{text}"),
    "reply_to": lambda text: Message(reply_to=f"a{text}@b.cz"),
    "sender": lambda text: Message(sender=f'"{text}" <a@b.cz>'),
    "subject": lambda text: Message(subject=f"Faktura{text}č"),
    "message_id": lambda text: Message(message_id=f"<a{text}@b.cz>"),
    "headers": lambda text: Message(headers={"X-Order": f"1{text}"}),
    "headers ": lambda text: Message(headers={f"X-Or{text}der": "1"}),
    "headers  ": lambda text: Message(headers={"Date": f"Mon, 02 Nov 2026 10:00:00 +0100{text}"}),
    "name": lambda text: Message(attachments=[Attachment(data=b"", name=f"a{text}.pdf")]),
    "cid": lambda text: Message(attachments=[Attachment(data=b"", cid=f"a{text}")]),
    "content_type": lambda text: Message(attachments=[Attachment(data=b"", content_type=f"a/b{text}")]),
    "content_type ": lambda text: Message(attachments=[Attachment(data=b"", content_type=f'a/b; c="{text}"')]),
    "attachments": lambda text: Message(attachments=[f"/nowhere{text}"]),
}


@pytest.mark.parametrize("bad", BAD, ids=ascii)
@pytest.mark.parametrize("field", FIELDS)
def test_injection_is_refused_with_the_fields_name(field: str, bad: str) -> None:
    with pytest.raises(MessageError) as caught:
        FIELDS[field](bad)
    assert caught.value.field == field.strip()
    assert "\n" not in str(caught.value)
    assert caught.value.step == "message"


@pytest.mark.parametrize("field", ["text", "html"])
def test_bodies_hold_every_text_but_nul_and_half_characters(field: str) -> None:
    for bad in ("a\0b", "a\ud800b"):
        with pytest.raises(MessageError) as caught:
            Message(**{field: bad})  # type: ignore[arg-type]
        assert caught.value.field == field
    octets = sent(Message(to="a@b.cz", **{field: "a\rb\nc\r\nd\x0ce\u2028f"}))  # type: ignore[arg-type]
    assert parsed(octets).get_content() == "a\r\nb\r\nc\r\nd\x0ce\u2028f\r\n"


@pytest.mark.parametrize("wrong", [
    {"to": 5}, {"to": [5]}, {"to": [b"a@b.cz"]}, {"subject": None}, {"subject": b"x"}, {"text": b"x"}, {"html": 5}, {"sender": 5}, {"message_id": 5},
    {"attachments": "a.pdf"}, {"attachments": Attachment(data=b"")}, {"attachments": [5]}, {"to": "a@b.cz, c@d.cz"}, {"cc": "undisclosed-recipients:;"},
])  # fmt: skip
def test_wrong_types_name_their_field(wrong: dict[str, Any]) -> None:
    with pytest.raises(MessageError) as caught:
        Message(**wrong)
    assert caught.value.field == next(iter(wrong)) or next(iter(wrong)) == "attachments"


def test_guard_where_octets_leave() -> None:
    message = Message(to="a@b.cz", subject="x")
    object.__setattr__(message, "subject", "x\r\nBcc: evil@example.com")
    with pytest.raises(MessageError, match="subject"):
        message.as_bytes(SENDER)
    message = Message(to="a@b.cz")
    object.__setattr__(message, "headers", (("X-A", "x\nB: c"),))
    with pytest.raises(MessageError, match="headers"):
        message.as_bytes(SENDER)


def test_long_header_fields_fold_at_blanks_and_read_back() -> None:
    references = " ".join(f"<{number}.abcdefghijklmnopqrstuvwxyz@example.com>" for number in range(40))
    octets = sent(
        Message(
            to=[f"Recipient Number {n} <recipient{n}@example.com>" for n in range(50)],
            subject="word  two   " * 30,
            headers={"References": references},
        )
    )
    head = octets.partition(b"\r\n\r\n")[0].split(b"\r\n")
    assert max(map(len, head)) <= 78
    assert all(line.strip() for line in head)
    ours = parsed(octets)
    assert str(ours["subject"]) == ("word  two   " * 30).strip()
    assert str(ours["references"]) == references
    assert len(ours["to"].addresses) == 50


def test_a_word_too_long_for_a_line_is_encoded() -> None:
    octets = sent(
        Message(
            to="a@b.cz", subject="x" * 3000, headers={"List-Unsubscribe": "<https://example.com/" + "y" * 500 + ">"}
        )
    )
    assert max(map(len, octets.split(b"\r\n"))) <= 998
    assert str(parsed(octets)["subject"]) == "x" * 3000
    assert b"List-Unsubscribe: <https://example.com/yyy" in octets.replace(b"\r\n ", b" ")


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
    ("plain\n", "7bit"), ("x" * 998, "7bit"), ("x" * 999, "quoted-printable"), ("Dobrý den, posílám fakturu za listopad. S pozdravem", "quoted-printable"),
    ("Příliš žluťoučký kůň", "base64"), ("Привет, мир", "base64"), ("=" * 2000, "base64"),
])  # fmt: skip
def test_the_shorter_seven_bit_encoding_is_taken(text: str, encoding: str) -> None:
    octets = sent(Message(to="a@b.cz", text=text))
    assert octets.isascii()
    assert parsed(octets)["content-transfer-encoding"] == encoding
    assert parsed(octets).get_content().rstrip() == text.rstrip()


def test_rewritten_from() -> None:
    message = Message(to="a@b.cz", sender="Cron <root@host>")
    ours = parsed(sent(message, rewrite_from=True))
    assert (str(ours["from"]), str(ours["reply-to"])) == ("Jan Novák <info@novak.cz>", "Cron <root@host>")
    ours = parsed(sent(Message(to="a@b.cz", sender="root@host", reply_to="r@s.cz"), rewrite_from=True))
    assert (str(ours["from"]), str(ours["reply-to"])) == ("Jan Novák <info@novak.cz>", "r@s.cz")
    assert parsed(sent(Message(to="a@b.cz", sender="info@novak.cz"), rewrite_from=True))["reply-to"] is None
    assert str(parsed(sent(message))["from"]) == "Cron <root@host>"


def test_messages_are_values() -> None:
    message = Message(
        to=["Jan <a@b.cz>"],
        subject="S",
        text="secret " * 100,
        attachments=[Attachment(data=b"abc", name="a.txt")],
        headers={"X": "y"},
    )
    assert pickle.loads(pickle.dumps(message)) == message
    assert hash(message) == hash(pickle.loads(pickle.dumps(message)))
    assert "secret" not in repr(message)
    assert "Jan <a@b.cz>" in repr(message)
    assert (
        repr(message.attachments[0]) == "Attachment(data=<3 bytes>, name='a.txt', content_type='text/plain', cid=None)"
    )
    with pytest.raises(AttributeError):
        message.subject = "x"  # type: ignore[misc]
    assert franking.Message is Message
    assert franking.Attachment is Attachment


# ── attachments ─────────────────────────────────────────────────────────────────────────────────────────────────────


def leaves(octets: bytes) -> list[tuple[str, str | None, str | None, bytes]]:
    return [
        (part.get_content_type(), part.get_filename(), part.get_content_disposition(), part.get_payload(decode=True))  # type: ignore[misc]
        for part in parsed(octets).walk()
        if not part.is_multipart() and part.get_content_disposition()
    ]


def test_attachments_by_path_data_and_file(tmp_path: Path) -> None:
    path = tmp_path / "faktura č. 1.pdf"
    path.write_bytes(b"%PDF" + bytes(range(256)) * 500)
    opened = io.BytesIO(b"abc")
    opened.seek(3)
    with (tmp_path / "open.csv").open("w+b") as file:
        file.write(b"a;b\r\nc;d\n")
        message = Message(
            to="a@b.cz",
            text="x",
            attachments=[
                path,
                str(path),
                Attachment(data=b"\0", name="x"),
                Attachment(file=opened, name="y.bin"),
                Attachment(file=file),
            ],
        )
        first, second = sent(message), sent(message)
    for octets in (first, second):
        assert leaves(octets) == [
            ("application/pdf", "faktura č. 1.pdf", "attachment", path.read_bytes()),
            ("application/pdf", "faktura č. 1.pdf", "attachment", path.read_bytes()),
            ("application/octet-stream", "x", "attachment", b"\0"),
            ("application/octet-stream", "y.bin", "attachment", b"abc"),
            ("text/csv", "open.csv", "attachment", b"a;b\r\nc;d\n"),  # octet by octet, though it is text
        ]


def test_relative_paths_stay_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_bytes(b"here")
    monkeypatch.chdir(tmp_path)
    message = Message(to="a@b.cz", attachments=["a.txt"])
    monkeypatch.chdir("/")
    assert leaves(sent(message))[0][3] == b"here"


@pytest.mark.parametrize(("name", "kind"), [
    ("a.pdf", "application/pdf"), ("a.tar.gz", "application/gzip"), ("a.txt.xz", "application/octet-stream"), ("a", "application/octet-stream"),
    ("a.JPG", "image/jpeg"), ("a.html", "text/html"), (None, "application/octet-stream"),
])  # fmt: skip
def test_content_type_from_the_name(name: str | None, kind: str) -> None:
    assert Attachment(data=b"", name=name).content_type == kind


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
        "multipart/mixed", "multipart/alternative", "text/plain", "multipart/related", "text/html", "image/png", "application/octet-stream",
    ]  # fmt: skip
    image = next(part for part in ours.walk() if part.get_content_type() == "image/png")
    assert (image["content-id"], image.get_content_disposition()) == ("<logo>", "inline")
    # without html nothing can show it: it is a file among others
    assert [part.get_content_type() for part in parsed(sent(Message(to="a@b.cz", text="t", attachments=[logo]))).walk()] == [
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


def test_only_ordinary_readable_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "sock"))
        for path, says in (
            (tmp_path, "directory"),
            (tmp_path / "pipe", "named pipe"),
            ("/dev/null", "device"),
            (tmp_path / "sock", "socket"),
            (tmp_path / "no", "No such file"),
        ):
            with pytest.raises(MessageError, match=says) as caught:
                Attachment(path)
            assert caught.value.field == "path"
            with pytest.raises(MessageError, match=says) as caught:
                Message(to="a@b.cz", attachments=[path])
            assert caught.value.field == "attachments"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
def test_unreadable_files_are_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x")
    path.chmod(0)
    with pytest.raises(MessageError, match="Permission denied"):
        where_modes_count(lambda: Attachment(path))


@pytest.mark.parametrize("wrong", [
    {}, {"data": b"", "path": "x"}, {"data": "text"}, {"data": 5}, {"file": 5}, {"file": io.StringIO("x")}, {"data": b"", "name": ""}, {"data": b"", "name": "x" * 256},
    {"data": b"", "name": "evil\u202efdp.exe"}, {"data": b"", "cid": "a b"}, {"data": b"", "cid": ""}, {"data": b"", "cid": "<<a>>"}, {"data": b"", "cid": 5},
    {"data": b"", "content_type": "pdf"}, {"data": b"", "content_type": "multipart/mixed"}, {"data": b"", "content_type": "a/b; c"}, {"path": 5},
    {"data": b"", "content_type": "a/č"}, {"data": b"", "name": 5}, {"path": b"/etc/hostname"},
], ids=lambda wrong: ascii({key: type(value) if hasattr(value, "read") else value for key, value in wrong.items()}))  # fmt: skip
def test_attachments_that_are_none(wrong: dict[str, Any]) -> None:
    with pytest.raises(MessageError):
        Attachment(**wrong)


def test_pipes_as_file_objects_are_refused() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as file, os.fdopen(writing, "wb"), pytest.raises(MessageError, match="seekable"):
        Attachment(file=file)


@pytest.mark.parametrize("size", [0, 10, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
@pytest.mark.parametrize(("change", "says"), [(1, "grew"), (-1, "shrank"), (None, "cannot be read")])
def test_a_file_that_changed_meanwhile_is_an_error_with_its_name(
    tmp_path: Path, size: int, change: int | None, says: str
) -> None:
    if size == 0 and change == -1:
        size = 1  # nothing can be shorter than nothing
    path = tmp_path / "faktura.pdf"
    path.write_bytes(b"x" * size)
    content = content_of(Message(to="a@b.cz", attachments=[path]))
    if change is None:
        path.unlink()
    else:
        path.write_bytes(b"x" * (size + change))
    with pytest.raises(MessageError, match=rf"faktura\.pdf.*{says}") as caught:
        list(content.chunks(bcc=False))
    assert caught.value.field == "attachments"
    with pytest.raises(MessageError, match=rf"faktura\.pdf.*{says}"):
        part = content_part(path, size)
        path.unlink(missing_ok=True) if change is None else path.write_bytes(b"x" * (size + change))
        list(part.open())


def content_part(path: Path, size: int) -> Any:
    path.write_bytes(b"x" * size)
    return content_of(Message(to="a@b.cz", attachments=[path])).parts().attachments[0]


@pytest.mark.parametrize(("change", "says"), [(1, "grew"), (-1, "shrank")])
def test_a_file_that_changes_while_it_is_read(tmp_path: Path, change: int, says: str) -> None:
    path = tmp_path / "log.txt"
    path.write_bytes(b"x" * (4 * CHUNK))
    chunks = content_of(Message(to="a@b.cz", attachments=[path])).chunks(bcc=False)
    next(chunks)
    os.truncate(path, 4 * CHUNK + change)
    with pytest.raises(MessageError, match=says):
        list(chunks)


def test_a_named_pipe_in_the_files_place_does_not_block(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x")
    content = content_of(Message(to="a@b.cz", attachments=[path]))
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(MessageError, match="named pipe"):
        list(content.chunks(bcc=False))


def test_file_objects_are_checked_too() -> None:
    file = io.BytesIO(b"x" * 100)
    content = content_of(Message(to="a@b.cz", attachments=[Attachment(file=file, name="f")]))
    file.truncate(50)
    with pytest.raises(MessageError, match="'f' shrank"):
        list(content.chunks(bcc=False))
    file.close()
    with pytest.raises(MessageError, match="'f' cannot be read: I/O operation on closed file"):
        list(content.chunks(bcc=False))


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


@pytest.mark.parametrize("step", [1, 2, 3, 7])
@pytest.mark.parametrize(
    "octets",
    [b"", b"\r", b"\n", b"\r\n", b"\n\r", b"\r\r\n\n", b"a\rb\nc\r\nd\n\n\r\r", b"\r\n\r\n", b"\n\n\n", b"\r\n\n"],
)
def test_line_ends_across_chunks(octets: bytes, step: int) -> None:
    expected = octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    assert b"".join(crlf(octets[at : at + step] for at in range(0, len(octets), step))) == expected


# ── ready octets ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_ready_octets_go_as_they_are() -> None:
    octets = b"From: a@b.cz\r\nTo: c@d.cz\r\nDate: Mon, 02 Nov 2026 10:00:00 +0100\r\nMessage-ID: <1@b>\r\nX-Odd:  \t two  \r\n\r\n.\r\n..\r\nFrom me\r\n"
    prepared = prepare(octets, sender=SENDER)
    assert b"".join(prepared.content.chunks(bcc=False)) == octets
    assert prepared.content.message_id == "<1@b>"
    assert prepared.envelope == Envelope("info@novak.cz", ["c@d.cz"])
    assert (prepared.content.eight_bit, prepared.content.smtputf8) == (False, False)
    assert sent(bytearray(octets)) == sent(memoryview(octets)) == octets


def test_what_is_missing_is_added() -> None:
    content = content_of(b"To: c@d.cz\n\nx")
    octets = b"".join(content.chunks(bcc=False))
    ours = parsed(octets)
    assert str(ours["from"]) == "Jan Novák <info@novak.cz>"
    assert ours["date"].datetime is not None
    assert ours["message-id"] == content.message_id
    assert octets.endswith(b"\r\n\r\nx\r\n")
    assert b"".join(content.chunks(bcc=False)) == octets
    assert parsed(sent(b"To: c@d.cz\nMessage-ID:  \nmessage-id: <2@b>\n\n"))["message-id"].startswith("<")


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_bcc_comes_off_whatever_it_looks_like(end: bytes) -> None:
    octets = end.join(
        [
            b"Bcc: a@x.cz,",
            b"\tb@x.cz,",
            b" c@x.cz",
            b"To: d@x.cz",
            b"BCC : e@x.cz",
            b"resent-bcc: f@x.cz",
            b" ",
            b"Subject: Bcc: no",
            b"",
            b"Bcc: body",
        ]
    )
    content = content_of(octets, envelope=Envelope("", ["d@x.cz"]))
    without, whole = b"".join(content.chunks(bcc=False)), b"".join(content.chunks(bcc=True))
    head, _, body = without.partition(b"\r\n\r\n")
    assert not re.search(rb"[abcef]@x\.cz", head)
    assert b"Subject: Bcc: no\r\n" in head
    assert body == b"Bcc: body\r\n"
    assert b"Bcc: a@x.cz,\r\n\tb@x.cz,\r\n c@x.cz\r\n" in whole
    assert (len(without), len(whole)) == (content.size, content.size_with_bcc())


def test_recipients_of_ready_octets() -> None:
    def found(head: bytes) -> tuple[str, ...]:
        return prepare(head + b"\n\n", sender=SENDER).envelope.recipients

    assert found(b'To: A <a@x.cz>, b@x.cz\nCC: "C, D" <c@x.cz>\nBcc: a@x.cz,\n d@x.cz\nto: e@x.cz') == (
        "a@x.cz",
        "b@x.cz",
        "e@x.cz",
        "c@x.cz",
        "d@x.cz",
    )
    assert found(b"To: Friends: a@x.cz, B <b@x.cz>;, c@x.cz") == ("a@x.cz", "b@x.cz", "c@x.cz")
    assert found(b"To: undisclosed-recipients:;\nBcc: a@x.cz") == ("a@x.cz",)
    assert found(b"To: a@x.cz (comment, with comma)") == ("a@x.cz",)
    assert found("To: Žofie <z@háčky.cz>".encode()) == ("z@xn--hky-ela4t.cz",)
    assert found(b"To: =?utf-8?q?=C5=BD=2C?= <z@x.cz>") == ("z@x.cz",)
    assert found(b"To: a@x.cz\nResent-Date: x\nResent-To: b@x.cz\nResent-Cc: c@x.cz\nResent-Bcc: d@x.cz") == (
        "b@x.cz",
        "c@x.cz",
        "d@x.cz",
    )
    for head, field in (
        (b"To: root", "to"),
        (b"Cc: a@x.cz, root", "cc"),
        (b"Resent-To: a@x.cz\nResent-To: b@x.cz", "resent-to"),
        (b"Subject: x", "to"),
        (b"To: \n", "to"),
    ):
        with pytest.raises(MessageError) as caught:
            found(head)
        assert caught.value.field == field
    # who gives an envelope need not have readable headers
    assert sent(b"To: root\n\n", envelope=Envelope("", ["root@host"]))


def test_eight_bits_and_utf8_headers_are_seen() -> None:
    def seen(octets: bytes) -> tuple[bool, bool]:
        content = content_of(octets, envelope=Envelope("", ["a@b.cz"]))
        return content.eight_bit, content.smtputf8

    assert seen(b"Subject: x\n\nx") == (False, False)
    assert seen("Subject: x\n\nč".encode()) == (True, False)
    assert seen("Subject: č\n\nx".encode()) == (False, True)
    assert seen("Subject: č\r\n\r\nč".encode()) == (True, True)
    assert seen(b"Subject: x\n\n" + b"x" * 200_000 + b"\xff") == (True, False)
    assert seen("Bcc: č <a@b.cz>\n\nx".encode()) == (False, False)  # it comes off


def test_odd_headers() -> None:
    envelope = Envelope("", ["a@b.cz"])
    assert sent(b"From jan Mon Nov  2 10:00:00 2026\nSubject: x\n\ny\n", envelope=envelope).startswith(
        b"Subject: x\r\n"
    )
    assert sent(b" continues nothing\nSubject: x\n\ny\n", envelope=envelope).startswith(b"Subject: x\r\n")
    assert sent(b"Subject: x\nno field\nTo: y\n\nz", envelope=envelope).endswith(
        b">\r\n\r\nno field\r\nTo: y\r\n\r\nz\r\n"
    )
    assert sent(b"just text", envelope=envelope).endswith(b">\r\n\r\njust text\r\n")
    assert sent(b"\n\nbody", envelope=envelope).endswith(b">\r\n\r\n\r\nbody\r\n")
    assert sent(b"", envelope=envelope).startswith(b"From: ")
    assert parsed(sent(b"Subject: x", envelope=envelope)).get_payload() == ""
    assert b"\r\n\r\n" + b"x" * 5000 in sent(b"Subject: x\n\n" + b"x" * 5000, envelope=envelope)  # long lines stay
    with pytest.raises(MessageError, match="NUL") as caught:
        sent(b"Subject: a\0b\n\n", envelope=envelope)
    assert caught.value.field == "headers"
    with pytest.raises(MessageError, match="NUL"):
        sent(b" x\nSubject: a\0b\n\n", envelope=envelope)


def test_from_of_ready_octets_is_rewritten() -> None:
    def changed(head: bytes) -> tuple[str, str | None]:
        ours = parsed(sent(head + b"\nTo: a@b.cz\n\n", rewrite_from=True))
        assert len(ours.get_all("from", [])) == 1
        return str(ours["from"]), ours["reply-to"] and str(ours["reply-to"])

    me = "Jan Novák <info@novak.cz>"
    assert changed(b"From: =?utf-8?q?=C5=BD?=\n <root@host>") == (me, "Ž <root@host>")
    assert changed(b"from: root@host\nReply-To: r@s.cz") == (me, "r@s.cz")
    assert changed(b"From: root (Cron Daemon)") == (me, None)
    assert changed(b"From: info@novak.cz") == (me, None)
    assert changed(b"From: a@b.cz\nFrom: c@d.cz") == (me, "a@b.cz")
    assert changed(b"Subject: x") == (me, None)


# ── EmailMessage ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_email_message_goes_as_it_is_and_stays_as_it_was() -> None:
    message = EmailMessage()
    message["To"] = "Žofie <z@háčky.cz>"
    message["Bcc"] = "hidden@x.cz"
    message["Subject"] = "č"
    message.set_content("From the start: č\n")
    before = message.as_string()
    prepared = prepare(message, sender=SENDER)
    octets = b"".join(prepared.content.chunks(bcc=False))
    assert message.as_string() == before
    assert prepared.envelope.recipients == ("z@xn--hky-ela4t.cz", "hidden@x.cz")
    assert prepared.content.eight_bit
    assert not prepared.content.smtputf8
    ours = parsed(octets)
    assert (str(ours["to"]), ours["bcc"], str(ours["subject"])) == ("Žofie <z@xn--hky-ela4t.cz>", None, "č")
    assert ours.get_content() == "From the start: č\r\n"


def test_groups_survive() -> None:
    message = EmailMessage()
    message["To"] = "Friends: a@x.cz, Žofie <b@háčky.cz>;"
    message["Cc"] = "undisclosed-recipients:;"
    message.set_content("x")
    prepared = prepare(message, sender=SENDER)
    ours = parsed(b"".join(prepared.content.chunks(bcc=False)))
    (group,) = ours["to"].groups
    assert (group.display_name, [str(each) for each in group.addresses]) == (
        "Friends",
        ["a@x.cz", "Žofie <b@xn--hky-ela4t.cz>"],
    )
    assert str(ours["cc"]) == "undisclosed-recipients:;"
    assert prepared.envelope.recipients == ("a@x.cz", "b@xn--hky-ela4t.cz")


def test_no_recipient_is_lost_where_the_standard_library_would_encode_a_comma() -> None:
    from email.headerregistry import Address as StdlibAddress

    message = EmailMessage()
    names = [("", "a"), ("", "b"), ("¡\xa0\xa0𐀀", "c"), ("", "d")]
    message["To"] = [StdlibAddress(name, local, "example.com") for name, local in names]
    assert prepare(message, sender=SENDER).envelope.recipients == tuple(f"{local}@example.com" for _, local in names)


def test_a_local_part_outside_ascii_makes_the_header_utf8() -> None:
    for old in (False, True):
        message = OldMessage() if old else EmailMessage()
        message["To"] = "Žofie <žofie@háčky.cz>"
        message.set_payload("x")
        prepared = prepare(message, sender=SENDER)
        assert prepared.content.smtputf8
        assert "<žofie@háčky.cz>".encode() in b"".join(prepared.content.chunks(bcc=False))
        assert prepared.envelope.recipients == ("žofie@háčky.cz",)


def test_old_messages_keep_their_addresses_readable() -> None:
    message = OldMessage()
    message["To"] = "Žofie <z@háčky.cz>"
    message["Subject"] = "č"
    message.set_payload("From x\n")
    prepared = prepare(message, sender=SENDER)
    ours = parsed(b"".join(prepared.content.chunks(bcc=False)))
    assert (str(ours["to"]), str(ours["subject"])) == ("Žofie <z@xn--hky-ela4t.cz>", "č")
    assert ours.get_payload() == "From x\r\n"  # no > in front


@pytest.mark.parametrize("bad", ["a\nBcc: x@y.cz", "a\rb", "a\r\nb", "a\0b"])
def test_injection_in_old_messages_is_refused(bad: str) -> None:
    message = OldMessage()
    message["To"] = "a@b.cz"
    message["Subject"] = bad
    with pytest.raises(MessageError, match="Subject") as caught:
        prepare(message, sender=SENDER)
    assert caught.value.field == "subject"
    part = OldMessage()
    part["Content-Description"] = bad
    message = OldMessage()
    message["To"] = "a@b.cz"
    message["Content-Type"] = "multipart/mixed"
    message.attach(part)
    with pytest.raises(MessageError, match="Content-Description"):
        prepare(message, sender=SENDER)


def test_a_message_that_cannot_be_written_down() -> None:
    message = EmailMessage()
    message["To"] = "a@b.cz"
    message["Content-Type"] = 'text/plain; charset="no-such"'
    message.set_payload("č")
    with pytest.raises(MessageError, match="cannot be written down") as caught:
        prepare(message, sender=SENDER)
    assert caught.value.field == "message"
    for wrong in ("To: a@b.cz\n\n", None, 5, object()):
        with pytest.raises(MessageError, match="not "):
            prepare(wrong, sender=SENDER)  # type: ignore[arg-type]


# ── parts ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_parts_of_a_message_and_of_its_octets_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "žádost.csv"
    path.write_bytes("č;1\n".encode())
    message = Message(
        to=["Jana <jana@háčky.cz>", "b@b.cz"], cc="c@b.cz", bcc="d@b.cz", reply_to="r@b.cz", subject="Příliš", text="t\n", html="<p>h</p>\n",
        attachments=[path, Attachment(data=b"png", name="l.png", cid="l"), Attachment(data=b"x", name="x.csv", content_type="text/csv; charset=utf-8")],
        headers={"X-Order": "114"},
    )  # fmt: skip
    content = content_of(message)
    ours, theirs = content.parts(), content_of(b"".join(content.chunks(bcc=True))).parts()
    for parts in (ours, theirs):
        assert (parts.text, parts.html, parts.complete) == ("t\n", "<p>h</p>\n", True)
        assert sorted(
            (
                part.content_type,
                part.name,
                part.cid,
                part.inline,
                part.size,
                b"".join(part.open()),
                b"".join(part.open()),
            )
            for part in parts.attachments
        ) == [
            ("image/png", "l.png", "l", True, 3, b"png", b"png"),
            ("text/csv", "žádost.csv", None, False, 5, "č;1\n".encode(), "č;1\n".encode()),
            ("text/csv; charset=utf-8", "x.csv", None, False, 1, b"x", b"x"),
        ]
        assert [address.wire for address in parts.addresses("To")] == ["jana@xn--hky-ela4t.cz", "b@b.cz"]
        assert [str(parts.addresses(name)[0]) for name in ("from", "cc", "BCC", "reply-to")] == [
            str(SENDER),
            "c@b.cz",
            "d@b.cz",
            "r@b.cz",
        ]
        assert parts.addresses("Sender") == ()
        headers = dict(parts.headers)
        assert (headers["Subject"], headers["X-Order"], headers["Message-ID"]) == ("Příliš", "114", content.message_id)
        assert not any(name.lower().startswith(("content-", "mime-")) for name, _ in parts.headers)


def test_parts_say_when_something_would_be_lost() -> None:
    message = EmailMessage()
    message["To"] = "a@b.cz"
    message.set_content("text")
    message.add_alternative("<p>", subtype="html")
    assert content_of(message).parts().complete
    message.add_alternative("BEGIN:VCALENDAR", subtype="calendar")
    parts = content_of(message).parts()
    assert not parts.complete
    assert [part.content_type for part in parts.attachments] == ["text/calendar; charset=utf-8"]
    signed = b"To: a@b.cz\nContent-Type: multipart/signed; boundary=b\n\n--b\n\ntext\n--b\nContent-Type: application/pgp-signature\n\nsig\n--b--\n"
    assert not content_of(signed).parts().complete


def test_parts_of_embedded_messages_and_unknown_charsets() -> None:
    inner = EmailMessage()
    inner["Subject"] = "inner"
    inner.set_content("hello")
    outer = EmailMessage()
    outer["To"] = "a@b.cz"
    outer.set_content("t")
    outer.add_attachment(inner)
    (part,) = content_of(outer).parts().attachments
    assert part.content_type == "message/rfc822"
    assert b"Subject: inner" in b"".join(part.open())
    assert content_of(b"To: a@b.cz\nContent-Type: text/plain; charset=no-such\n\n\xc4\x8d\n").parts().text == "č\n"
