"""What must not be shown is taken out: secrets in every form, tokens, one-time addresses; the rest stays."""

from __future__ import annotations

import base64
import html
import json
import re
from urllib.parse import quote, quote_plus

import pytest

from franking.redaction import HIDDEN, forms, redacted, without_queries

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
    line = redacted(f"said {shown} to me", forms([SECRET]))
    assert line.startswith(f"said {HIDDEN}") and line.endswith("to me")
    assert shown.rstrip("=") not in line


def test_a_blank_that_was_doubled_hides_nothing() -> None:
    assert redacted("said my  long   secret", forms(["my  long   secret"])) == f"said {HIDDEN}"


def test_the_longest_form_goes_first_and_short_secrets_are_no_secrets() -> None:
    assert forms(["abc", "", "abcd"]) == forms(["abcd"])
    found = forms([SECRET, "abcd"])
    assert list(found) == sorted(found, key=len, reverse=True)
    assert min(map(len, found)) == 4


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
    assert redacted(f"a {usual} b {for_urls} c", forms([secret])) == f"a {HIDDEN} b {HIDDEN} c"
