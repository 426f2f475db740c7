"""A message taken apart says what the message says, and tells where it cannot."""

from __future__ import annotations

from email.message import EmailMessage
from pathlib import Path

from franking.message.attachment import Attachment
from franking.message.message import Message
from message.sent import SENDER, content_of


def test_parts_of_a_message_and_of_its_octets_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "žádost.csv"
    path.write_bytes("č;1\n".encode())
    message = Message(
        to=["Jana <jana@háčky.cz>", "b@b.cz"], cc="c@b.cz", bcc="d@b.cz", reply_to="r@b.cz", subject="Příliš",
        text="t\n", html="<p>h</p>\n",
        attachments=[path, Attachment(data=b"png", name="l.png", cid="l"),
        Attachment(data=b"x", name="x.csv", content_type="text/csv; charset=utf-8")],
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
    signed = (
        b"To: a@b.cz\nContent-Type: multipart/signed; boundary=b\n\n--b\n\ntext\n--b\n"
        b"Content-Type: application/pgp-signature\n\nsig\n--b--\n"
    )
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


def test_a_text_that_is_attached_without_a_name_is_no_body() -> None:
    octets = (
        b"To: a@b.cz\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        b"--b\r\nContent-Disposition: attachment\r\n\r\nlog\r\n--b\r\n\r\nhello\r\n--b--\r\n"
    )
    parts = content_of(octets).parts()
    assert parts.text == "hello"
    assert [b"".join(part.open()) for part in parts.attachments] == [b"log"]
