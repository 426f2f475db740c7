"""``Message``: what is refused, and by which name; what is kept."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest

import franking
from franking.errors import MessageError
from franking.message.address import Envelope
from franking.message.attachment import Attachment
from franking.message.message import Message
from franking.message.prepare import prepare
from message.sent import SENDER, parsed, sent


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


@pytest.mark.parametrize(("typed", "field", "says"), [
    ({"From": "a@b.cz"}, "headers", "sender="), ({"TO": "a@b.cz"}, "headers", "to="),
    ({"bcc": "a@b.cz"}, "headers", "bcc="),
    ({"Reply-To": "a@b.cz"}, "headers", "reply_to="), ({"subject": "x"}, "headers", "subject="),
    ({"MIME-Version": "1.0"}, "headers", "cannot be set"),
    ({"Content-Type": "x/y"}, "headers", "cannot be set"),
    ({"content-transfer-encoding": "8bit"}, "headers", "cannot be set"),
    ({"Resent-To": "a@b.cz"}, "headers", "cannot be set"), ({"Return-Path": "<>"}, "headers", "cannot be set"),
    ({"Date": "yesterday"}, "headers", "no date"), ({"Message-ID": "none"}, "message_id", "no Message-ID"),
    ({"X Y": "z"}, "headers", "no name"),
    ({"X:": "z"}, "headers", "no name"), ({"": "z"}, "headers", "no name"), ({"X-Ž": "z"}, "headers", "no name"),
    ({"X": 5}, "headers", "not int"),
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
    {"to": 5}, {"to": [5]}, {"to": [b"a@b.cz"]}, {"subject": None}, {"subject": b"x"}, {"text": b"x"}, {"html": 5},
    {"sender": 5}, {"message_id": 5},
    {"attachments": "a.pdf"}, {"attachments": Attachment(data=b"")}, {"attachments": [5]}, {"to": "a@b.cz, c@d.cz"},
    {"cc": "undisclosed-recipients:;"},
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


def test_a_message_id_is_told_once() -> None:
    with pytest.raises(MessageError, match="stands in headers too") as caught:
        Message(to="a@b.cz", headers={"Message-ID": "<1@b.cz>"}, message_id="<2@b.cz>")
    assert caught.value.field == "message_id"


def test_a_content_id_belongs_to_one_attachment() -> None:
    logo = franking.Attachment(data=b"x", cid="logo")
    with pytest.raises(MessageError, match="two of them have the same cid"):
        Message(to="a@b.cz", attachments=[logo, franking.Attachment(data=b"y", cid="logo")])
    Message(
        to="a@b.cz", attachments=[logo, franking.Attachment(data=b"y", cid="other"), franking.Attachment(data=b"z")]
    )
