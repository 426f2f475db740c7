"""Lines of more than 998 octets in what somebody else composed: encoded anew, and nothing that the message says
changes.
"""

from __future__ import annotations

import base64
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from franking.message.lines import shortened
from message.sent import content_of, parsed

HEAD = b"From: a@b.cz\r\nTo: c@d.cz\r\nDate: Mon, 02 Nov 2026 10:00:00 +0100\r\nMessage-ID: <1@b>\r\n"
LONG = b"long " * 500 + b"end"
PNG = bytes(range(9, 256)) * 40


def short(message: bytes) -> bytes | None:
    """Return the message as it leaves; its size must be true, and its lines short."""
    content = shortened(content_of(message))
    if content is None:
        return None
    octets = b"".join(content.chunks(bcc=False))
    assert len(octets) == content.size
    assert max(map(len, octets.split(b"\r\n"))) <= 998
    assert octets.count(b"\r\n") == octets.count(b"\n") == octets.count(b"\r")
    assert content.eight_bit is not octets.partition(b"\r\n\r\n")[2].isascii()
    assert content.message_id == "<1@b>"
    return octets


def said(octets: bytes) -> list[tuple[str, bytes]]:
    """Return what the leaves of a message say, decoded, with their types."""
    return [
        (part.get_content_type(), part.get_payload(decode=True))  # type: ignore[misc]
        for part in parsed(octets).walk()
        if not part.is_multipart()
    ]


def multipart(*parts: bytes, kind: bytes = b"mixed", before: bytes = b"", behind: bytes = b"\r\n") -> bytes:
    body = b"".join(b"\r\n--b\r\n" + part for part in parts)
    return HEAD + b"Content-Type: multipart/" + kind + b'; boundary="b"\r\n\r\n' + before + body + b"\r\n--b--" + behind


def test_cron_s_text_says_the_same_in_quoted_printable() -> None:
    octets = short(HEAD + b"Subject: x\r\n\r\nfirst\r\n" + LONG + b"\r\nlast = \r\n")
    assert octets is not None
    message = parsed(octets)
    assert message.get_payload(decode=True) == b"first\r\n" + LONG + b"\r\nlast = \r\n"
    assert (message["MIME-Version"], message.get_content_type(), message.get_content_charset()) == (
        "1.0",
        "text/plain",
        "us-ascii",
    )
    assert message["Content-Transfer-Encoding"] == "quoted-printable"
    assert message["Subject"] == "x"


@pytest.mark.parametrize(
    ("text", "encoding", "charset"),
    [
        ("Příliš žluťoučký kůň. ".encode() * 100, "base64", "utf-8"),
        (b"pr\xedli\xb9 dlouh\xfd text bez konce ... " * 100, "quoted-printable", "unknown-8bit"),
        (LONG, "quoted-printable", "us-ascii"),
    ],
)
def test_a_text_of_no_known_charset_is_labelled_with_what_is_known(text: bytes, encoding: str, charset: str) -> None:
    octets = short(HEAD + b"\r\n" + text + b"\r\n")
    assert octets is not None
    message = parsed(octets)
    assert message.get_payload(decode=True) == text + b"\r\n"
    assert (message["Content-Transfer-Encoding"], message.get_content_charset()) == (encoding, charset)


def test_php_s_html_keeps_its_own_labels() -> None:
    head = (
        HEAD
        + b"MIME-Version: 1.0\r\nContent-type: text/html; charset=iso-8859-2\r\nContent-Transfer-Encoding: 8bit\r\n"
    )
    html = b"<p>" + b"pr\xedli\xb9 dlouh\xfd text bez konce ... " * 100 + b"</p>"
    octets = short(head + b"\r\n" + html + b"\r\n")
    assert octets is not None
    assert octets.startswith(head.replace(b"8bit", b"quoted-printable"))
    assert said(octets) == [("text/html", html + b"\r\n")]


def test_only_the_part_with_the_long_line_changes() -> None:
    text = b"Content-Type: text/plain\r\n\r\nshort ==\r\n"
    html = b"Content-Type: text/html\r\n\r\n" + LONG
    data = b"Content-Type: application/json\r\nX-Odd:  two\r\n\r\n" + b'{"a":1}' * 300
    message = multipart(text, html, data, b"\r\nno header " + LONG, b"Content-Type: text/plain\r\n\r\n")
    octets = short(message)
    assert octets is not None
    assert text in octets and b"X-Odd:  two\r\n" in octets
    assert said(octets) == said(message)
    encodings = [part["Content-Transfer-Encoding"] for part in parsed(octets).walk()]
    assert encodings == [None, None, "quoted-printable", "base64", "quoted-printable", None]


def test_parts_in_parts_and_messages_in_messages() -> None:
    inner = b'Content-Type: multipart/alternative; boundary="bb"\r\n\r\n--bb\r\n\r\n' + LONG + b"\r\n--bb--"
    forwarded = b"Content-Type: message/rfc822\r\n\r\nFrom: x@y.cz\r\nSubject: y\r\n\r\n" + LONG
    message = multipart(inner, forwarded)
    octets = short(message)
    assert octets is not None
    assert said(octets) == said(message)
    assert octets.count(b"quoted-printable") == 2


@pytest.mark.parametrize(
    ("encoding", "encoded", "plain"),
    [
        (b"base64", base64.b64encode(PNG), PNG),
        (b"BASE64", base64.b64encode(PNG)[:1003] + b"\r\n" + base64.b64encode(PNG)[1003:], PNG),
        (b"quoted-printable", b"".join(b"=%02x" % octet for octet in PNG), PNG),
        (
            b"Quoted-Printable",
            b"x" + b"=3D" * 700 + b"=\r\n" + b"x" * 999 + b" =\r\n",
            b"x" + b"=" * 700 + b"x" * 999 + b" ",
        ),
    ],
)
def test_what_is_encoded_gets_more_lines(encoding: bytes, encoded: bytes, plain: bytes) -> None:
    part = b"Content-Type: image/png\r\nContent-Transfer-Encoding: " + encoding + b"\r\n\r\n" + encoded
    octets = short(multipart(part))
    assert octets is not None
    assert [content for _, content in said(octets)] == [plain]


def test_a_long_header_field_is_folded_at_its_blanks() -> None:
    everybody = ", ".join(f"somebody{number}@example.com" for number in range(100))
    octets = short(HEAD.replace(b"c@d.cz", everybody.encode()) + b"Bcc: " + everybody.encode() + b"\r\n\r\nx\r\n")
    assert octets is not None
    assert " ".join(parsed(octets)["To"].split()) == everybody
    assert parsed(octets)["Bcc"] is None


@pytest.mark.parametrize(
    "message",
    [
        HEAD + b"\r\nshort\r\n",
        HEAD + b"\r\n" + b"x" * 998 + b"\r\n",
        HEAD + b"DKIM-Signature: v=1; bh=x\r\n\r\n" + LONG + b"\r\n",
        HEAD + b"arc-seal: i=1\r\n\r\n" + LONG + b"\r\n",
        multipart(LONG, b"signature", kind=b"signed"),
        multipart(LONG, kind=b"encrypted"),
        multipart(LONG, kind=b"digest"),
        multipart(b"Content-Type: message/rfc822\r\n\r\nDKIM-Signature: v=1\r\n\r\n" + LONG),
        multipart(b"Content-Type: message/delivery-status\r\n\r\n" + LONG),
        multipart(b"Content-Type: text/plain\r\nContent-Transfer-Encoding: x-uuencode\r\n\r\n" + LONG),
        multipart(b"Content-Transfer-Encoding: 8bit\r\nContent-Transfer-Encoding: 7bit\r\n\r\n" + LONG),
        multipart(b"x", before=LONG),
        multipart(b"x", behind=b"\r\n" + LONG + b"\r\n"),
        HEAD + b"Content-Type: multipart/mixed\r\n\r\n" + LONG + b"\r\n",
        HEAD
        + b"Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + LONG
        + b"\r\n",
        HEAD + b"X-Long: " + b"x" * 1000 + b"\r\n\r\nx\r\n",
        multipart(b"X-NUL: \0\r\n\r\n" + LONG),
        multipart(b"X: y\r\nno field\r\n" + LONG),
    ],
)
def test_what_is_short_signed_or_odd_stays_as_it_is(message: bytes) -> None:
    assert short(message) is None


def test_an_unsigned_part_beside_a_signed_one_may_change() -> None:
    signed = b'Content-Type: multipart/signed; boundary="s"\r\n\r\n--s\r\n\r\nsigned =\r\n--s--'
    octets = short(multipart(signed, b"\r\n" + LONG))
    assert octets is not None
    assert signed in octets


def test_a_message_of_the_standard_library() -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Message-ID"] = "a@b.cz", "c@d.cz", "<1@b>"
    message.set_content("x" * 3000, cte="7bit")
    content = shortened(content_of(message))
    assert content is not None
    assert parsed(b"".join(content.chunks(bcc=False))).get_content() == "x" * 3000 + "\r\n"


PIECES = st.sampled_from(
    [b"x" * 999, b"\xc5\xa1" * 600, b" ", b"=", b"=3D", b".", b"\r\n", b"From ", b"\t", b"--b", b"\0"]
)


@given(st.lists(PIECES, max_size=12).map(b"".join), st.sampled_from([b"text/plain", b"application/pdf"]))
def test_whatever_is_in_it_the_content_stays(body: bytes, kind: bytes) -> None:
    message = HEAD + b"Content-Type: " + kind + b"\r\n\r\n" + body + b"\r\n"
    octets = short(message)
    if octets is None:
        assert b"x" * 999 not in body and b"\xc5\xa1" * 600 not in body
        return
    assert said(octets) == [(kind.decode(), body + b"\r\n")]
