"""Header fields: folded, encoded, never longer than a line may be; the Date and the Message-ID that are made here."""

from __future__ import annotations

import contextlib
import re
import socket
from email import policy
from types import SimpleNamespace

import pytest

from franking.errors import MessageError
from franking.message.attachment import Attachment
from franking.message.headers import custom_field, disposition, field, read_addresses
from franking.message.message import Message
from message.sent import SENDER, content_of, parsed, sent


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


def test_a_line_has_78_characters_and_no_more() -> None:
    for length in range(60, 90):
        lines = field("Subject", "x" * 20 + " " + "y" * (length - 30)).split("\r\n")[:-1]
        assert max(map(len, lines)) <= 78
        assert len(lines) == (1 if length <= 78 else 2), length


def test_a_word_fills_a_line_of_998_characters_and_one_more_is_encoded() -> None:
    assert field("X-Long", "x" * 989) == "X-Long: " + "x" * 989 + "\r\n"
    for length in range(980, 1005):
        written = field("X-Long", "x" * length)
        assert max(map(len, written.split("\r\n"))) <= 998
        assert str(parsed(written.encode() + b"\r\n")["x-long"]) == "x" * length


def test_a_line_that_cannot_be_folded_is_refused() -> None:
    assert len(field("X" * 980, "č")) == 998 + 2
    with pytest.raises(MessageError, match="longer than 998") as caught:
        field("X" * 981, "č")
    assert caught.value.field == "x" * 981


def test_every_blank_of_a_folded_field_is_kept() -> None:
    value = "word" + "  \t ".join(["x" * 20] * 6)
    assert field("X-A", value).replace("\r\n", "") == f"X-A: {value}"


def test_a_sender_outside_ascii_stays_readable_for_machines_however_the_field_is_written() -> None:
    for name in ("Sender", "sender", "SENDER", "Errors-To"):
        assert custom_field(name, "Jiří <jiri@novak.cz>").endswith(" <jiri@novak.cz>\r\n")
    assert "<jiri@" not in custom_field("X-Other", "Jiří <jiri@novak.cz>")


@pytest.mark.parametrize(
    "name", ["100%.pdf", "č" * 8 + "xx", "č" * 40 + ".pdf", "a" + "č" * 60, "ab" + "😀" * 30, 'q".txt']
)
def test_a_file_name_arrives_whole_and_no_escape_is_cut(name: str) -> None:
    written = disposition("attachment", name)
    assert max(map(len, written.split("\r\n"))) <= 78
    for line in written.split("\r\n"):
        assert not re.search(r"%[0-9A-F]?;?\Z", line)
    assert parsed(written.encode() + b"\r\n").get_filename() == name


def test_a_percent_sign_is_encoded_because_some_readers_decode_it() -> None:
    assert disposition("attachment", "100%.pdf") == (
        "Content-Disposition: attachment;\r\n filename*=utf-8''100%25.pdf\r\n"
    )


def test_the_pieces_of_a_long_file_name_are_numbered_from_zero() -> None:
    written = disposition("attachment", "č" * 40)
    assert "\r\n filename*0*=utf-8''%C4%8D" in written
    assert "\r\n filename*1*=%" in written
    assert "filename*=utf-8''" in disposition("attachment", "č" * 8)
    assert disposition("inline", None) == "Content-Disposition: inline\r\n"


@pytest.mark.parametrize(
    "subject",
    ["=?utf-8?q?x?=", "Re: =?UTF-8?B?eA==?= why?", "=?a?b?c?==?a?q?c?=", "=?utf-8?q?two words?=", "Ž =?utf-8?q?x?="],
)
def test_a_subject_that_looks_like_an_encoded_word_arrives_as_typed(subject: str) -> None:
    assert str(parsed(sent(Message(to="a@b.cz", subject=subject)))["subject"]) == subject


@pytest.mark.parametrize("subject", ["=?", "is 1=?2", "a?=b=?c", "https://example.com/?a=?b"])
def test_what_nobody_would_decode_is_not_encoded(subject: str) -> None:
    assert f"\r\nSubject: {subject}\r\n".encode() in sent(Message(to="a@b.cz", subject=subject))


def test_a_file_s_name_that_looks_like_an_encoded_word_arrives_as_typed() -> None:
    name = "=?utf-8?q?x.txt?="
    octets = sent(Message(to="a@b.cz", attachments=[Attachment(data=b"x", name=name)]))
    (part,) = parsed(octets).iter_attachments()
    assert part.get_filename() == name
    assert f'"{name}"'.encode() not in octets


# -- long fields that somebody else wrote ------------------------------------------------------------------------------

ODD = [
    '"Novák, Jan" <jan@example.cz>',
    "Petr (at work, mostly) <petr@example.cz>",
    "eva@example.cz (Eva)",
    "friends: a@example.cz, b@example.cz;",
    "nobody:;",
    "<@relay.example,@other.example:route@example.cz>",
    '"quoted \\" sign, too" <quoted@example.cz>',
    "plain@example.cz",
    "=?utf-8?q?Eva_Nov=C3=A1kov=C3=A1?= <novakova@example.cz>",
]


def test_a_long_field_is_read_as_a_short_one() -> None:
    short = [address for item in ODD for address in read_addresses(item, "to")]
    assert len(short) == 9
    assert list(read_addresses(", ".join(ODD * 100), "to")) == short * 100


BURDENS = ['"', '"a', "(", "<", "[ ", "a,", "\\", '"\\', "=?utf-8?q?a?=", ":;", "a <b@c.cz", "@", "."]


@pytest.mark.parametrize("sign", BURDENS)
def test_the_full_parser_gets_nothing_long(sign: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes time by the square of what it gets: 12 s for 20,000 quotation marks."""
    handed: list[int] = []
    parse = policy.default.header_factory

    def watched(name: str, text: str) -> object:
        handed.append(len(text))
        return parse(name, text)

    monkeypatch.setattr("email.policy.default", SimpleNamespace(header_factory=watched))
    with contextlib.suppress(MessageError):
        read_addresses(sign * 20_000, "to")
    assert sum(handed) <= 2_000
