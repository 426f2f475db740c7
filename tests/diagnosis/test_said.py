"""What errors and steps say, in Czech: sentences within sentences, those of tables, and a server's words. That every
sentence has its Czech is in ``test_languages.py``.
"""

from __future__ import annotations

import ast
import errno
import os
import re

import pytest

from diagnosis.raised import modules
from franking.diagnosis.texts import entries, said, step_said
from franking.errors import SettingsError
from franking.net import http_errors, tcp
from franking.outbox.entry import STATES
from franking.provider import Step
from franking.sending import turns
from franking.smtp import connection


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


@pytest.mark.parametrize(
    ("step", "czech"),
    [
        (Step("tls", "ok", detail="TLS 1.3, certificate valid until 2030-01-01"), "certifikát platí do 2030-01-01"),
        (Step("greet", "ok", detail="the name is empty"), "the name is empty"),
        (Step("connect", "failed", detail="x port 25 did not answer in time."), "x port 25 včas neodpověděl."),
    ],
)
def test_what_a_step_tells(step: Step, czech: str) -> None:
    assert step_said(step.name, step.status, step.detail, "cs").endswith(czech)
    assert step_said(step.name, step.status, step.detail, "en") == step.detail


def test_every_state_of_the_outbox_has_its_czech() -> None:
    assert {*STATES, "held (x)"} == {each for each in (*STATES, "held (x)") if said(each, "cs", "states") != each}
