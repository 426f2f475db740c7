"""What errors say, in Czech: every sentence that the code can raise, those within sentences, and a server's words."""

from __future__ import annotations

import ast
import errno
import os
import re

import pytest

from diagnosis.raised import VALUE, modules, raised
from franking.diagnosis.texts import entries, said
from franking.errors import SettingsError
from franking.net import http_errors, tcp
from franking.sending import turns
from franking.smtp import connection

WITHIN = {
    "/etc/franking/accounts.toml: VALUE": "a place before another error's sentence",
    "VALUE, [accounts.VALUE]: VALUE": "likewise",
    "VALUE, [providers.VALUE]: VALUE": "likewise",
    "/etc/franking/accounts.toml, [providers.VALUE]: VALUE": "likewise",
    "account URL: VALUE": "likewise",
    "relay.VALUE": "the section before a field's own sentence",
    "relay.listen.VALUE": "likewise",
    "relay.users.VALUE.VALUE": "likewise",
    "The server name VALUE VALUE.": "the ends stand in a table, see below",
    "VALUE cannot be reached: VALUE.": "likewise",
}
"""Sentences that have no words of their own but these, and why."""


def own_words(sentence: str) -> str:
    """Return the words of a sentence that are its own: without values and a field's name before it."""
    return re.sub(rf"^[\w.]+: |{VALUE}|\W", "", sentence)


def test_every_sentence_that_is_raised_has_its_czech() -> None:
    found = [each for each in raised() if own_words(each.sentence)]
    assert len(found) > 400, "the code is read no more"
    missing = [
        f"{where}  {sentence}"
        for where, sentence in found
        if sentence not in WITHIN and said(sentence, "cs") == sentence
    ]
    assert not missing, "\n".join(missing)


def test_every_czech_sentence_is_of_one_that_is_said() -> None:
    """A sentence that is said no more would leave its Czech behind: most of its words stand in no file then."""
    told = "\n".join(
        node.value
        for module in modules().values()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    left = []
    for english in entries("cs", "errors.")["sentences"]:
        parts = [part for part in re.split(r"\{\w+\}", english) if re.search(r"\w", part)]
        runs = [" ".join(part.split(" ")[at : at + 2]) for part in parts for at in range(max(1, part.count(" ")))]
        if english not in SYSTEMS and 2 * sum(run in told for run in runs) < len(runs):
            left.append(english)
    assert not left, "\n".join(left)


SYSTEMS = {os.strerror(number) for number in errno.errorcode} | {
    "database or disk is full",
    "disk I/O error",
    "attempt to write a readonly database",
    "unable to open database file",
}
"""The words of the operating system and of SQLite, which stand in no file of ours."""


def test_what_stands_in_tables_has_its_czech() -> None:
    ends = [words for _, words, _ in tcp._RESOLVER_WORDS.values()]
    found = [f"The server name 'x' {end}." for end in ends]
    found += [f"x port 25 cannot be reached: {why}." for why in tcp._SENTENCES.values()]
    found += [f"x port 25 {what}." for what in (*connection._SENTENCES.values(), connection._NOT_SMTP)]
    found += [*http_errors._WORDS.values(), *(words.format(most=3) for words in turns._WHAT.values())]
    assert not [each for each in found if said(each, "cs") == each]


@pytest.mark.parametrize(
    ("sentence", "czech"),
    [
        ("line 3: to: The address 'x y' has a blank in it.", "řádek 3: to: Adresa 'x y' obsahuje mezeru."),
        ("/x/y.toml cannot be read: Permission denied.", "/x/y.toml nelze přečíst: přístup odepřen."),
        ("The server refused the login: 535 5.7.8 no\nmore: x", "Server odmítl přihlášení: 535 5.7.8 no\nmore: x"),
        ("port: 0 is below 1.", "port: 0 je méně než 1."),
    ],
)
def test_a_sentence_within_a_sentence(sentence: str, czech: str) -> None:
    assert said(sentence, "cs") == czech


def test_a_problem_is_told_in_the_language_of_its_diagnosis() -> None:
    error = SettingsError("/x/y.toml cannot be read: Permission denied.")
    assert error.diagnosis is not None
    czech = error.diagnosis.in_language("cs")
    assert czech.cause == "/x/y.toml nelze přečíst: přístup odepřen." and error.diagnosis.cause == str(error)
    assert czech.as_dict()["cause"] == str(error)


@pytest.mark.parametrize("piece", ["a: b ", "; it was not sent. is ", "{", "x, but y now names z "])
def test_whatever_a_server_says_is_read_once(piece: str) -> None:
    """With regular expressions, which go back, this would not end."""
    words = "The server asks for less, or for later: " + piece * 10_000
    assert said(words, "cs") == f"Server chce méně, nebo později: {piece * 10_000}"
    assert said(piece * 10_000, "cs") == piece * 10_000
