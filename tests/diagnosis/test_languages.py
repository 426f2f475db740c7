"""Diagnoses in other languages: every text says the same with the same values and commands, and JSON stays English."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from typing import Any

import pytest

from diagnosis.raised import VALUE, raised
from franking.diagnosis import texts
from franking.diagnosis.diagnosis import Diagnosis, Hint
from franking.diagnosis.languages import base_language

OTHERS = [name for name in texts.languages() if name != "en"]
TWINS = [(language, code) for language in OTHERS for code in texts.entries(language)]


def templates(words: Any) -> Iterator[list[str]]:
    """Return every text of an entry as its list of templates."""
    for key in ("title", "cause", "text"):
        if key in words:
            yield texts._templates(words[key])
    for text in words.get("remedies", ()):
        yield texts._templates(text)


@pytest.mark.parametrize(("language", "code"), TWINS)
def test_a_twin_has_the_same_places_and_commands(language: str, code: str) -> None:
    english, other = texts.entries()[code], texts.entries(language)[code]
    assert set(other) == set(english)
    pairs = list(zip(templates(english), templates(other), strict=True))
    for ours, theirs in pairs:
        for one, twin in zip(ours, theirs, strict=True):
            assert sorted(re.findall(r"\{\??\w+\}", one)) == sorted(re.findall(r"\{\??\w+\}", twin)), twin
            assert one.split("`")[1::2] == twin.split("`")[1::2], twin


@pytest.mark.parametrize("language", OTHERS)
def test_recommendations_have_the_same_keys_and_places(language: str) -> None:
    english, other = (texts.entries(name, "recommend.") for name in ("en", language))
    assert {(section, key) for section in other for key in other[section]} <= {
        (section, key) for section in english for key in english[section]
    }
    for section, words in other.items():
        for key, text in words.items():
            places = sorted(re.findall(r"\{\w+\}", english[section][key]))
            assert sorted(re.findall(r"\{\w+\}", text)) == places, (section, key)


def test_czech_is_written_as_czech_is() -> None:
    for code, words in texts.entries("cs").items():
        for each in templates(words):
            for text in each:
                told = re.sub(
                    r'= \[?("[^"]*"(, )?)+\]?', "", " ".join(text.split("`")[::2])
                )  # a setting as it is written
                assert not re.search(r"(?<![\w{])[kosuvzKOSUVZ] (?=\w)", told), f"{code}: {told}"
                assert '"' not in told and "..." not in told and told.count("„") == told.count("“"), f"{code}: {told}"
                for command in text.split("`")[1::2]:
                    assert "\u00a0" not in command


def czech_texts() -> Iterator[tuple[str, str]]:
    """Return every Czech text, wherever it lies, with its file."""
    folders = (texts.FOLDER, files("franking.web") / "texts", files("franking_cli") / "texts")
    for file in (each for folder in folders for each in folder.iterdir() if each.name.endswith("cs.toml")):
        waiting: list[Any] = [tomllib.loads(file.read_text("utf-8"))]
        while waiting:
            value = waiting.pop()
            if isinstance(value, str):
                yield file.name, value
            else:
                waiting += value.values() if isinstance(value, dict) else value


def test_no_line_of_czech_ends_with_a_single_letter_or_before_a_unit() -> None:
    found = list(czech_texts())
    assert len(found) > 1500 and {name for name, _ in found} >= {"cs.toml", "said.cs.toml", "trust.cs.toml"}
    lonely = re.compile(r"(?<![\w`'’/.-])(?<![\d}]\u00a0)[kosuvzaiKOSUVZAI] (?=[\w„{(])|[\d}] (?:ms|min|MB|KiB|MiB)\b")
    for name, text in found:
        assert not (wrong := lonely.search(" ".join(text.split("`")[::2]))), f"{name}: {wrong[0]!r} in {text}"


def test_a_diagnosis_in_czech() -> None:
    diagnosis = Diagnosis("login.refused", {"username": "info", "said": "535 no"})
    czech = diagnosis.in_language("cs-CZ")
    assert (diagnosis.title, czech.title) == ("The server refused the login", "Server odmítl přihlášení")
    assert czech.remedies[0].startswith("Je heslo aktuální?")
    assert str(czech).startswith("Server odmítl přihlášení\n")
    assert czech == diagnosis and czech.as_dict() == diagnosis.as_dict()  # JSON stays English
    assert replace(czech, raw="x").title == czech.title
    assert diagnosis.in_language("sk").title == czech.title
    assert Hint("secret.empty").say("cs") == "Heslo je prázdné."


def test_every_text_has_its_czech_twin() -> None:
    assert list(texts.entries("cs")) == list(
        texts.entries()
    )  # in the same order, so that the files can be read side by side


def test_every_word_of_a_recommendation_has_its_czech_twin() -> None:
    english, czech = (
        tomllib.loads((texts.FOLDER / f"recommend.{name}.toml").read_text(encoding="utf-8")) for name in ("en", "cs")
    )
    assert [*czech] == [*english]
    for table, words in english.items():
        assert [*czech[table]] == [*words]
        for key, said in words.items():
            twin = czech[table][key]
            assert sorted(re.findall(r"\{\w+\}", said)) == sorted(re.findall(r"\{\w+\}", twin)), twin
            assert not re.search(r"(?<![\w{])[kosuvzKOSUVZ] (?=\w)", twin), twin


@pytest.mark.parametrize("language", ["xx", "", "czech"])
def test_an_unknown_language_names_the_known(language: str) -> None:
    with pytest.raises(ValueError, match="en, cs"):
        Diagnosis("unknown").in_language(language)


@pytest.mark.parametrize(
    ("tag", "base"),
    [("cs", "cs"), ("cs_CZ.UTF-8", "cs"), ("CS-cz", "cs"), ("sk_SK", "cs"), ("C", ""), ("POSIX", ""), ("", "")],
)
def test_what_a_tag_asks_for(tag: str, base: str) -> None:
    assert base_language(tag) == base


WITHIN = {
    "/etc/franking/accounts.toml: VALUE": "a place before another error's sentence",
    "VALUE, [accounts.VALUE]: VALUE": "likewise",
    "VALUE, [providers.VALUE]: VALUE": "likewise",
    "/etc/franking/accounts.toml, [providers.VALUE]: VALUE": "likewise",
    "account URL: VALUE": "likewise",
    "relay.VALUE": "the section before a field's own sentence",
    "relay.listen.VALUE": "likewise",
    "relay.users.VALUE.VALUE": "likewise",
    "The server name VALUE VALUE.": "the ends stand in a table, see test_said.py",
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
        if sentence not in WITHIN and texts.said(sentence, "cs") == sentence
    ]
    assert not missing, "\n".join(("say it in diagnosis/texts/errors.cs.toml:", *missing))


@pytest.mark.parametrize(
    ("detail", "told"),
    [
        ("1.8 KiB to 1 recipient", "1,8\u00a0KiB pro 1 příjemce"),
        ("25 MiB to 3 recipients", "25\u00a0MiB, příjemců: 3"),
        ("512 bytes to 1 recipient", "512\u00a0bajtů pro 1 příjemce"),
    ],
)
def test_a_size_is_written_as_its_language_does(detail: str, told: str) -> None:
    assert texts.step_said("message", "ok", detail, "cs").replace("pro\u00a01", "pro 1") == told
    assert texts.step_said("message", "ok", detail, "en") == detail
