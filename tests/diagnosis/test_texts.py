"""The words of every code: each has some, needs no value, and stands in a file for each language."""

from __future__ import annotations

from pathlib import Path

import pytest

from catalogue import ALL_RULES, KNOWN_VALUES, VALUES, smtp
from franking.diagnosis import texts
from franking.diagnosis.diagnosis import Diagnosis, Hint
from franking.diagnosis.rules import Rule, diagnose
from franking.errors import (
    FrankingError,
    LoginError,
)

CATALOGUE = texts.entries()


def test_every_code_has_words_and_every_word_a_shape() -> None:
    assert {rule.code for rule in ALL_RULES} <= CATALOGUE.keys()
    for code, words in CATALOGUE.items():
        assert code == code.lower()
        assert code.count(".") <= 1, code
        assert set(words) in ({"title", "cause", "remedies"}, {"text"}), code
        every = [*words.values()] if "text" in words else [words["title"], words["cause"], *words["remedies"]]
        for text in every:
            assert set(texts.names(text)) <= set(KNOWN_VALUES.split()), (code, text)


def test_words_need_no_value() -> None:
    for code, words in CATALOGUE.items():
        if "text" in words:
            assert Hint(code).text != code or texts.names(words["text"]), code
        else:
            assert Diagnosis(code).title != code
            assert Diagnosis(code).cause, code
            assert Diagnosis(code).remedies, f"{code}: with nothing known, nothing is advised"
            assert not Diagnosis(code).remedies[0].startswith(("Or ", "Then ")), code


@pytest.mark.parametrize(("port", "security"), [(587, "starttls"), (465, "tls"), (25, "none")])
def test_nobody_is_told_to_use_what_they_use(port: int, security: str) -> None:
    for rule in ALL_RULES:
        seen_code = Rule(rule.code)
        remedies = diagnose(FrankingError("x"), (seen_code,), {**VALUES, "port": port, "security": security}).remedies
        assert not remedies[0].startswith(("Or ", "Then ")), (rule.code, remedies)
        if rule.code not in ("tls.wrong-port", "greet.silent"):  # these come with other values than the usual ones
            assert not any(f"--port {port} --security {security}" in remedy for remedy in remedies), rule.code


@pytest.fixture
def other_language(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "xx.toml").write_text(
        '["login.refused"]\ntitle = "Titul"\ncause = "Jméno {username}"\nremedies = ["`franking login {account}`"]\n'
    )
    (tmp_path / "en.toml").write_text((Path(str(texts.FOLDER)) / "en.toml").read_text("utf-8"), "utf-8")
    monkeypatch.setattr(texts, "FOLDER", tmp_path)
    texts.entries.cache_clear()


@pytest.mark.usefixtures("other_language")
def test_another_language_is_another_file() -> None:
    try:
        found = diagnose(LoginError("x", evidence=smtp("535 No")), (Rule("login.refused"),), VALUES)
        assert found.text("xx") == (
            "Titul",
            "Jméno info@novak.cz",
            (("`franking login shop`", ("franking login shop",)),),
        )
        assert found.as_dict("xx-XX")["title"] == "Titul"
        assert found.title == "The server refused the login"
        assert Diagnosis("relay.denied").text("xx") == Diagnosis("relay.denied").text("en"), (
            "what is missing is said in English"
        )
        assert found.text("yy") == found.text("en")
    finally:
        texts.entries.cache_clear()


@pytest.mark.parametrize("language", ["../../etc/passwd", "", "EN", "en_GB", "x" * 1000, "\x00"])
def test_a_strange_language_is_english(language: str) -> None:
    assert Diagnosis("login.refused").text(language) == Diagnosis("login.refused").text("en")


def test_a_template_needs_every_value_and_an_option_is_given_once() -> None:
    text = ["{host} and {port}", "only {host}"]
    assert texts.fill(text, {"host": "h", "port": ""}) == "only h"
    assert texts.fill(text, {"host": "h", "port": 0}) == "h and 0"
    assert texts.fill(text, {}) is None and texts.commands(text, {}) == ()
    again = ("--host", "my host", "--port", "25", "--no-auth")
    assert texts.commands("`x {again} --port {port}`", {"again": again, "port": 587}) == (
        "x --host 'my host' --no-auth --port 587",
    )
    assert texts.commands("`x {again} --username u`", {"again": again}) == (
        "x --host 'my host' --port 25 --username u",
    )
