"""What must not be shown is taken out: secrets in every form, tokens, one-time addresses; the rest stays."""

from __future__ import annotations

import base64
import html
import json
import quopri
import re
from collections.abc import Callable
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from franking import redaction
from franking.redaction import HIDDEN, RUN, Redactor, redacted, without_queries

SECRET = 'pa ss/wörd"+&'


@pytest.mark.parametrize(
    "shown",
    [
        SECRET,
        base64.b64encode(SECRET.encode()).decode(),
        base64.b64encode(SECRET.encode()).decode().rstrip("="),
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
        quote(SECRET),
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        re.sub("%..", lambda code: code[0].lower(), quote(SECRET, safe="")),
        html.escape(SECRET),
        json.dumps(SECRET)[1:-1],
    ],
)
def test_a_secret_is_hidden_in_every_form(shown: str) -> None:
    line = redacted(f"said {shown} to me", Redactor([SECRET]))
    assert line.startswith(f"said {HIDDEN}") and line.endswith("to me")
    assert shown.rstrip("=") not in line


def test_a_blank_that_was_doubled_hides_nothing() -> None:
    assert redacted("said my  long   secret", Redactor(["my  long   secret"])) == f"said {HIDDEN}"


def test_of_three_characters_a_secret_is_a_word_and_of_four_it_is_hidden_anywhere() -> None:
    redactor = Redactor(["abc", "", "wxyz"])
    assert redactor("xabcx abc xwxyzx") == f"xabcx {HIDDEN} x{HIDDEN}x"
    assert Redactor(["a"])("a bad a-b cat a") == f"{HIDDEN} bad {HIDDEN}-b cat {HIDDEN}"


def test_of_two_secrets_the_longer_is_hidden_whole() -> None:
    redactor = Redactor()
    redactor.add("heslo")
    redactor.add("heslo-a-delsi", "", "heslo")
    assert redactor("535 heslo-a-delsi heslo") == f"535 {HIDDEN} {HIDDEN}"
    assert repr(redactor) == "Redactor(2 secrets)"
    assert redactor and not Redactor() and not Redactor([""])


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Authorization: Bearer abc.DEF-123456", f"Authorization: Bearer {HIDDEN}"),
        ("basic authentication is off", "basic authentication is off"),
        ("AUTH XOAUTH2 dXNlcj1qYW4=", f"AUTH XOAUTH2 {HIDDEN}"),
        ('{"refresh_token": "x y", "a": 1}', f'{{refresh_token {HIDDEN}, "a": 1}}'),
        ("client_secret=abc&code=1", f"client_secret {HIDDEN}&code=1"),
        ("token ya29.a0AfB_byC-12345 ended", f"token {HIDDEN} ended"),
        ("smtp://jan:hunter2@novak.cz failed", f"smtp://jan:{HIDDEN}@novak.cz failed"),
        ("see https://support.google.com/mail/?p=BadCredentials now",
        "see https://support.google.com/mail/?p=BadCredentials now"),
        ("see https://a.cz/x?p=1&t=secret now", "see https://a.cz/x?… now"),
        ("sign in <https://a.cz/continue?sarp=1 &plt=AKg> please", "sign in <https://a.cz/continue?…> please"),
    ],
)  # fmt: skip
def test_what_is_like_a_secret_goes_and_what_tells_something_stays(text: str, line: str) -> None:
    assert redacted(text) == line


def test_a_text_without_an_address_stays_as_it_is() -> None:
    assert without_queries("really? yes?no") == "really? yes?no"


def test_it_is_one_bounded_line() -> None:
    line = redacted("a\r\n\x1b[31mb\u202e " * 1000, limit=50)
    assert len(line) == 50 and line.isprintable() and line.startswith("a \\x1b[31mb")


def test_both_alphabets_of_base64_are_hidden() -> None:
    secret = "~~~???>>>"
    usual, for_urls = base64.b64encode(secret.encode()).decode(), base64.urlsafe_b64encode(secret.encode()).decode()
    assert usual != for_urls
    assert redacted(f"a {usual} b {for_urls} c", Redactor([secret])) == f"a {HIDDEN} b {HIDDEN} c"


# -- cut, folded, encoded ----------------------------------------------------------------------------------------------

ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda data: data,
    "base64": base64.b64encode,
    "base64 for URLs": base64.urlsafe_b64encode,
    "hexadecimal": lambda data: data.hex().encode(),
    "HEXADECIMAL": lambda data: data.hex().upper().encode(),
    "percent": lambda data: quote(data, safe="").encode(),
    "quoted-printable": lambda data: quopri.encodestring(data).rstrip(b"="),
    "HTML": lambda data: html.escape(data.decode("utf-8", "replace")).encode(),
    "JSON": lambda data: json.dumps(data.decode("utf-8", "replace"))[1:-1].encode(),
}
FOLDS = ["", " ", "\r\n\t", "\n", "=\n", "\n5.7.8 ", "\n501-5.5.4 ", "  \n 501 5.7.8 "]


def runs(text: str) -> set[str]:
    return {text[at : at + RUN] for at in range(len(text) - RUN + 1)}


@pytest.mark.parametrize("encoding", ENCODINGS)
@settings(max_examples=60)
@given(
    secret=st.text(st.characters(min_codepoint=33, max_codepoint=0x17F), min_size=RUN, max_size=60),
    before=st.sampled_from(["", "\0jana\0", "u", "user=jana\1auth=Bearer "]),
    behind=st.sampled_from(["", "\1\1", "x", ",xx"]),
    fold=st.sampled_from(FOLDS),
    width=st.integers(3, 60),
    cut=st.tuples(st.integers(0, 40), st.integers(0, 40)),
)
def test_no_run_of_a_secret_is_shown(
    encoding: str, secret: str, before: str, behind: str, fold: str, width: int, cut: tuple[int, int]
) -> None:
    encode = ENCODINGS[encoding]
    echo = encode(f"{before}{secret}{behind}".encode()).decode()
    echo = echo[cut[0] : len(echo) - cut[1]]
    folded = fold.join(echo[at : at + width] for at in range(0, len(echo), width))
    shown = Redactor([secret])(f"535-5.7.8 you said: {folded} , so no")
    assert shown.startswith("535-5.7.8 you said: ") and shown.endswith(", so no")
    hidden = {run for lead in range(3) for run in runs(whole(encode, lead, secret))}
    pieces = "".join("".join(shown.split()).replace(HIDDEN, "\0"))
    for code in ("501-5.5.4", "5015.7.8", "5.7.8", "="):
        pieces = pieces.replace(code, "")
    assert not runs(pieces) & hidden, shown


def whole(encode: Callable[[bytes], bytes], lead: int, secret: str) -> str:
    """Return what an encoding makes of a secret behind ``lead`` octets, without what those have a part in."""
    data = secret.encode()
    text = encode(b"x" * lead + data).decode()
    if encode in (base64.b64encode, base64.urlsafe_b64encode):
        return text.rstrip("=")[lead and lead + 1 : -1]
    return "".join(encode(data).decode().replace("=\n", "").split())


def test_what_was_cut_off_is_hidden_and_the_words_around_it_stay() -> None:
    line = base64.b64encode(f"\0jana\0{SECRET}-and-more-of-it".encode()).decode()
    redactor = Redactor([f"{SECRET}-and-more-of-it"])
    assert redactor(f"501 5.5.4 AUTH PLAIN {line[:30]}...") == f"501 5.5.4 AUTH PLAIN {line[:8]}{HIDDEN}..."
    assert redactor("Username and Password not accepted") == "Username and Password not accepted"


def test_each_line_of_a_folded_secret_is_hidden_on_its_own_line() -> None:
    shown = Redactor(["geheimes-Wort"])("no: gehei\n5.7.8 mes-W\n501 5.7.8 ort ok")
    assert shown == f"no: {HIDDEN}\n{HIDDEN}\n{HIDDEN} ok"


def test_what_is_public_is_hidden_as_the_whole_secret_only() -> None:
    redactor = Redactor(["jana.novakova1"], public=["jana.novakova@example.cz"])
    assert redactor("no mailbox jana.novakova@example.cz") == "no mailbox jana.novakova@example.cz"
    assert redactor("you said jana.novakova1, ovakova1") == f"you said {HIDDEN}, {HIDDEN}"


@pytest.mark.parametrize("secret", ["    ", " a b ", "\n\n\n\n", "====", "= = = ="])
def test_a_secret_of_next_to_nothing_hides_next_to_nothing(secret: str) -> None:
    redactor = Redactor([secret])
    assert redactor("535 5.7.8 no") == "535 5.7.8 no"
    assert secret.strip("\n ") not in redactor(f"535 |{secret}|") or not secret.strip()


# -- no more work than the text is long --------------------------------------------------------------------------------

PATTERNS = {name: text for name, text in vars(redaction).items() if re.match("_[A-Z]", name) and isinstance(text, str)}
PATTERNS["a word"] = Redactor(["abc"])._words[0]


@pytest.mark.parametrize("name", PATTERNS)
def test_nothing_that_must_follow_comes_behind_what_has_no_end(name: str) -> None:
    """A pattern that reads on and on and then fails begins again one character later: that took seconds."""
    check_ends(parser.parse(PATTERNS[name]))


def check_ends(items: Any, followed: bool = False) -> None:
    """Fail where in a parsed pattern something that needs a character comes behind a repetition without a bound."""
    for at, (kind, value) in reversed(list(enumerate(items))):
        behind = followed or any(needs_a_character(one) for one in list(items)[at + 1 :])
        if str(kind) in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            _, most, inner = value
            assert most != parser.MAXREPEAT or not behind, (kind, inner)
            check_ends(inner, behind)
        elif str(kind) == "SUBPATTERN":
            check_ends(value[-1], behind)
        elif str(kind) == "BRANCH":
            for branch in value[1]:
                check_ends(branch, behind)
        elif str(kind) in ("ASSERT", "ASSERT_NOT"):
            check_ends(value[1], True)


def needs_a_character(item: Any) -> bool:
    made = parser.SubPattern(parser.State(), [item])
    return bool(made.getwidth()[0])


def test_the_check_of_patterns_finds_what_it_looks_for() -> None:
    for bad in (r"a+b", r"(a+)b", r"(?:a+b)?c", r"(?=a*b)", r"(?:x|a*)(b|c)", r"a*+b"):
        with pytest.raises(AssertionError):
            check_ends(parser.parse(bad))
    for good in (r"a{1,9}b", r"ba+", r"b(a+c?)?", r"(?:x|ya*)$"):
        check_ends(parser.parse(good))


def test_each_place_of_a_text_is_looked_up_once() -> None:
    class Counting(set[str]):
        asked = 0

        def isdisjoint(self, other: Any) -> bool:
            self.asked += len(other)
            return super().isdisjoint(other)

        def __contains__(self, one: object) -> bool:
            self.asked += 1
            return super().__contains__(one)

    secret = "ab" * 400
    redactor = Redactor([secret])
    redactor("x" + secret)
    redactor._parts, redactor._runs = parts, whole_runs = Counting(redactor._parts), Counting(redactor._runs or ())
    text = "ab" * 8_000
    assert redactor(text) == HIDDEN
    assert parts.asked <= len(text) and whole_runs.asked <= len(text)
