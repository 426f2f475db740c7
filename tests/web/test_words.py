"""The words of the page: every language has the same keys and places, and the one that a person reads is found."""

from __future__ import annotations

import re
import tomllib

import pytest

from franking.web.words import FOLDER, best_language, languages, words

OTHERS = [name for name in languages() if name != "en"]


def table(language: str) -> dict[str, str]:
    read = tomllib.loads((FOLDER / f"{language}.toml").read_text("utf-8"))
    return {f"{section}.{key}": text for section, texts in read.items() for key, text in texts.items()}


@pytest.mark.parametrize("language", OTHERS)
def test_the_same_keys_and_the_same_places(language: str) -> None:
    english, other = table("en"), table(language)
    assert set(other) == set(english)
    for key, text in english.items():
        assert sorted(re.findall(r"\{\w*\}", text)) == sorted(re.findall(r"\{\w*\}", other[key])), key
        assert re.findall(r"https?://[^\s,;]+", text) == re.findall(r"https?://[^\s,;]+", other[key]), key


@pytest.mark.parametrize("language", languages())
def test_they_are_written_with_the_right_signs(language: str) -> None:
    for key, text in table(language).items():
        assert "'" not in text and '"' not in text, key
        assert "..." not in text and " - " not in text, key
        assert text == text.strip() or key.startswith("steps."), key


def test_czech_prepositions_do_not_end_a_line() -> None:
    for key, text in table("cs").items():
        assert not re.search(r"(?<!\w)[kosuvzKOSUVZ] (?=\w)", text), f"{key}: {text}"


@pytest.mark.parametrize(
    ("wanted", "accepted", "found"),
    [
        ((None,), "", "en"),
        ((None,), "cs", "cs"),
        ((None,), "cs-CZ,cs;q=0.9,en;q=0.8", "cs"),
        ((None,), "de-DE,de;q=0.9,en;q=0.8,cs;q=0.7", "en"),
        ((None,), "sk", "cs"),
        ((None,), "en;q=0.1,cs;q=0.2", "cs"),
        ((None,), "cs;q=0", "en"),
        ((None,), "*;q=x, ;;,", "en"),
        (("cs",), "en", "cs"),
        ((None, "cs"), "en", "cs"),
        (("xx", "cs_CZ.UTF-8"), "", "cs"),
    ],
)
def test_the_language_that_a_person_reads(wanted: tuple[str | None, ...], accepted: str, found: str) -> None:
    assert best_language(wanted, accepted) == found


def test_a_missing_text_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        words("cs")("page.nothing")
