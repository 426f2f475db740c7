"""Replies, capabilities, command lines and dot-stuffing: octets and values, no sockets."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from franking.errors import MessageError
from franking.smtp import protocol
from franking.smtp.protocol import DotStuffer, Reply, ReplyReader, command, parse_ehlo, readable
from servers.dialogue import offers


def read(*pieces: bytes) -> ReplyReader:
    reader = ReplyReader()
    for piece in pieces:
        reader.feed(piece)
    return reader


@pytest.mark.parametrize(
    ("octets", "code", "enhanced", "text"),
    [
        (b"250 ok\r\n", 250, None, "ok"),
        (b"250\r\n", 250, None, ""),
        (b"250 2.1.0 sender ok\n", 250, "2.1.0", "sender ok"),
        (
            b"535-5.7.8 Username and Password not accepted. For more\r\n535 5.7.8  go to x\r\n",
            535,
            "5.7.8",
            "Username and Password not accepted. For more go to x",
        ),
        (b"550-first\r\n550-5.1.1 second\r\n550 third\r\n", 550, "5.1.1", "first second third"),
        (b"550 5.7.1\r\n", 550, "5.7.1", ""),
        (b"250 2.0.0.1 is no enhanced code\r\n", 250, None, "2.0.0.1 is no enhanced code"),
        ("550 nepřijato\r\n".encode(), 550, None, "nepřijato"),
        (b"550 \xff\x1b[31mred\x07\r\n", 550, None, "\\xff\\x1b[31mred\\x07"),
        ("550 abc\u202egnp.exe\r\n".encode(), 550, None, "abc\\u202egnp.exe"),
    ],
)
def test_a_reply_gives_code_enhanced_code_and_readable_text(
    octets: bytes, code: int, enhanced: str | None, text: str
) -> None:
    (reply,) = read(octets).replies
    assert (reply.code, reply.enhanced, reply.text) == (code, enhanced, text)
    assert str(reply) == " ".join(part for part in (str(code), enhanced, text) if part)


@given(st.integers(0, 2**32))
def test_replies_cut_anywhere_read_the_same(seed: int) -> None:
    octets = b"220 hi\r\n250-a\r\n250-b\r\n250 c\r\n354 go\r\n"
    dice = random.Random(seed)
    cuts = sorted(dice.randrange(len(octets) + 1) for _ in range(6))
    pieces = [octets[start:end] for start, end in zip([0, *cuts], [*cuts, len(octets)], strict=True)]
    assert list(read(*pieces).replies) == [Reply(220, (b"hi",)), Reply(250, (b"a", b"b", b"c")), Reply(354, (b"go",))]


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"* OK IMAP4 ready\r\n", "not-smtp"),
        (b"+OK POP3\r\n", "not-smtp"),
        (b"HTTP/1.1 400 Bad Request\r\n", "not-smtp"),
        (b"\r\n", "not-smtp"),
        (b"25\r\n", "not-smtp"),
        (b"2500 ok\r\n", "not-smtp"),
        (b"150 ok\r\n", "not-smtp"),
        (b"650 ok\r\n", "not-smtp"),
        ("２５０ ok\r\n".encode(), "not-smtp"),
        (b"250-one\r\n251 two\r\n", "mixed-codes"),
        (b"250 " + b"x" * 9000, "line-too-long"),
        (b"250 " + b"x" * 9000 + b"\r\n", "line-too-long"),
        (b"250-x\r\n" * 501, "reply-too-long"),
        ((b"250-" + b"x" * 8000 + b"\r\n") * 9, "reply-too-long"),
        (b"250 ok\r\n" * 5001, "too-many-replies"),
    ],
)
def test_what_is_no_reply_is_a_fault_and_ends_the_reading(octets: bytes, reason: str) -> None:
    reader = read(octets)
    assert reader.fault is not None
    assert reader.fault.reason == reason
    assert len(reader.fault.text) < 1000
    seen = len(reader.replies)
    reader.feed(b"250 ok\r\n")
    assert len(reader.replies) == seen


def test_replies_before_a_fault_are_kept() -> None:
    reader = read(b"250 accepted\r\nrubbish\r\n250 late\r\n")
    assert [reply.code for reply in reader.replies] == [250]
    assert reader.fault is not None


def test_memory_stays_bounded_under_an_endless_line() -> None:
    reader = read(*[b"x" * 65536] * 200)
    assert len(reader.pending) <= protocol.LINE_LIMIT


def test_a_long_text_is_cut() -> None:
    (reply,) = read((b"550-" + b"y" * 3000 + b"\r\n") + b"550 z\r\n").replies
    assert len(reply.text) == protocol.TEXT_LIMIT
    assert reply.text.endswith("…")


def test_nothing_that_a_server_sends_reaches_a_terminal_unescaped() -> None:
    assert readable(bytes(range(256))).isprintable()
    assert readable("\u200f\u2066a\ud7ff".encode()) == "\\u200f\\u2066a\\ud7ff"


def test_ehlo_is_read_once_and_both_spellings_of_auth_add_up() -> None:
    capabilities = offers(
        "SIZE 35882577", "8BITMIME", "auth LOGIN PLAIN xoauth2", "AUTH=LOGIN CRAM-MD5", "STARTTLS", "PIPELINING", ""
    )
    assert capabilities.auth == ("LOGIN", "PLAIN", "XOAUTH2", "CRAM-MD5")
    assert capabilities.size == 35882577
    assert "STARTTLS" in capabilities
    assert "CHUNKING" not in capabilities
    assert capabilities.name == "mx.example.test"


@pytest.mark.parametrize(
    ("line", "size"),
    [("SIZE", None), ("SIZE 0", None), ("SIZE 10", 10), ("SIZE ten", None), ("SIZE " + "9" * 5000, None)],
)
def test_size_without_a_sensible_number_is_no_limit(line: str, size: int | None) -> None:
    assert offers(line).size == size


def test_extensions_can_be_left_out() -> None:
    left = offers("CHUNKING", "PIPELINING", "SIZE 10").without(["chunking", "size"])
    assert set(left.words) == {"PIPELINING"}
    assert left.size is None


@given(st.binary(max_size=300))
def test_no_ehlo_answer_breaks_the_parser(octets: bytes) -> None:
    parse_ehlo(Reply(250, tuple(octets.split(b"\n"))))


@pytest.mark.parametrize("char", ["\r", "\n", "\0", "\r\n", "\ud800"])
def test_no_command_carries_a_second_one(char: str) -> None:
    with pytest.raises(MessageError):
        command(f"EHLO a{char}MAIL FROM:<x@y.test>")


def unstuff(octets: bytes) -> bytes:
    """Read DATA as a strict server does."""
    lines = octets.split(b"\r\n")
    end = lines.index(b".")
    assert lines[end + 1 :] == [b""], "something follows the end of the message"
    return b"".join((line[1:] if line[:1] == b"." else line) + b"\r\n" for line in lines[:end])


@given(
    st.lists(st.sampled_from([b".", b"..", b"a", b"\r\n", b"\r\n.", b"x.y", b"\r\n.\r\n", b""]), max_size=30),
    st.integers(1, 5),
)
def test_content_survives_dot_stuffing_whatever_the_chunks(parts: list[bytes], size: int) -> None:
    content = b"".join(parts)
    stuffer = DotStuffer()
    octets = (
        b"".join(stuffer.feed(content[start : start + size]) for start in range(0, len(content), size)) + stuffer.end()
    )
    assert unstuff(octets) == (content if content.endswith(b"\r\n") or not content else content + b"\r\n")


def test_a_bare_line_feed_smuggles_no_end_of_message() -> None:
    stuffer = DotStuffer()
    octets = stuffer.feed(b"a\n.\r\nMAIL FROM:<x@y.test>\r\n") + stuffer.end()
    assert b"\n.\r\nMAIL" not in octets


def test_a_content_that_ends_in_a_bare_line_feed_still_ends() -> None:
    stuffer = DotStuffer()
    assert stuffer.feed(b"a\n") + stuffer.end() == b"a\n\r\n.\r\n"


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"250 " + b"x" * 8188 + b"\n", None),
        (b"250 " + b"x" * 8189 + b"\n", "line-too-long"),
        (b"250 " + b"x" * 8188, None),
        (b"250 " + b"x" * 8189, "line-too-long"),
        (b"250-x\r\n" * 499 + b"250 x\r\n", None),
        (b"250-x\r\n" * 500 + b"250 x\r\n", "reply-too-long"),
        (b"250-" + b"x" * 8188 + b"\n", None),
        ((b"250-" + b"x" * 8188 + b"\n") * 8 + b"250 " + b"x" * 32 + b"\n", None),
        ((b"250-" + b"x" * 8188 + b"\n") * 8 + b"250 " + b"x" * 33 + b"\n", "reply-too-long"),
        (b"250 ok\r\n" * 5000, None),
    ],
)
def test_what_is_exactly_as_long_as_it_may_be_is_read(octets: bytes, reason: str | None) -> None:
    fault = read(octets).fault
    assert (fault.reason if fault else None) == reason


def test_one_reply_begins_where_the_other_ended() -> None:
    """The size of the one does not count for the next."""
    long = b"250-" + b"x" * 8000 + b"\r\n"
    reader = read((long * 7 + b"250 x\r\n") * 3)
    assert reader.fault is None
    assert [len(reply.lines) for reply in reader.replies] == [8, 8, 8]


def test_a_fault_hides_a_secret_that_is_echoed_in_it() -> None:
    reader = ReplyReader()
    reader.redact = lambda line: line.replace(b"Canary7", b"x")
    reader.feed(b"you said Canary7\r\n")
    assert reader.fault is not None
    assert reader.fault.text == "you said x"


@pytest.mark.parametrize(("code", "temporary"), [(399, False), (400, True), (499, True), (500, False), (250, False)])
def test_a_reply_is_temporary_from_400_to_499(code: int, temporary: bool) -> None:
    assert Reply(code).temporary is temporary


@pytest.mark.parametrize(
    "said",
    [
        b"250 a\r\n250 b\r\n354 c\r\n",
        b"250\r\n250 \r\n",
        b"250 a\n250 b\r\n",
        b"250 a\r\n250 b\n",
        b"250 a\r\r\n250\r\r\n",
        b"250 a\r250 b\r\n",
        b"250-a\r\n250 b\r\n250 c\r\n",
        b"250 a\r\n250-b\r\n250 c\r\n",
        b"250 a\r\n250 b",
        b"250 a\r\nhello\r\n250 c\r\n",
        b"250 a\r\n250xb\r\n",
        b"250 a\r\n199 b\r\n",
        b"\r\n",
        b"250 " + b"x" * 9000 + b"\r\n",
        b"250 a\r\n" * 2000,
        b"250 a\r\n" * 6000,
    ],
)
@pytest.mark.parametrize("redact", [None, lambda octets: octets.replace(b"a", b"*")])
def test_replies_that_come_at_once_are_the_same_as_piece_by_piece(said: bytes, redact: Any) -> None:
    at_once, by_octet = ReplyReader(), ReplyReader()
    at_once.redact = by_octet.redact = redact
    at_once.feed(said)
    for number in range(len(said)):
        by_octet.feed(said[number : number + 1])
    assert list(at_once.replies)[:5000] == list(by_octet.replies)[:5000]
    assert (at_once.fault is None, at_once.partial) == (by_octet.fault is None, by_octet.partial)
    if at_once.fault is not None and by_octet.fault is not None:
        assert (at_once.fault.reason, at_once.fault.text) == (by_octet.fault.reason, by_octet.fault.text)
    assert at_once.pending == by_octet.pending
