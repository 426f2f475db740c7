"""What the other side said is made fit to be shown: nothing in it moves a cursor, turns a line or hides."""

from __future__ import annotations

import unicodedata

import pytest

from franking import text
from franking.text import (
    blanked,
    bounded,
    escaped,
    json_object,
    nearest,
    one_line,
    page_text,
    shortened,
    size_in_words,
    visible,
)


@pytest.mark.parametrize("char", ["\x00", "\x1b", "\x7f", "\x85", "\u2028", "\ud800", "\ufeff", "\xad"])
def test_what_does_not_print_is_an_escape(char: str) -> None:
    assert escaped(f"a{char}b") == f"a{ascii(char)[1:-1]}b"


def test_what_prints_stays_as_it_is() -> None:
    assert escaped("Čekání – 20 % 👍") == "Čekání – 20 % 👍"


@pytest.mark.parametrize("char", text.DIRECTION_MARKS + text.DIRECTION_CONTROLS + text.JOINERS)
def test_no_invisible_character_is_left(char: str) -> None:
    assert unicodedata.category(char) == "Cf"
    for shown in (escaped(char), visible(char), bounded(char)):
        assert shown == f"\\u{ord(char):04x}"
    assert blanked(f"a{char}b") == "a b"


def test_the_direction_controls_are_those_of_unicode() -> None:
    turning = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
    listed = [chr(code) for code in range(0x110000) if unicodedata.bidirectional(chr(code)) in turning]
    assert sorted(listed) == sorted(text.DIRECTION_CONTROLS)


def test_a_visible_text_is_one_line_without_blanks_at_its_ends() -> None:
    assert visible("  535 5.7.8\r\n\tno\u2003such  user ") == "535 5.7.8 no such user"


def test_a_non_breaking_blank_is_shown_where_a_server_repeats_it_and_is_a_blank_in_a_web_services_words() -> None:
    assert visible("heslo\xa0") == "heslo\\xa0"
    assert bounded("Erreur\xa0: refusé") == "Erreur : refusé"


def test_as_many_characters_as_the_limit_stay_whole_and_one_more_is_cut() -> None:
    assert shortened("abcd", 4) == "abcd"
    assert shortened("abcde", 4) == "abc…"
    assert visible("a" * 2000) == "a" * 2000
    assert visible("a" * 2001) == bounded("a" * 2001) == "a" * 1999 + "…"


def test_escapes_count_towards_the_limit() -> None:
    assert visible("\x1b" * 10, 10) == "\\x1b\\x1b\\…"


def test_a_flood_of_blanks_is_not_searched_for_words() -> None:
    assert visible(" " * 40 + "late", 10) == ""
    assert visible(" " * 36 + "soon", 10) == "soon"


def test_one_line_has_blanks_for_what_does_not_print_and_ends_at_the_limit() -> None:
    assert one_line("no\r\n such\x1buser", 400) == "no such user"
    assert one_line("abcdef", 5) == "abcde"


def test_blanks_stay_where_only_what_does_not_print_is_replaced() -> None:
    assert blanked("a\n\n  b") == "a    b"


def test_a_page_is_its_words() -> None:
    assert page_text(b"<html><h1>502</h1>\r\n<p>Bad\xff gateway</p>") == "502 Bad\ufffd gateway"
    assert page_text(b"Not Found") == "Not Found"
    assert page_text(b" " * 4000 + b"late") == ""


def test_a_slip_of_the_pen_finds_the_known_word() -> None:
    assert nearest("user-name", ["username", "host", "port"]) == "username"
    assert nearest("HOTS", ["username", "host", "port"]) == "host"
    assert nearest("colour", ["username", "host", "port"]) is None


@pytest.mark.parametrize("text", ['{"a": 1}', b'{"a": 1}'])
def test_a_json_object_is_read(text: str | bytes) -> None:
    assert json_object(text) == {"a": 1}


@pytest.mark.parametrize(
    "text",
    ["", "{", "[1]", "null", '"text"', "<html>", b"\xff\xfe\xff", b'{"a": "\xff"}', "[" * 100_000, '{"a":' * 100_000],
)
def test_what_is_no_json_object_is_none(text: str | bytes) -> None:
    assert json_object(text) is None


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1 KiB"),
        (1430, "1.4 KiB"),
        (26_214_400, "25 MiB"),
        (26_214_401, "25.0 MiB"),
        (3_000_000, "2.9 MiB"),
    ],
)
def test_sizes_are_as_a_person_reads_them(size: int, words: str) -> None:
    assert size_in_words(size) == words
